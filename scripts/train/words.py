"""The word table at run time: syllables, parts of speech, held-out words."""
from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).parent
HELD_OUT_FILE = HERE / "held_out.json"
LETTERS = re.compile(r"[a-z]+")
_UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty".split()
NUMBER_WORDS = _UNITS + [t if u == 0 else f"{t}-{_UNITS[u]}" for t in _TENS for u in range(10)]


@dataclass(frozen=True)
class Word:
    """A dictionary word: its one syllable count, its Zipf frequency, tag and theme (see build_tables.py)."""
    text: str
    syllables: int
    zipf: float
    tag: str
    theme: str


@dataclass(frozen=True)
class Tables:
    syllables: dict[str, str]  # word -> every syllable count the dictionary gives, as digits
    vowel_start: frozenset[str]
    words: list[Word]


@lru_cache(maxsize=None)
def load_tables(path: str) -> Tables:
    with gzip.open(path) as file:
        raw = json.load(file)
    return Tables(raw["syllables"], frozenset(raw["vowel_start"]), [Word(*w) for w in raw["words"]])


@lru_cache(maxsize=None)
def held_out_words() -> frozenset[str]:
    """Every word that must not occur in the training text, hyphenated ones by their parts."""
    raw = json.loads(HELD_OUT_FILE.read_text())
    return frozenset(w for p in raw["pairs"] for text in p for w in LETTERS.findall(text.lower()))


def leaks(text: str) -> set[str]:
    """Held-out words that occur in a text."""
    return held_out_words().intersection(LETTERS.findall(text.lower()))


def count_syllables(word: str, table: dict[str, str]) -> int:
    """Syllables of a word or phrase of unambiguous dictionary words, 0 when there are none."""
    total = 0
    for part in re.split(r"[\s-]+", word.lower()):
        counts = table.get(part, "")
        if len(counts) != 1:
            return 0
        total += int(counts)
    return total


def spelled_syllables(word: str) -> int:
    """A guess from spelling alone: vowel groups, less a silent final e."""
    word = word.lower()
    n = len(re.findall(r"[aeiouy]+", word))
    if re.search(r"[^aeiouyl]e$|[^aeiouydt]ed$|[^aeiouysxzcg]es$", word) and n > 1:
        n -= 1
    if re.search(r"[aeiou]le$", word) and n > 1:
        n -= 1
    return max(n, 1)
