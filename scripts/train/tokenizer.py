"""Byte-level BPE with the Qwen2 pre-tokenizer and a small vocabulary of syllable-like pieces.

Merges only join letters, so a word has the same tokens after a space, a quote or at the start of a line, and a piece has
at most one group of vowels, so that pieces and syllables nearly agree.
"""
from __future__ import annotations

import argparse
import json
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

import regex

from words import leaks, load_tables

PRE_TOKENIZER = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
PIECE = regex.compile(r"[^aeiouy]*[aeiouy]*[^aeiouy]*e?")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
VOCABULARY = 2048
CHAT_TEMPLATE = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
                 "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


@lru_cache(maxsize=None)
def byte_characters() -> list[str]:
    """GPT-2's printable stand-in for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    table = {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}
    return [table[b] for b in range(256)]


def train_merges(weights: dict[str, float], n_merges: int) -> list[tuple[str, str]]:
    """The most frequent allowed pairs, one after the other; ties go to the alphabetically last."""
    words = [(list(w), n) for w, n in sorted(weights.items())]
    counts: dict[tuple[str, str], float] = defaultdict(float)
    places: dict[tuple[str, str], set[int]] = defaultdict(set)
    for i, (pieces, n) in enumerate(words):
        for pair in zip(pieces, pieces[1:]):
            counts[pair] += n
            places[pair].add(i)
    merges = []
    while len(merges) < n_merges:
        best = max((p for p in counts if allowed(p[0] + p[1])), key=lambda p: (round(counts[p], 6), p))
        merges.append(best)
        for i in sorted(places.pop(best)):
            pieces, n = words[i]
            for pair in zip(pieces, pieces[1:]):
                counts[pair] -= n
            merged = merge_pair(pieces, best)
            words[i] = (merged, n)
            for pair in zip(merged, merged[1:]):
                counts[pair] += n
                places[pair].add(i)
        counts.pop(best, None)
    return merges


@lru_cache(maxsize=None)
def allowed(piece: str) -> bool:
    return PIECE.fullmatch(piece) is not None


def merge_pair(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    merged, i = [], 0
    while i < len(pieces):
        if i + 1 < len(pieces) and (pieces[i], pieces[i + 1]) == pair:
            merged.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            merged.append(pieces[i])
            i += 1
    return merged


class Tokenizer:
    """Encodes and decodes; tokens are bytes, then merged pieces, then the special tokens."""

    def __init__(self, merges: list[tuple[str, str]]) -> None:
        self.merges = merges
        self.tokens = byte_characters() + [a + b for a, b in merges] + SPECIAL
        assert len(set(self.tokens)) == len(self.tokens)
        self.ids = {t: i for i, t in enumerate(self.tokens)}
        self.ranks = {pair: i for i, pair in enumerate(merges)}
        self.end_of_text, self.im_start, self.im_end = (self.ids[t] for t in SPECIAL)
        self._split = regex.compile(PRE_TOKENIZER)
        self._bytes = {c: b for b, c in enumerate(byte_characters())}
        self._chunk = lru_cache(maxsize=500_000)(self._encode_chunk)

    def _encode_chunk(self, chunk: str) -> tuple[int, ...]:
        table = byte_characters()
        pieces = [table[b] for b in chunk.encode()]
        while len(pieces) > 1:
            best = min(zip(pieces, pieces[1:]), key=lambda p: self.ranks.get(p, 1 << 30))
            if best not in self.ranks:
                break
            pieces = merge_pair(pieces, best)
        return tuple(self.ids[p] for p in pieces)

    def encode(self, text: str) -> list[int]:
        """Plain text, no special tokens."""
        return [i for chunk in self._split.findall(text) for i in self._chunk(chunk)]

    def decode(self, ids: list[int]) -> bytes:
        return bytes(self._bytes[c] for i in ids if i < len(self.tokens) - len(SPECIAL) for c in self.tokens[i])

    def chat(self, messages: list[tuple[str, str]], open_answer: bool = True) -> tuple[list[int], list[bool]]:
        """ChatML tokens, and which of them the model has to write."""
        ids: list[int] = []
        written: list[bool] = []
        for role, text in messages:
            head = [self.im_start, *self.encode(role + "\n")]
            body = [*self.encode(text), self.im_end]
            tail = self.encode("\n")
            ids += head + body + tail
            written += [False] * len(head) + [role == "assistant"] * len(body) + [False] * len(tail)
        if open_answer:
            head = [self.im_start, *self.encode("assistant\n")]
            ids += head
            written += [False] * len(head)
        return ids, written

    def save(self, path: Path) -> None:
        """Hugging Face tokenizer.json."""
        from tokenizers import AddedToken, Regex, Tokenizer as HfTokenizer, decoders, models, normalizers, pre_tokenizers

        plain = {t: i for t, i in self.ids.items() if t not in SPECIAL}
        hf = HfTokenizer(models.BPE(plain, self.merges, byte_fallback=False))
        hf.normalizer = normalizers.NFC()
        hf.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PRE_TOKENIZER), "isolated"),
                                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        hf.decoder = decoders.ByteLevel()
        hf.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
        hf.save(str(path))

    @staticmethod
    def load(path: Path) -> "Tokenizer":
        return Tokenizer([tuple(m) if isinstance(m, list) else tuple(m.split()) for m in json.loads(path.read_text())["model"]["merges"]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", default=".train/tables.json.gz")
    parser.add_argument("--out", type=Path, default=Path(".train/tokenizer.json"))
    options = parser.parse_args()
    weights = {w.text: 2.0 ** (w.zipf - 2) for w in load_tables(options.tables).words if not leaks(w.text)}
    tokenizer = Tokenizer(train_merges(weights, VOCABULARY - 256 - len(SPECIAL)))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(options.out)
    print(f"{options.out}: {len(tokenizer.tokens)} tokens;", *("·".join(tokenizer.tokens[i] for i in tokenizer.encode(w)) for w in
          ("remembering", "twilight", "umbrella", "sixty-seven", "kitchen", "whisper", "mountains", "beautiful")))


if __name__ == "__main__":
    main()
