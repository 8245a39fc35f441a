"""What goes wrong, and how it is said: one line on stderr, nothing on stdout, the exit code of the documented table."""
import os
import pathlib
import re
import signal
import subprocess

from support import REPOSITORY, TIMEOUT_S, CommandLineTest


class Help(CommandLineTest):
    def test_help_goes_to_stdout(self):
        out = self.run_raw("--help")
        self.assertEqual((out.code, out.stderr), (0, ""))
        for word in ("--model", "--prompt", "--file", "--predict", "--ctx-size", "--temp", "--top-k", "--top-p", "--min-p",
                     "--repeat-penalty", "--seed", "--threads", "--device", "Exit codes"):
            self.assertIn(word, out.text)

    def test_version_goes_to_stdout(self):
        out = self.run_raw("--version")
        self.assertEqual((out.code, out.stderr), (0, ""))
        self.assertRegex(out.text, r"^haikuda \d+\.\d+\.\d+\n$")


class Usage(CommandLineTest):
    def test_nothing_to_do(self):
        self.assert_fails(2, "prompt", out=self.run_model())

    def test_bad_values(self):
        for flags in (["--temp", "nan"], ["--temp", "-1"], ["--temp", "hot"], ["--top-p", "1.5"], ["-n", "many"], ["-n", "-3"],
                      ["-c", "-1"], ["--repeat-penalty", "0"], ["--device", "tpu"], ["--device", "cuda:x"], ["-s", "-2"]):
            with self.subTest(flags):
                self.assert_fails(2, out=self.run_raw("-m", self.model, "-p", "x", *flags))

    def test_unknown_flags_are_named(self):
        self.assert_fails(2, "--no-such-flag", out=self.run_model("-p", "x", "--no-such-flag"))

    def test_a_flag_of_llama_cpp_is_not_taken_for_another(self):
        if self.place.device == "cuda":
            self.skipTest("a GPU takes -ngl 99")
        self.assert_fails(2, out=self.run_model("-p", "x", "-ngl", 99))

    def test_contradictions(self):
        for flags in (["hello", "-p", "x"], ["hello", "--raw", "--chat"], ["hello", "--raw", "--system", "x"]):
            with self.subTest(flags):
                self.assert_fails(2, out=self.run_model(*flags))


