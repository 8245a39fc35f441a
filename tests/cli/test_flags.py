"""Flags of cli.md's kind that shape the prompt and the text: each does what it says, and only that."""
import json
import re

import scripted_model
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


class Limits(CommandLineTest):
    def test_fail_on_length(self):
        model = scripted_model.write(self.folder / "short.gguf", scripted_model.cut("a short text"))
        whole = self.run_model("-p", "x", "--temp", 0, "--fail-on-length", model=model)
        self.assertEqual((whole.code, whole.text), (0, "a short text"))
        for flags, form in ((["-n", 2], []), (["-c", 3], []), (["-n", 2], ["--json"]), (["-n", 2], ["--num-samples", 2])):
            with self.subTest(flags + form):
                out = self.run_model("-p", "x", "--temp", 0, "--fail-on-length", *flags, *form, model=model)
                self.assertEqual(out.code, 10)
                self.assertTrue(out.stdout, "what there is is written all the same")
                self.assertRegex(out.stderr, r"\nhaikuda: error: a text was cut by -n or the context[^\n]*\n$")
                self.assertEqual(self.run_model("-p", "x", "--temp", 0, *flags, *form, model=model).code, 0)

    def test_a_full_context_is_told(self):
        out = self.run_model("-p", "hello", "--temp", 0, "-c", 20)
        self.assertIn("note: the context of 20 tokens is full", out.stderr)
        self.assertNotIn("is full", self.greedy("-p", "hello").stderr)


class Ways(CommandLineTest):
    """Options that say how to compute hold where that is how it is done, and are refused elsewhere."""

    def test_flash_attention_and_cache_types(self):
        flash, cache = ("on", "f16") if self.place.device == "cuda" else ("off", "f32")
        want = self.greedy("-p", "hello").stdout
        self.assertEqual(self.greedy("-p", "hello", "-fa", flash, "-ctk", cache, "-ctv", cache).stdout, want)
        self.assertEqual(self.greedy("-p", "hello", "-fa", "auto").stdout, want)
        self.assert_fails(2, "--flash-attn", out=self.run_model("-p", "x", "-fa", "off" if flash == "on" else "on"))
        for option in ("-ctk", "-ctv"):
            self.assert_fails(2, "f16 on a GPU and f32 on the CPU", out=self.run_model("-p", "x", option, "q8_0"))

    def test_override_kv(self):
        self.assert_fails(2, "KEY=int:N", out=self.run_model("-p", "x", "--override-kv", "a:b"))
        self.assert_fails(3, "rope.freq_base", out=self.run_model("-p", "x", "--override-kv", "qwen2.rope.freq_base=str:x"))
        out = self.greedy("-p", "hello", "--override-kv", "tokenizer.ggml.add_bos_token=bool:true")
        self.assertEqual(out.n_prompt, self.greedy("-p", "hello").n_prompt + 1)
        plan = json.loads(self.run_model("--plan", "--json", "--override-kv", "qwen2.context_length=int:100").stdout)
        self.assertEqual(plan["n_ctx"], 100)

    def test_check_tensors(self):
        want = self.greedy("-p", "hello").stdout
        self.assertEqual(self.greedy("-p", "hello", "--check-tensors").stdout, want)
        data = bytearray(self.model.read_bytes())
        data[-4096:] = b"\xff" * 4096  # scales of Q8_0 become NaN
        path = self.folder / "nan.gguf"
        path.write_bytes(data)
        self.assert_fails(3, "nan.gguf", "NaN", out=self.run_model("-p", "x", "--check-tensors", model=path))

    def test_color(self):
        for flags, env, red in ((["--color", "on"], {}, True), (["-co", "on"], {"NO_COLOR": "1"}, True), (["--color", "off"], {"CLICOLOR_FORCE": "1"}, False),
                                (["--color", "auto"], {"CLICOLOR_FORCE": "1"}, True), ([], {}, False)):
            with self.subTest(flags + [env]):
                out = self.run_model("-p", "x", "-c", 1_000_000_000, *flags, env={"NO_COLOR": ""} | env)
                self.assertEqual((out.code, "\x1b[31m" in out.stderr), (6, red))

    def test_system_info(self):
        lines = self.run_raw("--system-info").text.splitlines()
        self.assertRegex(lines[0], r"^haikuda \d+\.\d+\.\d+, built by \w+ [\d.]+.*, (CUDA [\d.]+ for \d+|without CUDA)")
        self.assertEqual("\n".join(lines[1:]) + "\n", self.run_raw("devices").text)

    def test_what_scripts_of_llama_cpp_write_without_need(self):
        flags = ["--keep", 0, "-np", 1, "-sm", "none", "--no-warmup", "--jinja", "--reasoning-format", "none", "--no-escape"]
        self.assertEqual(self.greedy("-p", "hello", *flags).stdout, self.greedy("-p", "hello").stdout)
        self.assert_fails(2, "--keep", out=self.run_model("-p", "x", "--keep", 4))
