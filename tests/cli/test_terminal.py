"""A terminal as stdout."""
import os
import pty
import re
import subprocess

from support import TIMEOUT_S, CommandLineTest, Terminal

HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def escaped(text):
    """What a terminal is shown: newlines and tabs pass, other control characters are written out."""
    return HIDDEN.sub(lambda m: f"\\x{ord(m[0]):02x}" if m[0] < "\x80" else f"\\u{{{ord(m[0]):x}}}", text)


def shown_of(command):
    """What a terminal gets that is stdout and stderr of the command."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
                               env=os.environ | {"TERM": "xterm", "NO_COLOR": "1"})
    os.close(theirs)
    data = b""
    try:
        while chunk := os.read(ours, 65536):
            data += chunk
    except OSError:  # how Linux says that the other side was closed
        pass
    os.close(ours)
    process.wait(60)
    return data.decode("utf-8", "strict").replace("\r\n", "\n")


class TerminalSafety(CommandLineTest):
    """No byte of a stranger that a terminal would obey reaches one, on either stream."""
    label = "terminal"

    def test_every_command_and_every_error(self):
        model = self.place.tiny("escapes", "--escapes")
        nasty = "a\x1b[2J\x07\r\x9b2J\u202eb"
        odd = self.folder / f"{nasty}.gguf"
        odd.write_bytes(model.read_bytes())
        prompt = self.folder / "nasty.txt"
        prompt.write_text(nasty)
        wild = ["--temp", "50", "--top-k", "0", "--top-p", "1", "--min-p", "0", "-n", "120", "--ignore-eos", "-s", "3"]
        run = ["-m", odd, "--device", "cpu", "-t", "1"]
        commands = [[*run, "-v", "--print-prompt", *wild, nasty], [*run, "-f", prompt, *wild], [*run, "--json", *wild, nasty],
                    [*run, "--jsonl", "--logprobs", "5", *wild, nasty], [*run, "--plan"], [*run, "--plan", "--json"],
                    ["info", odd], ["info", odd, "--tensors"], ["info", odd, "--metadata"], ["info", odd, "--json"],
                    ["tokenize", "-m", odd, nasty], ["tokenize", "-m", odd, "--json", nasty],
                    ["detokenize", "-m", odd, *map(str, range(329))],
                    ["-m", nasty, "x"], [*run, f"--{nasty}"], [*run, nasty, nasty], [*run, "-p", "x", "--temp", nasty],
                    [*run, "-p", "x", "--device", nasty], [*run, "-f", nasty], [*run, "-p", "x", "-o", f"/no/{nasty}"],
                    [*run, "-p", "x", "--config", nasty], [*run, "--chat-template", nasty, "x"], [*run, "-p", "x", "--stop", ""],
                    [*run, "-p", "x", "--samplers", nasty], [*run, "-p", "x", "--logit-bias", nasty], [nasty], ["info", nasty],
                    ["detokenize", "-m", odd, nasty], ["completions", nasty]]
        n_escaped = 0
        for command in commands:
            with self.subTest(command):
                text = shown_of([self.place.binary, *map(str, command)])
                self.assertEqual(HIDDEN.findall(text), [], text[:400])
                n_escaped += "\\x1b" in text or "\\u001b" in text
        self.assertGreater(n_escaped, len(commands) // 2, "hardly any command showed the bytes")
        self.report(f"commands shown on a terminal: {len(commands)}, with hostile bytes written out in {n_escaped}")


class TerminalOutput(CommandLineTest):
    label = "terminal"

    def on_terminal(self, *arguments, model=None):
        terminal = Terminal(self.command(*arguments, model=model))
        try:
            chunks = terminal.read_all()
            self.assertEqual(terminal.process.wait(TIMEOUT_S), 0, terminal.process.stderr.read())
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

    def test_what_follows_the_text_begins_a_line(self):
        for flags in ([], ["--num-samples", 2]):
            lines = shown_of(self.command("-p", "hello", "-n", 4, "--temp", 0, *flags)).splitlines()
            self.assertEqual(len([line for line in lines if "generated 4 tokens" in line and line.startswith("haikuda: ")]), 2 if flags else 1, lines)

    def test_nothing_generated_prints_nothing(self):
        self.assertEqual(self.on_terminal("-p", "hello", "-n", 0), [])

    def test_characters_arrive_whole(self):
        # Its emoji are several tokens each; a terminal gets every token as soon as it is there.
        model = self.need_smollm2(few_tokens=True)
        n = 12 if self.place.checks_threads else 48
        chunks = self.on_terminal("-p", "🍕🎉🍕🎉🍕🎉🍕🎉🍕🎉", "-n", n, "--temp", 0, model=model)
        for chunk in chunks:
            chunk.decode("utf-8", "strict")
        self.assertRegex(b"".join(chunks).decode(), "[🍕🎉]")
        self.assertGreater(len(chunks), 4, "the text came in one piece")
