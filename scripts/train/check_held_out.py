"""Shows that no held-out topic or word gets into the training text: the list, the sources, what the generator drops.

Needs Python and numpy, regex; with .train/tables.json.gz and .train/tokenizer.json (build_tables.py, tokenizer.py) it makes
real shards too and looks for the words in them. Exit status 1: a held-out word got in; 4: a package is missing.
"""
from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from types import SimpleNamespace

try:
    import numpy as np

    from shards import WRITTEN, ShardPlan, make_shard, make_writer
    from tokenizer import Tokenizer
except ModuleNotFoundError as missing:
    print(f"skipped: {missing}")
    sys.exit(4)
from words import HELD_OUT_FILE, HERE, LETTERS, NUMBER_WORDS, held_out_words, leaks

MIN_PAIRS = 500


def require(condition: bool, what: str) -> None:
    if not condition:
        sys.exit(f"check_held_out: {what}")


class SpellingTokenizer:
    """A character a token, so that a row can be read again."""
    end_of_text = 0

    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]

    def chat(self, messages: list[tuple[str, str]], open_answer: bool) -> tuple[list[int], list[bool]]:
        ids = self.encode("\n".join(text for _, text in messages))
        return ids, [True] * len(ids)

    def decode(self, ids: list[int]) -> bytes:
        return "".join(map(chr, ids)).encode()


class LeakyWriter:
    """Gives a held-out word, in a conversation or to be counted, every so many words."""

    def __init__(self, every: int) -> None:
        self.rng, self.every, self.n_given, self.held_out = random.Random(1), every, 0, sorted(held_out_words())

    def word(self, harmless: str) -> str:
        self.n_given += 1
        return self.rng.choice(self.held_out) if self.n_given % self.every == 0 else harmless

    def conversation(self) -> list[tuple[str, str]]:
        return [("user", "rain"), ("assistant", self.word("drizzle").capitalize() + "-like.")]

    def any_word(self) -> SimpleNamespace:
        return SimpleNamespace(text=self.word("puddle"), syllables=2)

    demanded = any_word


def text_of(shard: dict[int, np.ndarray], tokenizer) -> str:
    rows = [row & (WRITTEN - 1) for rows in shard.values() for row in rows]
    return "\n".join(tokenizer.decode([int(t) for t in row if t != tokenizer.end_of_text]).decode(errors="replace") for row in rows)


def check_list() -> None:
    pairs = json.loads(HELD_OUT_FILE.read_text())["pairs"]
    words = [w for _, w in pairs]
    require(len(pairs) >= MIN_PAIRS and len(set(words)) == len(words), "too few pairs, or a word twice")
    require(set(NUMBER_WORDS) <= set(words) and any(t == "GPU computing" for t, _ in pairs), "number words or the strict topic are missing")
    for text in ("Twenty-nine.", "(NINE)", "gpu's", 'the "computing" of'):
        require(bool(leaks(text)), f"leaks() overlooks {text!r}")
    require(not leaks("often rain, a canine"), "leaks() sees words inside of words")
    print(f"{len(pairs)} held-out pairs, {len(held_out_words())} words that must not be in the text")


def check_sources() -> None:
    lines = [line for line in (HERE / "lexicon.txt").read_text().lower().splitlines() if not line.startswith("#")]
    used = held_out_words() & set(LETTERS.findall("\n".join(lines)))
    require(not used, f"lexicon.txt uses {used}")


def check_dropping() -> None:
    plan, tokenizer, writer = ShardPlan("", "", 1, 2000), SpellingTokenizer(), LeakyWriter(every=500)
    kept = text_of(make_shard(plan, 0, writer, tokenizer), tokenizer)
    require(writer.n_given >= 2000 and "Drizzle-like" in kept and "puddle" in kept, "nothing was kept")
    require(not leaks(kept), f"kept: {leaks(kept)}")
    try:
        make_shard(plan, 0, LeakyWriter(every=50), tokenizer)
    except AssertionError:
        print(f"{writer.n_given} texts, one of 500 with a held-out word: none of those was kept; one of 50: refused")
    else:
        require(False, "sources that use held-out words went unnoticed")


def check_shards(tables: Path, tokenizer_file: Path, n: int) -> None:
    if not (tables.exists() and tokenizer_file.exists()):
        print(f"no shards were made: {tables} or {tokenizer_file} is missing")
        return
    tokenizer = Tokenizer.load(tokenizer_file)
    for number in range(n):
        text = text_of(make_shard(ShardPlan(str(tables), "", 1, 2000), number, make_writer(str(tables), 1), tokenizer), tokenizer)
        require(not leaks(text), f"shard {number} holds {leaks(text)}")
        print(f"shard {number}: {len(LETTERS.findall(text.lower()))} words, none held out")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, default=HERE.parents[1] / ".train" / "tables.json.gz")
    parser.add_argument("--tokenizer", type=Path, default=HERE.parents[1] / ".train" / "tokenizer.json")
    parser.add_argument("--shards", type=int, default=2)
    options = parser.parse_args()
    check_list()
    check_sources()
    check_dropping()
    check_shards(options.tables, options.tokenizer, options.shards)


if __name__ == "__main__":
    main()
