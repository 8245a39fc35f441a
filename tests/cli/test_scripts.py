"""The scripts that measure: model files of real shapes, rows and bars. On the CPU with tiny models."""
import json
import os
import pathlib
import subprocess
import sys

from support import CommandLineTest

TIMEOUT_S = 400  # many runs
SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"


def run(*command, env=None):
    return subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S,
                          env=None if env is None else os.environ | env)


class SynthGguf(CommandLineTest):
    # Type of the file -> types of its matrices; the embedding is tied, so it is the output matrix too.
    TYPES = {"f32": {"F32"}, "f16": {"F16", "F32"}, "bf16": {"BF16", "F32"}, "q4_0": {"Q4_0", "F32"}, "q5_0": {"Q5_0", "F32"},
             "q8_0": {"Q8_0", "F32"}, "q4_k": {"Q4_K", "F32"}, "q5_k": {"Q5_K", "F32"}, "q6_k": {"Q6_K", "F32"},
             "q4_k_m": {"Q4_K", "Q6_K", "F32"}}

    def make(self, kind, *flags):
        path = self.folder / f"synth-{kind}.gguf"
        done = run(sys.executable, SCRIPTS / "synth_gguf.py", "tiny", kind, path, *flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        return path

    def test_every_type_generates(self):
        for kind, types in self.TYPES.items():
            with self.subTest(kind):
                path = self.make(kind, "--layers", 2)
                info = json.loads(self.run_raw("info", path, "--json").stdout)
                self.assertEqual({t["type"] for t in info["types"]}, types)
                out = self.greedy("-p", "0123456789", "--json", n=8, model=path)
                self.assertEqual((json.loads(out.stdout)["prompt_tokens"], out.n_generated), (10, 8))

    def test_the_same_seed_gives_the_same_file(self):
        first = self.make("q8_0").read_bytes()
        self.assertEqual(self.make("q8_0").read_bytes(), first)
        self.assertNotEqual(self.make("q8_0", "--seed", 2).read_bytes(), first)

    def test_the_mixture_is_that_of_llama_quantize(self):
        sys.path.insert(0, str(SCRIPTS))
        import synth_gguf
        sizes = {}
        for t in synth_gguf.list_tensors(synth_gguf.SHAPES["qwen2.5-0.5b"], "q4_k_m"):
            sizes[t.kind] = sizes.get(t.kind, 0) + t.n_bytes
        # 896 columns are no multiple of 256, so that most of a real Q4_K_M file of this model is Q5_0 and Q8_0.
        self.assertEqual({k: round(v / 1e6) for k, v in sizes.items()}, {"q8_0": 146, "q5_0": 173, "q6_k": 43, "q4_k": 29, "f32": 0})
        kinds = {t.name: t.kind for t in synth_gguf.list_tensors(synth_gguf.SHAPES["qwen2.5-7b"], "q4_k_m")}
        self.assertEqual((kinds["token_embd.weight"], kinds["output.weight"], kinds["blk.0.attn_q.weight"]), ("q4_k", "q6_k", "q4_k"))
        more = [int(n.split(".")[1]) for n, k in kinds.items() if n.endswith("ffn_down.weight") and k == "q6_k"]
        self.assertEqual(more, [0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27])

    def test_weights_are_what_the_gguf_package_reads(self):
        try:
            import gguf
        except ImportError:
            self.skipTest("the Python package gguf reads the files")
        for kind in self.TYPES:
            with self.subTest(kind):
                for t in gguf.GGUFReader(self.make(kind)).tensors:
                    if len(t.shape) < 2:
                        continue
                    values = gguf.dequantize(t.data, t.tensor_type)
                    self.assertLess(abs(values.mean()), 1e-3)
                    self.assertAlmostEqual(values.std(), 0.02, delta=1e-3)


class BenchScripts(CommandLineTest):
    def test_bench_h200_on_the_cpu(self):
        out = self.folder / "bench-out"
        done = run(SCRIPTS / "bench_h200.sh", "--build", self.place.binary.parent, "--out", out, "--device", "cpu", "--small")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        table = [line for line in done.stdout.splitlines() if line.startswith("| ")]
        self.assertEqual(len(table), 1 + 12 + 1)  # its head, the rows, the whole process
        self.assertTrue(all("| - |" in line for line in table[1:]))  # no bars
        self.assertIn("0.5B Q8_0: 3 runs, all equal", done.stdout)
        self.assertIn("0.5B F16: 16 greedy tokens as on the CPU", done.stdout)
        self.assertEqual(len(list(out.glob("*-tg.json"))), 3)  # the two shapes are one when they are small
        self.assertEqual(len(list(out.glob("*-pp.json"))), 3)

    def test_usage(self):
        self.assertEqual(run(SCRIPTS / "bench_h200.sh", "--fast").returncode, 2)
        self.assertEqual(run(SCRIPTS / "bench_h200.sh", "--build", self.folder / "nowhere").returncode, 2)
        self.assertEqual(run(SCRIPTS / "profile.sh").returncode, 2)
        self.assertEqual(run(SCRIPTS / "profile.sh", "trace", "m.gguf").returncode, 2)

    def test_verdicts(self):
        sys.path.insert(0, str(SCRIPTS))
        import bench_rows
        place = type("Place", (), {"has_bars": True})
        row, process = bench_rows.ROWS[0], bench_rows.WHOLE_PROCESS
        self.assertEqual([bench_rows.verdict(place, row, v) for v in (2399, 2400, 3299, 3300)], ["BELOW", "must", "must", "aim"])
        self.assertEqual([bench_rows.verdict(place, process, v, less_is_better=True) for v in (0.61, 0.6, 0.48)], ["BELOW", "must", "aim"])
        place.has_bars = False
        self.assertEqual(bench_rows.verdict(place, row, 1), "-")
        self.assertEqual(bench_rows.bench_arguments(["tg128 @ d256", "tg128 @ d16384"]), ["-p", 0, "-n", "128", "-d", "256,16384"])
        self.assertEqual(bench_rows.bench_arguments(["pp512", "pp2048"]), ["-p", "512,2048", "-n", 0])
        self.assertEqual([bench_rows.first_difference(a, b) for a, b in (([1, 2], [1, 2]), ([1, 2], [1, 3]), ([1], [1, 2]))], [None, 1, 1])
        small = {"model_size": 1000, "kv_bytes": 100, "device_bytes": 300_000_000 + 1155}
        self.assertTrue(bench_rows.is_memory_ok(small))
        self.assertFalse(bench_rows.is_memory_ok({**small, "device_bytes": small["device_bytes"] + 1}))

    def test_profile_prints_its_command(self):
        done = run(SCRIPTS / "profile.sh", "kernel", "gemv", "m.gguf", env={"DRY_RUN": "1", "HAIKUDA": "prog"})
        self.assertRegex(done.stdout, r"^ncu .*--kernel-name regex:gemv .* prog bench -m m\.gguf --device cuda -r 1 --no-warmup -p 0 -n 16 -d 256 $")
        done = run(SCRIPTS / "profile.sh", "timeline", "m.gguf", "-p", "512", "-n", "0", env={"DRY_RUN": "1", "HAIKUDA": "prog"})
        self.assertRegex(done.stdout, r"^nsys profile .* prog bench -m m\.gguf .* -p 512 -n 0 $")

    def test_compare_builds(self):
        programs = []
        for name, speed in (("fast", 101), ("slow", 100), ("broken", 0)):
            row = json.dumps([{"model_filename": "m.gguf", "test": "tg8", "median_ts": speed}])
            program = self.folder / name
            program.write_text(f"#!/bin/sh\necho \"$@\" >>{self.folder}/calls\nprintf '%s' '{row}'\nexit {0 if speed else 3}\n")
            program.chmod(0o755)
            programs.append(program)
        fast, slow, broken = programs
        compare = SCRIPTS / "compare_builds.py"
        done = run(compare, "--rounds", 6, fast, slow, "--", "-p", 0)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("ratio 1.0100 (1.0100 to 1.0100), 6 rounds: differs", done.stdout)
        self.assertEqual((self.folder / "calls").read_text(), "bench -p 0 -o json\n" * 12)
        self.assertIn("within noise", run(compare, "--rounds", 6, slow, slow, "--").stdout)
        self.assertEqual(run(compare, fast, broken, "--").returncode, 2)
        self.assertEqual(run(compare, "--rounds", 5, fast, slow, "--").returncode, 2)


class Mutations(CommandLineTest):
    def test_each_mistake_can_still_be_planted(self):
        sys.path.insert(0, str(SCRIPTS.parent / "tests"))
        import mutations
        for name, file, old, *_ in mutations.MUTATIONS:
            self.assertEqual((mutations.ROOT / file).read_text().count(old), 1, name)
