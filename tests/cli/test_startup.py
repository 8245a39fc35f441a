"""What the program opens when it starts, and how long it takes."""
import resource
import subprocess
import sys

from support import REPOSITORY, CommandLineTest


class Libraries(CommandLineTest):
    """LD_DEBUG=files makes glibc's loader name each library it opens."""

    def libraries(self, *arguments):
        out = self.run_raw(*arguments, env={"LD_DEBUG": "files"})
        self.assertEqual(out.code, 0, out.stderr[-2000:])
        if "libc.so.6" not in out.stderr:
            self.skipTest("this system's loader does not say what it opens")
        return out.stderr

    def test_only_a_run_on_a_gpu_opens_cuda(self):
        for arguments in (["--help"], ["--version"], ["--man"], ["completions", "bash"], ["info", "-m", self.model],
                          ["tokenize", "-m", self.model, "hello"],
                          ["-m", self.model, "--device", "cpu", "-p", "hello", "-n", 2],
                          ["bench", "-m", self.model, "--device", "cpu", "-p", 2, "-n", 2, "-r", 1, "--no-warmup"]):
            with self.subTest(arguments):
                opened = self.libraries(*arguments)
                for library in ("libcuda", "libcublas", "libnvidia"):
                    self.assertNotIn(library, opened)


class StartUp(CommandLineTest):
    """In processor time, to which a busy machine adds less than to the time that passes; the least of some runs."""
    MOST_RUNS = 30

    def setUp(self):
        super().setUp()
        if self.place.sanitized:
            self.skipTest("a sanitizer takes time of its own")

    def assert_takes(self, most_ms, *arguments):
        times = []
        while not times or min(times) >= most_ms and len(times) < self.MOST_RUNS:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            self.assertEqual(self.run_raw(*arguments).code, 0)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3)
        self.assertLess(min(times), most_ms, f"{arguments}: {times}")

    def large_model(self):
        """1.6 GB, of which only the header is on the disk."""
        path = self.folder / "large.gguf"
        if not path.exists():
            subprocess.run([sys.executable, REPOSITORY / "scripts" / "synth_gguf.py", "qwen2.5-1.5b", "q8_0", path, "--sparse"],
                           check=True, stderr=subprocess.DEVNULL)
        self.assertGreater(path.stat().st_size, 1 << 30)
        return path

    def test_help(self):
        self.assert_takes(20, "--help")

    def test_info(self):
        self.assert_takes(50, "info", self.large_model())
        self.assert_takes(50, "info", "--json", self.large_model())

    def test_plan(self):
        plan = ["-m", self.large_model(), "--device", "cpu", "--plan"]
        self.assert_takes(50, *plan)
        self.assert_takes(50, *plan, "-p", "The capital of France is")
        self.assert_takes(50, *plan, "--json", "-f", REPOSITORY / "LICENSE")
