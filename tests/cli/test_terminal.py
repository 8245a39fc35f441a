"""A terminal as stdout, and signals."""
import re
import signal
import subprocess
import time

from support import CommandLineTest, Terminal, shell_code

HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def escaped(text):
    """What a terminal is shown: newlines and tabs pass, other control characters are written out."""
    return HIDDEN.sub(lambda m: f"\\x{ord(m[0]):02x}" if m[0] < "\x80" else f"\\u{{{ord(m[0]):x}}}", text)


class TerminalOutput(CommandLineTest):
    def on_terminal(self, *arguments, model=None):
        terminal = Terminal(self.command(*arguments, model=model))
        try:
            chunks = terminal.read_all()
            self.assertEqual(terminal.process.wait(60), 0, terminal.process.stderr.read())
        finally:
            terminal.close()
        return chunks

    def test_control_characters_are_shown_and_the_last_line_is_ended(self):
        flags = ["-p", "hello", "-n", 200, "--temp", 50, "--top-k", 0, "--top-p", 1, "--min-p", 0]
        n_hidden = 0
        for seed in range(3):
            piped = self.run_model(*flags, "-s", seed).text
            n_hidden += len(HIDDEN.findall(piped))
            shown = b"".join(self.on_terminal(*flags, "-s", seed)).decode().replace("\r\n", "\n")
            want = escaped(piped)
            self.assertEqual(shown, want if want.endswith("\n") else want + "\n")
        self.assertGreater(n_hidden, 0, "the seeds gave no control character to look at")

    def test_nothing_generated_prints_nothing(self):
        self.assertEqual(self.on_terminal("-p", "hello", "-n", 0), [])

    def test_characters_arrive_whole(self):
        # Its emoji are several tokens each; a terminal gets every token as soon as it is there.
        model = self.need_smollm2()
        chunks = self.on_terminal("-p", "🍕🎉🍕🎉🍕🎉🍕🎉🍕🎉", "-n", 48, "--temp", 0, model=model)
        for chunk in chunks:
            chunk.decode("utf-8", "strict")
        self.assertRegex(b"".join(chunks).decode(), "[🍕🎉]")
        self.assertGreater(len(chunks), 4, "the text came in one piece")


class Signals(CommandLineTest):
    def setUp(self):
        super().setUp()
        self.model = self.place.tiny("endless", "--ctx", "100000", "--layers", "4")

    def interrupted(self, number):
        terminal = Terminal(self.command("-p", "hello", "--temp", 2, "-s", 1))
        try:
            self.assertTrue(terminal.read_chunk())
            code, seconds = terminal.signal_and_wait(number)
            stderr = terminal.process.stderr.read().decode()
        finally:
            terminal.close()
        self.assertLess(seconds, 2)
        self.assertIn("· interrupted ·", stderr)
        return code

    def test_ctrl_c(self):
        self.assertEqual(self.interrupted(signal.SIGINT), 130)

    def test_terminate(self):
        self.assertEqual(self.interrupted(signal.SIGTERM), 143)

    def test_ctrl_c_while_it_reads_a_long_prompt(self):
        process = subprocess.Popen(self.command("-f", "-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(b"x" * 60000)
        process.stdin.close()
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        code = shell_code(process.wait(60))
        process.stdout.close()
        process.stderr.close()
        self.assertEqual(code, 130)
        self.assertLess(time.monotonic() - start, 5)

    def test_ctrl_c_while_it_waits_for_stdin(self):
        process = subprocess.Popen(self.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        try:
            code = shell_code(process.wait(10))
        finally:
            process.kill()
            process.communicate()
        self.assertEqual(code, 130)
