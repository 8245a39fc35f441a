"""Ctrl-C, SIGTERM and readers that leave, at times that the tests see and do not guess."""
import os
import re
import select
import signal
import subprocess
import sys
import time
from typing import NamedTuple

from support import TIMEOUT_S, CommandLineTest, Terminal, shell_code, wait_for_handler, wait_for_line


class SignalTest(CommandLineTest):
    def setUp(self):
        super().setUp()
        # Its context is not full, and its long prompts not read, before any signal comes.
        self.model = self.place.tiny("endless", "--ctx", "100000", "--layers", "4")

    ENDLESS = ["-p", "hello", "--temp", 2, "-s", 1, "--ignore-eos"]

    def started(self, *arguments, **how):
        return self.follow(self.command(*arguments), **how)

    def follow(self, command, stdin=subprocess.DEVNULL):
        process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.close, process)
        return process

    def reading_a_long_prompt(self):
        process = self.started("-v", "-f", "-", stdin=subprocess.PIPE)
        process.stdin.write(b"x" * 90000)
        process.stdin.close()
        wait_for_line(process.stderr, b"tensors mapped")  # the last thing before the prompt is computed
        return process

    @staticmethod
    def code(process):
        return shell_code(process.wait(TIMEOUT_S))

    @staticmethod
    def close(process):
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()


class Signals(SignalTest):
    def interrupted_on_a_terminal(self, number):
        terminal = Terminal(self.command(*self.ENDLESS))
        try:
            self.assertTrue(terminal.read_chunk())
            code, _ = terminal.signal_and_wait(number)
            stderr = terminal.process.stderr.read().decode()
        finally:
            terminal.close()
        self.assertIn("· interrupted ·", stderr)
        return code

    def test_ctrl_c(self):
        self.assertEqual(self.interrupted_on_a_terminal(signal.SIGINT), 130)

    def test_terminate(self):
        self.assertEqual(self.interrupted_on_a_terminal(signal.SIGTERM), 143)

    def test_ctrl_c_while_it_reads_the_prompt(self):
        process = self.reading_a_long_prompt()
        process.send_signal(signal.SIGINT)
        self.assertEqual((self.code(process), process.stdout.read()), (130, b""))
        self.assertIn(b"interrupted before anything was generated", process.stderr.read())

    def test_ctrl_c_while_it_waits_for_stdin(self):
        process = self.started(stdin=subprocess.PIPE)
        wait_for_handler(process, signal.SIGINT)
        process.send_signal(signal.SIGINT)
        self.assertEqual((self.code(process), process.stdout.read()), (130, b""))
        self.assertIn(b"interrupted before anything was generated", process.stderr.read())

    def test_what_was_generated_is_printed(self):
        process = self.started(*self.ENDLESS, "--jsonl", "--stream")
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        lines = process.stdout.read().splitlines()
        self.assertEqual(self.code(process), 143)
        self.assertIn(b'"finish_reason":"interrupted"', lines[-1])

    def test_a_reader_that_goes_is_noticed(self):
        process = self.started(*self.ENDLESS, "--stream")
        process.stdout.read(1)
        process.stdout.close()
        self.assertEqual((self.code(process), process.stderr.read()), (141, b""))

    def test_a_reader_that_goes_before_a_block_is_full(self):
        process = self.started(*self.ENDLESS)
        wait_for_handler(process, signal.SIGINT)
        process.stdout.close()
        self.assertEqual((self.code(process), process.stderr.read()), (141, b""))


class Ended(NamedTuple):
    code: int
    told_s: float  # from the act to the last that it wrote
    end_s: float  # and to its end, which the driver's own clearing up is part of


def time_of_end(process, act):
    """No polling, which would be coarser than what is measured."""
    end = os.pidfd_open(process.pid)
    try:
        start = told = time.monotonic()
        act()
        outputs = [stream.fileno() for stream in (process.stdout, process.stderr) if stream and not stream.closed]
        while True:
            ready = select.select([end, *outputs], [], [], TIMEOUT_S)[0]
            if not ready:
                raise AssertionError(f"it had not ended after {TIMEOUT_S} s")
            now = time.monotonic()
            for output in set(ready) - {end}:
                if os.read(output, 1 << 16):
                    told = now
                else:
                    outputs.remove(output)
            if end in ready:
                return Ended(shell_code(process.wait()), told - start, now - start)
    finally:
        os.close(end)


# A process that holds a CUDA context and nothing else.
BARE_CONTEXT = """
import ctypes, os, time
cuda, device, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(), ctypes.c_void_p()
assert cuda.cuInit(0) == 0 and cuda.cuDeviceGet(ctypes.byref(device), 0) == 0
assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
os.write(1, b"\\n")
time.sleep(600)
"""


