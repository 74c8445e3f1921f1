"""Preemptions of running jobs: what is lost, and whether the weights are those of an undisturbed run.

    python -m tests.benchmarks.bench_preemption [--preemptions 100] [--each 10] [--processes 2] [--at-once 2] [--slurm]

Each job is one command, `… hydra.run.dir=X resume=auto`, which is told to stop at a random, seeded moment and given
again, until it has been stopped `each` times; then it is left to end. Without Slurm SIGTERM comes to one process or to
all. With `--slurm` a local Slurm is started (Debian's slurm-wlm and munge): there a job of a higher partition preempts
it, or it gets SIGUSR1 and requeues itself. Exit code 1 where an epoch is lost, a folder is new or a bit differs. A job
that doesn't end, or doesn't go on, is named with the stacks of its processes.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue

import pandas as pd
import torch

from src.runs.folder import RunFolder
from tests.support.slurm import Slurm
from tests.support.started import Started, by_hand, show_stacks, stacks_shown

EPOCHS = 100
WORDS = (
    "model=simple_cnn", "data=digits", "data.max_images=600", "data.batch_size=16", f"trainer.max_epochs={EPOCHS}",
    "trainer.accelerator=cpu", "cost=false", "callbacks.gradcam=null", "hydra.run.dir=run", "resume=auto",
)  # fmt: skip
CLOCK = ["seconds", "images_per_second"]
NODES: Queue[str] = Queue()
"""Those that no job has."""

OVER = "was finished before it could be stopped as often"

SECONDS = 1.0
"""A preemption comes so long, at most, after a run has gone on; none before it has begun to train."""


@dataclass
class Outcome:
    """What became of one job."""

    preemptions: int = 0
    within_epochs: int = 0
    lost: int = 0
    trained: int = 0
    """Epochs that were trained to their end: one that was lost, and trained again, counts twice."""
    faults: list[str] = field(default_factory=list)


def rows(run: RunFolder) -> int:
    return len(run.history_file.read_text().splitlines()) - 1 if run.history_file.exists() else 0


def epochs_in(said: str) -> int:
    return sum(line.startswith("epoch ") for line in said.splitlines())


def wait_for(condition: Callable[[], bool], what: Callable[[], str], seconds: float = 300, pause: float = 0.02) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what())
        time.sleep(pause)


def where(pids: list[int], said: Callable[[], str]) -> str:
    """What processes have said, with the stacks of those that hang."""
    show_stacks(pids)
    return said()[-8000:]


def codes(started: Started, seconds: float) -> list[int]:
    """Wait for the end of a job that was told to stop; its exit codes."""
    try:
        return started.codes(seconds)
    except subprocess.TimeoutExpired:
        said = where(list(started.ranks().values()), lambda: started.said)
        raise TimeoutError(f"not ended within {seconds:.0f} s: {said}") from None


def note(outcome: Outcome, run: RunFolder, before: int) -> int:
    """Look at a run that was stopped, `before` which so many epochs were done; return how many are now."""
    done = rows(run)
    outcome.preemptions += 1
    outcome.lost += max(0, before - done)
    if run.record()["status"] != "interrupted":
        outcome.faults.append(f"status {run.record()['status']} after preemption {outcome.preemptions}")
    if torch.load(run.last_checkpoint, weights_only=True)["unfinished"] is not None:
        outcome.within_epochs += 1
    return done


def trains_again(run: RunFolder, resumed: int) -> bool:
    """Whether it has gone on so many times, and is at work."""
    record = run.record() if run.record_file.exists() else {}
    return record.get("status") == "running" and len(record.get("resumed", [])) >= resumed and rows(run) > 0


def preempt_here(
    outcome: Outcome, folder: Path, words: tuple[str, ...], processes: int, each: int, chance: random.Random
) -> None:
    """Stop a job of this machine and start it again."""
    run, done = RunFolder(folder / "run"), 0
    while True:
        with by_hand(folder, *words, processes=processes) as started:
            if outcome.preemptions == each:
                if set(codes(started, 600)) != {0}:
                    outcome.faults.append(started.said[-300:])
                outcome.trained += epochs_in(started.said)
                return
            resumed, said = outcome.preemptions, lambda: started.said
            told = [command.pid for command in started.commands]
            wait_for(
                lambda: trains_again(run, resumed) or not started.is_alive(),  # noqa: B023
                lambda: f"not at work: {where(told, said)}",  # noqa: B023
            )
            time.sleep(chance.random() * SECONDS)
            done = max(done, rows(run))
            for pid in told if chance.random() < 0.5 else [chance.choice(told)]:
                os.kill(pid, signal.SIGTERM)
            ended = codes(started, 60)
            outcome.trained += epochs_in(started.said)
            if run.record()["status"] == "finished":
                outcome.faults.append(OVER)
                return
            if set(ended) != {143}:
                outcome.faults.append(f"exit codes {ended}: {started.said[-300:]}")
        done = note(outcome, run, done)


def preempt_in_slurm(
    outcome: Outcome,
    slurm: Slurm,
    folder: Path,
    words: tuple[str, ...],
    processes: int,
    each: int,
    chance: random.Random,
) -> None:
    """Let a job be preempted, by another one or by a signal; each has a node of its own, so that it is preempted alone.

    Slurm would keep a job that was requeued waiting for two minutes: it is told not to.
    """
    run, done = RunFolder(folder / "run"), 0
    script, urgent = folder / "job.sh", folder / "urgent.sh"
    command = f"srun --kill-on-bad-exit=1 {sys.executable} -m src.train {' '.join(words)} requeue=true"
    script.write_text(f"#!/bin/bash\n{command}\n")
    urgent.write_text("#!/bin/bash\ntrue\n")
    node = NODES.get()

    def is_over() -> bool:
        return slurm.state(job) in ("COMPLETED", "FAILED", "CANCELLED")

    def hangs() -> str:
        trains = []
        with suppress(subprocess.CalledProcessError, OSError):  # some have ended
            for line in slurm.run("scontrol", "listpids", job, node).splitlines()[1:]:
                if "src.train" in Path(f"/proc/{line.split()[0]}/cmdline").read_text().split("\0"):
                    trains.append(int(line.split()[0]))
        said = where(trains, Path(f"{script}.out").read_text)
        return f"not at work: {slurm.run('scontrol', 'show', 'job', job)}\n{said}"

    try:
        job = slurm.submit(script, f"-n{processes}", "-N1", "-w", node)
        while outcome.preemptions < each:
            resumed = outcome.preemptions
            wait_for(lambda: trains_again(run, resumed) or is_over(), hangs, pause=0.2)  # noqa: B023
            time.sleep(chance.random() * SECONDS)
            if run.status == "finished":
                outcome.faults.append(OVER)
                break
            if is_over():
                outcome.faults.append(f"ended early: {Path(f'{script}.out').read_text()[-600:]}")
                return
            done = max(done, rows(run))
            if chance.random() < 0.5:
                slurm.run("scancel", "--signal=USR1", job)
            else:
                slurm.wait(slurm.submit(urgent, "-p", "high", "-N1", "-n8", "-w", node), "COMPLETED")
            wait_for(lambda: run.record()["status"] != "running", hangs)
            if run.status == "finished":
                outcome.faults.append(OVER)
                break
            done = note(outcome, run, done)
            slurm.begin_now(job)
        slurm.wait(job, "COMPLETED", "FAILED", seconds=600)
        outcome.trained = epochs_in(Path(f"{script}.out").read_text())
    finally:
        NODES.put(node)


def compare(reference: RunFolder, run: RunFolder) -> list[str]:
    """Return what differs in bits from the undisturbed run."""
    faults = []
    if not (run.is_whole and len(run.history()) == EPOCHS):
        return [f"not finished: {run.status}"]
    if not run.history().drop(columns=CLOCK).equals(reference.history().drop(columns=CLOCK)):
        faults.append("metrics.csv differs")
    for name in ("best_checkpoint", "last_checkpoint"):
        one, other = (torch.load(getattr(r, name), weights_only=True)["state_dict"] for r in (reference, run))
        if any(not torch.equal(one[key], other[key]) for key in one):
            faults.append(f"{name} differs")
    if reference.predictions_file.read_bytes() != run.predictions_file.read_bytes():
        faults.append("predictions.csv differs")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"preemptions": 100, "each": 10, "processes": 2, "at-once": 2, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--slurm", action="store_true")
    chosen = parser.parse_args()
    jobs = -(-chosen.preemptions // chosen.each)

    for node in ("node1", "node2"):
        NODES.put(node)
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory())
        os.environ["PYTHONPATH"] = stacks_shown(Path(place) / "stacks")
        slurm = stack.enter_context(Slurm(Path(place) / "slurm")) if chosen.slurm else None

        def job(number: int) -> Outcome:
            folder, chance = Path(place) / str(number), random.Random(chosen.seed + number)
            words = (*WORDS, f"seed={number}")
            for name in ("undisturbed", "disturbed"):
                (folder / name).mkdir(parents=True)
            with by_hand(folder / "undisturbed", *words, processes=chosen.processes) as started:
                assert set(started.codes(600)) == {0}, started.said
            outcome, here = Outcome(), (folder / "disturbed", words, chosen.processes, chosen.each, chance)
            try:
                preempt_here(outcome, *here) if slurm is None else preempt_in_slurm(outcome, slurm, *here)
            except (TimeoutError, subprocess.SubprocessError) as error:
                outcome.faults.append(str(error))
            outcome.faults += compare(*(RunFolder(folder / name / "run") for name in ("undisturbed", "disturbed")))
            if outcome.trained != EPOCHS:
                outcome.faults.append(f"{outcome.trained} epochs trained for {EPOCHS}")
            if [path.name for path in (folder / "disturbed").iterdir() if path.is_dir()] != ["run"]:
                outcome.faults.append("a second folder")
            print(f"job {number}: {outcome.preemptions} preemptions", *outcome.faults, sep="; ", flush=True)
            return outcome

        with ThreadPoolExecutor(chosen.at_once) as pool:
            outcomes = list(pool.map(job, range(jobs)))
    table = pd.DataFrame([vars(outcome) | {"faults": "; ".join(outcome.faults)} for outcome in outcomes])
    print(table.to_string())
    print(
        f"{table.preemptions.sum()} preemptions of {jobs} jobs, {table.within_epochs.sum()} in the middle of an epoch; "
        f"epochs lost: {table.lost.sum()}; the same bits, in one folder: {(table.faults == '').sum()} of {jobs} jobs"
    )
    return int(table.lost.sum() > 0 or (table.faults != "").any())


if __name__ == "__main__":
    sys.exit(main())
