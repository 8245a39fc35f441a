"""haikuda bench: rows, formats, baseline and plot. No time is asserted."""
import csv
import io
import json
import pathlib
import re
import xml.etree.ElementTree

from support import CommandLineTest

SCHEMA = pathlib.Path(__file__).resolve().parents[2] / "src" / "app" / "bench" / "bench.schema.json"
FAST = ["-r", "2", "--no-warmup"]


class Bench(CommandLineTest):
    def bench(self, *arguments, code=0, **how):
        out = self.run_raw("bench", "-m", self.model, "--device", self.place.device, *FAST, *arguments, **how)
        self.assertEqual(out.code, code, out.stderr)
        return out

    def rows(self, *arguments, **how):
        return json.loads(self.bench("-o", "json", *arguments, **how).text)

    def test_json_is_what_the_schema_says(self):
        rows = self.rows("-p", "6", "-n", "3", "-pg", "4,2", "-d", "0,5")
        self.assertEqual([r["test"] for r in rows], ["pp6", "tg3", "pp4+tg2", "pp6 @ d5", "tg3 @ d5", "pp4+tg2 @ d5"])
        for row in rows:
            self.assertEqual((len(row["samples_ns"]), len(row["samples_ts"]), row["n_warmup"]), (2, 2, 0))
            self.assertEqual(len(row["greedy_tokens"]), 32)
            self.assertTrue(row["avg_ns"] > 0 and row["device_read_gb_per_s"] > 0)
        self.assertEqual(rows[0]["greedy_hash"], rows[-1]["greedy_hash"])
        try:
            import jsonschema
        except ImportError:
            return
        schema = json.loads(SCHEMA.read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        for row in rows:
            jsonschema.Draft202012Validator(schema).validate(row)

    def test_every_key_of_the_schema_is_required_and_written(self):
        schema = json.loads(SCHEMA.read_text())["$defs"]["row"]
        self.assertEqual(schema["required"], [k for k in schema["required"] if k in schema["properties"]])
        self.assertEqual(set(self.rows("-p", "2", "-n", "0")[0]), set(schema["required"]))
        self.assertEqual(set(schema["properties"]), set(schema["required"]))

    def test_two_runs_compute_the_same_tokens(self):
        first, second = (self.rows("-p", "0", "-n", str(n))[0]["greedy_tokens"] for n in (2, 5))
        self.assertEqual(first, second)

    def test_markdown_has_llama_bench_columns(self):
        out = self.bench("-p", "6", "-n", "3").text
        lines = out.splitlines()
        self.assertRegex(lines[0], r"^\| model +\| +size \| +params \| backend +\| +(threads|ngl) \| +test \| +t/s \|$")
        self.assertRegex(lines[2], r"\| +pp6 \| +[\d.]+ ± [\d.]+ \|$")
        self.assertRegex(lines[3], r"\| +tg3 \| +[\d.]+ ± [\d.]+ \|$")
        self.assertIn("chosen (greedy) and detokenized", out)
        self.assertRegex(out, r"32 greedy tokens fnv1a64:[0-9a-f]{16}")

    def test_csv_and_jsonl_have_the_same_rows(self):
        table = list(csv.DictReader(io.StringIO(self.bench("-p", "6", "-n", "3", "-o", "csv").text)))
        lines = [json.loads(line) for line in self.bench("-p", "6", "-n", "3", "-o", "jsonl").text.splitlines()]
        self.assertEqual([r["test"] for r in table], [r["test"] for r in lines])
        self.assertEqual([r["n_prompt"] for r in table], ["6", "0"])
        self.assertEqual(set(lines[0]) - set(table[0]), {"samples_ns", "samples_ts", "greedy_tokens"})

    def test_lists_and_ranges(self):
        rows = self.rows("-p", "1-4*2,6", "-p", "8-12+2", "-n", "0")
        self.assertEqual([r["n_prompt"] for r in rows], [1, 2, 4, 6, 8, 10, 12])

    def test_e2e(self):
        expected = json.loads(self.run_raw("tokenize", "-m", self.model, "--ids", "hello there").stdout)
        text = self.folder / "text.txt"
        text.write_text("hello there\n")
        for arguments, how in ((["--e2e", "hello there"], {}), (["-f", text], {}), (["-f", "-"], {"stdin": b"hello there\n"})):
            with self.subTest(arguments):
                row, = self.rows(*arguments, "-n", "4", **how)
                self.assertEqual((row["test"], row["e2e"]), (f"e2e {len(expected)}+4", True))
                self.assertGreater(row["ttft_ms"], 0)

    def test_baseline(self):
        old = self.folder / "old.json"
        rows = self.rows("-p", "6", "-n", "3")
        for row in rows:
            row["samples_ts"] = [1e-3]
        old.write_text(json.dumps(rows))
        out = self.bench("-p", "6", "-n", "3", "--baseline", old, "--fail-below", "95")
        self.assertIn("baseline", out.text)
        self.assertEqual(out.stderr, "")
        for row in rows:
            row["samples_ts"] = [1e9] if row["n_gen"] else [1e-3]
            row["greedy_hash"] = "fnv1a64:0000000000000000"
        old.write_text(json.dumps(rows))
        self.bench("-p", "6", "-n", "3", "--baseline", old)
        out = self.bench("-p", "6", "-n", "3", "--baseline", old, "--fail-below", "95", code=10)
        self.assertIn("greedy tokens are not the baseline's", out.stderr)
        self.assertRegex(out.stderr, r"error: slower than the baseline \(--fail-below 95 %\): tg3: [\d.]+ tokens/s, 0\.0 % of 1000000000")
        self.assertNotIn("pp6:", out.stderr)
        self.assertIn("tg3", out.text)  # the rows are printed all the same

    def test_a_baseline_that_does_not_fit(self):
        old = self.folder / "other.json"
        run = ["-p", "6", "-n", "0", "--baseline", old]
        rows = self.rows("-p", "6", "-n", "0")
        for key, value, words in (("model_type", "llama 7B", "another model"), ("n_prompt", 7, "has no row pp6"),
                                  ("backends", "Metal", "was measured on Metal")):
            with self.subTest(key):
                old.write_text(json.dumps([{**rows[0], key: value}]))
                self.assert_fails(2, words, "other.json", out=self.bench(*run, code=2))
        old.write_text("no json")
        self.assert_fails(2, "haikuda bench -o json", out=self.bench(*run, code=2))
        old.unlink()
        self.assert_fails(8, "other.json", out=self.bench(*run, code=8))

    def test_plot(self):
        plot = self.folder / "plot.svg"
        self.bench("-p", "6", "-n", "3", "-d", "0,8", "--plot", plot)
        root = xml.etree.ElementTree.parse(plot).getroot()
        self.assertTrue(root.tag.endswith("svg"))
        words = {e.text for e in root.iter() if e.tag.endswith("text")}
        self.assertTrue({"Generation, tokens/s", "Prompts, tokens/s", "Roofline, FLOP/s", "tg3", "pp6"} <= words, words)
        self.assertNotRegex(plot.read_text(), "nan|inf|href|url\\(")

    def test_refusals(self):
        for arguments, words in ((["-p", "0", "-n", "0"], ["nothing to measure"]), (["-p", "x"], ["'x'", "list"]),
                                 (["-p", "4-1"], ["never ends"]), (["-p", "-1"], ["-p"]), (["-pg", "5"], ["P,N"]),
                                 (["--fail-below", "90"], ["--baseline"]), (["--e2e", "a", "-p", "4"], ["--e2e"]),
                                 (["--e2e", "a", "-f", "b"], ["not both"]), (["-o", "sql"], ["md, csv, json, jsonl"])):
            with self.subTest(arguments):
                self.assert_fails(2, *words, out=self.bench(*arguments, code=2))

    def test_progress_and_warm_up(self):
        out = self.run_raw("bench", "-m", self.model, "--device", self.place.device, "-p", "6", "-n", "0", "-r", "1", "--progress", "-o", "jsonl")
        self.assertEqual(out.code, 0, out.stderr)
        self.assertEqual(out.stderr, "haikuda: 1 of 1: pp6\n")
        self.assertGreaterEqual(json.loads(out.text)["n_warmup"], 2)

    def test_help_lists_its_options(self):
        text = self.run_raw("bench", "--help").text
        for option in ("--n-prompt", "--n-gen", "--prompt-gen", "--n-depth", "--e2e", "--baseline", "--fail-below", "--plot"):
            self.assertTrue(re.search(rf"{option}\b", text), option)
