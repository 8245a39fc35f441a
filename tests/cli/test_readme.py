"""The README's examples do what they say: its block of commands is run line by line, as a new user would paste it."""
import json
import os
import pathlib
import shutil
import subprocess

from support import CommandLineTest

PATIENCE_S = 600  # a real model on a machine that does other things too
README = pathlib.Path(__file__).resolve().parents[2] / "README.md"


def commands():
    """The lines of the first block after "## Use", without their comments."""
    block = README.read_text().split("## Use", 1)[1].split("```")[1]
    return [line.split("  #")[0].strip() for line in block.strip().splitlines()]


class Readme(CommandLineTest):
    def paste(self, line):
        """In a shell, in a repository with a change, on a machine where answers are kept short."""
        env = os.environ | {"PATH": f"{self.place.binary.parent}:{os.environ['PATH']}", "HAIKUDA_PREDICT": "12", "HAIKUDA_TEMP": "0",
                            "HAIKUDA_DEVICE": self.place.device}
        stdin = b"What is the capital of France?\n" if line.startswith("haikuda chat") else b""
        done = subprocess.run(["bash", "-o", "pipefail", "-c", line], input=stdin, capture_output=True, cwd=self.shop, env=env, timeout=PATIENCE_S)
        self.assertEqual(done.returncode, 0, f"{line}\n{done.stderr.decode()}")
        return done.stdout.decode()

    def setUp(self):
        super().setUp()
        self.need_smollm2()
        for tool in ("jq", "git"):
            if not shutil.which(tool):
                self.skipTest(f"an example needs {tool}")
        self.shop = self.folder / "shop"
        self.shop.mkdir(exist_ok=True)
        (self.shop / "list.txt").write_text("bread\n")
        for arguments in (["init", "-q"], ["add", "list.txt"]):
            subprocess.run(["git", *arguments], cwd=self.shop, check=True)
        (self.shop / "list.txt").write_text("bread\nbutter\n")

    def test_every_example_works(self):
        lines = commands()
        self.assertGreaterEqual(len(lines), 10)
        out = {}
        for line in lines:
            with self.subTest(line):
                out[line] = self.paste(line)
                if "> sum.txt" in line:
                    self.assertEqual(out[line], "")
                    out[line] = (self.shop / "sum.txt").read_text()
                self.assertTrue(out[line].strip(), "nothing was written")

        def of(words):
            (text,) = [text for line, text in out.items() if words in line]
            return text
        self.assertIn("4", of("jq -r .text"))
        self.assertNotIn("5", of("--stop"))
        self.assertGreaterEqual(of("--num-samples 4").count("\n"), 4)
        self.assertEqual(len(json.loads(of("--logprobs 5"))["logprobs"][0]["top"]), 5)
        self.assertIn("Paris", of("haikuda chat"))
        self.assertIn("llama", of("haikuda info"))
        self.assertEqual(of("tokenize"), "Hello")
        self.assertIn("which fits", of("--plan"))
