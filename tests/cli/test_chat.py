"""Conversations: through pipes, and on a pseudo-terminal as a person has them."""
import json
import os
import re
import signal
import termios

from support import TIMEOUT_S, CommandLineTest, Person, shell_code

STATS = re.compile(r"prompt (\d+) tokens(?: \((\d+) reused\))?, .* generated (\d+) tokens")


class ChatTest(CommandLineTest):
    def chat(self, *lines, flags=(), model=None, code=0):
        """What a script gets that writes the lines to stdin."""
        command = self.command(*flags, model=model)
        out = self.run_raw("chat", *command[1:], stdin="".join(line + "\n" for line in lines).encode())
        self.assertEqual(out.code, code, out.stderr)
        return out

    def turns(self, out):
        """(prompt, reused, generated) of each answer."""
        return [(int(m[1]), int(m[2] or 0), int(m[3])) for m in STATS.finditer(out.stderr)]

    def n_tokens(self, text, model=None):
        out = self.run_raw("tokenize", "-m", model or self.model, "--no-bos", "--ids", "-p", text)
        return len(json.loads(out.stdout))

    def saved(self, *lines, flags=("--temp", 0, "-n", 4)):
        path = self.folder / "saved.json"
        self.chat(*lines, f"/save {path}", flags=flags)
        return [(m["role"], m["content"]) for m in json.loads(path.read_text())["messages"]]


