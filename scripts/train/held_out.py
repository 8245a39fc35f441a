"""Chooses the held-out topics and words, once and before training: writes held_out.json.

Candidates are common dictionary words with one pronunciation length that the grammar, the prompts and the
lexicon do not use themselves.
"""
from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from grammar import Grammar
from lexicon import Lexicon
from words import HELD_OUT_FILE, HERE, LETTERS, NUMBER_WORDS, Tables, load_tables

SEED = 20261123
N_PAIRS = 520
STRICT_TOPIC = "GPU computing"


def reserved_words(tables: Tables) -> set[str]:
    """Every word in the sources that training text is made from, and the inflected forms derived from them."""
    grammar = Grammar(Lexicon(HERE / "lexicon.txt", tables), random.Random(0))
    pools = [p for theme in grammar.lexicon.pools.values() for p in theme.values()] + list(grammar.generic.values())
    derived = {w for pool in pools for phrases in pool.values() for phrase in phrases for w in LETTERS.findall(phrase)}
    derived |= {noun + "s" for noun in grammar.lexicon.nouns}
    return derived | {w for name in ("lexicon.txt", "grammar.py", "prompts.py") for w in LETTERS.findall((HERE / name).read_text().lower())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", default=".train/tables.json.gz")
    options = parser.parse_args()
    rng = random.Random(SEED)
    tables = load_tables(options.tables)
    taken = reserved_words(tables) | {"gpu", "computing"} | {p for n in NUMBER_WORDS for p in n.split("-")}
    known = [w for w in tables.words if w.text not in taken and len(w.text) > 3 and w.syllables <= 4]
    nouns = [w.text for w in known if w.tag in ("NC", "NM", "ND", "NP") and w.zipf >= 3.4 and w.theme != "idea"]
    describing = [w.text for w in known if w.tag == "JJ" and w.zipf >= 3.6]
    demanded = [w.text for w in known if w.zipf >= 3.2 and w.tag not in ("X", "NR")]
    for pool in (nouns, describing, demanded):
        rng.shuffle(pool)
    n_double = N_PAIRS // 5
    topics = nouns[:N_PAIRS - n_double]
    topics += [f"{a} {n}" for a, n in zip(describing[:n_double], nouns[len(topics):])]
    rng.shuffle(topics)
    used = {w for t in topics for w in t.split()}
    words = NUMBER_WORDS + [w for w in demanded if w not in used]
    topics = [STRICT_TOPIC if i % 2 == 0 else t for i, t in enumerate(topics[:len(NUMBER_WORDS)])] + topics[len(NUMBER_WORDS):]
    pairs = [[t, w] for t, w in zip(topics, words)]
    Path(HELD_OUT_FILE).write_text(json.dumps({"seed": SEED, "pairs": pairs}, indent=0) + "\n")
    print(f"{HELD_OUT_FILE}: {len(pairs)} pairs")


if __name__ == "__main__":
    main()
