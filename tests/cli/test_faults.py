"""What goes wrong outside the program while it runs: files, streams, signals, limits."""
import os
import random
import resource
import shutil
import signal
import subprocess
import time

from support import TIMEOUT_S, CommandLineTest, shell_code

SEED = 20240607


class Faults(CommandLineTest):
    label = "faults"
    ENDLESS = ["-p", "hello", "-n", 100000, "--ignore-eos", "--temp", 1, "-s", 1, "-t", 1, "--stream"]

    def start(self, *arguments, model=None, **how):
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
        process = subprocess.Popen(self.command(*arguments, model=model), start_new_session=True, bufsize=0, **how)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def finish(self, process, timeout=TIMEOUT_S):
        stdout, stderr = process.communicate(timeout=timeout)
        return stdout, stderr.decode(), shell_code(process.returncode)

    def running(self, model, *more):
        """A process that has begun to write and would not end soon."""
        process = self.start(*self.ENDLESS, "-c", 100000, *more, model=model)
        self.first = process.stdout.read(1)
        self.assertTrue(self.first)
        return process

    def copy_of_model(self, name):
        return shutil.copy(self.place.tiny("endless", "--ctx", "100000", "--layers", "4"), self.folder / name)


class ModelFaults(Faults):
    """The model's file, before and during a run."""

    def test_truncated_while_it_runs(self):
        path = self.copy_of_model("truncated.gguf")
        process = self.running(path)
        os.truncate(path, 1000)
        _, stderr, code = self.finish(process)
        self.assertEqual(code, 3, stderr)
        self.assertRegex(stderr, r"\Ahaikuda: error: [^\n]*changed[^\n]*\n\Z")

    def test_overwritten_while_it_runs(self):
        path = self.copy_of_model("overwritten.gguf")
        process = self.running(path, "-q")
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) // 2)
            file.write(b"\x01" * 4096)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        stdout, stderr, code = self.finish(process)
        self.assertIn(code, (3, 7), stderr)  # 7: the new weights gave no numbers
        self.assertRegex(stderr, r"\Ahaikuda: error: [^\n]+\n\Z")
        (self.first + stdout).decode("utf-8", "strict")

    def test_deleted_moved_or_replaced_while_it_runs(self):
        def replace(path):
            other = self.folder / "other.gguf"
            other.write_bytes(b"no model")
            os.replace(other, path)

        flags = ["-p", "hello", "-n", 300, "--ignore-eos", "--temp", 1, "-s", 1, "-c", 1000, "--stream", "-t", 1]
        want = self.run_model(*flags, model=self.copy_of_model("kept.gguf")).stdout
        for name, change in (("deleted", os.remove), ("moved", lambda p: os.rename(p, p.with_suffix(".away"))),
                             ("replaced", replace)):
            with self.subTest(name):
                path = self.copy_of_model(f"{name}.gguf")
                process = self.start(*flags, model=path)
                first = process.stdout.read(1)
                change(path)
                stdout, stderr, code = self.finish(process)
                self.assertEqual((code, first + stdout), (0, want), stderr)

    def test_what_is_no_readable_file(self):
        os.mkfifo(self.folder / "fifo.gguf")
        os.symlink("loop.gguf", self.folder / "loop.gguf")
        locked = self.copy_of_model("locked.gguf")
        os.chmod(locked, 0)
        for name in ("fifo.gguf", "loop.gguf", ".", "/dev/null", "/dev/zero", "/proc/self/mem", "/proc/self/mem/x"):
            with self.subTest(name):
                self.assert_fails(3, out=self.run_model("-p", "x", model=self.folder / name))
        if os.geteuid() != 0:
            self.assert_fails(3, "Permission denied", out=self.run_model("-p", "x", model=locked))

    def test_the_mount_vanishes(self):
        """Lazily, as when a disk is pulled out of an automounter: what is open stays, what comes later finds nothing."""
        alone = ["unshare", "--user", "--map-root-user", "--mount"]
        mount = self.folder / "mount"
        mount.mkdir()
        go = self.folder / "go"
        script = """mount -t tmpfs -o size=64m haikuda "$1" && cp "$2" "$1/m.gguf" || exit 99
            model=$1/m.gguf go=$3; shift 3
            "$@" -m "$model" & while kill -0 $! 2>/dev/null && ! [ -e "$go" ]; do sleep 0.01; done
            umount -l "${model%/*}"; wait $!; first=$?
            "$@" -m "$model" >/dev/null; echo "$first $?" >"$go" """
        flags = ["-p", "hello", "-n", 300, "--ignore-eos", "--temp", 1, "-s", 1, "-c", 1000, "--stream", "-t", 1, "-q"]
        binary, _, _, *device = self.command()
        want = self.run_model(*flags, model=self.copy_of_model("steady.gguf")).stdout
        process = subprocess.Popen([*alone, "bash", "-c", script, "bash", mount, self.folder / "steady.gguf", go, binary, *device, *map(str, flags)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        self.addCleanup(self.end, process)
        first = process.stdout.read(1)
        if not first:
            _, stderr, _ = self.finish(process)
            self.assertRegex(stderr, "unshare: |mount: ")
            self.skipTest(f"this system lets nobody mount: {stderr}")
        go.touch()
        stdout, stderr, _ = self.finish(process)
        self.assertEqual((go.read_text(), first + stdout), ("0 3\n", want), stderr)
        self.assertRegex(stderr, r"\Ahaikuda: error: [^\n]*m\.gguf[^\n]*\n\Z")

    def test_a_read_error_in_a_prompt_file(self):
        # Its first page is never mapped, so the read fails.
        self.assert_fails(8, "/proc/self/mem", "Input/output error", out=self.run_model("-f", "/proc/self/mem"))

    def test_two_processes_on_one_file(self):
        flags = ["-p", "hello", "-n", 40, "--temp", 0, "-t", 1]
        want = self.run_model(*flags).stdout
        both = [self.start(*flags) for _ in range(2)]
        for process in both:
            stdout, stderr, code = self.finish(process)
            self.assertEqual((code, stdout), (0, want), stderr)


class StreamFaults(Faults):
    """Streams that are full, closed or missing, and surroundings that lack what is usual."""

    FLAGS = ["-p", "hello", "-n", 8, "--temp", 0, "-t", 1]

    def test_full_outputs(self):
        for arguments in (self.FLAGS + ["-o", "/dev/full"], self.FLAGS + ["--json", "-o", "/dev/full"],
                          self.FLAGS + ["--jsonl", "-o", "/dev/full"], self.FLAGS + ["--stream", "-o", "/dev/full"]):
            with self.subTest(arguments):
                out = self.run_model("-q", *arguments)
                self.assert_fails(8, "/dev/full", "No space left on device", out=out)
        with open("/dev/full", "wb") as full:
            for arguments in (["--help"], ["--man"], ["info", self.model], ["tokenize", "-m", self.model, "x"]):
                with self.subTest(arguments):
                    self.assertEqual(self.run_raw(*arguments, stdout=full).code, 8)

    def test_outputs_that_cannot_be_opened(self):
        for path in (self.folder, "/no/such/folder/out.txt", "/proc/version"):
            with self.subTest(path):
                self.assert_fails(8, str(path), out=self.run_model("-q", *self.FLAGS, "-o", path))

    def test_stderr_that_is_full_or_closed_changes_nothing(self):
        want = self.run_model(*self.FLAGS).stdout
        with open("/dev/full", "wb") as full:
            stdout, _ = self.start(*self.FLAGS, stderr=full).communicate(timeout=TIMEOUT_S)
        self.assertEqual(stdout, want)
        out = self.folder / "not-for-messages.txt"
        process = self.start(*self.FLAGS, "-v", "-o", out, preexec_fn=lambda: os.close(2))
        self.assertEqual(shell_code(process.wait(TIMEOUT_S)), 0)
        self.assertEqual(out.read_bytes(), want)

    def test_closed_stdout(self):
        process = self.start(*self.FLAGS, "-q", preexec_fn=lambda: os.close(1))
        _, stderr, code = self.finish(process)
        self.assertEqual(code, 8)
        self.assertRegex(stderr, r"\Ahaikuda: error: write to standard output failed: [^\n]+\n\Z")

    def test_closed_stdin(self):
        want = self.run_model(*self.FLAGS).stdout
        stdout, stderr, code = self.finish(self.start(*self.FLAGS, preexec_fn=lambda: os.close(0)))
        self.assertEqual((code, stdout), (0, want), stderr)
        _, stderr, code = self.finish(self.start("-q", preexec_fn=lambda: os.close(0)))
        self.assertEqual(code, 8)
        self.assertRegex(stderr, r"\Ahaikuda: error: [^\n]*stdin[^\n]*\n\Z")

    def test_all_streams_closed(self):
        process = self.start(*self.FLAGS, preexec_fn=lambda: os.closerange(0, 3))
        self.assertEqual(shell_code(process.wait(TIMEOUT_S)), 8)

    def test_a_reader_that_leaves(self):
        process = self.start(*self.ENDLESS, "-q")
        self.assertTrue(process.stdout.read(1))
        process.stdout.close()
        self.assertEqual(shell_code(process.wait(TIMEOUT_S)), 141)
        self.assertEqual(process.stderr.read(), b"")

    def test_surroundings_that_lack_something(self):
        want = self.run_model(*self.FLAGS).stdout
        for name, how in (("read-only folder", {"cwd": "/proc"}), ("no HOME", {"env": {"PATH": "/usr/bin"}}),
                          ("nothing in the environment", {"env": {}}), ("HOME that is no folder", {"env": {"HOME": "/dev/null"}}),
                          ("another locale", {"env": {"LC_ALL": "tr_TR.UTF-8"}})):
            with self.subTest(name):
                stdout, stderr, code = self.finish(self.start(*self.FLAGS, **how))
                self.assertEqual((code, stdout), (0, want), stderr)
        gone = self.folder / "gone"
        gone.mkdir()
        process = self.start(*self.FLAGS, preexec_fn=lambda: (os.chdir(gone), os.rmdir(gone)))
        self.assertEqual(self.finish(process)[0], want)


class MemoryFaults(Faults):
    """Less memory than a run needs. Not with a sanitizer, which needs terabytes of address space."""

    def setUp(self):
        super().setUp()
        if self.place.sanitized:
            self.skipTest("a sanitizer has an address space of its own")
        if self.place.device == "cuda":
            self.skipTest("CUDA's driver ends under such limits before our own memory does; haikuda_cuda_tests has the GPU's")

    def limited(self, mebibytes, *arguments):
        limit = (mebibytes << 20, mebibytes << 20)
        return self.finish(self.start("-q", *arguments, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit)))

    def binary_size(self):
        return os.path.getsize(self.place.binary)

    def test_a_context_that_cannot_be_had(self):
        out = self.run_model("-p", "x", "-q", "-c", 1_000_000_000)
        self.assert_fails(6, "a context of 1000000000 needs", "the largest -c that fits is", out=out)

    def test_the_named_context_fits_and_a_larger_one_does_not(self):
        stdout, stderr, code = self.limited(400, "-p", "x", "-t", 1, "-c", 50_000_000)
        self.assertEqual((stdout, code), (b"", 6), stderr)
        largest = int(stderr.rsplit(" ", 1)[1])
        _, stderr, code = self.limited(400, "-p", "x", "-t", 1, "-n", 1, "-c", largest)
        self.assertEqual(code, 0, stderr)
        _, stderr, code = self.limited(400, "-p", "x", "-t", 1, "-n", 1, "-c", 3 * largest)
        self.assertEqual(code, 6, stderr)

    def test_any_limit_ends_in_an_answer_or_in_exit_code_6(self):
        codes = []
        loads = 12 + (self.binary_size() >> 20)  # with less there is no room for the executable itself
        for mebibytes in [*range(loads, loads + 48, 2), loads + 100, loads + 200]:
            stdout, stderr, code = self.limited(mebibytes, "-p", "hello", "-n", 2, "-c", 64, "-t", 2)
            if code == 127 or "error while loading shared libraries" in stderr:
                continue
            codes.append(code)
            self.assertIn(code, (0, 6), f"{mebibytes} MiB: {stderr}")
            if code == 6:
                self.assertRegex(stderr, r"\Ahaikuda: error: [^\n]+\n\Z")
        self.assertIn(0, codes)
        self.assertIn(6, codes)
        self.report(f"limits of the address space tried: {len(codes)}, exit 6 in {codes.count(6)}")

    def test_no_more_threads(self):
        if os.geteuid() == 0:
            self.skipTest("root has no limit of processes")
        process = self.start("-q", "-p", "x", "-t", 64, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NPROC, (1, 1)))
        _, stderr, code = self.finish(process)
        self.assertEqual(code, 6, stderr)


