#!/usr/bin/env python3
"""The speed that haikuda is to reach on one H200, measured: rows, bars, checks. scripts/bench_h200.sh calls it.

    bench_rows.py models FOLDER                writes the model files that are missing
    bench_rows.py check FOLDER BINARY          the same tokens in 20 runs, and on the CPU
    bench_rows.py measure FOLDER BINARY OUT    every row; their JSON goes into the folder OUT
  each with --device cuda|cpu (default cuda) and --small, which takes tiny models in place of the real shapes

Exits 0, or 1 when a check fails or a row is below its "must"; with --small or on the CPU there are no bars."""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

SYNTH = pathlib.Path(__file__).resolve().parent / "synth_gguf.py"
MODELS = {
    "0.5B F16": ("qwen2.5-0.5b", "f16"), "0.5B Q8_0": ("qwen2.5-0.5b", "q8_0"), "0.5B Q4_K_M": ("qwen2.5-0.5b", "q4_k_m"),
    "7B F16": ("qwen2.5-7b", "f16"), "7B Q8_0": ("qwen2.5-7b", "q8_0"), "7B Q4_K_M": ("qwen2.5-7b", "q4_k_m"),
}
N_GENERATED, N_RUNS, N_PROCESSES = 128, 20, 5
NEAR_TIE = 0.02  # in log probability: rounding may decide between two tokens that near to each other
TEN_TOKENS = "0123456789"
LARGEST_OVERHEAD = (0.05, 300e6)  # device memory beside weights and cache: a share of them, and bytes


@dataclass(frozen=True)
class Row:
    """Tokens a second, greedy; llama.cpp's and the bars."""
    model: str
    test: str
    llama: float
    must: float
    aim: float


ROWS = [
    Row("0.5B F16", "tg128 @ d256", 771, 2400, 3300),
    Row("0.5B Q8_0", "tg128 @ d256", 932, 2800, 4200),
    Row("0.5B Q4_K_M", "tg128 @ d256", 904, 2800, 4500),
    Row("0.5B F16", "tg128 @ d16384", 612, 1700, 2700),
    Row("7B F16", "tg128 @ d256", 198, 280, 300),
    Row("7B Q8_0", "tg128 @ d256", 258, 460, 540),
    Row("7B Q4_K_M", "tg128 @ d256", 276, 600, 850),
    Row("0.5B F16", "pp512", 75061, 200000, 300000),
    Row("0.5B F16", "pp2048", 69318, 300000, 500000),
    Row("7B F16", "pp2048", 24499, 40000, 48000),
    Row("7B Q8_0", "pp2048", 11692, 33000, 42000),
    Row("7B Q4_K_M", "pp2048", 9823, 33000, 42000),
]
WHOLE_PROCESS = Row("0.5B F16", "10 in, 128 out, seconds", 1.43, 0.60, 0.48)  # less is better


