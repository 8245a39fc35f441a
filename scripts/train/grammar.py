"""Haiku from templates: three lines of 5, 7 and 5 syllables around a topic and a demanded word.

A template is a list of plain words and slots. Slots: $n $ns $a $v $vp $vg (living subjects: noun, plural, adjective,
verb forms), the same for things with o, mass nouns with m, $p places, each followed by 1 (the poem's theme)
or 2 (its setting); $ga $gv $gvp $adv $time generic words; $an the article a or an; $T the topic; $W the demanded word.
"""
from __future__ import annotations

import itertools
import random
from bisect import bisect
from dataclasses import dataclass, field
from functools import lru_cache

from lexicon import Lexicon, Pool, ing_form, third_person
from words import LETTERS, count_syllables

SHAPE = (5, 7, 5)
ORDERS = list(itertools.permutations((0, 1, 2)))

GENERIC_VERBS = ("linger, wait, return, remain, begin, stay, drift, glow, call, turn, rest, fade, listen, vanish, wander, tremble, sleep, arrive, "
                 "endure, go on, wake, whisper, sing, hum, gather, pass").split(", ")
GENERIC_ADJECTIVES = ("old, quiet, small, lost, hidden, simple, distant, patient, strange, new, slow, lonely, familiar, gentle, silent, forgotten, "
                      "nameless, restless, bright, tired, unfinished, solitary, ordinary, beautiful").split(", ")
ADVERBS = ("slowly, softly, again, alone, once more, quietly, gently, still, at last, in time, tonight, for now, somehow, silently, patiently, for a while, "
           "before dawn, after dark, like smoke, like rain, like breath").split(", ")
TIMES = ("at dawn, at dusk, tonight, by noon, in spring, in june, before dawn, after dark, long past midnight, late in the autumn, early in the spring, "
         "all through the winter, this summer morning, before the first frost, at the end of day, in the hour of dusk, on a winter night, one, "
         "late november light, in the dead of night, after the long rain, between rain and snow, as the daylight fades, when the evening comes, "
         "long after sunset, in early morning, the last day of march, a night in august, an autumn evening, a sunday in may, at the turn of spring, "
         "while the city sleeps, before the world wakes, after the last guest, another monday, all afternoon long, the winter solstice, "
         "deep in november, half past midnight now, the first warm evening, end of september, the longest night yet, almost december, "
         "a morning in march, while the kettle sings, as the streets empty, the night before spring, when the wind changes").replace(", one,", ",").split(", ")

# free lines -----------------------------------------------------------------------------------------------------------
OPEN = """
$p1 | $p2 | $p1 | $time | $time | $time $ma1 $m1 | $time the $n1
$ma1 $m1 $p2 | $m1 $p1 | $m2 $p2 | $a1 $ns1 $p1 | $ns1 $p1 | $os1 $p1 | $oa1 $os1
$an $a1 $n1 $vg1 | $ma2 $m2 $mvg2 | $an $oa1 $o1 $p1 | $an $oa1 $o1 | $an $a1 $n1 $p2
$m1 and $m2 | $ma1 $m1 | $oa1 $o1 and $oa2 $o2 | $ns1 $vg1 $p1 | $m1 $mvg1 $p1
$an $n1 $vg1 $p1 | $an $o1 $p2 | $ma2 $m2 | $os2 $ovg2 | $a1 $ns1 $vg1 | the $oa1 $o1
the $n1 $v1 $adv | $m2 $mv2 $adv | $time $ns1 $vp1
"""
MID = """
the $a1 $n1 $v1 $p1 | $a1 $ns1 $vp1 $p1 | $an $n1 $v1 $p1 | $ns1 $vp1 $p2 | $an $a1 $n1 $v1 $p1
$ma1 $m1 $mv1 $p1 | $m1 $mv1 $p1 | $ma2 $m2 $mv2 $p1 | the $o1 $ov1 $p2 | the $oa1 $o1 $ov1 $p1
$oa1 $os1 $ovp1 $p1 | $os1 $ovp1 $p2 | the $n1 $v1 while the $o2 $ov2 | $ns1 $vp1 as $m2 $mv2
the $n1 $v1 $adv $p1 | $m1 $mv1 $adv $p1 | $an $oa1 $o1 $ov1 $p1 | $an $o1 $ov1 $p1
$m1 $mv1 where $ns1 $vp1 | the $n1 $v1 and the $o1 $ov1 | $m2 $mv2 and the $n1 $v1
the $a1 $n1 $v1 and $v1 | $a1 $ns1 $vp1 and $vp1 | $ns1 $vp1 and $os1 $ovp1 | $p1 the $n1 $v1 | $p2 the $o1 $ov1
$p1 $ns1 $vp1 | $p1 $m1 $mv1
"""
CLOSE = """
and the $n1 $v1 | still the $o1 $ov1 | only $m2 $mv2 | $ma1 $m1 $mv1 | $m1 $mv1 $adv | nothing but $m1
the $a1 $n1 $v1 | the $oa1 $o1 $ov1 | and then $ma1 $m1 | not a $n1 $v1 | $m1 $p1 | $ma1 $m1 $p1
the $o2 $ov2 too | and $ns1 $vp1 | how the $m1 $mv1 | $m2 $mv2 again | $ns1 $vp1 $adv
then the $oa1 $o1 | the $n2 $v2 too | while the $n1 $v1 | as the $o1 $ov1 | no $n1 $p1
$ma1 $m1 and $m2 | $an $o1 $ov1 $adv | $os1 $ovp1 $adv | the $n1 $v1 $adv | so the $n1 $v1
$an $oa1 $o1 $p1 | $oa1 $os1 $p1 | where $ns1 $vp1 | until $m1 $mv1 | $a1 $ns1 $vp1 | $ma2 $m2 $mv2
the $m1 $mv1 $adv | each $o1 $ov1 | all the $os1 $ovp1 | $mvg1 $p1
"""