def bare_context_end_s():
    """How long it takes the system to end one that is killed: what no program on a GPU can fall below. The median of several."""
    times = []
    for _ in range(9):
        process = subprocess.Popen([sys.executable, "-c", BARE_CONTEXT], stdout=subprocess.PIPE)
        process.stdout.readline()
        times.append(time_of_end(process, process.kill).end_s)
        process.stdout.close()
    return sorted(times)[len(times) // 2]


def used_gpu_mib():
    """None where that cannot be asked."""
    try:
        out = subprocess.run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"], capture_output=True, text=True, check=True)
        return sum(map(int, out.stdout.split()))
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None


class SignalTimes(SignalTest):
    """How long it takes to stop, and to end. HAIKUDA_TEST_MODEL: a model of a real size. The least of several runs must keep the
    limit, because a machine that is busy with other things only ever adds to it; with run.py --strict their median must. On a GPU
    the limit of the end is counted from when a process that holds nothing but a context would have ended, measured beside it."""
    label = "signal_times"
    RUNS = 9
    CTRL_C_S, CLOSED_PIPE_S = 0.1, 0.2
    bare_s = None

    def setUp(self):
        super().setUp()
        if self.place.sanitized:
            self.skipTest("a sanitizer takes time of its own")
        self.model = os.environ.get("HAIKUDA_TEST_MODEL") or self.model
        if SignalTimes.bare_s is None:
            SignalTimes.bare_s = bare_context_end_s() if self.place.device == "cuda" else 0
            if SignalTimes.bare_s:
                self.report(f"A killed process with a context alone on cuda: 9 runs ended after a median of {SignalTimes.bare_s * 1e3:.1f} ms")

    def check(self, what, limit, run):
        """run(i) begins a run and returns how it Ended."""
        runs = [run(i) for i in range(self.RUNS)]

        def judge(times):
            times = sorted(times)
            least, median, most = (times[i] * 1e3 for i in (0, len(times) // 2, -1))
            return (median if self.place.strict else least), f"{least:.1f} to {most:.1f} ms, median {median:.1f}"
        told, of_told = judge(r.told_s for r in runs)
        end, of_end = judge(r.end_s for r in runs)
        self.report(f"{what} on {self.place.device}: {self.RUNS} runs ended after {of_end}, had written all after {of_told}; at most {limit * 1e3:.0f}")
        self.assertLess(told, limit * 1e3)
        self.assertLess(end - self.bare_s * 1e3, limit * 1e3)
        return {r.code for r in runs}

    def interrupt(self, process, seconds=0):
        time.sleep(seconds)  # only to hit other moments of what goes on
        return time_of_end(process, lambda: process.send_signal(signal.SIGINT))

    def test_ctrl_c_during_load(self):
        out = self.run_model("-p", "hello", "-n", 1)
        load_s = float(re.search(r"load ([\d.]+) s", out.stderr)[1])

        def run(i):
            process = self.started(*self.ENDLESS, "-v")
            process.stderr.readline()  # the options, told before anything is loaded
            return self.interrupt(process, load_s * i / self.RUNS)
        self.assertEqual(self.check("Ctrl-C during load", self.CTRL_C_S, run), {130})

    def test_ctrl_c_during_prefill(self):
        def run(i):
            return self.interrupt(self.reading_a_long_prompt(), 0.02 * i)
        self.assertEqual(self.check("Ctrl-C during prefill", self.CTRL_C_S, run), {130})

    def test_ctrl_c_during_prefill_in_a_conversation(self):
        def run(i):
            command = self.command("-v")
            process = self.follow([command[0], "chat", *command[1:]], stdin=subprocess.PIPE)
            process.stdin.write(b"x" * 60000 + b"\n")
            process.stdin.flush()
            wait_for_line(process.stderr, b"tensors mapped")
            return self.interrupt(process, 0.02 * i)
        self.assertEqual(self.check("Ctrl-C during the prefill of a conversation", self.CTRL_C_S, run), {130})

    def decoding(self, *flags):
        process = self.started(*self.ENDLESS, "--stream", *flags)
        self.assertTrue(process.stdout.read(1))
        return process

    def test_ctrl_c_during_decode(self):
        self.assertEqual(self.check("Ctrl-C during decode", self.CTRL_C_S, lambda i: self.interrupt(self.decoding(), 0.01 * i)), {130})

    def test_a_second_ctrl_c(self):
        def run(_):
            process = self.decoding()
            process.send_signal(signal.SIGINT)
            return self.interrupt(process)
        self.assertEqual(self.check("A second Ctrl-C", self.CTRL_C_S, run), {130})

    def test_a_closed_pipe(self):
        before = used_gpu_mib() if self.place.device == "cuda" else None
        freed_s = []

        def run(_):
            process = self.decoding()
            ended = time_of_end(process, process.stdout.close)
            if before is not None:
                freed_s.append(self.seconds_until_free(before))
            return ended
        self.assertEqual(self.check("A closed pipe", self.CLOSED_PIPE_S, run), {141})
        if freed_s:
            self.report(f"memory of the GPU free as before: asked at most {max(freed_s) * 1e3:.0f} ms after the end of the process")
            self.assertLess(min(freed_s), self.CLOSED_PIPE_S)

    @staticmethod
    def seconds_until_free(before_mib):
        end = time.monotonic()
        while True:
            asked = time.monotonic()
            if used_gpu_mib() <= before_mib + 8:
                return asked - end
            if asked - end > TIMEOUT_S:
                raise AssertionError(f"after {TIMEOUT_S} s the GPU's memory is not free")
