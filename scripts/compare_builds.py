#!/usr/bin/env python3
"""Two executables against each other, in turn within one run: is one faster than the other by more than noise?

    scripts/compare_builds.py [--rounds 10] A B -- ARGUMENTS OF haikuda bench
    scripts/compare_builds.py --instructions A B -- ARGUMENTS OF haikuda

The first prints for each test the tokens a second of both, the median over the rounds and the width of the middle half of them, and
the ratio A / B. In a round both run the same tests one after the other, A first in every second round, so that what drifts (clocks,
heat, other work) meets both. The ratio is the median of the rounds' ratios; the interval behind it holds the true median in at least
95 % of such runs, whatever the distribution. "Within noise": 1 lies in it.

The second counts the instructions of one run of each, by perf, or by valgrind where perf cannot: for the CPU, whatever else the
machine does, with -t 1. What the probe costs where nobody looks:

    cmake -B build-off -G Ninja -DHAIKUDA_PROBE=OFF && cmake --build build-off --target haikuda
    scripts/compare_builds.py build/haikuda build-off/haikuda -- -m MODEL -p 0 -n 128 -r 3 --device cuda

Exits 0 when it measured, whatever came out; 2 when a run failed. Needs Python 3 alone."""
import argparse
import json
import math
import re
import shutil
import statistics
import subprocess
import sys


def run(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"compare_builds: {' '.join(command)}\nended with {done.returncode}: {done.stderr.strip()}", file=sys.stderr)
        sys.exit(2)
    return done


def bench(program, arguments):
    """(name, tokens a second) of each test."""
    rows = json.loads(run([program, "bench", *arguments, "-o", "json"]).stdout)
    return [(f"{row['model_filename']} {row['test']}", row["median_ts"]) for row in rows]


def middle_half(values):
    """The quartiles' distance as a share of the median, in percent."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return 100 * (high - low) / middle


def median_interval(values):
    """Where the median of what they are drawn from lies, with at least 95 %: by order statistics."""
    n, ordered = len(values), sorted(values)
    k, below = 0, 0.0  # the probability that it lies below the k-th, as great as that it lies above the k-th from the end
    while 2 * (below + math.comb(n, k) / 2**n) <= 0.05:
        below += math.comb(n, k) / 2**n
        k += 1
    return ordered[k - 1], ordered[n - k]


def compare_speed(programs, n_rounds, arguments):
    rounds = []  # of each the tests of A and of B
    for i in range(n_rounds):
        done = [None, None]
        for which in (0, 1) if i % 2 == 0 else (1, 0):
            done[which] = bench(programs[which], arguments)
        rounds.append(done)
        print(f"round {i + 1} of {n_rounds}", file=sys.stderr)
    for test, (name, _) in enumerate(rounds[0][0]):
        speeds = [[both[which][test][1] for both in rounds] for which in (0, 1)]
        ratios = [a / b for a, b in zip(*speeds)]
        low, high = median_interval(ratios)
        print(name)
        for program, values in zip(programs, speeds):
            print(f"  {statistics.median(values):10.2f} tokens/s, middle half {middle_half(values):.2f} %  {program}")
        verdict = "within noise" if low <= 1 <= high else "differs"
        print(f"  ratio {statistics.median(ratios):.4f} ({low:.4f} to {high:.4f}), {n_rounds} rounds: {verdict}")


def instructions(program, arguments):
    """In user space."""
    if shutil.which("perf"):
        done = subprocess.run(["perf", "stat", "-x,", "-e", "instructions:u", program, *arguments], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        found = re.search(r"^(\d+),[^,]*,instructions:u", done.stderr, re.M)
        if done.returncode == 0 and found:
            return int(found[1]), "perf"
    if not shutil.which("valgrind"):
        sys.exit("compare_builds: instructions are counted by perf or valgrind; perf can't here, valgrind is missing")
    done = run(["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", program, *arguments])
    return int(re.search(r"I +refs: +([\d,]+)", done.stderr)[1].replace(",", "")), "valgrind"


def compare_instructions(programs, arguments):
    counts = [instructions(program, arguments) for program in programs]
    for program, (n, how) in zip(programs, counts):
        print(f"  {n:16,} instructions by {how}  {program}")
    print(f"  ratio {counts[0][0] / counts[1][0]:.6f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="at least 6, for the interval [10]")
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("programs", nargs=2, metavar="PROGRAM")
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options, arguments = parser.parse_args(sys.argv[1:end]), sys.argv[end + 1 :]
    if options.rounds < 6:
        parser.error("--rounds: at least 6")
    if options.instructions:
        compare_instructions(options.programs, arguments)
    else:
        compare_speed(options.programs, options.rounds, arguments)


if __name__ == "__main__":
    main()
