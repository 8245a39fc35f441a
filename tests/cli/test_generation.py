"""How generation ends and what the prompt becomes on its way to the model."""
import os
import re

from support import CommandLineTest


class Stop(CommandLineTest):
    def text(self, *flags, n=60):
        return self.run_model("-p", "hello", "-n", n, "-s", 3, "--temp", 3, *flags).text

    def test_it_is_never_printed(self):
        whole = self.text()
        for at in range(0, len(whole) - 4, 3):
            stop = whole[at:at + 4]
            with self.subTest(stop):
                self.assertEqual(self.text("--stop", stop), whole[:whole.index(stop)])

    def test_the_first_of_several(self):
        whole = self.text()
        stops = [whole[20:23], whole[9:12], whole[30:33]]
        want = whole[:min(whole.index(s) for s in stops)]
        self.assertEqual(self.text(*(flag for s in stops for flag in ("--stop", s))), want)
        self.assertEqual(self.text("-r", stops[0], "--reverse-prompt", stops[1], f"--stop={stops[2]}"), want)

    def test_the_reason_is_told(self):
        out = self.run_model("-p", "hello", "-n", 60, "-s", 3, "--temp", 3, "--stop", self.text()[5:8])
        self.assertIn("· stop ·", out.stderr)

    def test_one_that_never_comes(self):
        self.assertEqual(self.text("--stop", "\x01\x02\x03"), self.text())

    def test_it_must_be_utf8(self):
        self.assert_fails(2, "UTF-8", out=self.run_model("-p", "x", "--stop", os.fsdecode(b"caf\xe9")))


class Timeout(CommandLineTest):
    def test_it_ends_with_what_there_is(self):
        model = self.place.tiny("endless", "--ctx", "100000", "--layers", "4")
        for seconds in (0.7, 5, 30):  # the first is enough, except on a machine that is busy with other things
            out = self.run_model("-p", "hello", "--temp", 2, "-s", 1, "--ignore-eos", "--timeout", seconds, model=model)
            self.assertEqual(out.code, 124, out.stderr)
            if out.stdout:
                break
        self.assertGreater(len(out.stdout), 0)
        self.assertIn("· timeout ·", out.stderr)

    def test_one_that_is_not_reached(self):
        self.assertEqual(self.run_model("-p", "hello", "-n", 2, "--timeout", 100).code, 0)


class OutputFile(CommandLineTest):
    def test_it_holds_the_same_bytes(self):
        path = self.folder / "out.txt"
        out = self.greedy("-p", "hello", "-o", path)
        self.assertEqual(out.stdout, b"")
        self.assertEqual(path.read_bytes(), self.greedy("-p", "hello").stdout)

    def test_one_that_cannot_be_written_is_told_before_loading(self):
        self.assert_fails(8, "no-such-folder", out=self.run_model("-p", "x", "-o", "no-such-folder/out.txt", model="no-such.gguf"))

    def test_a_full_disk(self):
        self.assertEqual(self.run_model("-p", "x", "-n", 4, "-o", "/dev/full").code, 8)


class Escapes(CommandLineTest):
    def n_prompt(self, *flags):
        return self.greedy(*flags, n=1).n_prompt

    def test_only_when_asked_and_only_in_p(self):
        self.assertEqual(self.greedy("-e", "-p", r"a\n\x41\u00e9\\\t\q").stdout, self.greedy("-p", "a\nAé\\\t\\q").stdout)
        self.assertEqual(self.n_prompt("-p", r"a\nb"), 4)
        self.assertEqual(self.n_prompt("-e", "-p", r"a\nb"), 3)
        path = self.folder / "p.txt"
        path.write_text(r"a\nb")
        self.assertEqual(self.n_prompt("-e", "-f", path), 4)

    def test_what_they_make_must_be_utf8(self):
        self.assert_fails(8, "byte 0", out=self.run_model("-e", "-p", r"\xff"))


class Templates(CommandLineTest):
    CHAT = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"

    def printed(self, *flags, **how):
        out = self.run_model("-n", 0, "--no-stats", "--print-prompt", *flags, **how)
        self.assertEqual(out.code, 0, out.stderr)
        return out.stderr

    def test_print_prompt(self):
        self.assertEqual(self.printed("-p", "hello"), "hello\n")
        self.assertEqual(self.printed("hello"), self.CHAT + "\n")

    def test_by_name_and_by_file(self):
        path = self.folder / "t.jinja"
        path.write_text("{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}")
        self.assertEqual(self.printed("hello", "--chat-template", path), "[user] hello\n")
        self.assertEqual(self.printed("hello", "--chat-template", "chatml", "--system", "s"),
                         "<|im_start|>system\ns<|im_end|>\n" + self.CHAT + "\n")

    def test_failures(self):
        self.assert_fails(2, "no-such", out=self.run_model("hello", "--chat-template", "no-such"))
        self.assert_fails(2, "--chat", out=self.run_model("-p", "hello", "--chat-template", "chatml"))
        path = self.folder / "bad.jinja"
        path.write_text("line\n{% frobnicate %}")
        self.assert_fails(4, "frobnicate", "bad.jinja", out=self.run_model("hello", "--chat-template", path))

    def test_system_from_a_file(self):
        path = self.folder / "system.txt"
        path.write_text("be brief\n")
        self.assertEqual(self.printed("hello", "--system-file", path), self.printed("hello", "--system", "be brief"))


