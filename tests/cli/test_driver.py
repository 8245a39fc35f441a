"""A driver that is missing, too old or out of order, and a GPU that this program holds no code for, on a machine without
one: a library that claims to be the driver, an executable whose CUDA runtime claims the GPU."""
import os
import subprocess

from support import CommandLineTest


class Driver(CommandLineTest):
    label = "faults"
    FLAGS = ["-p", "hello", "-n", 4, "--temp", 0]
    OLD, NEW = 11080, 99000  # CUDA 11.8, and newer than any
    # What the driver claims, and what is said of it. 100: cudaErrorNoDevice, and so on.
    CASES = [((OLD, 0), "the NVIDIA driver supports CUDA 11.8, this program was built with CUDA", "update the driver"),
             ((NEW, 100), "no CUDA-capable device is detected", "see nvidia-smi"),
             ((NEW, 101), "invalid device ordinal", "see nvidia-smi"),
             ((NEW, 802), "system not yet initialized", "see nvidia-smi"),
             ((NEW, 803), "unsupported display driver / cuda driver combination", "see nvidia-smi"),
             ((NEW, 804), "forward compatibility was attempted on non supported HW", "see nvidia-smi"),
             ((NEW, 999), "unknown error", "see nvidia-smi")]

    def setUp(self):
        super().setUp()
        self.library = self.place.maker.parent / "fake_driver" / "libcuda.so.1"
        if not self.library.exists():
            self.skipTest("this executable was built without CUDA")

    def environment(self, claim):
        path = os.environ.get("LD_LIBRARY_PATH")
        folder = str(self.library.parent)
        return {"HAIKUDA_FAKE_DRIVER": "%d,%d" % claim, "LD_LIBRARY_PATH": f"{folder}:{path}" if path else folder}

    def test_each_is_a_sentence(self):
        for claim, *words in self.CASES:
            with self.subTest(claim):
                env = self.environment(claim)
                self.assert_fails(5, *words, "--device cpu", out=self.run_model(*self.FLAGS, device="cuda", env=env))
        self.report(f"drivers of no use tried: {len(self.CASES)}, each refused with exit code 5")

    def test_without_a_driver(self):
        if any((line.split() or [""])[0] == "libcuda.so.1" for line in
               subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False).stdout.splitlines()):
            self.skipTest("this machine has a driver")
        self.assert_fails(5, "no NVIDIA driver is installed here", out=self.run_model(*self.FLAGS, device="cuda"))

    def test_the_cpu_answers_instead(self):
        want = self.run_model(*self.FLAGS, device="cpu").stdout
        for claim, *words in self.CASES:
            with self.subTest(claim):
                out = self.run_model(*self.FLAGS, device="auto", env=self.environment(claim))
                self.assertEqual((out.code, out.stdout), (0, want), out.stderr)
                self.assertEqual(out.stderr.count("haikuda: note: running on the CPU: "), 1)
                self.assertIn(words[0], out.stderr)

    def test_what_needs_no_gpu_asks_for_none(self):
        for arguments in (["--help"], ["--version"], ["info", self.model], ["-m", self.model, "-p", "x", "--plan", "--device", "cpu"],
                          ["tokenize", "-m", self.model, "x"]):
            with self.subTest(arguments):
                out = self.run_raw(*arguments, env=self.environment((self.OLD, 0)))
                self.assertEqual((out.code, out.stderr), (0, ""))


class ForeignGpu(CommandLineTest):
    label = "faults"
    FLAGS = ["-p", "hello", "-n", 4, "--temp", 0]
    # How the runtime says it: cudaErrorNoKernelImageForDevice, cudaErrorInvalidDeviceFunction, and, where there was PTX to
    # compile, cudaErrorUnsupportedPtxVersion.
    ERRORS = {209: "no kernel image is available for execution on the device", 98: "invalid device function",
              222: "the provided PTX was compiled with an unsupported toolchain"}
    REASON = "CUDA device 0: this program was not built for this GPU, of compute capability 7.5 ("

    def setUp(self):
        super().setUp()
        self.program = self.place.maker.parent / "cuda" / "haikuda_foreign_gpu"
        if not self.program.exists():
            self.skipTest("this executable was built without CUDA")

    def run_there(self, *arguments, error=209):
        command = [self.program, *map(str, arguments)]
        return self.run_command(command, env={"HAIKUDA_FOREIGN_GPU": str(error)})

    def test_is_a_sentence(self):
        for error, words in self.ERRORS.items():
            for arguments in (self.FLAGS, ["chat"], ["bench"], ["diagnose"]):
                with self.subTest((error, arguments)):
                    out = self.run_there(*arguments, "-m", self.model, "--device", "cuda", error=error)
                    self.assert_fails(5, "no usable CUDA device: " + self.REASON + words,
                                      "rebuild it with -DCMAKE_CUDA_ARCHITECTURES=native; use --device cpu", out=out)
        self.report(f"errors of a GPU that the program was not built for: {len(self.ERRORS)}, each refused with exit code 5")

    def test_the_cpu_answers_instead(self):
        want = self.run_model(*self.FLAGS, device="cpu").stdout
        out = self.run_there("-m", self.model, "--device", "auto", *self.FLAGS)
        self.assertEqual((out.code, out.stdout), (0, want), out.stderr)
        self.assertEqual(out.stderr.count("haikuda: note: running on the CPU: " + self.REASON), 1, out.stderr)

    def test_devices_lists_none(self):
        out = self.run_there("devices")
        self.assertEqual(out.code, 0, out.stderr)
        self.assertIn("no usable GPU: " + self.REASON, out.text)
