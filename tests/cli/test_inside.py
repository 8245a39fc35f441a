"""An executable with a model inside: each command without -m means that model."""
import json
import subprocess

from support import TIMEOUT_S, CommandLineTest


class ModelInside(CommandLineTest):
    def setUp(self):
        super().setUp()
        folder = self.place.maker.parent / "inside"
        self.inside, self.file = folder / "haikuda_with_model", folder / "tiny.gguf"
        if not self.inside.exists():
            self.skipTest("haikuda_with_model is not beside the maker of tiny models")

    def both(self, *arguments, stdin=b""):
        """What the executable with the model says without -m, and the other one with it."""
        command, options = ([arguments[0]], arguments[1:]) if arguments[0].isalpha() else ([], arguments)
        done = subprocess.run([self.inside, *command, *map(str, options)], input=stdin, capture_output=True, timeout=TIMEOUT_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        other = self.run_raw(*command, "-m", self.file, *options, stdin=stdin)
        return done.stdout.decode(), other.text.replace(str(self.file), "the model inside")

    def assert_same(self, *arguments, **how):
        got, want = self.both(*arguments, **how)
        self.assertEqual(got, want)
        self.assertTrue(got)
        return got

    def test_every_command(self):
        device = ("--device", self.place.device)
        self.assert_same("-p", "hello", "-n", 12, "--temp", 0, *device)
        self.assert_same("hello", "-n", 12, "--temp", 1, "-s", 3, *device)
        self.assert_same("info")
        self.assert_same("info", "--json", "--tensors", "--metadata")
        ids = self.assert_same("tokenize", "--ids", "hello there")
        self.assertEqual(self.assert_same("detokenize", stdin=ids.encode()), "hello there")
        self.assert_same("chat", "--temp", 0, "-n", 4, *device, stdin=b"hello\nagain\n")
        got, want = (json.loads(text) for text in self.both("--plan", "--json", "-p", "hello", "--device", "cpu"))
        for plan in (got, want):
            plan.pop("n_ctx_max")  # by the memory that is free just then
        self.assertEqual(got, want)
        record, other = (json.loads(text) for text in self.both("-p", "hello", "-n", 4, "--temp", 0, "--json", *device))
        self.assertEqual((record["tokens"], record["model"]), (other["tokens"], other["model"]))
        self.assertTrue(self.both("diagnose", "-n", 2, *device)[0].splitlines()[-1].startswith("healthy"))
        self.assertIn("| qwen2", self.both("bench", "-p", 2, "-n", 2, "-r", 1, "--no-warmup", *device)[0])

    def test_a_file_comes_before_it(self):
        other = self.place.tiny("long", "--ctx", "8000")
        out = subprocess.run([self.inside, "info", "--json", "-m", other], capture_output=True, timeout=TIMEOUT_S)
        self.assertEqual(json.loads(out.stdout)["context_length"], 8000)

    def test_an_executable_without_one(self):
        for command in ((), ("info",), ("tokenize",), ("detokenize",), ("chat",)):
            with self.subTest(command):
                out = self.run_raw(*command, *([] if command == ("info",) else ["-p", "x"] if command in ((), ("tokenize",)) else []), stdin=b"1\n")
                if out.code == 0:
                    self.skipTest("this executable has a model inside")
                self.assert_fails(2, "-m FILE", out=out)
