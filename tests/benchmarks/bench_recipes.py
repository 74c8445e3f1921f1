"""What do recipes gain? Arms × seeds × budgets of real trainings, one row of a CSV file each.

    python -m tests.benchmarks.bench_recipes rows.csv --root data --weights FILE --jobs 2
    python -m tests.benchmarks.bench_recipes rows.csv --table

Every run is `python -m src.train …` in a process of its own, on one thread, so that two can run side by side. A row is
written when its run has ended: stopped and begun again, the rest follows. A falling schedule has to fit its length, so
that a budget (a share of the default's epochs) is a training of its own, and no part of a longer one. Seeds come one
after the other, so that what is there at any time is whole.

ROOT holds the data sets' folders, FILE the weights of a ResNet-18. Pictures, cost and baseline are left out; the folder
of a run is removed when its row is written. `--images` and `--only` make less of it.
"""

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

COLUMNS = (
    "data", "arm", "seed", "budget", "epochs", "batch_size", "images", "val_accuracy", "test_accuracy",
    "train_seconds", "process_seconds", "processor_seconds", "images_per_second", "val_by_epoch", "seconds_by_epoch",
    "threads", "torch", "commit", "command",
)  # fmt: skip

ALWAYS = (
    "cost=false", "baseline=false", "callbacks.gradcam=null", "logger=none", "checkpoint_every=null",
    "trainer.enable_progress_bar=false", "trainer.num_sanity_val_steps=0",
)  # fmt: skip


@dataclass(frozen=True)
class Work:
    """A data set with its network: the default's epochs, how many training images, and the arms by their words."""

    words: tuple[str, ...]
    epochs: int
    images: int | None
    arms: dict[str, tuple[str, ...]]


PLAIN, FAST, STRONG = ("recipe=plain",), ("recipe=fast",), ("recipe=strong",)
ALL: dict[str, tuple[str, ...]] = {"plain": PLAIN, "fast": FAST, "strong": STRONG}

WORKS = {
    "cifar10": Work(
        ("data=cifar10", "model=cifar_resnet20", "data.val_fraction=0.04", "trainer.precision=32-true"),
        10,
        None,
        ALL | {"ema": ("ema=0.998",), "CutMix, TrivialAugment": ("cutmix=1.0", "data.augment.policy=trivialaugment")},
    ),
    "tinyimagenet": Work(
        ("data=tinyimagenet", "data.classes=25", "model=mini_resnet_basic_post", "data.num_workers=1"),
        10,
        None,
        ALL | {"progressive": ("progressive_size=0.5",), "fast at full size": (*FAST, "progressive_size=1.0")},
    ),
    "catsdogs": Work(
        ("data=catsdogs", "data.image_size=128", "model=resnet18", "weights={weights}", "data.num_workers=1"),
        4,
        3000,
        {
            "plain": PLAIN,
            "plain, rate from scratch": (*PLAIN, "optimizer.lr=0.05"),
            "head first, layer decay": ("head_first=true", "optimizer.layer_decay=0.7"),
            "fast": FAST,
            "strong": STRONG,
        },
    ),
    "resnet18": Work(
        ("data=cifar10", "model=resnet18", "data.val_fraction=0.04"), 10, 10_000, {"plain": PLAIN, "fast": FAST}
    ),
}


