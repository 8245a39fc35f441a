"""Records for programs: --json, --jsonl, --logprobs, --num-samples, --plan."""
import base64
import hashlib
import json
import math
import pathlib

from support import CommandLineTest

SCHEMA = pathlib.Path(__file__).resolve().parents[2] / "src" / "app" / "result.schema.json"


def validator():
    try:
        import jsonschema
    except ImportError:
        return None
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


class JsonTest(CommandLineTest):
    def lines(self, *arguments, **how):
        out = self.run_model("-p", "hello", *arguments, **how)
        self.assertEqual(out.code, 0, out.stderr)
        return [json.loads(line) for line in out.stdout.decode("utf-8", "strict").splitlines()]

    def record(self, *arguments, **how):
        records = self.lines("--json", *arguments, **how)
        self.assertEqual(len(records), 1)
        return records[0]


class Json(JsonTest):
    def test_the_record_says_what_the_text_does(self):
        out = self.run_model("-p", "hello", "-n", 20, "-s", 5, "--temp", 2)
        record = self.record("-n", 20, "-s", 5, "--temp", 2)
        self.assertEqual(record["text"], out.text)
        self.assertEqual((record["schema"], record["seed"], record["finish_reason"], record["stop"]), (1, 5, "length", None))
        self.assertEqual((len(record["tokens"]), record["prompt_tokens"]), (20, out.n_prompt))
        self.assertEqual(record["model"]["arch"], "qwen2")
        self.assertEqual(record["model"]["quant"], "Q8_0")
        self.assertEqual(record["sampler"]["temp"], 2)
        itl = record["timings"]["itl_ms"]
        self.assertTrue(0 < itl["p50"] <= itl["p90"] <= itl["p99"])
        self.assertGreaterEqual(record["timings"]["ttft_ms"], record["timings"]["prefill_ms"])

    def test_reasons(self):
        self.assertEqual(self.record("-n", 3, "--temp", 0)["finish_reason"], "length")
        self.assertEqual(self.record("-c", 20, "--temp", 0)["finish_reason"], "context")
        text = self.record("-n", 20, "--temp", 0)["text"]
        record = self.record("-n", 20, "--temp", 0, "--stop", text[3:6])
        self.assertEqual((record["finish_reason"], record["stop"]), ("stop", text[3:6]))
        self.assertEqual(record["text"], text[:text.index(text[3:6])])

    def test_what_tells_runs_and_models_apart(self):
        records = [*self.lines("--json", "-n", 1, "--num-samples", 2), self.record("-n", 1)]
        self.assertEqual(len({r["id"] for r in records}), 3)
        info = json.loads(self.run_raw("info", self.model, "--json").stdout)
        header = self.model.read_bytes()[:info["header_bytes"]]
        self.assertEqual({r["model"]["sha_header"] for r in records}, {hashlib.sha256(header).hexdigest()})
        n_padding = info["bytes"] - info["header_bytes"] - sum(t["bytes"] for t in info["types"])
        self.assertIn(n_padding, range(32 * info["tensor_count"]), "the tensors' data is what follows the header")

    def test_a_failure_has_a_record_too(self):
        data = bytearray(self.model.read_bytes())
        data[-4096:] = b"\xff" * 4096  # scales of Q8_0 become NaN
        path = self.folder / "damaged.gguf"
        path.write_bytes(data)
        for form in ("--json", "--jsonl"):
            out = self.run_model("-p", "hello", "-n", 4, form, model=path)
            self.assertEqual(out.code, 7)
            record = json.loads(out.stdout.splitlines()[-1])
            self.assertEqual((record["finish_reason"], record["error"]["code"]), ("error", 7))
            self.assertIn(record["error"]["message"], out.stderr)
            if check := validator():
                check.validate(record)

    def test_greedy_has_no_seed(self):
        self.assertIsNone(self.record("-n", 2, "--temp", 0)["seed"])

    def test_nothing_generated(self):
        record = self.record("-n", 0)
        self.assertEqual((record["text"], record["tokens"], record["timings"]["itl_ms"], record["timings"]["ttft_ms"]), ("", [], None, None))

    def test_bytes_that_are_not_utf8(self):
        n_with_bytes = 0
        for seed in range(6):
            record = self.record("-n", 40, "--temp", 50, "--top-k", 0, "--top-p", 1, "--min-p", 0, "-s", seed)
            if "bytes" not in record:
                continue
            n_with_bytes += 1
            data = base64.b64decode(record["bytes"], validate=True)
            self.assertRaises(UnicodeDecodeError, data.decode, "utf-8")
            self.assertEqual(data.decode("utf-8", "replace"), record["text"])
        self.assertGreater(n_with_bytes, 0, "no seed gave invalid UTF-8")

    def test_into_a_file(self):
        path = self.folder / "record.json"
        out = self.run_model("-p", "hello", "-n", 4, "--json", "-o", path)
        self.assertEqual((out.code, out.stdout), (0, b""))
        self.assertEqual(len(json.loads(path.read_text())["tokens"]), 4)


