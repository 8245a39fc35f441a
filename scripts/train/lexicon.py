"""Reads lexicon.txt: themes, each with nouns, verbs, adjectives and places by number of syllables."""
from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from words import Tables, count_syllables

Pool = dict[int, list[str]]  # syllables -> phrases
VOWELS = "aeiou"
IRREGULAR_ING = {"begin": "beginning", "lie": "lying"}
IRREGULAR_PLURAL = {"leaf": "leaves", "shelf": "shelves", "child": "children", "man": "men", "goose": "geese", "mouse": "mice", "deer": "deer",
                    "wolf": "wolves", "loaf": "loaves", "knife": "knives", "fish": "fish", "thief": "thieves", "scarf": "scarves", "carp": "carp",
                    "trout": "trout", "salmon": "salmon", "koi": "koi", "photo": "photos", "piano": "pianos", "echo": "echoes", "calf": "calves",
                    "foot": "feet", "half": "halves", "person": "people", "shrimp": "shrimp", "sheep": "sheep", "crocus": "crocuses"}


def add_s(word: str) -> str:
    """Third person of a verb, regular plural of a noun."""
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + ("es" if re.search(r"(s|sh|ch|x|z|[^aeiou]o)$", word) and word not in ("photo", "piano", "radio") else "s")


def plural(noun: str) -> str:
    *rest, last = noun.split()
    return " ".join([*rest, IRREGULAR_PLURAL.get(last) or add_s(last)])


def third_person(verb: str) -> str:
    first, *rest = verb.split()
    return " ".join([add_s(first), *rest])


def ing_form(verb: str) -> str:
    first, *rest = verb.split()
    if first in IRREGULAR_ING:
        first = IRREGULAR_ING[first]
    elif first.endswith("e") and not first.endswith("ee"):
        first = first[:-1] + "ing"
    elif re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", first):
        first += first[-1] + "ing"
    else:
        first += "ing"
    return " ".join([first, *rest])


class Lexicon:
    """Pools of phrases by slot name, and the themes that go together."""

    def __init__(self, path: Path, tables: Tables) -> None:
        self.tables = tables
        self.dropped: list[str] = []
        self.companions: dict[str, list[str]] = {}
        self.pools: dict[str, dict[str, Pool]] = {}
        self.nouns: dict[str, str] = {}  # noun -> theme
        for block in re.split(r"\n(?=\[)", path.read_text()):
            if block.startswith("["):
                self._read_block(block)
        for theme, others in self.companions.items():
            for other in others:
                assert other in self.pools, f"theme {theme} refers to {other}"

    def pool(self, phrases: list[str]) -> Pool:
        table: Pool = defaultdict(list)
        for phrase in phrases:
            n = count_syllables(phrase, self.tables.syllables)
            if n:
                table[n].append(phrase)
            else:
                self.dropped.append(phrase)
        return dict(table)

    def _read_block(self, block: str) -> None:
        head, *lines = block.strip().splitlines()
        match = re.fullmatch(r"\[(\w+)\] with: (.*)", head)
        assert match, head
        theme = match[1]
        self.companions[theme] = match[2].split()
        fields = {}
        for line in lines:
            key, _, value = line.partition(": ")
            fields[key] = [x.strip() for x in re.split(";" if key == "p" else ",", value)]
        pools: dict[str, list[str]] = {"p": fields["p"], "m": fields["m"], "ma": fields["ma"], "a": fields["a"], "oa": fields["oa"],
                                       "n": fields["n"], "o": fields["o"]}
        pools["ns"], pools["os"] = ([plural(x) for x in fields[k]] for k in ("n", "o"))
        for group in ("", "o", "m"):
            verbs = fields[group + "v"]
            pools[group + "vp"] = verbs
            pools[group + "v"] = [third_person(x) for x in verbs]
            pools[group + "vg"] = [ing_form(x) for x in verbs]
        self.pools[theme] = {name: self.pool(phrases) for name, phrases in pools.items()}
        for noun in fields["n"] + fields["o"] + fields["m"]:
            self.nouns.setdefault(noun, theme)
