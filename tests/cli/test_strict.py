"""The strict test (haiku_test.py) fails when it has to: it is given programs that pretend to be haikuda."""
import subprocess
import sys

from support import REPOSITORY, CommandLineTest

TEST = REPOSITORY / "tests" / "cli" / "haiku_test.py"
PRETENDER = """#!{python}
import re, sys
word = re.search('the word "([^"]+)"', sys.argv[1])[1]
device = sys.argv[sys.argv.index("--device") + 1]
sys.stdout.write({poem})
sys.stderr.write({said!r})
sys.exit({code})
"""
POEM = r'f"say {word} once more\nthe child waits with computing\nthe old ghost lingers"'
SAID = "haikuda: generated 31 tokens\n"


class StrictTest(CommandLineTest):
    def judge(self, poem=POEM, said=SAID, code=0, device="cpu"):
        program = self.folder / "pretender"
        program.write_text(PRETENDER.format(python=sys.executable, poem=poem, said=said, code=code))
        program.chmod(0o755)
        return subprocess.run([sys.executable, "-O", TEST, program, device], capture_output=True, text=True, timeout=60)

    def test_it_passes_and_shows_prompt_nonce_and_poem(self):
        done = self.judge()
        self.assertEqual(done.returncode, 0, done.stdout)
        for shown in (r"prompt: Write a haiku about GPU computing that includes the word \"[a-z-]+\" \(nonce: \w{8}\)", r"nonce: \w{8}\n",
                      "31 tokens", "the old ghost lingers", "passed"):
            self.assertRegex(done.stdout, shown)

    def test_every_fault_is_a_failure(self):
        faults = {
            "no word": dict(poem=r'"a\nb\nc"'),
            "the word twice": dict(poem=POEM.replace("ghost", "{word}")),
            "the word inside of another": dict(poem=POEM.replace("{word}", "{word}-{word}")),
            "two lines": dict(poem=POEM.replace(r"\nthe old", " the old")),
            "four lines": dict(poem=POEM.replace("the old", r"the\nold")),
            "an empty line": dict(poem=POEM.replace("the old ghost lingers", " ")),
            "no tokens": dict(said=SAID.replace("31", "0")),
            "no count of tokens": dict(said="haikuda: warning\n"),
            "an exit status": dict(code=7),
            "no GPU, on the CPU": dict(code=5),
            "invalid UTF-8": dict(poem=r'"\udcff"'),
            "two devices, two poems": dict(poem=POEM.replace("once", "on {device}"), device="both"),
        }
        for name, fault in faults.items():
            with self.subTest(name):
                done = self.judge(**fault)
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertNotIn("passed", done.stdout)