class ChatThroughPipes(ChatTest):
    FLAGS = ("--temp", 0, "-n", 6)

    def test_answers_alone_are_on_stdout(self):
        out = self.chat("hello", "and now?", flags=self.FLAGS)
        messages = self.saved("hello", "and now?", flags=self.FLAGS)
        self.assertEqual([role for role, _ in messages], ["user", "assistant"] * 2)
        self.assertEqual(out.text, messages[1][1] + "\n" + messages[3][1] + "\n")
        quiet = self.chat("hello", "and now?", flags=(*self.FLAGS, "-q"))
        self.assertEqual((quiet.stdout, quiet.stderr), (out.stdout, ""))

    def test_the_first_answer_is_that_of_one_request(self):
        want = self.greedy("--chat", "--system", "be brief", "hello", n=6).text
        self.assertEqual(self.chat("hello", flags=(*self.FLAGS, "--system", "be brief")).text, want + "\n")
        self.assertEqual(self.chat("/system be brief", "hello", flags=self.FLAGS).text, want + "\n")

    def test_a_turn_costs_only_its_new_tokens(self):
        model = self.need_smollm2()
        questions = ["What is the capital of France?", "And of Italy?", "Thank you."]
        out = self.chat(*questions, flags=("--temp", 0, "-n", 24), model=model)
        turns = self.turns(out)
        answers = [a for a in out.text.split("\n") if a]
        self.assertEqual((len(turns), len(answers), turns[0][1]), (3, 3, 0))
        for i in (1, 2):
            new = f"<|im_end|>\n<|im_start|>user\n{questions[i]}<|im_end|>\n<|im_start|>assistant\n"
            prompt, reused, _ = turns[i]
            before, _, generated = turns[i - 1]
            self.assertEqual(prompt, before + generated + self.n_tokens(new, model))
            self.assertIn(reused - before - generated, (0, -1), "an answer cut by -n lacks its last token in the cache")

    def test_what_was_reused_changes_no_answer(self):
        model = self.need_smollm2()
        out = self.chat("What is the capital of France?", "And of Italy?", flags=("--temp", 0, "-n", 24), model=model)
        first, second = [a for a in out.text.split("\n") if a]
        shown = self.greedy("What is the capital of France?", "--print-prompt", "--no-stats", n=0, model=model).stderr
        whole = shown[:-1] + first + "<|im_end|>\n<|im_start|>user\nAnd of Italy?<|im_end|>\n<|im_start|>assistant\n"
        self.assertEqual(self.greedy("-p", whole, n=24, model=model).text, second)

    def test_undo_and_reset(self):
        self.assertEqual(self.saved("one", "two", "/undo"), self.saved("one"))
        self.assertEqual(self.saved("one", "/reset", "two"), self.saved("two"))
        self.assertEqual(self.saved("/system be brief", "one", "/reset"), [("system", "be brief")])
        self.assertEqual(self.saved("/system be brief", "/system"), [])
        once = self.turns(self.chat("one", "/undo", "one", flags=self.FLAGS))
        self.assertEqual(once[1][:2], (once[0][0], once[0][0] - 1), "only the last token is computed again")

    def test_a_backslash_continues_the_line(self):
        self.assertEqual(self.saved("one\\", "two\\", "three")[0], ("user", "one\ntwo\nthree"))
        self.assertEqual(self.saved(" /etc is a folder")[0], ("user", " /etc is a folder"))

    def test_blank_lines_are_no_messages(self):
        self.assertEqual(self.chat("", "   ", flags=self.FLAGS).stdout, b"")

    def test_seeds(self):
        flags = ("-n", 8, "--temp", 3, "-s")
        same = self.chat("hello", "/reset", "hello", flags=(*flags, 5))
        self.assertEqual(same.stdout, self.chat("hello", "/reset", "hello", flags=(*flags, 5)).stdout)
        self.assertNotEqual(same.stdout, self.chat("hello", "/reset", "hello", flags=(*flags, 50)).stdout)
        self.assertEqual(re.findall(r"seed (\d+)", same.stderr), ["5", "6"])

    def test_stop_strings(self):
        whole = self.chat("hello", flags=self.FLAGS).text[:-1]
        stop = next(c for c in whole[1:] if c.isprintable() and c != whole[0])
        self.assertEqual(self.chat("hello", flags=(*self.FLAGS, "--stop", stop)).text, whole[:whole.index(stop)] + "\n")

    def test_what_goes_wrong_ends_a_script(self):
        self.assertIn("/undo: nothing was said yet", self.chat("/undo", code=2).stderr)
        self.assertIn("there is no /sustem; did you mean /system?", self.chat("/sustem x", code=2).stderr)
        self.assertIn("/save needs the name of a file", self.chat("/save", code=2).stderr)
        self.assertIn("/quit takes nothing", self.chat("/quit now", code=2).stderr)
        self.assertIn("cannot write '/nowhere/x'", self.chat("/save /nowhere/x", code=8).stderr)
        self.assertIn("the context holds 32", self.chat("a" * 60, flags=("-c", 32), code=9).stderr)
        self.assertIn("no chat template", self.chat("x", model=self.without_template(), code=4).stderr)
        self.assertIn("not valid UTF-8", self.run_raw("chat", *self.command()[1:], stdin=b"caf\xe9\n").stderr)
        self.assertIn("--history is for lines that are edited", self.chat("x", flags=("--history", "h"), code=2).stderr)

    def without_template(self):
        path = self.folder / "no-template.gguf"
        path.write_bytes(self.model.read_bytes().replace(b"tokenizer.chat_template", b"tokenizer.chat_templatX"))
        return path

    def test_quit(self):
        self.assertEqual(self.chat("/quit", "hello", flags=self.FLAGS).stdout, b"")

    def test_options_of_one_run_are_refused(self):
        for flag in ("--json", "--num-samples", "--prompt", "--timeout", "--plan"):
            self.assertIn(f"unknown option {flag}", self.chat(flags=(flag,), code=2).stderr)


