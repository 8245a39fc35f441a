"""diagnose: verdicts, exit codes, comparisons and the report."""
import json
import re
import struct

from support import CommandLineTest


class Diagnose(CommandLineTest):
    def diagnose(self, *arguments, model=None):
        return self.run_raw("diagnose", "-m", model or self.model, "--device", self.place.device, *arguments)

    def sick_model(self):
        """The tiny model with a norm epsilon of 0.5 in its metadata."""
        data = bytearray(self.model.read_bytes())
        key = b"qwen2.attention.layer_norm_rms_epsilon"
        at = data.index(key) + len(key) + 4
        data[at : at + 4] = struct.pack("<f", 0.5)
        path = self.folder / "sick.gguf"
        path.write_bytes(data)
        return path

    def test_a_healthy_model(self):
        out = self.diagnose("-p", "an old pond", "-n", 4)
        self.assertEqual(out.code, 0, out.text)
        self.assertIn("good sign  KV cache  earlier entries never change", out.text)
        self.assertIn("tokens of a prompt, 4 decoded", out.text)
        self.assertRegex(out.text.splitlines()[-1], r"^healthy: \d+ checks, ")
        self.assertNotIn("red flag", out.text)

    def test_a_sick_model(self):
        out = self.diagnose("-n", 2, model=self.sick_model())
        self.assertEqual(out.code, 10)
        self.assertIn("red flag   file", out.text)
        self.assertRegex(out.text.splitlines()[-1], r"^not healthy: attn_norm of layer 0: .*epsilon")

    def test_json(self):
        out = self.diagnose("-n", 2, "--json", "--against", "cpu")
        record = json.loads(out.text)
        self.assertTrue(record["healthy"])
        self.assertEqual(record["decoded_tokens"], 2)
        self.assertEqual(len(record["error_by_layer"]), 2)
        self.assertEqual({v["verdict"] for v in record["verdicts"] if v["group"] != "output"}, {"good sign"})

    def test_against_another_file(self):
        out = self.diagnose("-n", 2, "--against", self.model, model=self.sick_model())
        self.assertEqual(out.code, 10)
        self.assertRegex(out.text, r"attn_norm of layer 0, position 0: parts from \S+tiny.gguf here first")
        self.assertIn("error of the residual by layer", out.text)

    def test_against_a_trace(self):
        trace = self.folder / "good.jsonl"
        self.run_model("--raw", "-p", "an old pond", "-n", 3, "--temp", 0, "--ignore-eos", "--trace", trace)
        out = self.diagnose("--against", trace)
        self.assertEqual(out.code, 0, out.text)
        self.assertIn("2 decoded", out.text)
        out = self.diagnose("--against", trace, model=self.sick_model())
        self.assertIn("parts from", out.text)

    def test_a_report(self):
        page = self.folder / "report.html"
        out = self.diagnose("-n", 2, "-p", "<script>&", "--report", page)
        self.assertEqual(out.code, 0, out.text)
        html = page.read_text()
        self.assertNotIn("<script", html)
        self.assertNotIn("http", html.replace(str(self.model), ""))

    def test_attention_of_chosen_heads(self):
        page = self.folder / "report.html"

        def maps(*arguments):
            self.assertEqual(self.diagnose("-n", 1, "--report", page, *arguments).code, 0)
            return [tuple(map(int, place)) for place in re.findall(r"<figcaption>layer (\d+), head (\d+)<", page.read_text())]

        self.assertEqual(maps(), [(layer, head) for layer in (0, 1) for head in (0, 2, 3)])
        self.assertEqual(maps("--report-heads", "1,3"), [(0, 1), (0, 3), (1, 1), (1, 3)])
        self.assertEqual(maps("--report-layers", "1", "--report-heads", "all"), [(1, head) for head in range(4)])

    def test_bad_usage(self):
        other = self.place.tiny("three", "--layers", "3")
        for arguments, code, word in ((["--against", self.folder / "no"], 8, "cannot read"),
                                      (["--against", __file__], 8, "no JSON object"),
                                      (["--against", other], 2, "another shape"),
                                      (["-p", ""], 2, "--prompt"), (["-n", "0"], 2, "--predict"),
                                      (["--report", "/no/such/folder/r"], 8, "/no/such"),
                                      (["--report-heads", "0"], 2, "--report-heads needs --report"),
                                      (["--report", "r", "--report-heads", "4"], 2, "--report-heads: head 4 does not exist"),
                                      (["--report", "r", "--report-layers", "0-2"], 2, "layer 2 does not exist"),
                                      (["--report", "r", "--report-layers", "x"], 2, "--report-layers: 'x'")):
            with self.subTest(arguments):
                self.assert_fails(code, word, out=self.diagnose(*arguments))