class Truncation(CommandLineTest):
    def cut(self, how, *flags):
        out = self.run_model("-n", 8, "--temp", 0, "-c", 40, "--truncate", how, "--print-prompt", "--no-stats", *flags)
        self.assertEqual(out.code, 0, out.stderr)
        note, prompt = out.stderr.split("\n", 1)
        self.assertRegex(note, r"^haikuda: note: the prompt of \d+ tokens was cut to \d+; the context holds 40$")
        return prompt.removesuffix("\n")

    LONG = "".join(chr(ord("a") + i % 26) for i in range(100))

    def test_head_and_middle(self):
        head = self.cut("head", "-p", self.LONG)
        self.assertTrue(self.LONG.endswith(head))
        middle = self.cut("middle", "-p", self.LONG)
        self.assertTrue(self.LONG.startswith(middle[:10]) and self.LONG.endswith(middle[-10:]))
        self.assertLess(len(middle), 50)

    def test_a_template_stays_whole(self):
        text = self.cut("head", self.LONG)
        self.assertTrue(text.startswith("<|im_start|>user\n") and text.endswith("<|im_end|>\n<|im_start|>assistant\n"))

    def test_characters_stay_whole(self):
        self.assertNotIn("\ufffd", self.cut("middle", "-p", "x" + "é🎉" * 40).replace("\ufffd", "", 2))

    def test_what_fits_is_left_alone(self):
        self.assertEqual(self.greedy("-p", "hello", "--truncate", "head").stdout, self.greedy("-p", "hello").stdout)


class Sources(CommandLineTest):
    def settings(self, *flags, **how):
        out = self.run_model("-p", "hello", "-n", 1, "-v", *flags, **how)
        self.assertEqual(out.code, 0, out.stderr)
        return dict(re.findall(r"^haikuda: (--[a-z-]+) (.*)$", out.stderr, re.MULTILINE))

    def test_verbose_tells_where_each_value_came_from(self):
        config = self.folder / "config.ini"
        config.write_text("min-p = 0.2\ntop_p = 0.5\n")
        got = self.settings("--temp", 0.5, env={"HAIKUDA_CONFIG": str(config), "HAIKUDA_TOP_P": "0.7"})
        self.assertEqual(got["--temp"], "0.5 (flag)")
        self.assertEqual(got["--top-p"], "0.7 (environment HAIKUDA_TOP_P)")
        self.assertEqual(got["--min-p"], f"0.2 (config {config})")
        self.assertEqual(got["--top-k"], "40 (default)")

    def test_values_change_the_text_wherever_they_come_from(self):
        want = self.run_model("-p", "hello", "-n", 12, "-s", 1, "--temp", 3).stdout
        got = self.run_model("-p", "hello", "-n", 12, env={"LLAMA_ARG_SEED": "1", "HAIKUDA_TEMP": "3"}).stdout
        self.assertEqual(got, want)

    def test_the_config_of_the_user(self):
        home = self.folder / "home"
        (home / ".config" / "haikuda").mkdir(parents=True, exist_ok=True)
        (home / ".config" / "haikuda" / "config.ini").write_text("n-predict = 3\n")
        environment = {"HOME": str(home), "XDG_CONFIG_HOME": ""}
        out = self.run_model("-p", "hello", "--temp", 0, env=environment)
        self.assertEqual(out.n_generated, 3)
        self.assertEqual(self.run_model("-p", "hello", "--temp", 0, "-n", 2, env=environment).n_generated, 2)

    def test_a_config_that_never_ends_or_is_too_long_is_refused(self):
        fifo, long = self.folder / "fifo.ini", self.folder / "long.ini"
        os.mkfifo(fifo)
        long.write_text("# " + "x" * (1 << 20))
        for path, code, why in (("/dev/zero", 8, "not a regular file"), (fifo, 8, "not a regular file"),
                                (self.folder / "none.ini", 8, "No such file"), (long, 2, "at most 1048576")):
            with self.subTest(path=path):
                out = self.run_model("-p", "hello", "--config", path)
                self.assertEqual(out.code, code, out.stderr)
                self.assertIn(why, out.stderr)
                self.assertEqual(out.stdout, b"")
