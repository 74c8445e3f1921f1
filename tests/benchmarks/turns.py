"""Whole programs that take turns on the machine, and what each of them does in its turns.

Machines are shared and their speed changes within seconds, so that times of one program after the other mean little.
Here all programs are started, and all but one are stopped (SIGSTOP) at any moment; what they say on their output is
stamped as it comes. Only ratios of neighbouring turns mean something.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Thread

import psutil

SECONDS_BETWEEN_LOOKS = 0.25


@dataclass
class Mark:
    """A training batch that a program has finished.

    Attributes:
        epoch: Two marks of the same epoch have nothing but training between them.
        at: `time.monotonic()`.
    """

    epoch: int
    images: int
    at: float


@dataclass
class Program:
    """A command that is given turns.

    Attributes:
        mark: What a line of its output says: epoch and images of a batch, or None.
        rates: Training images/s of each turn; None where it had no three batches of one epoch.
        seconds: Of all its turns: what the whole process would take alone.
        memory: Most bytes that its processes took, pages that they share counted once (PSS).
        code: Exit status; None while it runs.
    """

    command: Sequence[str]
    mark: Callable[[str], tuple[int, int] | None]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    rates: list[float | None] = field(default_factory=list)
    seconds: float = 0.0
    memory: int = 0
    code: int | None = None
    said: list[str] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    started: "subprocess.Popen[str] | None" = None

    def turn(self, seconds: float) -> None:
        """Let it run for so long, or to its end."""
        start, known = time.monotonic(), len(self.marks)
        self._go()
        while self.code is None and time.monotonic() - start < seconds:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            self._look()
        if self.code is None:
            self._signal(signal.SIGSTOP)
        self.seconds += time.monotonic() - start
        self.rates.append(rate(self.marks[known:]))

    def end(self) -> None:
        if self.started is not None and self.started.poll() is None:
            self._signal(signal.SIGKILL)
            self.started.wait()

    @property
    def process(self) -> "subprocess.Popen[str]":
        if self.started is None:
            raise RuntimeError("it had no turn yet")
        return self.started

    def _go(self) -> None:
        if self.started is not None:
            self._signal(signal.SIGCONT)
            return
        self.started = subprocess.Popen(
            self.command,
            cwd=self.folder,
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.said.append(line.rstrip())
            found = self.mark(line)
            if found is not None:
                self.marks.append(Mark(*found, time.monotonic()))

    def _look(self) -> None:
        self.memory = max(self.memory, memory_of(self.process.pid))
        self.code = self.process.poll()

    def _signal(self, number: int) -> None:
        os.killpg(self.process.pid, number)


def rate(marks: Sequence[Mark]) -> float | None:
    """Return images/s between batches of one epoch. The first batch of a turn began in an earlier one."""
    pairs = [(a, b) for a, b in pairwise(marks) if a.epoch == b.epoch]
    if len(pairs) < 2:
        return None
    return sum(b.images for _, b in pairs) / sum(b.at - a.at for a, b in pairs)


def memory_of(pid: int) -> int:
    """Return the bytes that a process and its children take; 0 where the system doesn't say."""
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for process in processes:
        try:
            total += getattr(process.memory_full_info(), "pss", 0)
        except psutil.Error:
            continue
    return total


def take_turns(programs: Sequence[Program], seconds: float, say: Callable[[str], None]) -> None:
    """Run all programs to their ends, in turns of so many seconds; raise `SystemExit` where one fails."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # they are of sessions of their own, and must not live on
    try:
        while any(program.code is None for program in programs):
            for program in programs:
                if program.code is None:
                    program.turn(seconds)
                    if program.code:
                        raise SystemExit("\n".join([f"{' '.join(program.command)} failed:", *program.said[-15:]]))
            say("  ".join(f"{program.rates[-1] or 0:.1f}" if program.code is None else "ended" for program in programs))
    finally:
        for program in programs:
            program.end()
