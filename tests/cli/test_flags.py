"""Flags of cli.md's kind that shape the prompt and the text: each does what it says, and only that."""
import re

from support import CommandLineTest


class Flags(CommandLineTest):
    def test_a_gguf_file_first_is_the_model(self):
        want = self.greedy("-p", "hello").stdout
        flags = ["--device", self.place.device, "--temp", 0, "-n", 16]
        self.assertEqual(self.run_raw(self.model, "-p", "hello", *flags).stdout, want)
        self.assertEqual(self.run_raw(*flags, self.model, "hello").stdout, self.greedy("hello").stdout)
        self.assertEqual(self.run_raw("tokenize", self.model, "hello").stdout, self.run_raw("tokenize", "-m", self.model, "hello").stdout)
        # With -m it is a request like any other, and so is a name that is no file.
        self.assertEqual(self.greedy(self.model).code, 0)
        self.assertEqual(self.greedy("no-such.gguf").n_prompt, self.greedy("no-such.ggxx").n_prompt)

    def test_stop_keep(self):
        whole = self.greedy("-p", "hello").text
        stop = whole[3:6]
        self.assertEqual(self.greedy("-p", "hello", "--stop", stop).text, whole[:whole.index(stop)])
        self.assertEqual(self.greedy("-p", "hello", "--stop", stop, "--stop-keep").text, whole[:whole.index(stop)] + stop)
        self.assertEqual(self.run_model("-p", "x", "--stop-keep").code, 2)

    def test_stdin_sep(self):
        for flags, between in ((["--stdin-sep", " -- "], " -- "), (["--stdin-sep", r"\t", "-e"], "\t"), (["--stdin-sep", r"\t"], r"\t"), ([], "\n")):
            with self.subTest(flags):
                self.assertEqual(self.greedy("-p", "two", *flags, stdin=b"one\n").stdout, self.greedy("-p", "one" + between + "two").stdout)

    def test_lossy_utf8(self):
        out = self.run_model(stdin=b"caf\xe9")
        self.assert_fails(8, "at byte 3 (0xe9)", "--lossy-utf8", out=out)
        self.assertEqual(self.greedy("--lossy-utf8", stdin=b"caf\xe9").stdout, self.greedy("-p", "caf\ufffd").stdout)
        self.assertEqual(self.greedy("--lossy-utf8", "-p", "ünversehrt").stdout, self.greedy("-p", "ünversehrt").stdout)

    def test_a_binary_file_keeps_its_newline(self):
        path = self.folder / "two-lines.txt"
        path.write_bytes(b"one\ntwo\n")
        for name in ("-bf", "--binary-file"):
            self.assertEqual(self.greedy(name, path).stdout, self.greedy("-e", "-p", r"one\ntwo\n").stdout)
        self.assertEqual(self.greedy("-f", path).stdout, self.greedy("-e", "-p", r"one\ntwo").stdout)

    def test_special_tokens(self):
        model = self.need_smollm2()
        request = "What is the capital of France?"
        plain = self.greedy(request, n=24, model=model).text
        self.assertEqual(self.greedy(request, "--special", n=24, model=model).text, plain + "<|im_end|>")
        out = self.greedy(request, "-sp", "--stop", "<|im_end|>", n=24, model=model)
        self.assertEqual(out.text, plain)
        self.assertIn("· stop ·", out.stderr)

    def test_echo(self):
        text = self.greedy("-p", "hello").text
        for flag in ("--echo", "--display-prompt"):
            self.assertEqual(self.greedy("-p", "hello", flag).text, "hello" + text)
        self.assertTrue(self.greedy("hello", "--echo").text.endswith("<|im_start|>assistant\n" + self.greedy("hello").text))
        self.assertEqual(self.run_model("-p", "x", "--echo", "--json").code, 2)

    def test_stats(self):
        self.assertRegex(self.greedy("-p", "hello", "-q", "--stats").stderr, r"^haikuda: load [^\n]* tokens/s [^\n]*\n$")
        self.assertEqual(self.run_model("-p", "hello", "--stats", "--no-stats").code, 2)

    def test_minus_two_fills_the_context_as_minus_one(self):
        self.assertEqual(self.greedy("-p", "hello", "-c", 40, n=-2).stdout, self.greedy("-p", "hello", "-c", 40, n=-1).stdout)

    def test_a_second_bos_is_not_added(self):
        key = b"tokenizer.ggml.add_bos_token" + (7).to_bytes(4, "little")
        data = self.model.read_bytes()
        self.assertIn(key + b"\0", data)
        model = self.folder / "bos.gguf"
        model.write_bytes(data.replace(key + b"\0", key + b"\1"))
        bos = re.search(r"'([^']*)'", self.run_raw("tokenize", "-m", model, "x").text)[1]
        out = self.greedy("-p", bos + "x", model=model)
        self.assertIn(f"the prompt begins with {bos}, so none is added", out.stderr)
        self.assertEqual(out.stdout, self.greedy("-p", "x", model=model).stdout)
        self.assertNotIn("begins with", self.greedy("-p", "x", model=model).stderr)
