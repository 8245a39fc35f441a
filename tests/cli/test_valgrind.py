"""The main job, under valgrind."""
import shutil

from support import CommandLineTest


class Valgrind(CommandLineTest):
    label = "sanitizers"
    CHECK = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=definite,indirect,possible",
             "--errors-for-leak-kinds=definite,indirect"]
    RUNS = [["-p", "hello", "-t", 1], ["hello", "-t", 2, "--temp", 1, "-s", 1, "--json", "--logprobs", 3]]

    def test_the_main_job(self):
        if self.place.sanitized or not shutil.which("valgrind"):
            self.skipTest("an executable with a sanitizer, or no valgrind here")
        for flags in self.RUNS:
            with self.subTest(flags):
                command = [*self.CHECK, *self.command("-n", 4, "-c", 64, *flags, device="cpu")]
                out = self.run_command(command)
                self.assertEqual(out.code, 0, out.stderr)
                self.assertNotRegex(out.stderr, r"(?m)^==\d+==")
        self.report(f"runs under valgrind: {len(self.RUNS)}, without an error or a leak")