# lines with a given word $X, by its tag: opening and closing lines share five syllables -----------------------------------
DEFINITE_5 = """
the $X $p1 | the $X $gv | the $X $gv $adv | the $ga $X | beside the $X | after the $X | and the $X $gv | still the $X $gv
only the $X $gv | then the $ga $X | the $X $gv too | beyond the $X | $m1 and the $X | the $ga $X $gv | near the $ga $X
this $ga $X | that $ga $X | before the $X | with the $ga $X | only the $X | while the $X $gv | my $ga $X
"""
DEFINITE_7 = """
the $X $gv $p1 | $m1 $mv1 beside the $X | the $n1 $v1 near the $X | the $ga $X $gv $p1 | $ns1 $vp1 around the $X
the $X $gv while $ns1 $vp1 | $p1 the $X $gv | the $ga $X $gv $adv | $m2 $mv2 behind the $X | the $X $gv as $m2 $mv2
$ma1 $m1 $mv1 on the $X | the $X and the $oa1 $o1 | the $n1 $v1 beside the $X | this $X $gv $p2 | $ns1 $vp1 before the $X
"""
COUNT_5 = """
$an $X $p1 | $an $ga $X | $an $ga $X $p1 | each $X $gv | $an $X $gv | just $an $ga $X | only $an $X $gv | not $an $X $gv
"""
COUNT_7 = """
$an $X $gv $p1 | $an $ga $X $gv $p1 | each $X $gv $p1 | $an $X and $an $oa1 $o1 | $an $ga $X $gv $adv | $p1 $an $X $gv
"""
MASS_5 = """
$X $p1 | $X $gv | $X $gv $adv | $ga $X | $ga $X $gv | the hush of $X | the shape of $X | the weight of $X | and $X $gv
only $X $gv | still $X $gv | so much $X | a breath of $X | the sound of $X | $m1 and $X | $X and $m1 | then $ga $X | all this $X
nothing but $X | at the edge of $X | somewhere $X $gv
"""
MASS_7 = """
$X $gv $p1 | $ga $X $gv $p1 | the $n1 $v1 with $X | $ns1 $vp1 and $X $gv | $m1 $mv1 and $X $gv | the sound of $X $p1
a world of $X $p1 | $X $gv while $ns1 $vp1 | $p1 $X $gv | $X $gv as $m1 $mv1 | $X $gv $adv $p1 | the slow work of $X $gv
the $oa1 $o1 waits for $X | so much $X $p1 | $ga $X $gv $adv
"""
NAME_5 = "$X $p1 | $X $gv | $X $gv $adv | and $X $gv | still $X $gv | $X in the rain | $X and the $n1 | waiting for $X | a letter from $X | only $X $gv"
NAME_7 = "$X $gv $p1 | $p1 $X $gv | $X $gv while $ns1 $vp1 | $X $gv as $m1 $mv1 | the $n1 $v1 for $X | $m1 $mv1 and $X $gv | $X and the $a1 $n1 $vp1"
PLURAL_5 = """
$X $p1 | $ga $X | $ga $X $p1 | the $X $gvp | $X $gvp $adv | so many $X | among the $X | and $X $gvp | a few $ga $X | only $X $gvp
$X and $m1 | still the $X $gvp | all the $ga $X | $ga $X $gvp | between the $X
"""
PLURAL_7 = """
$X $gvp $p1 | $ga $X $gvp $p1 | the $X $gvp $p1 | $m1 $mv1 over the $X | the $n1 $v1 among the $X | $X $gvp while $ns1 $vp1
$p1 the $X $gvp | $X and $os1 $p1 | so many $X $p1 | $ga $X $gvp $adv | $m1 $mv1 between the $X
"""
BASE_I_5 = "we $X $p1 | to $X $adv | $ns1 $X $adv | $ns1 $X $p1 | let the $n1 $X | we learn to $X | they $X $adv | to $X $p1 | $a1 $ns1 $X | i want to $X"
BASE_I_7 = "$ns1 $X $p1 | $a1 $ns1 $X $p1 | we $X $adv $p1 | they $X while the $n1 $v1 | the $n1 learns to $X $adv | $ns1 $X and $os1 $ovp1"
BASE_T_5 = "we $X the $o1 | $ns1 $X the $o1 | to $X the $oa1 $o1 | i $X the $o1 | to $X the $o1 | they $X the $o2 | we $X the $os1 | to $X the $os1"
BASE_T_7 = "$ns1 $X the $oa1 $o1 | we $X the $o1 $p1 | they $X the $oa1 $os1 | $a1 $ns1 $X the $o1 | to $X the $o1 $p1 | i $X the $oa1 $o1 $adv"
THIRD_I_5 = "the $n1 $X | the $n1 $X $adv | $an $n1 $X | $an $a1 $n1 $X | it $X $p1 | and the $n1 $X | the $a1 $n1 $X | it $X $adv"
THIRD_I_7 = "the $n1 $X $p1 | $an $a1 $n1 $X $p1 | the $a1 $n1 $X $adv | $p1 the $n1 $X | the $n1 $X while $ns2 $vp2 | it $X $adv $p1"
THIRD_T_5 = "it $X the $o1 | the $n1 $X $m1 | it $X the $oa1 $o1 | the $n1 $X the $o1 | $m1 $X the $o1 | $m1 $X the $oa1 $o1"
THIRD_T_7 = "the $n1 $X the $oa1 $o1 | $ma1 $m1 $X the $o1 | $an $a1 $n1 $X the $o1 | the $n1 $X the $os1 $p1 | it $X the $oa1 $o1 $adv"
ING_I_5 = "$X $p1 | $ns1 $X $adv | $ns1 $X $p1 | still $X $p1 | always $X $adv | $an $n1 $X | $X $adv | $an $n1 $X $adv | always $X | and still $X"
ING_I_7 = "$ns1 $X $p1 | $a1 $ns1 $X $p1 | the $n1 is $X $p1 | still $X $p1 | $X while the $n1 $v1 | $an $a1 $n1 $X $p1"
ING_T_5 = "$X the $o1 | $X the $oa1 $o1 | $ns1 $X the $o1 | someone $X $m1 | still $X the $o1 | $X the $os1 | $X $m1"
ING_T_7 = "$ns1 $X the $oa1 $o1 | $X the $o1 $p1 | the $n1 is $X the $o1 | $an $n1 $X the $oa1 $o1 | $X $ma1 $m1 $p1 | $X the $os1 while $m1 $mv1"
ADJ_5 = """
$X $m1 $p1 | the $X $n1 $v1 | $an $X $o1 | $X $ns1 $vp1 | the $X $o1 $ov1 | $an $X $n1 $p1 | $X $m1 $mv1 | how $X the $o1 | so $X the $n1
$X $os1 $p1 | and $X $m1 | the $X $n1
"""
ADJ_7 = """
the $X $n1 $v1 $p1 | $X $ns1 $vp1 $p1 | $an $X $n1 $v1 $p1 | $X $m1 $mv1 $p1 | the $X $o1 $ov1 $p2 | $X $os1 $ovp1 $p1
the $n1 $v1 on the $X $o1 | the $X $n1 $v1 and $v1 | the $X $n1 $v1 $adv
"""
ADVERB_5 = "the $n1 $v1 $X | $X $m1 $mv1 | $X the $n1 $v1 | $ns1 $vp1 $X | $m1 $mv1 $X | $X the $o1 $ov1 | $X $p1"
ADVERB_7 = "$X the $n1 $v1 $p1 | $X $m1 $mv1 $p1 | $ns1 $vp1 $X $p1 | $m1 $X $mv1 $p1 | the $a1 $n1 $v1 $X | the $n1 $X $v1 $p1"
SPOKEN_5 = """
the $n1 whispers $X | someone whispers $X | i whisper $X | a voice murmurs $X | the sign reads $X | the word is $X | we call it $X
the page says $X | the $n1 answers $X | $X , the $n1 whispers | a note that says $X | $X , says the $n1 | say $X $adv | the $m1 says $X
in pencil : $X | a child spells out $X | my lips shape $X | the echo says $X | a stranger says $X | $X , i whisper | just a word : $X
"""
SPOKEN_7 = """
the $n1 whispers $X $p1 | someone whispers $X $p1 | the $a1 $n1 murmurs $X | a voice says $X $p1 | $m1 $mv1 and i say $X
we write $X $p1 | $X , the $n1 whispers $adv | a note $p1 reads $X | the word $X $p1 | i trace the word $X $p1 | the $oa1 sign still reads $X
$X , says the $a1 $n1 $p1 | a child spells $X $p1 | $p1 a voice says $X
"""
COUNTED_5 = """
$X $ns1 $p1 | $X $a1 $ns1 | $X $os1 | $X $os1 $ovp1 | only $X $ns1 | and $X $os1 | $X $ns1 $vp1 | $X $oa1 $os1 | we count $X $ns1 | then $X $ns1
$X $os1 $p1 | $X $ns1 $vg1 | among $X $ns1 | all $X $os1 | just $X $ns1
"""
COUNTED_7 = """
$X $ns1 $vp1 $p1 | $X $a1 $ns1 $vp1 $p1 | $X $os1 $ovp1 $p1 | $X $ns1 $vg1 $p1 | $m1 $mv1 on $X $os1 | $X $oa1 $os1 $ovp1 $p2
the $n1 $v1 with $X $os1 | $p1 $X $ns1 $vp1 | we count $X $oa1 $os1 $p1 | $X $ns1 $vp1 and $vp1 | $X $a1 $ns1 $p1
"""

