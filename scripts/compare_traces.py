#!/usr/bin/env python3
"""Compares two traces (src/inspect/README.md) stage by stage: NMSE of the values that both have.

    scripts/compare_traces.py GOT WANT [--bar 1e-6]

Prints each stage with its greatest NMSE over layers and positions and where it is, and the first place where the bar is missed.
A row that only one trace has is counted; write both with --trace-values all. Exits 1 when a bar is missed, ids or shapes differ,
or there is nothing to compare. Needs Python 3 alone."""
import argparse
import json
import math
import sys


def read(path):
    with open(path, encoding="utf-8") as file:
        header, *lines = map(json.loads, file)
    if header.get("format") != "haikuda-trace" or header.get("version") != 1:
        sys.exit(f"compare_traces: {path} is no trace of version 1")
    return {(line["stage"], line["layer"], line["position"]): line for line in lines}


def nmse(got, want):
    error = sum((float(g) - float(w)) ** 2 for g, w in zip(got, want))
    norm = sum(float(w) ** 2 for w in want)
    value = error / norm if norm else error
    return value if math.isfinite(value) else math.inf


def difference(got, want):
    if got["shape"] != want["shape"] or len(got["values"]) != len(want["values"]):
        return math.inf
    if got["dtype"] == "I32" or want["dtype"] == "I32":
        return 0.0 if got["values"] == want["values"] else math.inf
    return nmse(got["values"], want["values"])


def place(key):
    _, layer, position = key
    return f"position {position}" if layer is None else f"layer {layer}, position {position}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("got")
    parser.add_argument("want")
    parser.add_argument("--bar", type=float, default=1e-6)
    args = parser.parse_args()
    got, want = read(args.got), read(args.want)
    errors = {key: difference(got[key], want[key]) for key in got if key in want}
    if not errors:
        sys.exit("compare_traces: the traces have no row in common")
    for stage in dict.fromkeys(stage for stage, *_ in errors):
        rows = {key: error for key, error in errors.items() if key[0] == stage}
        worst = max(rows, key=rows.get)
        print(f"{stage:14} {len(rows):6} rows  greatest NMSE {rows[worst]:8.1e}  at {place(worst)}")
    over = next((key for key, error in errors.items() if error > args.bar), None)
    print(f"{len(errors)} rows compared, {len(got.keys() ^ want.keys())} in one trace alone")
    if over:
        sys.exit(f"compare_traces: first over {args.bar:g}: {over[0]}, {place(over)}")


if __name__ == "__main__":
    main()
