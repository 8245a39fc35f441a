"""The command lines that the interface was designed by: bytes on stdout, the last line on stderr and the exit code, with pipes
and with terminals on both streams."""
import json
import os
import pty
import select
import signal
import subprocess

import scripted_model
from support import TIMEOUT_S, CommandLineTest, shell_code

ANSWER = "Paris. The capital of Germany is Berlin."
STATS = r"haikuda: load [\d.]+ s · prompt \d+ tokens, [\d.]+ tokens/s · generated \d+ tokens, [\d.]+ tokens/s · {} · greedy · .*"
ERROR = "haikuda: error: {}"


class Streams:
    """Two terminals, one for each stream, read until both are closed."""

    def __init__(self, command, stdin, env):
        self.shown = [b"", b""]
        pairs = [pty.openpty() for _ in range(2)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL, stdout=pairs[0][1],
                                        stderr=pairs[1][1], env=env)
        self.ours = [ours for ours, _ in pairs]
        for _, theirs in pairs:
            os.close(theirs)
        if stdin is not None:
            with self.process.stdin as pipe:
                pipe.write(stdin)  # short, so that it fits into the pipe

    def read(self):
        left = set(self.ours)
        while left:
            ready = select.select(list(left), [], [], TIMEOUT_S)[0]
            if not ready:
                raise TimeoutError("nothing came from the terminals")
            for descriptor in ready:
                try:
                    data = os.read(descriptor, 65536)
                except OSError:  # how Linux says that the other side was closed
                    data = b""
                self.shown[self.ours.index(descriptor)] += data
                if not data:
                    left.discard(descriptor)
                    os.close(descriptor)
        code = shell_code(self.process.wait(TIMEOUT_S))
        return [shown.replace(b"\r\n", b"\n") for shown in self.shown], code


