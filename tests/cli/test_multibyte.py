"""Text of many bytes a character, streamed token by token: whole on every way out. The model is scripted, so each text is exact."""
import json
import socket
import subprocess

import scripted_model
from support import TIMEOUT_S, CommandLineTest, Terminal

# Joined emoji, flags, skin tones; CJK; combining marks, one after another; Devanagari; Hangul jamo; right to left.
TEXT = "A👨‍👩‍👧‍👦 🇫🇷👍🏽|你好，世界。漢字|e\u0301a\u0308\u0301q\u0307\u0323|नमस्ते क्षत्रिय|\u1112\u1161\u11ab|مرحبا|z"
STOP = "界。"


class MultiByte(CommandLineTest):
    CUTS = 5

    def setUp(self):
        super().setUp()
        self.models = [scripted_model.write(self.folder / f"script-{seed}.gguf", scripted_model.cut(TEXT, seed)) for seed in range(self.CUTS)]

    def assert_whole(self, chunks, want):
        self.assertEqual("".join(chunk.decode("utf-8", "strict") for chunk in chunks), want)

    def packets(self, *arguments, model):
        """What each write to stdout held: a packet each, which pipes do not tell apart."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            process = subprocess.Popen(self.command(*arguments, model=model), stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE)
            theirs.close()
            ours.settimeout(TIMEOUT_S)
            packets = list(iter(lambda: ours.recv(1 << 20), b""))
            stderr = process.communicate(timeout=TIMEOUT_S)[1]
            self.assertEqual(process.returncode, 0, stderr)
        return packets

    def test_to_a_pipe(self):
        for model in self.models:
            for prompt in (["-p", "x"], ["x"]):
                self.assertEqual(self.greedy(*prompt, n=400, model=model).text, TEXT)

    def test_token_by_token(self):
        for model in self.models:
            packets = self.packets("-p", "x", "--temp", 0, "--stream", model=model)
            self.assert_whole(packets, TEXT)
            self.assertGreater(len(packets), 30, "the text came in few pieces")
            packets = self.packets("-p", "x", "--temp", 0, "--stream", "--stop", STOP, model=model)
            self.assert_whole(packets, TEXT[:TEXT.index(STOP)])

    def test_in_blocks_unless_asked(self):
        self.assertEqual(self.packets("-p", "x", "--temp", 0, model=self.models[0]), [TEXT.encode()])

    def test_on_a_terminal(self):
        for model in self.models:
            for stop, want in (([], TEXT), (["--stop", STOP], TEXT[:TEXT.index(STOP)])):
                terminal = Terminal(self.command("-p", "x", "--temp", 0, *stop, model=model))
                try:
                    chunks = terminal.read_all()
                    self.assertEqual(terminal.process.wait(TIMEOUT_S), 0)
                finally:
                    terminal.close()
                self.assert_whole(chunks, want + "\r\n")

    def test_as_events(self):
        for model in self.models:
            for stop, want in (([], TEXT), (["--stop", STOP], TEXT[:TEXT.index(STOP)])):
                *events, result = (json.loads(line) for line in self.greedy("-p", "x", "--jsonl", *stop, n=400, model=model).text.splitlines())
                self.assertEqual((result["text"], "".join(e["text"] for e in events)), (want, want))
                for event in events:
                    self.assertNotIn("\ufffd", event["text"])

    def test_stop_strings_that_cross_tokens(self):
        model = self.models[0]
        for at in range(0, len(TEXT) - 3, 2):
            stop = TEXT[at:at + 3]
            self.assertEqual(self.greedy("-p", "x", "--stop", stop, n=400, model=model).text, TEXT[:TEXT.index(stop)], stop)

    def test_the_prompt_too(self):
        out = self.greedy("-p", TEXT, "--echo", n=400, model=self.models[0])
        self.assertTrue(out.text.startswith(TEXT))
        ids = self.run_raw("tokenize", "-m", self.models[0], "--ids", "-p", TEXT).stdout
        self.assertEqual(self.run_raw("detokenize", "-m", self.models[0], stdin=ids).text, TEXT)
