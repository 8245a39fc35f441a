"""What the tests of the command line share: the models, running the executable, reading a terminal."""
import codecs
import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import tempfile
import termios
import time
import unittest

TIMEOUT_S = 120
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
_place = None  # the Workplace of this run
reports = []  # counts that tests print at the end


class Workplace:
    """A folder with tiny models; the environment of the tests."""

    def __init__(self, binary, maker, device, strict):
        self.binary, self.maker, self.device, self.strict = binary, maker, device, strict
        self._folder = tempfile.TemporaryDirectory(prefix="haikuda-cli-")
        self.folder = pathlib.Path(self._folder.name)
        self.smollm2 = _model_folder() / "smollm2-135m.gguf"
        self.sanitized = _has(binary, b"__asan_init", b"__tsan_init")  # slower, and with an address space of terabytes
        self.checks_threads = _has(binary, b"__tsan_init")  # some fifty times slower

    def __enter__(self):
        global _place
        _place = self
        os.environ["XDG_CONFIG_HOME"] = str(self.folder / "no-config")  # not that of whoever runs the tests
        return self

    def __exit__(self, *_):
        self._folder.cleanup()

    def tiny(self, name="tiny", *options):
        """A random qwen2; `name` and options go together."""
        path = self.folder / f"{name}.gguf"
        if not path.exists():
            subprocess.run([self.maker, "qwen2", "Q8_0", path, "--embd", "64", "--ff", "96", *options], check=True)
        return path


def _has(binary, *symbols):
    data = binary.read_bytes()
    return any(symbol in data for symbol in symbols)


def _model_folder():
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path(os.environ.get("HOME", "")) / ".cache"
    return pathlib.Path(os.environ.get("HAIKUDA_MODELS") or pathlib.Path(cache) / "haikuda" / "models")


class Output:
    """What one run left."""

    def __init__(self, stdout, stderr, code):
        self.stdout, self.stderr, self.code = stdout, stderr.decode("utf-8", "replace"), code

    @property
    def text(self):
        return self.stdout.decode("utf-8")

    @property
    def n_prompt(self):
        return int(re.search(r"prompt (\d+) tokens", self.stderr)[1])

    @property
    def n_generated(self):
        return int(re.search(r"generated (\d+) tokens", self.stderr)[1])


def shell_code(returncode):
    """As $? of a shell shows it."""
    return 128 - returncode if returncode < 0 else returncode


def wait_until(condition, what):
    """Polls; tests wait for what can be seen, never for a time that is long enough on some machine."""
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come about in {TIMEOUT_S} s")
        time.sleep(0.002)


def wait_for_handler(process, number):
    """Until the program has installed its own handler of the signal."""
    status = pathlib.Path(f"/proc/{process.pid}/status")
    caught = re.compile(r"^SigCgt:\s*([0-9a-f]+)$", re.MULTILINE)

    def is_caught():
        found = caught.search(status.read_text())
        return found and int(found[1], 16) >> (number - 1) & 1
    wait_until(is_caught, f"a handler of signal {number}")


def wait_for_line(stream, words):
    """Reads lines of a run's stderr until one holds the words."""
    lines = []
    for line in stream:
        if words in line:
            return
        lines.append(line)
    raise AssertionError(f"the end came instead of a line with {words!r}, after {lines}")