@dataclass(frozen=True)
class Job:
    """One training."""

    data: str
    arm: str
    seed: int
    budget: float

    @property
    def epochs(self) -> int:
        return max(1, round(WORKS[self.data].epochs * self.budget))

    @property
    def key(self) -> tuple[str, ...]:
        return (self.data, self.arm, str(self.seed), str(self.epochs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=Path, nargs="+", help="the CSV file; for --table also several")
    parser.add_argument("--root", default="data")
    parser.add_argument("--weights", help="a .pth file of a ResNet-18, for catsdogs")
    parser.add_argument("--data", nargs="+", choices=[*WORKS], default=[*WORKS])
    parser.add_argument("--arms", nargs="+", help="these alone")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--budgets", nargs="+", type=float, default=[1.0, 1 / 3])
    parser.add_argument("--images", nargs="+", default=[], metavar="DATA=N", help="at most so many training images")
    parser.add_argument("--jobs", type=int, default=1, help="so many side by side")
    parser.add_argument("--table", action="store_true", help="run nothing, write the table")
    options = parser.parse_args()
    if not options.table:
        run_all(options)
    print(table([row for file in options.rows for row in read(file)]))


# Runs -----------------------------------------------------------------------------------------------------------------


def run_all(options: argparse.Namespace) -> None:
    file = options.rows[0]
    jobs = list(planned(options))
    done = {(row["data"], row["arm"], row["seed"], row["epochs"]) for row in read(file)}
    left = [job for job in jobs if job.key not in done]
    print(f"commit {commit()}: {len(jobs)} trainings, {len(jobs) - len(left)} of them done already", flush=True)
    images = dict(word.split("=") for word in options.images)
    writing, clock = threading.Lock(), Clock(left, options.jobs)

    def work(job: Job) -> None:
        try:
            row = measured(job, options.root, options.weights, images.get(job.data))
        except Exception as error:  # the others go on
            print(f"{' '.join(job.key)} failed: {error}", flush=True)
            return
        with writing:
            write(file, row)
            print(f"{clock.said(job)}  {job.data} · {job.arm} · seed {job.seed} · {job.epochs} epochs: test "
                  f"{row['test_accuracy']:.4f} in {row['train_seconds']:.0f} s", flush=True)  # fmt: skip

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(work, left))


def planned(options: argparse.Namespace) -> Iterator[Job]:
    for seed in options.seeds:
        for data in options.data:
            for budget in options.budgets:
                for arm in WORKS[data].arms:
                    if options.arms is None or arm in options.arms:
                        yield Job(data, arm, seed, budget)


class Clock:
    """How long what is left may take: as long as an epoch of the same data has taken so far, in this call."""

    def __init__(self, jobs: Sequence[Job], beside: int) -> None:
        self._left = list(jobs)
        self._beside = beside
        self._began = time.monotonic()
        self._done = 0.0

    def said(self, job: Job) -> str:
        self._left.remove(job)
        self._done += cost_of(job)
        per_unit = (time.monotonic() - self._began) / self._done
        minutes = per_unit * sum(map(cost_of, self._left)) / 60
        return f"[{len(self._left)} left, about {minutes:.0f} min]"


def cost_of(job: Job) -> float:
    """Return what a training may cost beside others, in units of its own: images × epochs × pixels × network."""
    weight = {"cifar10": 1.0, "tinyimagenet": 7.0, "catsdogs": 12.0, "resnet18": 7.0}[job.data]
    images = WORKS[job.data].images or {"cifar10": 45_000, "tinyimagenet": 11_250}.get(job.data, 20_000)
    return weight * images * job.epochs


def measured(job: Job, root: str, weights: str | None, images: str | None) -> dict[str, object]:
    """Train, and return the row."""
    work = WORKS[job.data]
    most = images or work.images
    words = [word.format(weights=Path(weights).absolute() if weights else "null") for word in work.words]
    words += [*ALWAYS, *work.arms[job.arm], f"seed={job.seed}", f"trainer.max_epochs={job.epochs}"]
    words += [f"data.root={root}", *([f"data.max_images={most}"] if most else [])]
    folder = Path(tempfile.mkdtemp(prefix="recipes_"))
    command = [sys.executable, "-m", "src.train", *words]
    try:
        start = time.perf_counter()
        with (folder / "said.txt").open("w") as said:
            process = subprocess.Popen(
                [*command, f"hydra.run.dir={folder / 'run'}"],
                stdout=said, stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": "1"},
            )  # fmt: skip
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise RuntimeError((folder / "said.txt").read_text()[-600:])
        seconds = time.perf_counter() - start
        run = folder / "run"
        metrics = json.loads((run / "metrics.json").read_text())
        epochs = list(csv.DictReader((run / "metrics.csv").open()))
        return {
            "data": job.data,
            "arm": job.arm,
            "seed": job.seed,
            "budget": round(job.budget, 4),
            "epochs": job.epochs,
            "batch_size": batch_size(run),
            "images": json.loads((run / "run.json").read_text())["images"]["train"],
            "val_accuracy": metrics["val/accuracy"],
            "test_accuracy": metrics["test/accuracy"],
            "train_seconds": metrics["train_seconds"],
            "process_seconds": round(seconds, 1),
            "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
            "images_per_second": metrics["images_per_second"],
            "val_by_epoch": " ".join(f"{float(row['val/accuracy']):.4f}" for row in epochs),
            "seconds_by_epoch": " ".join(row["seconds"] for row in epochs),
            "threads": 1,
            "torch": version("torch"),
            "commit": commit(),
            "command": " ".join(["python", *command[1:]]).replace(f"{Path(weights or '.').absolute().parent}/", ""),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def batch_size(run: Path) -> str:
    lines = (run / ".hydra" / "config.yaml").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith("  batch_size:"))


