"""What each stream carries, and what a terminal is shown on which of them."""
import os
import pty
import subprocess

from support import TIMEOUT_S, CommandLineTest, shell_code


def read_terminal(descriptor):
    data = b""
    try:
        while chunk := os.read(descriptor, 65536):
            data += chunk
    except OSError:  # how Linux says that the other side was closed
        pass
    os.close(descriptor)
    return data.replace(b"\r\n", b"\n").decode()


class Streams(CommandLineTest):
    def stderr_on_terminal(self, *arguments, **env):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(self.command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs,
                                   env=os.environ | {"TERM": "xterm", "NO_COLOR": ""} | env)
        os.close(theirs)
        stdout = process.stdout.read()
        process.stdout.close()
        shown = read_terminal(ours)
        return stdout, shown, shell_code(process.wait(TIMEOUT_S))

    def test_colour_is_for_terminals_that_want_it(self):
        for env, red in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
            with self.subTest(env):
                stdout, shown, code = self.stderr_on_terminal("-p", "x", "--no-such-option", **env)
                self.assertEqual((stdout, code), (b"", 2))
                self.assertEqual("\x1b[31m" in shown, red)
                self.assertIn("unknown option --no-such-option", shown)
        self.assertNotIn("\x1b", self.run_model("-p", "x", "--no-such-option").stderr)

    def test_a_terminal_for_stderr_changes_nothing_on_stdout(self):
        flags = ["-p", "hello", "-n", 60, "--temp", 50, "--top-k", 0, "--top-p", 1, "--min-p", 0, "-s", 1]
        stdout, shown, code = self.stderr_on_terminal(*flags)
        self.assertEqual((stdout, code), (self.run_model(*flags).stdout, 0))
        self.assertIn("tokens/s", shown)

    def test_the_answer_survives_every_way_to_be_quiet(self):
        want = self.greedy("-p", "hello").stdout
        for flags in (["-q"], ["--no-stats"], ["--log-disable"], ["--no-perf"], ["-v"], ["--stream"]):
            self.assertEqual(self.greedy("-p", "hello", *flags).stdout, want)

    def test_no_stats(self):
        self.assertEqual(self.greedy("-p", "hello", "--no-stats").stderr, "")

    def test_warnings_and_quiet(self):
        self.assertIn("warning: --temp was given 2 times", self.run_model("-p", "x", "-n", 1, "--temp", 0, "--temp", 1).stderr)
        self.assertEqual(self.run_model("-p", "x", "-n", 1, "--temp", 0, "--temp", 1, "-q").stderr, "")

    def test_a_prompt_is_expected_on_a_terminal(self):
        ours, theirs = pty.openpty()
        done = subprocess.run(self.command(), stdin=theirs, capture_output=True, timeout=TIMEOUT_S)
        os.close(theirs)
        os.close(ours)
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertIn(b"--help", done.stderr)


class NonFinite(CommandLineTest):
    def test_damaged_weights_are_noticed(self):
        data = bytearray(self.model.read_bytes())
        data[-4096:] = b"\xff" * 4096  # scales of Q8_0 become NaN
        path = self.folder / "damaged.gguf"
        path.write_bytes(data)
        self.assert_fails(7, "not finite", out=self.run_model("-p", "hello", "-n", 4, model=path))