class SignalFaults(Faults):
    """SIGINT and SIGTERM at any time: the loader, the parser, the prompt, the text."""

    RUNS = 200

    def test_at_random_times(self):
        random_times = random.Random(SEED)
        model = self.copy_of_model("signals.gguf")
        flags = ["-p", "hello " * 60, "-n", 60, "--temp", 2, "-c", 2000]
        begin = time.monotonic()
        self.assertEqual(self.run_model(*flags, "-s", 0, "-t", 1, model=model).code, 0)
        whole = time.monotonic() - begin  # of a run that nobody interrupts
        codes = {}
        for run in range(self.RUNS):
            number = random_times.choice((signal.SIGINT, signal.SIGTERM))
            process = self.start(*flags, "-s", run, "-t", 1 + run % 2, model=model)
            # Most fall into the first moments, where the program loads.
            time.sleep(random_times.random() ** 2 * whole)
            process.send_signal(number)
            stdout, stderr, code = self.finish(process)
            with self.subTest(run=run, signal=number):
                self.assertIn(code, (0, 128 + number), stderr)
                stdout.decode("utf-8", "strict")
                self.assertNotIn("error", stderr)
                with self.assertRaises(ProcessLookupError):  # nobody is left of its process group
                    os.killpg(process.pid, 0)
            codes[code] = codes.get(code, 0) + 1
        self.report(f"runs interrupted at random times: {self.RUNS}, exit codes {dict(sorted(codes.items()))}")

    def test_a_second_signal_ends_it_at_once(self):
        process = self.running(self.copy_of_model("twice.gguf"))
        for _ in range(50):
            process.send_signal(signal.SIGINT)
        self.assertEqual(self.finish(process, timeout=TIMEOUT_S)[2], 130)
