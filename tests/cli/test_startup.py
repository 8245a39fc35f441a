"""What is opened when the program starts. LD_DEBUG=files makes glibc's loader name each library it opens."""
from support import CommandLineTest


class Libraries(CommandLineTest):
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