class Place:
    """The files, and how the program is called."""

    def __init__(self, arguments):
        self.folder, self.small, self.device = pathlib.Path(arguments.folder), arguments.small, arguments.device
        self.binary = getattr(arguments, "binary", None)
        self.has_bars = self.device == "cuda" and not self.small

    def file(self, model):
        shape, kind = MODELS[model]
        return self.folder / f"{'tiny' if self.small else shape}-{kind}.gguf"

    def test(self, name):
        """With --small a hundredth of the tokens."""
        return re.sub(r"\d+", lambda n: str(max(2, int(n[0]) // 100)), name) if self.small else name

    def run(self, *arguments, device=None):
        device = device or self.device
        threads = ["--threads", "1"] if self.small and device == "cpu" else []  # less to do than to share out
        command = [self.binary, *map(str, arguments), "--device", device, *threads]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"bench_rows: {' '.join(map(str, command))}\nended with {done.returncode}: {done.stderr.strip()}")
        return done


# --- Models ---

def make_models(place):
    place.folder.mkdir(parents=True, exist_ok=True)
    wanted = {place.file(model): MODELS[model] for model in MODELS}

    def make(path):
        shape, kind = wanted[path]
        part = path.with_suffix(".part")
        subprocess.run([sys.executable, SYNTH, "tiny" if place.small else shape, kind, part], check=True)
        part.rename(path)

    missing = [path for path in wanted if not path.exists()]
    with concurrent.futures.ThreadPoolExecutor(max(1, (os.cpu_count() or 2) // 2)) as pool:
        list(pool.map(make, missing))


# --- Checks ---

def generated(place, model, *flags, device=None):
    n = 16 if place.small else N_GENERATED
    out = place.run("-m", place.file(model), "-p", TEN_TOKENS, "-n", n, "--temp", 0, "--json", "-q", *flags, device=device)
    return json.loads(out.stdout)


def check_same_runs(place, model):
    n = 3 if place.small else N_RUNS
    runs = {tuple(generated(place, model)["tokens"]) for _ in range(n)}
    print(f"{model}: {n} runs, {'all equal' if len(runs) == 1 else f'{len(runs)} different texts'}")
    return len(runs) == 1


def first_difference(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), None if len(a) == len(b) else min(len(a), len(b)))


def check_against_cpu(place, model):
    ours = generated(place, model)["tokens"]
    record = generated(place, model, "--logprobs", 2, device="cpu")
    at = first_difference(ours, record["tokens"])
    if at is None:
        print(f"{model}: {len(ours)} greedy tokens as on the CPU")
        return True
    top = record["logprobs"][at]["top"] if at < len(record["logprobs"]) else []
    margin = top[0]["lp"] - top[1]["lp"] if len(top) == 2 else float("inf")
    print(f"{model}: token {at} differs from the CPU's, whose two likeliest are {margin:.4f} apart"
          f"{' (near-tie)' if margin < NEAR_TIE else ''}")
    return margin < NEAR_TIE


def check(place):
    small_ones = [model for model in MODELS if model.startswith("0.5B")]
    results = [check_against_cpu(place, model) for model in small_ones]
    results += [check_same_runs(place, model) for model in small_ones]
    return all(results)


# --- Measuring ---

def bench_arguments(tests):
    """Flags that give these tests; either prompts or generations of one length."""
    prompts = [int(m[1]) for t in tests if (m := re.fullmatch(r"pp(\d+)", t))]
    if prompts:
        return ["-p", ",".join(map(str, prompts)), "-n", 0]
    matches = [re.fullmatch(r"tg(\d+) @ d(\d+)", t) for t in tests]
    return ["-p", 0, "-n", matches[0][1], "-d", ",".join(m[2] for m in matches)]


def measure_model(place, model, out):
    """{test: row of haikuda bench}"""
    measured = {}
    for kind in ("tg", "pp"):
        tests = [place.test(row.test) for row in ROWS if row.model == model and row.test.startswith(kind)]
        if not tests:
            continue
        flags = ["-r", 2, "--no-warmup"] if place.small else []
        rows = json.loads(place.run("bench", "-m", place.file(model), "-o", "json", *flags, *bench_arguments(tests)).stdout)
        (out / f"{place.file(model).stem}-{kind}.json").write_text(json.dumps(rows, indent=1))
        measured |= {row["test"]: row for row in rows}
    return measured


def measure_process(place):
    times = []
    n = 16 if place.small else N_GENERATED
    for _ in range(N_PROCESSES):
        start = time.perf_counter()
        done = place.run("-m", place.file(WHOLE_PROCESS.model), "-p", TEN_TOKENS, "-n", n, "--temp", 0)
        times.append(time.perf_counter() - start)
        if "prompt 10 tokens" not in done.stderr:
            sys.exit(f"bench_rows: the prompt is to have 10 tokens: {done.stderr.strip()}")
    return statistics.median(times)


def verdict(place, row, value, less_is_better=False):
    if not place.has_bars:
        return "-"
    reaches = (lambda bar: value <= bar) if less_is_better else (lambda bar: value >= bar)
    return "aim" if reaches(row.aim) else "must" if reaches(row.must) else "BELOW"


def row_text(row, test, value, judged, more=("-", "-", "-")):
    number = (lambda x: f"{x:.2f}") if row is WHOLE_PROCESS else (lambda x: f"{x:,.0f}" if x >= 100 else f"{x:.1f}")
    cells = [row.model, test, number(row.llama), number(row.must), number(row.aim), number(value), judged, *more]
    return "| " + " | ".join(cells) + " |"


def is_memory_ok(row):
    share, fixed = LARGEST_OVERHEAD
    return row["device_bytes"] <= (row["model_size"] + row["kv_bytes"]) * (1 + share) + fixed


def measure(place, out):
    out.mkdir(parents=True, exist_ok=True)
    measured = {model: measure_model(place, model, out) for model in MODELS}
    lines, judged = [], []
    for row in ROWS:
        got = measured[row.model][place.test(row.test)]
        judged.append(verdict(place, row, got["median_ts"]))
        share = got["percent_of_device_read"]
        more = (f"{got['spread_percent']:.1f}", "-" if share is None else f"{share:.0f}", f"{got['device_bytes'] / 1e6:,.0f}")
        lines.append(row_text(row, place.test(row.test), got["median_ts"], judged[-1], more))
    seconds = measure_process(place)
    judged.append(verdict(place, WHOLE_PROCESS, seconds, less_is_better=True))
    lines.append(row_text(WHOLE_PROCESS, WHOLE_PROCESS.test, seconds, judged[-1]))
    any_row = next(iter(measured["0.5B F16"].values()))
    print(f"{any_row['gpu_info'] or any_row['cpu_info']}, measured read bandwidth {any_row['device_read_gb_per_s']:,.0f} GB/s")
    print("| model | test | llama.cpp | must | aim | measured | verdict | spread % | % of read | device MB |")
    print("|---|---|---:|---:|---:|---:|---|---:|---:|---:|")
    print("\n".join(lines))
    too_large = [model for model in MODELS if not all(map(is_memory_ok, measured[model].values()))]
    for model in MODELS:
        print(f"{model}: {next(iter(measured[model].values()))['greedy_hash']}")
    if too_large and place.device == "cuda":
        print(f"more device memory than weights and cache plus 5 % plus 300 MB: {', '.join(too_large)}")
        return False
    return "BELOW" not in judged


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, positionals in (("models", []), ("check", ["binary"]), ("measure", ["binary", "out"])):
        command = commands.add_parser(name)
        for positional in ["folder", *positionals]:
            command.add_argument(positional)
        command.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
        command.add_argument("--small", action="store_true")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    place = Place(arguments)
    if arguments.command == "models":
        make_models(place)
        return 0
    is_good = check(place) if arguments.command == "check" else measure(place, pathlib.Path(arguments.out))
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
