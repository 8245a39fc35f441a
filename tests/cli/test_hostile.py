"""Files of strangers, each given to the executable: one line, the documented exit code, no raw byte, little memory."""
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import time

from support import TIMEOUT_S, CommandLineTest, REPOSITORY, shell_code

RAW = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
MEMORY = 1 << 30  # address space of a run
SECONDS = 20


class Hostile(CommandLineTest):
    label = "hostile"

    def run_case(self, case):
        """What the executable makes of one case."""
        arguments = [a.replace("{dir}", case["dir"]) for a in case["arguments"]]
        if arguments[:1] != ["info"]:
            arguments = ["-m", case["model"], "--device", "cpu", "-t", "1", "-c", "64", "-n", "2", "--temp", "0", "-q",
                         *arguments, *([] if "-f" in arguments else ["hello"])]
        limit = None if self.place.sanitized else lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        start = time.monotonic()
        done = subprocess.run([self.place.binary, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S,
                              preexec_fn=limit)
        return done, time.monotonic() - start

    def look_at(self, case, done, seconds):
        stderr = done.stderr.decode("utf-8", "strict")
        self.assertEqual(shell_code(done.returncode), case["code"], stderr)
        self.assertNotRegex(stderr.rstrip("\n"), RAW)
        if not self.place.sanitized:
            self.assertLess(seconds, SECONDS)
        if case["code"] == 0:
            return
        self.assertRegex(stderr, r"\Ahaikuda: error: [^\n]+\n\Z")
        self.assertIn(case["message"], stderr)
        self.assertEqual(done.stdout, b"")

    def test_every_case(self):
        folder = self.folder / "hostile"
        made = subprocess.run([self.place.maker.parent / "haikuda_write_hostile", folder], capture_output=True, check=True)
        cases = json.loads(made.stdout)
        for case in cases:
            with self.subTest(case["name"]):
                self.look_at(case, *self.run_case(case))
        shutil.rmtree(folder)
        self.assertEqual(len({case["name"] for case in cases}), len(cases))
        self.assertGreaterEqual(len(cases), 120)
        refused = sum(case["code"] != 0 for case in cases)
        self.report(f"hostile files tried: {len(cases)}, refused by name {refused}, answered {len(cases) - refused}")


class ModelsList(CommandLineTest):
    """models.txt, which scripts/fetch_model.sh reads."""
    label = "hostile"

    def fetch(self, line, *arguments):
        """Runs a copy of the script with a list of its own."""
        place = self.folder / "fetch"
        (place / "scripts").mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / "scripts" / "fetch_model.sh", place / "scripts")
        (place / "models.txt").write_bytes(line)
        models = place / "models"
        done = subprocess.run(["bash", place / "scripts" / "fetch_model.sh", *arguments], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=TIMEOUT_S, env=os.environ | {"HAIKUDA_MODELS": str(models)})
        return done, sorted(str(p.relative_to(place)) for p in place.rglob("*") if p.is_file())

    LINES = [(b"../../escape llama F16 - - MIT https://localhost:1/x\n", "../../escape"),
             (b"-rf llama F16 - - MIT https://localhost:1/x\n", "-rf"),
             (b"a/b llama F16 - - MIT https://localhost:1/x\n", "a/b"),
             (b"m llama F16 - - MIT -o/etc/passwd\n", "m"),
             (b"m llama F16 - - MIT --config=/etc/passwd\n", "m"),
             (b"m llama F16 - - MIT file:///etc/passwd\n", "m"),
             (b"m llama F16 - - MIT pypi:--index-url=http://localhost:1/==1:x\n", "m"),
             (b"m llama F16 - - MIT pypi:../../x==1:x\n", "m"),
             (b"m llama F16 1;id - MIT https://localhost:1/x\n", "m"),
             (b"m llama F16 - $(id) MIT https://localhost:1/x\n", "m"),
             (b"m llama F16 $(touch${IFS}pwned) - MIT https://localhost:1/x\n", "m"),
             (b"m llama F16\n", "m"),
             (b"m\x1b[2J llama F16 - - MIT https://localhost:1/x\n", "m\x1b[2J")]

    def test_bad_lines_are_refused(self):
        for line, name in self.LINES:
            with self.subTest(line):
                done, files = self.fetch(line, name)
                self.assertIn(done.returncode, (1, 2), done.stderr)
                self.assertIn(b"models.txt", done.stderr)
                self.assertNotIn(b"\x1b", done.stderr + done.stdout)
                self.assertEqual(files, ["models.txt", "scripts/fetch_model.sh"])
        self.report(f"hostile lines of models.txt tried: {len(self.LINES)}")

    def test_the_list_is_shown_without_control_characters(self):
        done, _ = self.fetch(b"m\x1b[2J llama F16 - - MIT https://localhost/\x1b]0;x\x07\n", "--list")
        self.assertNotRegex(done.stdout.decode("latin-1"), r"[\x00-\x09\x0b-\x1f\x7f]")