Frames = tuple[str, str]  # five-syllable lines, seven-syllable lines
OWN_FRAMES: dict[str, list[Frames]] = {
    "ND": [(DEFINITE_5, DEFINITE_7)], "NC": [(DEFINITE_5, DEFINITE_7), (COUNT_5, COUNT_7)], "NM": [(MASS_5, MASS_7)], "NR": [(NAME_5, NAME_7)],
    "NP": [(PLURAL_5, PLURAL_7)], "JJ": [(ADJ_5, ADJ_7)], "RB": [(ADVERB_5, ADVERB_7)], "QT": [(COUNTED_5, COUNTED_7)], "X": [(SPOKEN_5, SPOKEN_7)],
    "VBi": [(BASE_I_5, BASE_I_7)], "VBt": [(BASE_T_5, BASE_T_7)], "VZi": [(THIRD_I_5, THIRD_I_7)], "VZt": [(THIRD_T_5, THIRD_T_7)],
    "VDi": [(THIRD_I_5, THIRD_I_7)], "VDt": [(THIRD_T_5, THIRD_T_7)], "VGi": [(ING_I_5, ING_I_7)], "VGt": [(ING_T_5, ING_T_7)],
}
for _tag in ("VB", "VZ", "VD", "VG"):
    OWN_FRAMES[_tag + "it"] = OWN_FRAMES[_tag + "i"] + OWN_FRAMES[_tag + "t"]
    OWN_FRAMES[_tag + "x"] = OWN_FRAMES["X"]


