#!/usr/bin/env python3
"""Runs the executable for a long time in every way a user might, and watches what should not move."""
import argparse
import collections
import hashlib
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

WORDS = "rain moon river stone light 世界 é 🙂 the of and 12 3.5 \n ## { } <|im_end|> \t".split(" ")
SAMPLERS = [["--temp", "0"], ["--temp", "0.8"], ["--temp", "2", "--top-k", "0", "--min-p", "0.01"],
            ["--mirostat", "2"], ["--temp", "1", "--dry-multiplier", "0.8"], ["--temp", "1", "--repeat-penalty", "1.3"]]
TIMEOUT_S = 900
TURN_S = 6  # of the long run in each round
DRIFT = 0.05
LEAST_OF = 3  # values at least in a third, whose least is compared


class Soak:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.begin = time.monotonic()
        self.hashes = {}  # of a command's stdout
        self.counts = collections.Counter()
        self.costs = []  # of the fixed run, in order: see measure()
        self.memory = collections.defaultdict(list)  # number of samples -> peak KiB of each run
        self.gpu = []
        self.failures = []
        self.folder = tempfile.TemporaryDirectory(prefix="haikuda-soak-")
        self.records = pathlib.Path(self.folder.name) / "records"
        self.long_run = None  # one process that lives as long as the soak, stopped between its turns
        self.turns = []  # (records written, processor seconds, anonymous KiB, threads, descriptors) after each turn

    def fail(self, what):
        self.failures.append(what)
        print(f"soak: FAILED: {what}", file=sys.stderr, flush=True)

    def command(self, *arguments, model=None):
        return [self.options.binary, "-m", str(model or self.options.model), "--device", self.options.device,
                "-t", str(self.options.threads), *arguments]

    def prompt(self):
        return " ".join(self.random.choice(WORDS) for _ in range(int(2 ** self.random.uniform(0, 8))))

    def start(self, command):
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                start_new_session=True)

    def finish(self, process):
        """stdout, stderr, exit code as a shell sees it, peak memory in KiB; nobody of its process group may be left."""
        try:
            stdout, stderr = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            self.fail(f"hangs: {process.args}")
        try:
            os.killpg(process.pid, 0)
            self.fail(f"left a process behind: {process.args}")
        except ProcessLookupError:
            pass
        try:
            stdout.decode("utf-8", "strict")
        except UnicodeDecodeError:
            self.fail(f"no UTF-8 on stdout: {process.args}")
        code = process.returncode
        return stdout, stderr.decode("utf-8", "replace"), code if code >= 0 else 128 - code

    def expect(self, command, *codes):
        stdout, stderr, code = self.finish(self.start(command))
        if code not in codes:
            self.fail(f"exit {code}, expected {codes}: {command}: {stderr[-300:]}")
        return stdout, stderr

    # --- What is done ---

    def repeat(self):
        """A random run, and now and then one of those before it: the same bytes."""
        if self.hashes and self.random.random() < 0.4:
            command = self.random.choice(list(self.hashes))
        else:
            command = tuple(self.command("-p", self.prompt(), "-n", str(self.random.randint(0, 48)), "-s",
                                         str(self.random.randint(0, 999)), "-q", "-c", "1024",
                                         *self.random.choice(SAMPLERS), *self.random.choice([[], ["--json"], ["--stream"]])))
        stdout, _ = self.expect(list(command), 0)
        if "--json" in command:  # its times differ
            stdout = re.sub(rb'"[a-z_]*(_s|per_s|second)[a-z_]*":[^,}]*', b"", stdout)
            stdout = re.search(rb'"text":"(\\.|[^"\\])*"', stdout)[0]
        digest = hashlib.sha256(stdout).hexdigest()
        if self.hashes.setdefault(command, digest) != digest:
            self.fail(f"another text: {command}")
        self.counts["repeats"] += 1

    def interrupt(self):
        process = self.start(self.command("-p", self.prompt(), "-n", "500", "--ignore-eos", "-c", "2048"))
        time.sleep(self.random.random() ** 2 * 3)
        number = self.random.choice([signal.SIGINT, signal.SIGTERM])
        process.send_signal(number)
        _, stderr, code = self.finish(process)
        if code not in (0, 128 + number):
            self.fail(f"exit {code} after signal {number}: {stderr[-300:]}")
        self.counts["interrupts"] += 1

    def truncate(self):
        """The file loses its end before or while it is read."""
        path = pathlib.Path(self.folder.name) / "cut.gguf"
        shutil.copy(self.options.model, path)
        process = self.start(self.command("-p", self.prompt(), "-n", "200", "--ignore-eos", "-c", "1024", model=path))
        time.sleep(self.random.random() * 2)
        os.truncate(path, self.random.randrange(os.path.getsize(path)))
        _, stderr, code = self.finish(process)
        if code not in (0, 3):
            self.fail(f"exit {code} with a truncated file: {stderr[-300:]}")
        path.unlink()
        self.counts["truncations"] += 1

    def close_pipe(self):
        process = self.start(self.command("-p", self.prompt(), "-n", "500", "--ignore-eos", "-q", "-c", "1024", "--stream"))
        process.stdout.read(self.random.randint(1, 40))
        process.stdout.close()
        code = process.wait(TIMEOUT_S)
        process.stderr.close()
        if code not in (141, -signal.SIGPIPE):
            self.fail(f"exit {code} after the pipe was closed")
        self.counts["closed pipes"] += 1

    def many_samples(self):
        """One process, 1 and 12 texts: the memory does not grow with their number."""
        for n in (1, 12):
            process = self.start(self.command("-p", "hello", "-n", "16", "--ignore-eos", "-q", "-c", "256", "-s", "1",
                                              "--num-samples", str(n)))
            for stream in (process.stdout, process.stderr):
                stream.read()
                stream.close()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                self.fail(f"exit {process.returncode} with {n} samples")
            self.memory[n].append(usage.ru_maxrss)
        self.counts["processes of several texts"] += 1

    def measure(self):
        """The fixed run. What it costs is processor seconds on the CPU, where others may share the machine, and the
        clock's seconds a token on a GPU."""
        process = self.start(self.command("-p", "The rain", "-n", "64", "--ignore-eos", "--temp", "0", "-c", "256", "-t", "1"))
        stderr = process.stderr.read().decode("utf-8", "replace")
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        process.stderr.close()
        if process.returncode != 0:
            return self.fail(f"exit {process.returncode} of the fixed run: {stderr[-300:]}")
        if self.options.device == "cpu":
            self.costs.append(usage.ru_utime + usage.ru_stime)
        else:
            self.costs.append(1 / float(re.findall(r"([\d.]+) tokens/s", stderr)[-1]))
            used = subprocess.run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"],
                                  capture_output=True, text=True, check=True).stdout
            self.gpu.append(int(used.split()[0]))
        self.counts["speed measurements"] += 1

    def give_turn(self):
        """Lets the long run write some records."""
        if not self.long_run:
            with self.records.open("wb") as stdout:
                self.long_run = subprocess.Popen(
                    self.command("-p", "hello", "-n", "16", "--ignore-eos", "--json", "-c", "256", "-s", "1", "-t", "1",
                                 "--num-samples", "1000000"), stdin=subprocess.DEVNULL, stdout=stdout,
                    stderr=subprocess.DEVNULL, start_new_session=True)
        self.long_run.send_signal(signal.SIGCONT)
        time.sleep(TURN_S)
        self.long_run.send_signal(signal.SIGSTOP)
        folder = pathlib.Path("/proc") / str(self.long_run.pid)
        ticks = (folder / "stat").read_text().rpartition(")")[2].split()[11:13]
        status = dict(re.findall(r"^(RssAnon|Threads):\s+(\d+)", (folder / "status").read_text(), re.M))
        self.turns.append((self.records.read_bytes().count(b"\n"), sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"),
                           int(status["RssAnon"]), int(status["Threads"]), len(os.listdir(folder / "fd"))))

    def end_long_run(self):
        self.long_run.send_signal(signal.SIGINT)
        self.long_run.send_signal(signal.SIGCONT)
        try:
            code = self.long_run.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.long_run.kill()
            code = self.long_run.wait()
        if code != 130:
            self.fail(f"exit {code} of the long run after SIGINT")
        lines = self.records.read_bytes().splitlines()
        texts = [json.loads(line)["text"] for line in lines[:-1]]  # the last may be the interrupted one
        print(f"soak: the long run wrote {len(lines)} records, {len(set(texts))} different texts, in {len(self.turns)} turns")

    # --- Summary ---

    def compare_thirds(self, what, values, unit):
        """By the least of each third: what others do to this machine only ever makes a run dearer."""
        third = len(values) // 3
        if third < LEAST_OF:
            return print(f"soak: {what}: too few runs for a drift")
        first, last = min(values[:third]), min(values[-third:])
        print(f"soak: {what}: least {min(values):.4g} {unit}, median {statistics.median(values):.4g}, {len(values)} values; "
              f"last third against first {100 * (last / first - 1):+.1f} %")
        if last > first * (1 + DRIFT):
            self.fail(f"{what}: dearer by more than {100 * DRIFT:.0f} %")

    def judge_long_run(self):
        costs = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in zip(self.turns[1:], self.turns[2:]) if b[0] > a[0]]
        if self.options.device == "cpu":
            self.compare_thirds("a text of the long run", costs, "processor s")
        warm = self.turns[1:] or self.turns
        for name, at, slack in (("anonymous KiB", 2, 1024), ("threads", 3, 0), ("descriptors", 4, 0)):
            values = [turn[at] for turn in warm]
            print(f"soak: {name} of the long run {values[0]} at first, {values[-1]} at last, most {max(values)}")
            if values[-1] > values[0] + slack:
                self.fail(f"{name} of the long run grew")

    def judge(self):
        print("soak: " + ", ".join(f"{n} {name}" for name, n in sorted(self.counts.items())))
        print(f"soak: {len(self.hashes)} different commands, of {self.counts['repeats']} runs of them")
        one, many = self.memory[1], self.memory[12]
        print(f"soak: peak memory KiB: 1 text {min(one)}..{max(one)}, 12 texts {min(many)}..{max(many)}")
        slack = 1024 if self.options.device == "cpu" else 8192  # KiB; the driver's part differs from run to run
        if statistics.median(many) - statistics.median(one) > slack:
            self.fail("the memory grows with the number of texts")
        half = len(one) // 2
        if half >= 3 and abs(statistics.median(one[half:]) - statistics.median(one[:half])) > slack:
            self.fail("the memory of a run moved over time")
        if self.gpu:
            # At first the long run does not have its own yet.
            third = max(1, len(self.gpu) // 3)
            middle, last = self.gpu[third:-third] or self.gpu, self.gpu[-third:]
            print(f"soak: GPU memory used between runs, with that of the long one: at most {max(middle)} MiB in the middle "
                  f"third, {max(last)} in the last")
            if max(last) - max(middle) > 16:
                self.fail("GPU memory is not given back")
        self.compare_thirds("the fixed run", self.costs, "processor s" if self.options.device == "cpu" else "s a token")
        self.judge_long_run()
        try:
            os.waitpid(-1, os.WNOHANG)
            self.fail("a child is left")
        except ChildProcessError:
            pass
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"soak: {(time.monotonic() - self.begin) / 60:.1f} minutes, "
              f"processor time of all runs {children.ru_utime + children.ru_stime:.0f} s")
        print(f"soak: {len(self.failures)} failures")
        return 1 if self.failures else 0

    def run(self):
        end = self.begin + 60 * self.options.minutes
        deeds = [self.repeat] * 6 + [self.interrupt] * 2 + [self.truncate, self.close_pipe]
        with self.folder:
            while time.monotonic() < end or not self.turns:
                self.measure()
                self.many_samples()
                self.give_turn()
                for _ in range(8):
                    if time.monotonic() < end:
                        self.random.choice(deeds)()
            self.end_long_run()
            return self.judge()


def main():
    parser = argparse.ArgumentParser(prog="scripts/soak.sh")
    parser.add_argument("minutes", type=float)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--binary", default="build/haikuda")
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    return Soak(parser.parse_args()).run()


if __name__ == "__main__":
    sys.exit(main())
