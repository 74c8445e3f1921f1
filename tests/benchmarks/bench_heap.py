"""What does a kept heap bring to a training step? Two fresh processes a network, in turns.

    python -m tests.benchmarks.bench_heap [--threads 1 2] [--turns 6] [--seconds 4] [--only mini_resnet_basic_post …]

Both train the same random batch, channels_last and in bf16-mixed or fp32 (--fp32); one of them keeps its heap as the
processes of the verbs do. ResNets have the 7×7 stem. Ratios are of neighbouring turns, above 1 where keeping it is
faster: images/s by the clock, and images per second of processor time, which other programs disturb less. Pages are
those that a step asks for anew, memory is PSS; both kept and usual.
"""

import argparse
import os
import resource
import signal
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path

import torch

from src.heap import is_kept, keep_heap
from src.training.hardware import describe_hardware
from tests.benchmarks.bench_step import Work, fp32, mixed
from tests.benchmarks.turns import Program

ROOT = Path(__file__).parents[2]
NETWORKS = {  # image size, batch size
    "simple_cnn": (32, 128),
    "cifar_resnet20": (32, 128),
    "mini_resnet_basic_post": (64, 128),
    "resnet18": (128, 32),
    "resnet50": (64, 32),
    "densenet121": (64, 32),
}


def child(network: str, threads: int, precision: str, heap: str) -> None:
    """Train until killed, a line a step: images, seconds by the clock and of the processor, new pages."""
    if heap == "kept":
        keep_heap()
        if not is_kept():
            raise SystemExit("the environment chooses the heap: unset MALLOC_…, GLIBC_TUNABLES and LD_PRELOAD")
    torch.set_num_threads(threads)
    size, batch = NETWORKS[network]
    images = torch.rand(batch, 3, size, size).to(memory_format=torch.channels_last)
    step = {"mixed": mixed, "fp32": fp32}[precision](Work(network, images))
    for _ in range(2):
        step()
    while True:
        step()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        print("step", batch, time.monotonic(), usage.ru_utime + usage.ru_stime, usage.ru_minflt, flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options.add_argument("--turns", type=int, default=6)
    options.add_argument("--seconds", type=float, default=4.0)
    options.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    options.add_argument("--fp32", action="store_true")
    chosen = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or its children would live on
    precision = "fp32" if chosen.fp32 else "mixed"
    print(f"{precision}, n = {chosen.turns} turns of {chosen.seconds:g} s, load {os.getloadavg()[0]:.1f},")
    print(f"torch {torch.__version__}, {describe_hardware()['cpu']}\n")
    print("| network, size, batch | threads | by the clock | of the processor | new pages a step | GiB |")
    print("|---|---|---|---|---|---|", flush=True)
    for network in chosen.only:
        for threads in chosen.threads:
            compare(network, threads, precision, chosen.turns, chosen.seconds)


def compare(network: str, threads: int, precision: str, turns: int, seconds: float) -> None:
    arguments = [sys.executable, "-m", "tests.benchmarks.bench_heap", "child", network, str(threads), precision]
    programs = [Program([*arguments, heap], lambda _: None, ROOT) for heap in ("kept", "usual")]
    rates: list[list[tuple[float, float, float]]] = [[], []]
    try:
        for program in programs:
            steps_of(program, seconds)  # imports, first steps
        for turn in range(turns):
            pairs = list(zip(programs, rates, strict=True))
            for program, found in reversed(pairs) if turn % 2 else pairs:
                found.append(rates_of(steps_of(program, seconds)))
    finally:
        for program in programs:
            program.end()
    size, batch = NETWORKS[network]
    clock, processor = (
        ratio([kept[column] / usual[column] for kept, usual in zip(*rates, strict=True)]) for column in (0, 1)
    )
    pages = " and ".join(f"{statistics.median(row[2] for row in found):,.0f}" for found in rates)
    memory = " and ".join(f"{program.memory / 2**30:.2f}" for program in programs)
    print(f"| {network}, {size}, {batch} | {threads} | {clock} | {processor} | {pages} | {memory} |", flush=True)


def steps_of(program: Program, seconds: float) -> list[list[float]]:
    """Let it run for so long, or for three steps, and return what it said of each."""
    steps: list[list[float]] = []
    while len(steps) < 3:
        known, begun = len(program.said), time.monotonic()
        program.turn(seconds)
        if program.code is not None:
            raise SystemExit("\n".join(program.said[-15:]))
        said = [line.split()[1:] for line in program.said[known:] if line.startswith("step")]
        steps += [[float(word) for word in words] for words in said if float(words[1]) >= begun]
    return steps


def rates_of(steps: list[list[float]]) -> tuple[float, float, float]:
    """Return images/s by the clock and the processor, and pages a step; a turn's first step began in an earlier one."""
    changes = [[after - before for before, after in zip(a[1:], b[1:], strict=True)] for a, b in pairwise(steps)]
    clock, processor, pages = (sum(column) for column in zip(*changes, strict=True))
    images = sum(step[0] for step in steps[1:])
    return images / clock, images / processor, pages / len(changes)


def ratio(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    child(sys.argv[2], int(sys.argv[3]), *sys.argv[4:]) if sys.argv[1:2] == ["child"] else main()