class CommandLineTest(unittest.TestCase):
    maxDiff = 4000
    label = "command_line"  # of the ctest case that runs it

    @staticmethod
    def report(line):
        """A count that is printed at the end."""
        reports.append(line)

    def setUp(self):
        self.place = _place
        self.folder = _place.folder
        self.model = _place.tiny()

    def command(self, *arguments, model=None, device=None):
        device = device or _place.device
        return [_place.binary, "-m", model or self.model, "--device", device, *map(str, arguments)]

    def run_raw(self, *arguments, stdin=None, env=None, stdout=subprocess.PIPE):
        """Nothing added to the arguments; stdin is bytes, or None for /dev/null."""
        return self.run_command([_place.binary, *map(str, arguments)], stdin, env, stdout)

    @staticmethod
    def run_command(command, stdin=None, env=None, stdout=subprocess.PIPE):
        given = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        done = subprocess.run(command, **given, stdout=stdout, stderr=subprocess.PIPE,
                              env=None if env is None else os.environ | env, timeout=TIMEOUT_S)
        return Output(done.stdout, done.stderr, shell_code(done.returncode))

    def run_model(self, *arguments, model=None, device=None, **how):
        return self.run_raw(*self.command(*arguments, model=model, device=device)[1:], **how)

    def greedy(self, *arguments, n=16, **how):
        out = self.run_model("--temp", 0, "-n", n, *arguments, **how)
        self.assertEqual(out.code, 0, out.stderr)
        return out

    def assert_fails(self, code, *words, out):
        """Exit code, nothing on stdout, and one line on stderr that holds the words."""
        self.assertEqual(out.code, code, out.stderr)
        self.assertEqual(out.stdout, b"")
        self.assertRegex(out.stderr, r"^haikuda: error: [^\n]+\n$")
        for word in words:
            self.assertIn(word, out.stderr)

    def need_smollm2(self, few_tokens=False):
        """`few_tokens`: the test takes a dozen of them where ThreadSanitizer needs seconds for each."""
        if _place.checks_threads and not few_tokens:
            self.skipTest("ThreadSanitizer takes seconds for a token of it; small models run the same code")
        if not _place.smollm2.exists():
            self.skipTest("scripts/fetch_model.sh smollm2-135m fetches the model")
        return _place.smollm2


class Terminal:
    """A run whose stdout is a pseudo-terminal."""

    def __init__(self, command):
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE)
        os.close(theirs)

    def read_chunk(self, timeout_s=TIMEOUT_S):
        """What one read returns; empty at the end."""
        if not select.select([self._ours], [], [], timeout_s)[0]:
            raise TimeoutError("nothing came from the terminal")
        try:
            return os.read(self._ours, 65536)
        except OSError:  # how Linux says that the other side was closed
            return b""

    def read_all(self):
        chunks = []
        while chunk := self.read_chunk():
            chunks.append(chunk)
        return chunks

    def signal_and_wait(self, number):
        """The exit code, and the seconds from the signal to the end."""
        start = time.monotonic()
        self.process.send_signal(number)
        while self.read_chunk():
            pass
        code = shell_code(self.process.wait(TIMEOUT_S))
        return code, time.monotonic() - start

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self.process.stderr.close()
        os.close(self._ours)


class Person:
    """At a terminal: a session of its own, whose controlling terminal is ours."""

    def __init__(self, command, stdout=None, term="xterm"):
        self.ours, theirs = pty.openpty()
        env = os.environ | {"TERM": term, "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=stdout or theirs, stderr=theirs, env=env, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(theirs)
        self.modes = termios.tcgetattr(self.ours)
        self.seen = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a read may end inside a character

    def read_more(self, words, end):
        """What comes next, into `seen`; false at the end of all."""
        if not select.select([self.ours], [], [], max(0, end - time.monotonic()))[0]:
            raise AssertionError(f"{words!r} did not come after {self.seen!r}")
        try:
            data = os.read(self.ours, 65536)
        except OSError:  # how Linux says that the other side was closed
            data = b""
        self.seen += self._decoder.decode(data, final=not data)
        return data != b""

    def wait_for(self, words):
        """Reads on until the words were shown; returns what came before and with them."""
        end = time.monotonic() + TIMEOUT_S
        while words not in self.seen:
            if not self.read_more(words, end):
                raise AssertionError(f"the end came instead of {words!r}, after {self.seen!r}")
        at = self.seen.index(words) + len(words)
        shown, self.seen = self.seen[:at], self.seen[at:]
        return shown

    def wait_for_anything(self):
        """Until something is shown that no wait_for has returned."""
        end = time.monotonic() + TIMEOUT_S
        while not self.seen:
            if not self.read_more("anything", end):
                raise AssertionError("the end came instead of anything")

    def type(self, text):
        os.write(self.ours, text.encode())

    def code(self):
        """The exit code; reads what is left."""
        end = time.monotonic() + TIMEOUT_S
        while self.read_more("the end", end):
            pass
        return shell_code(self.process.wait(TIMEOUT_S))

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.ours)
