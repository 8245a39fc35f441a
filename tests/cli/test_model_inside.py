"""The model inside the executable: used when no -m is given, through the same code as the file it was made of."""
import json
import shutil
import subprocess
import time

from support import REPOSITORY, CommandLineTest

FILE = REPOSITORY / "src" / "app" / "haiku.gguf"
REQUEST = "Write a haiku about rain"
BAR_S = 0.5
N_RUNS = 20


class ModelInside(CommandLineTest):
    def setUp(self):
        super().setUp()
        if "without a model inside" in self.run_raw("info").stderr:
            self.skipTest("built with an empty HAIKUDA_MODEL_INSIDE")
        alone = self.folder / "alone"
        alone.mkdir(exist_ok=True)
        self.alone = alone / "somebody's copy"
        if not self.alone.exists():
            shutil.copy(self.place.binary, self.alone)

    def ask(self, *arguments, stdin=b""):
        """The copied executable, in an empty folder and with an empty environment."""
        done = subprocess.run([self.alone, *map(str, arguments)], input=stdin, capture_output=True, env={}, cwd=self.alone.parent, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout.decode(), done.stderr.decode()

    def test_a_copied_executable_writes_three_lines(self):
        for arguments in ([REQUEST, "-s", 1], [REQUEST, "--temp", 0], ["-p", REQUEST, "--chat", "-s", 1], ["rain", "-s", 1]):
            with self.subTest(arguments):
                poem, said = self.ask(*arguments, "--device", self.place.device)
                self.assertEqual(len([line for line in poem.splitlines() if line.strip()]), 3, poem)
                self.assertRegex(said, r"generated [1-9]\d* tokens, .* eos ")
        poem, _ = self.ask("--device", self.place.device, "-q", "-s", 1, "--chat", stdin=b"Write a haiku about a river")
        self.assertEqual(len(poem.splitlines()), 3, poem)

    def test_it_is_the_file_in_the_repository(self):
        inside, file = (json.loads(self.ask(*which, REQUEST, "--temp", 0, "--device", self.place.device, "--json")[0])
                        for which in ([], ["-m", FILE]))
        self.assertEqual(inside["text"], file["text"])
        self.assertEqual(inside["model"]["sha_header"], file["model"]["sha_header"])
        self.assertEqual(inside["model"]["file"], "the model inside")
        self.assertIn(FILE.read_bytes(), self.alone.read_bytes())

    def test_the_log_counts_its_tensors(self):
        _, said = self.ask(REQUEST, "-v", "-n", 1, "--device", self.place.device)
        self.assertRegex(said, r"model qwen2 7\.17M Q8_0, 110 of 110 tensors mapped")

    def test_every_command_means_it(self):
        device = ["--device", self.place.device]
        self.assertIn("the model inside", self.ask("info")[0])
        self.assertIn("haiku", json.loads(self.ask("info", "--json")[0])["name"])
        ids, _ = self.ask("tokenize", "-p", "soft rain falls", "--ids")
        self.assertEqual(self.ask("detokenize", stdin=ids.encode())[0], "soft rain falls")
        answers, _ = self.ask("chat", "-q", "--temp", 0, *device, stdin=b"rain\nsnow\n")
        self.assertEqual(len(answers.splitlines()), 6, answers)
        self.assertIn("the model inside", self.ask(REQUEST, "--plan", *device)[0])
        row, = json.loads(self.ask("bench", "-p", 0, "-n", 4, "-r", 1, "--no-warmup", "-o", "json", *device)[0])
        self.assertEqual(row["model_n_params"], 7169280)
        self.assertIn("healthy", self.ask("diagnose", *device)[0])

    def test_a_poem_takes_less_than_half_a_second(self):
        if self.place.sanitized or self.place.device != "cpu":
            self.skipTest("the bar is for the CPU and an optimized build")

        def seconds():
            start = time.monotonic()
            self.ask(REQUEST, "--device", "cpu")
            return time.monotonic() - start
        times = sorted(seconds() for _ in range(N_RUNS))
        self.report(f"a haiku from start to last byte: least {times[0]:.3f} s, median {times[N_RUNS // 2]:.3f} s of {N_RUNS} runs")
        self.assertLess(times[0], BAR_S)  # others may use the machine meanwhile