class ModelFile(CommandLineTest):
    def patched(self, name, *changes):
        """The tiny model with bytes replaced by as many others."""
        data = self.model.read_bytes()
        for old, new in changes:
            self.assertIn(old, data)
            self.assertEqual(len(old), len(new))
            data = data.replace(old, new)
        return self.written(name, data)

    def written(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return path

    def test_missing(self):
        self.assert_fails(3, "no-such-model", out=self.run_model("-p", "x", model="no-such-model"))
        self.assert_fails(3, "no-such.gguf", out=self.run_model("-p", "x", model="folder/no-such.gguf"))

    def test_a_folder(self):
        self.assert_fails(3, out=self.run_model("-p", "x", model=self.folder))

    def test_no_gguf(self):
        for name, data in (("empty.gguf", b""), ("short.gguf", b"GG"), ("text.gguf", b"hello, world" * 100)):
            with self.subTest(name):
                self.assert_fails(3, name, out=self.run_model("-p", "x", model=self.written(name, data)))

    def test_truncated_anywhere(self):
        data = self.model.read_bytes()
        for size in (4, 8, 23, 24, 100, 1000, len(data) // 4, len(data) // 2, len(data) - 1):
            with self.subTest(size):
                self.assert_fails(3, "cut.gguf", out=self.run_model("-p", "x", model=self.written("cut.gguf", data[:size])))

    def test_a_name_with_control_characters_is_shown_safely(self):
        out = self.run_model("-p", "x", model="no\x1b[31m\nsuch")
        self.assert_fails(3, r"no\x1b[31m\x0asuch", out=out)

    def test_unsupported_architecture(self):
        model = self.patched("arch.gguf", (b"qwen2", b"qwenX"))
        self.assert_fails(4, "qwenX", out=self.run_model("-p", "x", model=model))

    def test_unsupported_pre_tokenizer(self):
        key = b"tokenizer.ggml.pre"
        head = key + (8).to_bytes(4, "little") + (5).to_bytes(8, "little")
        model = self.patched("pre.gguf", (head + b"qwen2", head + b"qwenY"))
        self.assert_fails(4, "qwenY", out=self.run_model("-p", "x", model=model))

    def test_no_chat_template(self):
        model = self.patched("plain.gguf", (b"tokenizer.chat_template", b"tokenizer.chat_templatX"))
        self.assert_fails(4, "template", out=self.run_model("-p", "x", "--chat", model=model))
        self.assertEqual(self.greedy("x", model=model).stdout, self.greedy("-p", "x").stdout)


class Resources(CommandLineTest):
    def test_no_gpu(self):
        out = self.run_model("-p", "x", device="cuda", env={"CUDA_VISIBLE_DEVICES": ""})
        self.assert_fails(5, "--device cpu", out=out)

    def test_no_such_gpu(self):
        self.assert_fails(5, out=self.run_model("-p", "x", device="cuda:77"))

    def test_a_context_that_does_not_fit(self):
        out = self.run_model("-p", "x", "-c", 1_000_000_000)
        self.assert_fails(6, "KV cache", "weights", out=out)
        self.assertRegex(out.stderr, r"the largest -c that fits is \d+\n$")

    def test_a_prompt_longer_than_the_context(self):
        self.assert_fails(9, "40", "-c", out=self.run_model("-p", "x" * 40, "-c", 39))
        self.assertEqual(self.run_model("-p", "x" * 40, "-c", 40, "-n", 1).code, 0)
        self.assert_fails(9, "512", out=self.run_model("-p", "x" * 513))


class Internal(CommandLineTest):
    def test_what_cannot_be_is_reported_as_such(self):
        library = self.place.maker.parent / "libhaikuda_fail_pcre2.so"
        if self.place.sanitized or not library.exists():
            self.skipTest("a library is put before PCRE2's, which a sanitizer does not allow")
        out = self.run_model("-p", "hello", env={"LD_PRELOAD": str(library)})
        if out.code == 0:
            self.skipTest("PCRE2 is a part of this executable")
        self.assert_fails(1, "pre-tokenizer: internal error", out=out)


class ExitCodes(CommandLineTest):
    CODES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 124, 130, 141, 143)

    def test_each_is_documented_and_tested(self):
        table = re.search(r"Exit codes: (.*?)\n- |Exit codes: (.*?)\n\n", (REPOSITORY / "README.md").read_text(), re.DOTALL)[0]
        tests = "".join(path.read_text() for path in pathlib.Path(__file__).parent.glob("test_*.py"))
        for code in self.CODES:
            with self.subTest(code):
                for text in (self.run_raw("--help").text, table):
                    self.assertRegex(text, rf"\b{code}\b")
                self.assertRegex(tests, rf"assert_fails\({code}\b|assertEqual\(.*\b{code}\b|check\(.*, {code}\b|code={code}\b")


class InputOutput(CommandLineTest):
    def test_missing_prompt_file(self):
        self.assert_fails(8, "no-such.txt", out=self.run_model("-f", "no-such.txt"))

    def test_a_folder_as_prompt_file(self):
        self.assert_fails(8, out=self.run_model("-f", self.folder))

    def test_invalid_utf8_is_located(self):
        for data, byte in ((b"caf\xe9", "byte 3"), (b"\xff", "byte 0"), (b"ok \xe4\xbd", "byte 3"), (b"\xed\xa0\x80", "byte 0")):
            with self.subTest(data):
                self.assert_fails(8, byte, "UTF-8", out=self.run_model(stdin=data))

    def test_a_full_disk(self):
        with open("/dev/full", "wb") as full:
            out = self.run_model("-p", "hello", "-n", 16, stdout=full)
        self.assertEqual(out.code, 8, out.stderr)
        self.assertIn("No space left on device", out.stderr)

    def test_help_on_a_full_disk(self):
        with open("/dev/full", "wb") as full:
            self.assertEqual(self.run_raw("--help", stdout=full).code, 8)

    def closed_pipe(self, **how):
        read, write = os.pipe()
        os.close(read)
        command = [*self.command("-p", "hello", "-n", 16, "-q")]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=write, stderr=subprocess.PIPE, timeout=TIMEOUT_S, **how)
        os.close(write)
        return done

    def test_a_closed_pipe_ends_it_silently(self):
        done = self.closed_pipe()
        self.assertIn(done.returncode, (-signal.SIGPIPE, 141))
        self.assertEqual(done.stderr, b"")

    def test_a_closed_pipe_where_sigpipe_is_ignored(self):
        done = self.closed_pipe(restore_signals=False, preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN))
        self.assertEqual(done.returncode, 141)
