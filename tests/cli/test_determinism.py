"""The same executable, device, flags and seed give the same bytes."""
from support import CommandLineTest


class Determinism(CommandLineTest):
    label = "determinism"
    RUNS = 20
    LONG = "The quick brown fox jumps over the lazy dog. " * 4
    WAYS = {"greedy": ["--temp", 0], "sampled": ["--temp", 1.5, "-s", 7],
            "mirostat": ["--mirostat", 2, "-s", 7],
            "penalties and dry": ["--temp", 2, "-s", 7, "--dry-multiplier", 1, "--repeat-penalty", 1.2]}

    def text(self, *flags):
        out = self.run_model("-p", self.LONG, "-n", 24, "--ignore-eos", "-q", *(["-t", 1] if "-t" not in flags else []), *flags)
        self.assertEqual(out.code, 0, out.stderr)
        self.assertTrue(out.stdout)
        return out.stdout

    def test_twenty_runs(self):
        n = 0
        for name in ("greedy", "sampled"):
            with self.subTest(name):
                texts = {self.text(*self.WAYS[name]) for _ in range(self.RUNS)}
                self.assertEqual(len(texts), 1)
                n += self.RUNS
        self.report(f"runs compared: {n}, greedy and sampled, all equal")

    def test_threads_and_chunks(self):
        """The CPU promises it for any; a GPU with --deterministic for any chunk."""
        threads = [1, 2, 3] if self.place.device == "cpu" else [2]
        n = 0
        for name, flags in self.WAYS.items():
            want = self.text(*flags, "--deterministic")
            for n_threads in threads:
                for chunk in ((1, 1), (7, 3)):
                    with self.subTest(name, threads=n_threads, chunk=chunk):
                        got = self.text(*flags, "--deterministic", "-t", n_threads, "-b", chunk[0], "-ub", chunk[1])
                        self.assertEqual(got, want)
                        n += 1
        self.report(f"numbers of threads and chunk sizes compared: {n}, all equal")

    def test_a_sample_does_not_depend_on_those_before_it(self):
        several = self.text("--temp", 2, "-s", 5, "--num-samples", 3)
        for i in range(3):
            self.assertIn(self.text("--temp", 2, "-s", 5 + i), several)

    def test_the_flag_changes_nothing_on_the_cpu(self):
        if self.place.device == "cpu":
            for flags in self.WAYS.values():
                self.assertEqual(self.text(*flags), self.text(*flags, "--deterministic"))
