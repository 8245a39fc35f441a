"""--trace: what is in the file, what it leaves alone, and how it fails."""
import json
import os

from support import CommandLineTest


class Trace(CommandLineTest):
    def trace(self, *arguments, prompt="hello", n=3):
        path = self.folder / "trace.jsonl"
        out = self.run_model("--raw", "-p", prompt, "-n", n, "--temp", 0, "--ignore-eos", "--trace", path, *arguments)
        self.assertEqual(out.code, 0, out.stderr)
        header, *lines = (json.loads(line) for line in path.read_text().splitlines())
        return header, lines, out

    def test_a_run_leaves_a_line_for_each_stage_and_position(self):
        header, lines, _ = self.trace()
        self.assertEqual((header["format"], header["version"]), ("haikuda-trace", 1))
        n_prompt, n_layers = len(header["tokens"]), header["shapes"]["n_layers"]
        n_positions = n_prompt + 2  # the third token is not computed on
        positions = lambda stage, layer=None: [x["position"] for x in lines if (x["stage"], x["layer"]) == (stage, layer)]
        for layer in range(n_layers):
            for stage in ("q", "k_rope", "attn_weights", "ffn_residual"):
                self.assertEqual(positions(stage, layer), list(range(n_positions)))
        self.assertEqual(positions("logits"), list(range(n_prompt - 1, n_positions)))
        chosen = [x["values"][0] for x in lines if x["stage"] == "sampled"]
        greatest = [x["max_id"] for x in lines if x["stage"] == "logits"]
        fed = [x["values"][0] for x in lines if x["stage"] == "tokens"]
        self.assertEqual(chosen, greatest)
        self.assertEqual(fed, header["tokens"] + chosen[:-1])

    def test_the_text_is_the_same(self):
        _, _, traced = self.trace(n=12)
        plain = self.run_model("--raw", "-p", "hello", "-n", 12, "--temp", 0, "--ignore-eos")
        self.assertEqual(traced.stdout, plain.stdout)

    def test_parts_are_chosen(self):
        _, lines, _ = self.trace("--trace-layers", "1", "--trace-positions", "0-1,3", "--trace-stages", "attn_weights,q",
                                 "--trace-values", "all", "--trace-heads", "0,2", "--ubatch-size", 2, prompt="an old pond")
        self.assertEqual({x["stage"] for x in lines}, {"attn_weights", "q"})
        self.assertEqual({x["layer"] for x in lines}, {1})
        self.assertEqual(sorted({x["position"] for x in lines}), [0, 1, 3])
        for x in lines:
            self.assertEqual(len(x["values"]), x["shape"][0] * x["shape"][1])
            if x["stage"] == "attn_weights":
                self.assertEqual(sorted(x["heads"]), ["0", "2"])
                self.assertAlmostEqual(sum(x["heads"]["2"]), 1, places=5)

    def test_bad_values(self):
        given = ["-p", "x", "-n", 1, "--trace", self.folder / "t"]
        for flags, word in ((["--trace-stages", "attention"], "attn_weights"), (["--trace-layers", "1-0"], "--trace-layers"),
                            (["--trace-positions", "x"], "--trace-positions"), (["--trace-values", "-2"], "--trace-values"),
                            (["--trace-values", "1.5"], "--trace-values"), (["--trace-heads", "0,"], "--trace-heads"),
                            (["--trace-layers", "2"], "0 to 1"), (["--trace-heads", "4"], "0 to 3"),
                            (["--num-samples", 2], "--num-samples")):
            with self.subTest(flags):
                self.assert_fails(2, word, out=self.run_model(*given, *flags))
        self.assert_fails(2, "needs --trace", out=self.run_model("-p", "x", "--trace-layers", "0"))

    def test_a_file_that_cannot_be_written(self):
        self.assert_fails(8, "/no/such", out=self.run_model("-q", "-p", "x", "-n", 1, "--trace", "/no/such/folder/t"))

    def test_a_full_disk(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("there is no /dev/full")
        out = self.run_model("-q", "-p", "x", "-n", 1, "--ignore-eos", "--trace", "/dev/full")
        self.assertEqual(out.code, 8)
        self.assertRegex(out.stderr, r"^haikuda: error: --trace: '/dev/full': write failed: [^\n]+\n$")