class JsonLines(JsonTest):
    def check_events(self, *flags):
        *events, result = self.lines("--jsonl", *flags)
        self.assertEqual(result["type"], "result")
        self.assertEqual("".join(e["text"] for e in events), result["text"])
        tokens = [e for e in events if e["type"] == "token"]
        self.assertEqual([e["id"] for e in tokens], result["tokens"])
        self.assertEqual([e["index"] for e in tokens], list(range(len(tokens))))
        return result

    def test_events_then_the_result(self):
        result = self.check_events("-n", 12, "--temp", 0)
        self.assertEqual(result["text"], self.greedy("-p", "hello", n=12).text)

    def test_whole_characters_and_no_stop_string(self):
        for seed in range(6):
            flags = ["-n", 40, "--temp", 50, "--top-k", 0, "--top-p", 1, "--min-p", 0, "-s", seed]
            flags.append("--ignore-eos")
            text = self.check_events(*flags)["text"]
            result = self.check_events(*flags, "--stop", text[8:11])
            self.assertEqual((result["finish_reason"], result["stop"]), ("stop", text[8:11]))
            self.assertEqual(result["text"], text[:text.index(text[8:11])])

    def test_emoji_arrive_whole(self):
        result = self.lines("-p", "🍕🎉🍕🎉🍕🎉🍕🎉🍕🎉", "-n", 24, "--temp", 0, "--jsonl", model=self.need_smollm2())[-1]
        self.assertNotIn("\ufffd", result["text"][:-1])


class LogProbs(JsonTest):
    def test_they_are_probabilities(self):
        record = self.record("-n", 6, "-s", 2, "--temp", 2, "--logprobs", 400)
        self.assertEqual([p["id"] for p in record["logprobs"]], record["tokens"])
        for position in record["logprobs"]:
            values = [p["lp"] for p in position["top"]]
            self.assertEqual(values, sorted(values, reverse=True))
            self.assertLessEqual(sum(map(math.exp, values)), 1 + 1e-9)
            self.assertLessEqual(position["lp"], values[0])

    def test_k(self):
        for k in (0, 1, 5):
            self.assertEqual({len(p["top"]) for p in self.record("-n", 4, "--temp", 0, "--logprobs", k)["logprobs"]}, {k})

    def test_the_token_taken_first_is_the_likeliest_when_greedy(self):
        for position in self.record("-n", 6, "--temp", 0, "--logprobs", 1)["logprobs"]:
            self.assertEqual((position["id"], position["lp"]), (position["top"][0]["id"], position["top"][0]["lp"]))

    def test_events_carry_them(self):
        events = self.lines("--jsonl", "-n", 4, "--logprobs", 2)
        self.assertTrue(all(len(e["logprobs"]["top"]) == 2 for e in events if e["type"] == "token"))


class Samples(JsonTest):
    def test_each_is_the_run_with_its_seed(self):
        records = self.lines("--json", "-n", 12, "-s", 7, "--temp", 2, "--num-samples", 3)
        self.assertEqual([(r["sample"], r["seed"]) for r in records], [(0, 7), (1, 8), (2, 9)])
        for record in records:
            self.assertEqual(self.record("-n", 12, "-s", record["seed"], "--temp", 2)["tokens"], record["tokens"])
        self.assertNotEqual(records[0]["tokens"], records[1]["tokens"])

    def test_as_text_a_newline_ends_each(self):
        texts = [r["text"] for r in self.lines("--json", "-n", 6, "-s", 7, "--num-samples", 2)]
        self.assertEqual(self.run_model("-p", "hello", "-n", 6, "-s", 7, "--num-samples", 2).text, "".join(t + "\n" for t in texts))


class Schema(JsonTest):
    def test_every_line_is_valid(self):
        check = validator()
        if check is None:
            self.skipTest("python3-jsonschema validates the records")
        wild = ["--temp", 50, "--top-k", 0, "--top-p", 1, "--min-p", 0, "-s", 1]
        for flags in (["-n", 0], ["-n", 1], ["-n", 30, *wild], ["-n", 8, "--logprobs", 3], ["-n", 8, "--temp", 0, "--num-samples", 2],
                      ["-n", 30, *wild, "--stop", "a", "--stop", "e"], ["-l", "5-inf", "-n", 3]):
            for form in ("--json", "--jsonl"):
                with self.subTest([form, *flags]):
                    for line in self.lines(form, *flags):
                        check.validate(line)

    def test_it_refuses_what_is_no_record(self):
        check = validator()
        if check is None:
            self.skipTest("python3-jsonschema validates the records")
        record = self.record("-n", 2)
        for wrong in ({**record, "schema": 2}, {**record, "finish_reason": "tired"}, {k: v for k, v in record.items() if k != "text"}):
            self.assertFalse(check.is_valid(wrong))


class PlanTest(JsonTest):
    def test_what_a_run_would_need(self):
        plan = json.loads(self.run_model("--plan", "--json", "-p", "hello", "-c", 100).stdout)
        self.assertEqual((plan["schema"], plan["n_ctx"], plan["fits"]), (1, 100, True))
        self.assertEqual(plan["prompt_tokens"], self.greedy("-p", "hello", n=1).n_prompt)
        self.assertEqual(plan["total_bytes"], plan["weights_bytes"] + plan["kv_bytes"] + plan["scratch_bytes"])
        double = json.loads(self.run_model("--plan", "--json", "-c", 200).stdout)
        self.assertEqual(double["kv_bytes"], 2 * plan["kv_bytes"])
        self.assertIsNone(double["prompt_tokens"])

    def test_what_does_not_fit(self):
        out = self.run_model("--plan", "-c", 1_000_000_000)
        self.assertEqual(out.code, 6, out.stderr)
        self.assertIn("does not fit", out.text)
        self.assertEqual(self.run_model("--plan", "-c", 3, "-p", "hello there you").code, 9)
