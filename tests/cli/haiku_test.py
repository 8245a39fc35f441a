#!/usr/bin/env python3
"""The strict test: the model inside the executable writes a haiku with a word that nobody could know in advance.

    haiku_test.py HAIKUDA [cpu|cuda|both]

The word is the current minute, a random nonce stands beside it. Fails unless the poem has the word exactly once and
three lines, tokens were generated and it took under 30 s; with `both`, unless CPU and GPU write the same poem.
Exit status 1: failed; 4: this machine has no NVIDIA GPU (no device file of one), so that the GPU was not tested. With a
GPU that cannot be used the test fails.
"""
import pathlib
import re
import secrets
import string
import subprocess
import sys
import time

ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
        "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = {2: "twenty", 3: "thirty", 4: "forty", 5: "fifty"}
LIMIT_S = 30
NO_GPU = 5  # exit status of haikuda
SKIPPED = 4


def require(condition: bool, what: str) -> None:
    """Not assert, which python -O leaves out."""
    if not condition:
        print(f"FAILED: {what}", flush=True)
        sys.exit(1)


def in_words(minute: int) -> str:
    if minute < 20:
        return ONES[minute]
    tens, ones = divmod(minute, 10)
    return TENS[tens] + (f"-{ONES[ones]}" if ones else "")


def count_word(text: str, word: str) -> int:
    """Whole words only: "ten" is not in "listen", "five" not in "fifty-five"."""
    return len(re.findall(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text, re.IGNORECASE))


def machine_has_gpu() -> bool:
    return any(pathlib.Path("/dev").glob("nvidia[0-9]*")) or pathlib.Path("/dev/dxg").exists()


def write_poem(binary: str, device: str, prompt: str) -> tuple[str, int, float]:
    """The poem, the number of generated tokens and the seconds."""
    start = time.monotonic()
    run = subprocess.run([binary, prompt, "--temp", "0", "--device", device], stdin=subprocess.DEVNULL, capture_output=True,
                         timeout=2 * LIMIT_S)
    seconds = time.monotonic() - start
    said = run.stderr.decode(errors="replace")
    if device == "cuda" and run.returncode == NO_GPU and not machine_has_gpu():
        print(f"skipped: {said.strip()}")
        sys.exit(SKIPPED)
    require(run.returncode == 0, f"exit status {run.returncode}: {said}")
    tokens = re.search(r"generated (\d+) tokens", said)
    require(tokens is not None, f"no token count on stderr: {said}")
    return run.stdout.decode(), int(tokens.group(1)), seconds


def check(binary: str, device: str, prompt: str, word: str) -> str:
    poem, n_tokens, seconds = write_poem(binary, device, prompt)
    print(f"--- {device}: {n_tokens} tokens, {seconds:.2f} s\n{poem}", flush=True)
    lines = poem.strip("\n").split("\n")
    require(len(lines) == 3 and all(line.strip() for line in lines), f"expected three lines, got {len(lines)}")
    require(count_word(poem, word) == 1, f'expected the word "{word}" once, got it {count_word(poem, word)} times')
    require(n_tokens > 0, "no tokens were generated")
    require(seconds < LIMIT_S, f"took {seconds:.1f} s")
    return poem


def main() -> int:
    binary, device = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "cpu"
    word = in_words(time.localtime().tm_min)
    nonce = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(8))
    prompt = f'Write a haiku about GPU computing that includes the word "{word}" (nonce: {nonce})'
    print(f"prompt: {prompt}\nnonce: {nonce}", flush=True)
    poems = {check(binary, d, prompt, word) for d in (("cuda", "cpu") if device == "both" else (device,))}
    require(len(poems) == 1, "the CPU and the GPU wrote different poems")
    print("passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