def commit() -> str:
    said = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return said.stdout.strip()


def read(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.open(newline=""))) if file.exists() else []


def write(file: Path, row: dict[str, object], columns: Sequence[str] = COLUMNS) -> None:
    begins = not file.exists()
    with file.open("a", newline="") as opened:
        writer = csv.DictWriter(opened, columns)
        if begins:
            writer.writeheader()
        writer.writerow(row)


# Table ----------------------------------------------------------------------------------------------------------------


def table(rows: Sequence[dict[str, str]]) -> str:
    """Return a Markdown table: each arm at each budget, and what it needs for the accuracy of the default.

    `seconds` are those of training (wall clock); `processor` those of the whole process, in which beside other work
    ratios are steadier.
    """
    lines = [
        "| data | arm | epochs | test accuracy | n | seconds | processor seconds | × plain's | reaches plain's after |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for data in dict.fromkeys(row["data"] for row in rows):
        own = [row for row in rows if row["data"] == data]
        whole = str(WORKS[data].epochs)
        plain = [row for row in own if row["arm"] == "plain" and row["epochs"] == whole]
        for arm in dict.fromkeys(row["arm"] for row in own):
            for epochs in sorted({int(row["epochs"]) for row in own if row["arm"] == arm}, reverse=True):
                some = [row for row in own if row["arm"] == arm and row["epochs"] == str(epochs)]
                lines.append(line(data, arm, epochs, some, plain))
    return "\n".join(lines)


def line(data: str, arm: str, epochs: int, some: Sequence[dict[str, str]], plain: Sequence[dict[str, str]]) -> str:
    accuracy, seconds, processor = (column(some, name) for name in (
        "test_accuracy", "train_seconds", "processor_seconds"
    ))  # fmt: skip
    share = reached = ""
    if plain:
        share = f"{mean(processor) / mean(column(plain, 'processor_seconds')):.2f}"
        goal = mean(column(plain, "test_accuracy"))
        if mean(accuracy) >= goal:
            goal = mean(column(plain, "val_accuracy"))
            times = [needed(row, goal) for row in some]
            known = [value for value in times if value is not None]
            reached = f"{mean(known):.0f} s ({len(known)} of {len(times)})" if known else ""
    return (
        f"| {data} | {arm} | {epochs} | {mean(accuracy):.4f} ± {deviation(accuracy):.4f} | {len(some)} "
        f"| {mean(seconds):.0f} | {mean(processor):.0f} | {share} | {reached} |"
    )


def needed(row: dict[str, str], goal: float) -> float | None:
    """Return the seconds until a validation has shown this accuracy; None where none has."""
    spent = 0.0
    for accuracy, seconds in zip(row["val_by_epoch"].split(), row["seconds_by_epoch"].split(), strict=True):
        spent += float(seconds)
        if float(accuracy) >= goal:
            return spent
    return None


def column(rows: Sequence[dict[str, str]], name: str) -> list[float]:
    return [float(row[name]) for row in rows]


def mean(values: Sequence[float]) -> float:
    return statistics.fmean(values)


def deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


if __name__ == "__main__":
    main()
