"""A command at a terminal: what it says, when, and what stays on the screen."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


class Screen:
    """A command at a terminal of so many columns: what it said, and when."""

    def __init__(self, *words: str, cwd: Path, columns: int, code: int = 0) -> None:
        parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
        start = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=cwd, env=environment | {"PYTHONPATH": str(ROOT), "TERM": "xterm"},
            stdout=child, stderr=child, stdin=child, close_fds=True,
        )  # fmt: skip
        os.close(child)
        output, self.times = b"", list[float]()
        try:
            while chunk := os.read(parent, 65536):
                self.times.append(time.monotonic() - start)
                output += chunk
        except OSError:  # Linux's way to say that the other end is closed
            output += b""
        finally:
            os.close(parent)
        assert process.wait(timeout=120) == code, output.decode()
        self.raw = output.decode()

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.raw)

    @property
    def left(self) -> list[str]:
        """The lines that stay."""
        return left(self.raw)


def left(said: str) -> list[str]:
    """Return the lines that stay on a terminal's screen: what is erased is gone."""
    lines, at, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[a-zA-Z]|\r|\n|[^\x1b\r\n]+", said):
        if part == "\n":
            at, column = at + 1, 0
            lines += [""] * (at == len(lines))
        elif part == "\r":
            column = 0
        elif part == "\x1b[1A":
            at -= 1
        elif part == "\x1b[2K":
            lines[at] = ""
        elif part[0] != "\x1b":
            lines[at] = lines[at].ljust(column)[:column] + part + lines[at][column + len(part) :]
            column += len(part)
    return lines
