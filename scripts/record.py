#!/usr/bin/env python3
"""Runs commands in a terminal and draws what came, when it came, as an SVG picture that plays once.

    scripts/record.py OUT.svg COMMAND...       e.g. scripts/record.py scripts/haiku.svg 'haikuda "Write a haiku about rain"'

Each COMMAND is run by bash with build/ first on the PATH. A line appears when the terminal had received it, so the picture's
speed is the program's; where nothing plays (printed, or motion is unwanted) all of it is there. Needs Python 3 alone.
"""
import html
import os
import pathlib
import pty
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLUMNS = 100
READING_S = 1.2  # between the end of a command and the next one
CHAR_PX, LINE_PX, MARGIN_PX = 8.4, 20, 16
STYLE = """text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre;fill:#1f2328}
.ground{fill:#f6f8fa;stroke:#d0d7de}.command{font-weight:600;fill:#0550ae}.note{fill:#57606a}
@keyframes wait{from{opacity:0}to{opacity:0}}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ground{fill:#0d1117;stroke:#30363d}.command{fill:#79c0ff}.note{fill:#8b949e}}
@media(prefers-reduced-motion:reduce){text{animation:none!important}}"""


def record(command):
    """Lines, each after the seconds from the start to its end."""
    ours, theirs = pty.openpty()
    env = os.environ | {"PATH": f"{ROOT / 'build'}:{os.environ['PATH']}", "TERM": "dumb"}
    start = time.monotonic()
    process = subprocess.Popen(["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    lines, text = [], ""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # how Linux says that the other side was closed
            break
        if not chunk:
            break
        *ended, text = (text + chunk.decode().replace("\r", "")).split("\n")
        lines += [(time.monotonic() - start, line) for line in ended]
    if process.wait() != 0 or text:
        sys.exit(f"record: {command} ended with {process.returncode}, and with {text!r} after {lines}")
    return lines


class Picture:
    def __init__(self):
        self.rows = []  # of seconds, text, class

    def write(self, at, line, kind):
        """A line longer than the terminal is wrapped."""
        self.rows += [(at, line[i:i + COLUMNS], kind) for i in range(0, max(1, len(line)), COLUMNS)]

    def run(self, at, command):
        """Adds a command and what it wrote; returns the time of its end."""
        if self.rows:
            self.write(at, "", "")
        self.write(at, f"$ {command}", "command")
        at += 0.4
        for seconds, line in record(command):
            self.write(at + seconds, line, "note" if line.startswith("haikuda: ") else "text")
        return at + seconds

    def svg(self, title):
        width, height = round(2 * MARGIN_PX + COLUMNS * CHAR_PX), 2 * MARGIN_PX + len(self.rows) * LINE_PX
        texts = [f'<text x="{MARGIN_PX}" y="{MARGIN_PX + row * LINE_PX + 14}" class="{kind}" style="animation:wait {at:.2f}s">'
                 f"{html.escape(line, quote=False)}</text>" for row, (at, line, kind) in enumerate(self.rows) if line]
        return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
                          f"<title>{html.escape(title)}</title>", f"<style>{STYLE}</style>",
                          f'<rect class="ground" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>', *texts, "</svg>"]) + "\n"


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    out, *commands = sys.argv[1:]
    picture, at = Picture(), 0.3
    for command in commands:
        at = picture.run(at, command) + READING_S
    pathlib.Path(out).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(out).write_text(picture.svg("A recording of a terminal: " + "; ".join(commands)), encoding="utf-8")


if __name__ == "__main__":
    main()