@dataclass(frozen=True)
class Given:
    """A word or phrase that the poem must hold: its spelling, syllables and tag."""
    text: str
    syllables: int
    tag: str


@dataclass(frozen=True, eq=False)  # hashed by identity, which is faster
class Template:
    parts: tuple[str, ...]
    slots: tuple[str, ...]
    fixed: int  # syllables of its plain words
    needs_second: bool = field(default=False)


class Grammar:
    """Draws poems; one instance per process."""

    def __init__(self, lexicon: Lexicon, rng: random.Random) -> None:
        self.lexicon, self.rng = lexicon, rng
        self.vowel_start = lexicon.tables.vowel_start
        self.generic: dict[str, Pool] = {
            "gv": lexicon.pool([third_person(v) for v in GENERIC_VERBS]), "gvp": lexicon.pool(GENERIC_VERBS),
            "gvg": lexicon.pool([ing_form(v) for v in GENERIC_VERBS]), "ga": lexicon.pool(GENERIC_ADJECTIVES),
            "adv": lexicon.pool(ADVERBS), "time": lexicon.pool(TIMES)}
        self.free = [self._templates(x) for x in (OPEN, MID, CLOSE)]
        self.framed = {tag: [[t for f5, _ in frames for t in self._templates(f5)], [t for _, f7 in frames for t in self._templates(f7)]]
                       for tag, frames in OWN_FRAMES.items()}
        self.themes = list(lexicon.pools)
        self._splits = lru_cache(maxsize=200_000)(self._compute_splits)

    def _templates(self, text: str) -> list[Template]:
        found = []
        for source in text.replace("\n", "|").split("|"):
            parts = tuple(source.split())
            if not parts:
                continue
            plain = [p for p in parts if p[0] not in "$,:"]
            fixed = sum(count_syllables(p, self.lexicon.tables.syllables) if p not in ("a", "the", "and") else 1 for p in plain)
            assert all(p in ("a", "the", "and") or count_syllables(p, self.lexicon.tables.syllables) for p in plain), source
            slots = tuple(p[1:] for p in parts if p[0] == "$" and p not in ("$X", "$an"))
            fixed += parts.count("$an")
            found.append(Template(parts, slots, fixed, any(s.endswith("2") for s in slots)))
        return found

    def _pool(self, slot: str, first: str, second: str) -> Pool:
        if slot[-1] in "12":
            return self.lexicon.pools[first if slot[-1] == "1" else second][slot[:-1]]
        return self.generic[slot]

    def _compute_splits(self, template: Template, first: str, second: str, wanted: int) -> tuple[list[tuple[list[str], ...]], list[float]] | None:
        """Every way to share syllables among the slots, with cumulative weights; None when there is none."""
        pools = [self._pool(s, first, second) for s in template.slots]
        ways, weights, total = [], [], 0.0
        for counts in itertools.product(*(p.keys() for p in pools)):
            if sum(counts) == wanted:
                ways.append(tuple(p[c] for p, c in zip(pools, counts)))
                total += 1.0 + sum(len(p[c]) for p, c in zip(pools, counts)) * 0.5
                weights.append(total)
        return (ways, weights) if ways else None

    def line(self, templates: list[Template], target: int, themes: tuple[str, str], given: Given | None) -> str | None:
        """One line, or None when none of a few templates fits."""
        rng = self.rng
        for _ in range(12):
            template = templates[int(rng.random() * len(templates))]
            wanted = target - template.fixed - (given.syllables if given else 0)
            if wanted < 0:
                continue
            found = self._splits(template, themes[0], themes[1] if template.needs_second else "", wanted)
            if found is None:
                continue
            ways, weights = found
            way = ways[min(bisect(weights, rng.random() * weights[-1]), len(ways) - 1)]
            chosen = iter([bucket[int(rng.random() * len(bucket))] for bucket in way])
            words = [given.text if part == "$X" else part if part == "$an" or part[0] != "$" else next(chosen) for part in template.parts]
            return self._join(words)
        return None

    def _join(self, words: list[str]) -> str:
        if "$an" in words:
            i = words.index("$an")
            head = LETTERS.match(words[i + 1].lower())
            words[i] = "an" if (head and (head[0] in self.vowel_start or (head[0] not in self.lexicon.tables.syllables and head[0][0] in "aeiou"))) else "a"
            if "$an" in words:
                return self._join(words)
        return " ".join(words).replace(" ,", ",").replace(" :", ":")

    def poem(self, theme: str, topic: Given | None, demanded: Given | None) -> str | None:
        """A poem that names the topic and holds the demanded word exactly once, or None when the draws failed."""
        rng = self.rng
        for _ in range(30):
            companions = self.lexicon.companions[theme]
            themes = (theme, companions[int(rng.random() * len(companions))])
            order = ORDERS[int(rng.random() * 6)]
            givens: list[Given | None] = [None, None, None]
            for given, i in zip((g for g in (demanded, topic) if g), order):
                givens[i] = given
            lines = []
            for i, given in enumerate(givens):
                templates = self.free[i] if given is None else self.framed[given.tag][i % 2]
                lines.append(self.line(templates, SHAPE[i], themes, given))
                if lines[-1] is None:
                    break
            else:
                if self._acceptable(lines, topic, demanded):
                    return "\n".join(lines)
        return None

    @staticmethod
    def _acceptable(lines: list[str], topic: Given | None, demanded: Given | None) -> bool:
        """No long word twice, the given words exactly once."""
        text = " ".join(lines).lower().replace(",", "").replace(":", "")
        words = text.split()
        long = [w for w in words if len(w) > 4]
        if len(set(long)) != len(long) or lines[0].split()[0] == lines[1].split()[0] == lines[2].split()[0]:
            return False
        padded = f" {text} "
        return all(padded.count(f" {g.text.lower()} ") == 1 for g in (topic, demanded) if g)
