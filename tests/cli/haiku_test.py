#!/usr/bin/env python3
"""The strict test: the model inside the executable writes a haiku with a word that nobody could know in advance.

    haiku_test.py HAIKUDA [cpu|cuda|both]

The word is the current minute, a random nonce stands beside it. Fails unless the poem has the word exactly once and
three lines, tokens were generated and it took under 30 s; with `both`, unless CPU and GPU write the same poem.
Exit status 4: there is no GPU, so that nothing was tested.
"""
import re
import secrets
import string
import subprocess
import sys
import time

ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
        "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = {2: "twenty", 3: "thirty", 4: "forty", 5: "fifty"}
NO_GPU = 5  # exit status of haikuda
SKIPPED = 4


def in_words(minute: int) -> str:
    if minute < 20:
        return ONES[minute]
    tens, ones = divmod(minute, 10)
    return TENS[tens] + (f"-{ONES[ones]}" if ones else "")


def count_word(text: str, word: str) -> int:
    """Whole words only: "ten" is not in "listen", "five" not in "fifty-five"."""
    return len(re.findall(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text, re.IGNORECASE))


def write_poem(binary: str, device: str, prompt: str) -> tuple[str, int, float]:
    """The poem, the number of generated tokens and the seconds."""
    command = [binary, prompt, "--temp", "0", "--device", device]
    start = time.monotonic()
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    seconds = time.monotonic() - start
    if device == "cuda" and run.returncode == NO_GPU:
        print(f"skipped: {run.stderr.strip()}")
        sys.exit(SKIPPED)
    assert run.returncode == 0, f"exit status {run.returncode}: {run.stderr}"
    tokens = re.search(r"generated (\d+) tokens", run.stderr)
    assert tokens, f"no token count on stderr: {run.stderr}"
    return run.stdout, int(tokens.group(1)), seconds


def check(binary: str, device: str, prompt: str, word: str) -> str:
    poem, n_tokens, seconds = write_poem(binary, device, prompt)
    print(f"--- {device}: {n_tokens} tokens, {seconds:.2f} s\n{poem}")
    lines = [line for line in poem.strip("\n").split("\n")]
    assert len(lines) == 3 and all(line.strip() for line in lines), f"expected three lines, got {len(lines)}"
    assert count_word(poem, word) == 1, f"expected the word \"{word}\" once, got {count_word(poem, word)}"
    assert n_tokens > 0, "no tokens were generated"
    assert seconds < 30, f"took {seconds:.1f} s"
    return poem


def main() -> int:
    binary, device = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "cpu"
    word = in_words(time.localtime().tm_min)
    nonce = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(8))
    prompt = f'Write a haiku about GPU computing that includes the word "{word}" (nonce: {nonce})'
    print(f"prompt: {prompt}\nnonce: {nonce}")
    poems = {check(binary, d, prompt, word) for d in (("cuda", "cpu") if device == "both" else (device,))}
    assert len(poems) == 1, "the CPU and the GPU wrote different poems"
    print("passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
