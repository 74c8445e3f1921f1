"""Does a search find what trying everything would have found? A grid of candidates beside searches of a few minutes.

    python -m tests.benchmarks.bench_search grid ROWS --setting cifar10 --root data --seeds 1
    python -m tests.benchmarks.bench_search grid ROWS --setting cifar10 --root data --seeds 2 3 --within 8
    python -m tests.benchmarks.bench_search search ROWS --setting cifar10 --root data --seeds 1 2 3
    python -m tests.benchmarks.bench_search single ROWS --setting cifar10 --root data
    python -m tests.benchmarks.bench_search random ROWS --setting cifar10 --root data
    python -m tests.benchmarks.bench_search table ROWS

`grid` trains each of 12 candidates to its end, `python -m src.train` with one thread each (`--within 8`: those whose
mean so far is at most 8 points below the best: no other can become it; `--epochs N`: longer); `search` gives the same
candidates to `python -m src.search minutes=5` with all threads; `single` trains one network for those minutes, as
`src.train` does by default; `random` draws candidates, and stops them epoch by epoch as SuccessiveHalvingPruner of
Optuna says (ASHA). All answer on test images that nothing was chosen by: 10,000 of CIFAR-10, half of the cats and dogs.
A row is written when its run has ended, so that what was stopped goes on.

The table: accuracy of each pick, and its regret: the best candidate's *mean* over the seeds of the grid, less the
pick's accuracy. The best of noisy runs would be an oracle that nobody can follow.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from src.selection.candidates import HEAD, SCRATCH, TUNED, WHOLE, WORDS
from tests.benchmarks.bench_recipes import ALWAYS, commit, read, write

COLUMNS = (
    "setting", "what", "candidate", "seed", "minutes", "epochs", "test_accuracy", "low", "high", "val_accuracy",
    "wall_seconds", "processor_seconds", "threads", "commit",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """A data set: its words, how long a candidate is trained in the grid, the candidates, and a plain user's choice."""

    words: tuple[str, ...]
    epochs: int
    networks: tuple[str, ...]
    sizes: tuple[int, ...]
    single: str

    def candidates(self, weights: str | None) -> dict[str, tuple[str, ...]]:
        """Return the candidates as `src.search` has them, by name: what each is to `src.train`."""
        found: dict[str, tuple[str, ...]] = {}
        for network, size in product(self.networks, self.sizes):
            own = (f"model={network}", f"data.image_size={size}")
            if weights and network == "resnet18":
                for how in (HEAD, TUNED, WHOLE):
                    found[f"{network}, {size} px, {how}"] = (*own, f"weights={weights}", *WORDS[how])
            found[f"{network}, {size} px, {SCRATCH}"] = own
        return found