class Invocations(CommandLineTest):
    def setUp(self):
        super().setUp()
        self.model = scripted_model.write(self.folder / "q.gguf", scripted_model.cut(ANSWER))
        self.tiny = self.place.tiny()

    def check(self, arguments, stdout, last, code, stdin=None, env=None):
        """`last`: what the last line on stderr matches; None: there is none. `arguments` as they are typed after haikuda."""
        arguments = list(map(str, arguments))
        with self.subTest(arguments):
            out = self.run_raw(*arguments, stdin=stdin, env=env)
            self.assert_outcome(out.stdout, out.stderr, out.code, stdout, last, code)
            environment = os.environ | {"TERM": "xterm", "NO_COLOR": "1"} | (env or {})
            (shown, told), shown_code = Streams([self.place.binary, *arguments], stdin, environment).read()
            ended = stdout if not stdout or stdout.endswith(b"\n") else stdout + b"\n"
            self.assert_outcome(shown, told.decode(), shown_code, ended, last, code)

    def assert_outcome(self, stdout, stderr, code, want_stdout, last, want_code):
        self.assertEqual(code, want_code, stderr)
        self.assertEqual(stdout, want_stdout)
        if last is None:
            self.assertEqual(stderr, "")
        else:
            self.assertTrue(stderr.endswith("\n"))
            self.assertRegex(stderr.splitlines()[-1], rf"\A{last}\Z")

    def on(self, *arguments, model=None):
        return ["-m", model or self.model, "--device", self.place.device, *arguments]

    def test_text(self):
        answer = ANSWER.encode()
        capital = ["-p", "The capital of France is", "--temp", "0"]
        first = self.run_raw(*self.on(*capital, "-n", 5)).stdout
        self.assertTrue(first and answer.startswith(first))
        self.check(self.on(*capital, "-n", 5), first, STATS.format("length"), 0)
        self.check(self.on(*capital), answer, STATS.format("eos"), 0)
        self.check(self.on("What is it?", "--temp", 0), answer, STATS.format("eos"), 0)
        self.check(self.on("--temp", 0, "-q", "Summarize"), answer, None, 0, stdin=b"a diff\n")
        self.check(self.on(*capital, "--stop", "Germany"), answer[:answer.index(b"Germany")], STATS.format("stop"), 0)

    def test_a_text_typed_where_a_request_may_be_meant(self):
        def told(*arguments):
            return Streams([self.place.binary, *map(str, self.on(*arguments, "--temp", 0))], None, os.environ | {"TERM": "xterm"}).read()[0][1]
        self.assertIn(b"note: the text is completed as it stands; --chat", told("-p", "y"))
        for arguments in (["y"], ["-p", "y", "--raw"], ["-p", "y", "-q"], ["-p", "y", "--chat"]):
            self.assertNotIn(b"as it stands", told(*arguments))
        self.assertEqual(self.run_raw(*self.on("-p", "y", "--no-stats")).stderr, "")

    def test_into_a_file(self):
        path = self.folder / "msg.txt"
        with open(path, "wb") as file:
            done = subprocess.run([self.place.binary, *map(str, self.on("--temp", 0, "-sys", "Be brief.", "Write a commit message"))], input=b"diff\n",
                                  stdout=file, stderr=subprocess.PIPE, timeout=TIMEOUT_S)
        self.assertEqual((done.returncode, path.read_bytes()), (0, ANSWER.encode()))

    def test_records(self):
        out = self.run_raw(*self.on("-f", "-", "--json", "-n", 4, "--temp", 0), stdin=b"some text\n")
        record = json.loads(out.stdout)
        self.assertEqual((out.code, record["finish_reason"], record["prompt_tokens"]), (0, "length", 9))
        self.assertGreater(record["timings"]["gen_tps"], 0)
        self.assertTrue(ANSWER.startswith(record["text"]))

    def test_tools(self):
        ids = json.dumps([self.letter(c) for c in "Hello\n"]).encode() + b"\n"
        self.check(["tokenize", "-m", self.model, "--ids"], ids, None, 0, stdin=b"Hello\n")
        self.check(["detokenize", "-m", self.model], b"Hello\n", None, 0, stdin=ids)
        info = json.loads(self.run_raw("info", self.model, "--json").stdout)
        self.assertEqual((info["arch"], info["quant"], info["context_length"]), ("qwen2", "F32", 4096))
        bench = self.run_raw("bench", *self.on("-p", 8, "-n", 4, "-r", 2, "--no-warmup")).text
        self.assertRegex(bench, r"(?m)^\| qwen2 [^|]*\|.*\| +pp8 \| +[\d.]+ ± [\d.]+ \|$")

    def letter(self, c):
        return int(self.run_raw("tokenize", "-m", self.model, "--ids", "-p", c).text[1:-2])

    def test_into_head(self):
        """Under pipefail a shell shows 141."""
        unending = scripted_model.write(self.folder / "round.gguf", scripted_model.cut(ANSWER), eos=False)
        line = " ".join(f"'{word}'" for word in [self.place.binary, *self.on("-p", "x", "-n", -1, "--temp", 0, model=unending)])
        done = subprocess.run(["bash", "-o", "pipefail", "-c", f"{line} | head -c 20"], stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (141, ANSWER[:20].encode(), b""))

    def test_ctrl_c(self):
        unending = scripted_model.write(self.folder / "round.gguf", scripted_model.cut(ANSWER), eos=False)
        process = subprocess.Popen([self.place.binary, *map(str, self.on("-p", "x", "-n", -1, "--temp", 0, "--stream", model=unending))],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with process:
            first = process.stdout.read(10)
            process.send_signal(signal.SIGINT)
            rest, stderr = process.communicate(timeout=TIMEOUT_S)
        self.assertEqual((process.returncode, first), (130, ANSWER[:10].encode()))
        self.assertRegex(stderr.decode(), rf"\A{STATS.format('interrupted')}\n\Z")

    def test_models_that_cannot_be_used(self):
        cut = self.folder / "cut.gguf"
        cut.write_bytes(self.tiny.read_bytes()[:-100])
        mamba = self.folder / "mamba.gguf"
        mamba.write_bytes(self.tiny.read_bytes().replace(b"qwen2", b"mamba"))
        text = self.folder / "README.md"
        text.write_text("# A title\n" * 10)
        for model, last, code in (("nope.gguf", r"cannot open model 'nope.gguf': .*", 3), (text, r".*README.md.*GGUF.*", 3),
                                  (cut, r".*cut.gguf.*tensor.*", 3), (mamba, r".*mamba.*llama.*qwen2.*", 4)):
            self.check(self.on("-p", "x", model=model), b"", ERROR.format(last), code)

    def test_a_type_that_is_not_supported(self):
        data = bytearray(self.tiny.read_bytes())
        name = b"blk.0.ffn_up.weight"
        at = data.index(name) + len(name) + 4 + 2 * 8
        data[at:at + 4] = (16).to_bytes(4, "little")  # IQ2_XXS
        path = self.folder / "type.gguf"
        path.write_bytes(data)
        self.check(self.on("-p", "x", model=path), b"", ERROR.format(r".*(16|IQ2_XXS).*blk\.0\.ffn_up\.weight.*|.*blk\.0\.ffn_up\.weight.*(16|IQ2_XXS).*"), 4)

    def test_what_does_not_fit(self):
        book = self.folder / "book.txt"
        book.write_text("It was a dark and stormy night.\n" * 30)
        self.check(self.on("-f", book, model=self.tiny), b"", ERROR.format(r"the prompt has \d+ tokens, the context holds 512; raise -c.*--truncate.*"), 9)
        self.check(self.on("-p", "x", "-c", 1_000_000_000), b"", ERROR.format(r"a context of 1000000000 needs .*; the largest -c that fits is \d+"), 6)

    def test_no_gpu(self):
        self.check(["-m", self.model, "-p", "x", "--device", "cuda"], b"", ERROR.format(r".*CUDA.*--device cpu.*"), 5, env={"CUDA_VISIBLE_DEVICES": ""})
        self.check(["-m", self.model, "-p", "y", "--device", "auto", "--temp", "0"], ANSWER.encode(), STATS.format("eos"), 0, env={"CUDA_VISIBLE_DEVICES": ""})

    def test_usage(self):
        for flags, last in ((["-p", "x", "--temp", "nan"], r"--temp: 'nan' is not a number from 0 to 100.*"),
                            (["-p", "x", "--temp", "inf"], r"--temp: 'inf' is not a number.*"),
                            (["--top_kk", "3", "-p", "x"], r"unknown option --top-kk; did you mean --top-k\?.*"),
                            (["-p", "x", "-jf", "bad.json"], r"-jf is not supported: .*")):
            self.check(self.on(*flags), b"", ERROR.format(last), 2)
        ours, theirs = pty.openpty()  # on a terminal it does not wait for a prompt
        done = subprocess.run([self.place.binary, *map(str, self.on())], stdin=theirs, capture_output=True, timeout=TIMEOUT_S)
        os.close(theirs)
        os.close(ours)
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertRegex(done.stderr.decode(), r"\Ahaikuda: error: no prompt; .*--help\n\Z")

    def test_input_and_output(self):
        self.check(self.on(), b"", ERROR.format(r"the prompt is not valid UTF-8 at byte 3 \(0xe9\); .*iconv.*--lossy-utf8"), 8, stdin=b"caf\xe9")
        with open("/dev/full", "wb") as full:
            out = self.run_raw(*self.on("-p", "y"), stdout=full)
        self.assertEqual((out.code, out.stderr.splitlines()[-1]), (8, "haikuda: error: write to standard output failed: No space left on device"))
