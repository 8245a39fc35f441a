"""What a poem is measured by, and the held-out prompts it answers. Standard library only."""
from __future__ import annotations

import json
import random
import re
import string
from dataclasses import dataclass
from itertools import product

from words import HELD_OUT_FILE, NUMBER_WORDS

SEED = 575
STRICT = 'Write a haiku about {t} that includes the word "{w}" (nonce: {n})'
WORDINGS = [STRICT, 'Write a haiku about {t} that includes the word "{w}"', "Compose a haiku on {t} with the word {w} in it.",
            'Please write a short haiku about {t} containing the word "{w}" (id: {n})', "Give me a haiku about {t}. Use the word {w}."]


@dataclass(frozen=True)
class Case:
    prompt: str
    topic: str
    word: str


@dataclass(frozen=True)
class Score:
    """Which of the requirements one answer meets."""
    word_once: bool
    three_lines: bool
    syllables: bool
    clean: bool


def nonce(rng: random.Random) -> str:
    return "".join(rng.choices(string.ascii_letters + string.digits, k=8))


def held_out_cases() -> list[Case]:
    """One prompt for each held-out pair; number words and every other pair use the strict wording."""
    rng = random.Random(SEED)
    cases = []
    for i, (topic, word) in enumerate(json.loads(HELD_OUT_FILE.read_text())["pairs"]):
        wording = STRICT if word in NUMBER_WORDS or i % 2 == 0 else WORDINGS[i // 2 % len(WORDINGS)]
        cases.append(Case(wording.format(t=topic, w=word, n=nonce(rng)), topic, word))
    return cases


def number_cases(n_nonces: int) -> list[Case]:
    """The strict test's prompt with every number word and several nonces."""
    rng = random.Random(SEED + 1)
    return [Case(STRICT.format(t="GPU computing", w=w, n=nonce(rng)), "GPU computing", w) for w in NUMBER_WORDS for _ in range(n_nonces)]


def count_word(word: str, text: str) -> int:
    """Occurrences of a whole word, hyphens counting as letters."""
    return len(re.findall(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text, re.IGNORECASE))


def line_syllables(line: str, table: dict[str, str]) -> set[int]:
    """Every total that the dictionary's pronunciations allow; empty when it lacks a word."""
    words = [w for w in re.split(r"[^a-z']+", line.lower()) if w.strip("'")]
    options = [[int(d) for d in table.get(w, table.get(w.strip("'"), ""))] for w in words]
    return {sum(c) for c in product(*options)} if words and all(options) else set()


def score(answer: bytes, ended: bool, word: str, table: dict[str, str]) -> Score:
    """Scores one answer; ended says that the model stopped by itself."""
    try:
        text, valid = answer.decode(), True
    except UnicodeDecodeError:
        text, valid = answer.decode(errors="replace"), False
    lines = text.strip().split("\n")
    three = len(lines) == 3 and all(line.strip() for line in lines)
    right = three and all(n in line_syllables(line, table) for n, line in zip((5, 7, 5), lines))
    return Score(count_word(word, text) == 1, three, right, valid and bool(text.strip()) and ended)


def summary(name: str, scores: list[Score], poems: list[bytes]) -> str:
    """A row of the table; see HEADER."""
    def percent(values: list[bool]) -> str:
        return f"{100 * sum(values) / len(values):.1f} %"
    return (f"| {name} | {len(scores)} | {percent([s.word_once for s in scores])} | {percent([s.three_lines for s in scores])} "
            f"| {percent([s.syllables for s in scores])} | {100 * len(set(poems)) / len(poems):.1f} % | {sum(not s.clean for s in scores)} |")


HEADER = ("| prompts | number | word exactly once | three lines | 5-7-5 | distinct | invalid, empty or endless |\n"
          "|---|---|---|---|---|---|---|")