SETTINGS = {
    "cifar10": Setting(
        ("data=cifar10", "data.max_images=4500", "data.val_fraction=0.01"),
        10,
        ("simple_cnn", "cifar_resnet20", "cifar_resnet32", "cifar_resnet44", "cifar_resnet56", "cifar_plain20",
         "cifar_plain56", "mini_resnet_basic_post", "mini_resnet_basic_pre", "mini_resnet_bottleneck_post",
         "mini_resnet_bottleneck_pre", "resnet18"),
        (32,),
        "resnet18, 32 px, from scratch",
    ),
    "catsdogs": Setting(
        ("data=catsdogs", "data.test_fraction=0.5"),
        6,
        ("simple_cnn", "mini_resnet_basic_post", "resnet18"),
        (64, 96),
        "resnet18, 96 px, all layers",
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["grid", *BESIDE, "table"])
    parser.add_argument("rows", type=Path)
    parser.add_argument("--setting", choices=[*SETTINGS], nargs="+", default=[*SETTINGS])
    parser.add_argument("--root", default="data")
    parser.add_argument("--weights", help="a .pth file of a ResNet-18, for catsdogs")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--within", type=float, default=100.0, help="points of accuracy below the grid's best")
    parser.add_argument("--epochs", type=int, help="of the grid, instead of the setting's own")
    options = parser.parse_args()
    if options.what != "table":
        run_all(options)
    print(table(read(options.rows)))


def run_all(options: argparse.Namespace) -> None:
    rows_before = read(options.rows)
    done = {(row["setting"], row["what"], row["candidate"], row["seed"], row["epochs"]) for row in rows_before}
    begun = {(setting, what, seed) for setting, what, _, seed, _ in done}
    for seed, setting in product(options.seeds, options.setting):
        weights = str(Path(options.weights).absolute()) if setting == "catsdogs" else None
        job = Job(setting, options.what, seed, options.root, weights, options.minutes)
        if options.what != "grid":
            rows = [BESIDE[options.what]] * ((setting, options.what, str(seed)) not in begun)
        else:
            epochs = options.epochs or SETTINGS[setting].epochs
            names = promising(job.candidates, rows_before, setting, options.within / 100)
            names = [name for name in names if (setting, "grid", name, str(seed), str(epochs)) not in done]
            rows = [partial(whole, candidate=name, epochs=epochs) for name in names]
        for make in rows:
            row = make(job)
            write(options.rows, row, COLUMNS)
            print({name: row[name] for name in COLUMNS[:7]}, flush=True)


def promising(candidates: Iterable[str], rows: Sequence[dict[str, str]], setting: str, within: float) -> Iterator[str]:
    """Yield the candidates that the grid hasn't tried, or that are `within` a share of images of its best mean."""
    means = {name: mean(some, "test_accuracy") for (name, _), some in grid_of(rows, setting).items()}
    for name in candidates:
        if name not in means or means[name] >= max(means.values()) - within:
            yield name


@dataclass(frozen=True)
class Job:
    """What a row is made from."""

    setting: str
    what: str
    seed: int
    root: str
    weights: str | None
    minutes: float

    @property
    def candidates(self) -> dict[str, tuple[str, ...]]:
        return SETTINGS[self.setting].candidates(self.weights)

    @property
    def words(self) -> tuple[str, ...]:
        return (*SETTINGS[self.setting].words, f"data.root={self.root}", f"seed={self.seed}")

    def row(self, **found: Any) -> dict[str, Any]:
        own = {"setting": self.setting, "what": self.what, "seed": self.seed, "commit": commit()}
        return dict.fromkeys(COLUMNS, "") | own | found


# A row each -----------------------------------------------------------------------------------------------------------


def whole(job: Job, candidate: str, epochs: int) -> dict[str, Any]:
    """A candidate of the grid, trained to its end on one thread."""
    return trained(job, candidate, job.candidates[candidate], epochs, threads=1)


def search(job: Job) -> dict[str, Any]:
    setting = SETTINGS[job.setting]
    words = [f"model={','.join(setting.networks)}", f"sizes={','.join(map(str, setting.sizes))}"]
    words += [f"minutes={job.minutes:g}", *([f"weights={job.weights}"] if job.weights else [])]
    with TemporaryDirectory(prefix="bench_search_") as folder:
        spent = call("search", [*job.words, *words, f"output={folder}/run"], folder)
        found = json.loads(Path(folder, "run", "search.json").read_text())
    test = found["look"]["test"]
    low, high = test["accuracy_interval"]
    return job.row(
        candidate=found["candidates"][found["pick"]]["shown"], minutes=job.minutes, test_accuracy=test["accuracy"],
        low=low, high=high, val_accuracy=found["look"]["validation"]["accuracy"], **spent,
    )  # fmt: skip


def single(job: Job) -> dict[str, Any]:
    """One network that a plain user would take, for as many epochs as fit: a first epoch tells how many."""
    name = SETTINGS[job.setting].single
    own = [word for word in job.candidates[name] if word not in WORDS[WHOLE]]  # at the usual rate
    with TemporaryDirectory(prefix="bench_search_") as folder:
        words = [*job.words, *own, *ALWAYS, "test=false", "trainer.max_epochs=1"]
        spent = call("train", [*words, f"hydra.run.dir={folder}/run"], folder)
        (row,) = csv.DictReader(Path(folder, "run", "metrics.csv").read_text().splitlines())
    epoch = float(row["seconds"])
    epochs = max(1, int((60 * job.minutes - (spent["wall_seconds"] - epoch)) / epoch))
    return trained(job, name, own, epochs, minutes=job.minutes)


def random(job: Job) -> dict[str, Any]:
    """Random search with asynchronous successive halving."""
    told = {"words": job.words, "candidates": job.candidates, "seconds": 60 * job.minutes, "seed": job.seed}
    with TemporaryDirectory(prefix="bench_search_") as folder:
        Path(folder, "task.json").write_text(json.dumps(told | {"epochs": SETTINGS[job.setting].epochs}))
        spent = call("tests.benchmarks.random_search", [folder], folder)
        found = json.loads(Path(folder, "found.json").read_text())
    return job.row(minutes=job.minutes, **found, **spent)


BESIDE: dict[str, Callable[[Job], dict[str, Any]]] = {"search": search, "single": single, "random": random}


def trained(
    job: Job, candidate: str, own: Sequence[str], epochs: int, threads: int | None = None, **more: Any
) -> dict[str, Any]:
    with TemporaryDirectory(prefix="bench_search_") as folder:
        words = [*job.words, *own, *ALWAYS, f"trainer.max_epochs={epochs}"]
        spent = call("train", [*words, f"hydra.run.dir={folder}/run"], folder, threads)
        metrics = json.loads(Path(folder, "run", "metrics.json").read_text())
    return job.row(
        candidate=candidate, epochs=epochs, test_accuracy=metrics["test/accuracy"],
        val_accuracy=metrics["val/accuracy"], threads=threads or "", **more, **spent,
    )  # fmt: skip


def call(verb: str, words: Sequence[str], folder: str, threads: int | None = None) -> dict[str, float]:
    """Run a verb or another module; return its seconds by the clock, and those of the processors."""
    module = verb if "." in verb else f"src.{verb}"
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    start = time.perf_counter()
    with Path(folder, "said.txt").open("w") as said:
        process = subprocess.Popen([sys.executable, "-m", module, *words], stdout=said, stderr=said, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(Path(folder, "said.txt").read_text()[-600:])
    seconds = {"wall_seconds": time.perf_counter() - start, "processor_seconds": used.ru_utime + used.ru_stime}
    return {name: round(value, 1) for name, value in seconds.items()}


# Table ----------------------------------------------------------------------------------------------------------------


def table(rows: Sequence[dict[str, str]]) -> str:
    lines = [
        "| data | what | accuracy | n | regret, points | processor seconds | share of the grid's |",
        "|" + "---|" * 7,
    ]
    for setting in dict.fromkeys(row["setting"] for row in rows):
        own = [row for row in rows if row["setting"] == setting]
        grid = grid_of(rows, setting)
        best = max((mean(some, "test_accuracy") for some in grid.values()), default=float("nan"))
        usual = str(SETTINGS[setting].epochs)
        total = sum(mean(some, "processor_seconds") for (_, epochs), some in grid.items() if epochs == usual)
        for (name, epochs), some in sorted(grid.items(), key=lambda pair: -mean(pair[1], "test_accuracy")):
            lines.append(line(setting, f"{name}, {epochs} epochs", some, best, total))
        for what in BESIDE:
            if some := [row for row in own if row["what"] == what]:
                picks = ", ".join(row["candidate"].split(",")[0] for row in some)
                lines.append(line(setting, f"{what}: {picks}", some, best, total))
    return "\n".join(lines)


def grid_of(rows: Sequence[dict[str, str]], setting: str) -> dict[tuple[str, str], list[dict[str, str]]]:
    """Return the rows of a grid by candidate and epochs; not each has as many seeds."""
    found: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows:
        if (row["setting"], row["what"]) == (setting, "grid"):
            found.setdefault((row["candidate"], row["epochs"]), []).append(row)
    return found


def line(setting: str, what: str, some: Sequence[dict[str, str]], best: float, whole: float) -> str:
    accuracy = column(some, "test_accuracy")
    error = statistics.stdev(accuracy) / len(accuracy) ** 0.5 if len(accuracy) > 1 else float("nan")
    spent = mean(some, "processor_seconds")
    regret = 100 * (best - mean(some, "test_accuracy"))
    return (
        f"| {setting} | {what} | {mean(some, 'test_accuracy'):.4f} | {len(some)} | {regret:.1f} ± {100 * error:.1f} "
        f"| {spent:.0f} | {spent / whole if whole else float('nan'):.2f} |"
    )


def column(rows: Sequence[dict[str, str]], name: str) -> list[float]:
    return [float(row[name]) for row in rows]


def mean(rows: Sequence[dict[str, str]], name: str) -> float:
    return statistics.fmean(column(rows, name))


if __name__ == "__main__":
    main()