class ChatOnTerminal(ChatTest):
    def person(self, *flags, model=None, **how):
        command = self.command(*flags, model=model)
        person = Person([command[0], "chat", *command[1:]], **how)
        self.addCleanup(person.close)
        person.wait_for("> ")
        return person

    def need_editing(self, person):
        if termios.tcgetattr(person.ours)[3] == person.modes[3]:
            self.skipTest("this executable was built without libedit")

    def test_a_conversation_ended_by_ctrl_d(self):
        person = self.person("--temp", 0, "-n", 6)
        person.type("hello\r")
        person.wait_for("generated 6 tokens")
        person.wait_for("> ")
        person.type("again\r")
        self.assertIn("reused)", person.wait_for("generated 6 tokens"))
        person.wait_for("> ")
        person.type("\x04")
        self.assertEqual(person.code(), 0)

    def test_a_terminal_that_cannot_move_its_cursor(self):
        person = self.person("--temp", 0, "-n", 6, term="dumb")
        self.assertEqual(termios.tcgetattr(person.ours)[3], person.modes[3])
        person.type("hello\r")
        person.wait_for("generated 6 tokens")
        person.wait_for("> ")
        person.type("\x04")
        self.assertEqual(person.code(), 0)

    def test_lines_are_edited(self):
        # What is typed is "wrong", taken back; then "äpfel" with a letter wrong in the middle; then again by Up.
        path = self.folder / "edited.json"
        person = self.person("--temp", 0, "-n", 2, "--no-stats")
        self.need_editing(person)
        for keys in ("wrong\x15äpXel\x1b[D\x1b[D\x7ff\r", "\x1b[A\r", f"/save {path}\r", "/quit\r"):
            person.type(keys)
            if keys != "/quit\r":
                person.wait_for("\n")
                person.wait_for("> ")
        self.assertEqual(person.code(), 0)
        users = [m["content"] for m in json.loads(path.read_text())["messages"] if m["role"] == "user"]
        self.assertEqual(users, ["äpfel", "äpfel"])

    def test_ctrl_c_ends_the_answer_then_the_program(self):
        # Endless, so that the answer is still being written whenever Ctrl-C comes; that it has begun is seen.
        model = self.place.tiny("endless", "--ctx", "100000", "--layers", "4")
        person = self.person("--temp", 2, "-s", 1, "--ignore-eos", model=model)
        person.type("hello\r")
        person.wait_for("\n")
        person.wait_for_anything()
        person.type("\x03")
        person.wait_for("· interrupted ·")
        person.wait_for("> ")
        person.type("half a line\x03")
        self.assertEqual(person.code(), 130)

    def test_signals_leave_the_terminal_as_it_was(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            person = self.person()
            self.need_editing(person)
            person.process.send_signal(number)
            self.assertEqual(shell_code(person.process.wait(TIMEOUT_S)), code)
            self.assertEqual(termios.tcgetattr(person.ours)[3], person.modes[3])

    def test_it_goes_on_after_an_error(self):
        person = self.person("-c", 48, "--temp", 0, "-n", 4)
        for line, answer in (("/nonsense", "there is no /nonsense"), ("a" * 90, "the context holds 48"), ("/save /nowhere/x", "cannot write"),
                             ("hi", "generated 4 tokens")):
            person.type(line + "\r")
            person.wait_for(answer)
            person.wait_for("> ")
        person.type("/quit\r")
        self.assertEqual(person.code(), 0)

    def test_a_full_context_is_told_and_the_conversation_kept(self):
        path = self.folder / "full.json"
        person = self.person("-c", 48, "--temp", 2, "-s", 1, "--ignore-eos")
        person.type("hi\r")
        person.wait_for("the context of 48 tokens is full")
        person.wait_for("> ")
        person.type(f"/save {path}\r")
        person.wait_for("\n")
        person.wait_for("> ")
        person.type("/undo\r")
        person.wait_for("> ")
        person.type("/quit\r")
        self.assertEqual(person.code(), 0)
        self.assertEqual(len(json.loads(path.read_text())["messages"]), 2)

    def test_the_marker_goes_to_the_terminal_alone(self):
        path = self.folder / "answers"
        with open(path, "wb") as file:
            person = self.person("--temp", 0, "-n", 6, stdout=file)
        person.type("hello\r")
        person.wait_for("generated 6 tokens")
        person.wait_for("> ")
        person.type("\x04")
        self.assertEqual(person.code(), 0)
        self.assertEqual(path.read_bytes(), self.chat("hello", flags=("--temp", 0, "-n", 6)).stdout)

    def test_a_history_only_when_asked(self):
        path = self.folder / "history"
        for typed in ("first line\r", "\x1b[A\x1b[A\r"):
            try:
                person = self.person("--temp", 0, "-n", 2, "--no-stats", "--history", path)
            except AssertionError as error:
                if "built without libedit" in str(error):
                    self.skipTest("this executable was built without libedit")
                raise
            person.type(typed)
            person.wait_for("first line")
            person.wait_for("\n")
            person.wait_for("> ")
            person.type("/quit\r")
            self.assertEqual(person.code(), 0)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertGreaterEqual(path.read_text().count("first"), 1)
        before = sorted(os.listdir(self.folder))
        person = self.person("-n", 1)
        person.type("/quit\r")
        self.assertEqual(person.code(), 0)
        self.assertEqual(sorted(os.listdir(self.folder)), before)
