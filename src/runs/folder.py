"""RunFolder: the one place that knows which files a run has, and writes and reads them.

The names and columns are a contract with users, reports and later verbs.
"""

import json
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import chain, compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from ..errors import InputError, RunError
from ..files import csv_line, refuse_links, remove_partial, replacing, write_text
from ..names import JOINED
from ..settings.check import problem
from .columns import read_table
from .contents import NAMES, UnusableError, check_figures, check_record, read_json, read_yaml
from .provenance import describe_changes, provenance
from .reserved import reserved

if TYPE_CHECKING:  # the command line knows run folders, and starts without pandas
    import numpy as np
    import pandas as pd

    from .answers import Answers

Status = Literal["running", "finished", "failed", "interrupted", "refused"]
"""`refused`: the input was wrong, and nothing was trained. `running` is also what a killed run leaves behind."""

EVENTS = "events.out.tfevents"
"""How the names of TensorBoard's files begin."""

ADOPTED = "adopted.ckpt"
"""The checkpoint of a network that others have trained, in a folder that is no run."""


def new_run_path(data: str, model: str, outputs: Path = Path("outputs"), name: str | None = None) -> Path:
    """Return `outputs/<data>/<model>/<name>`, without a name `<date>_<time>_<4 random hex>`.

    The hex keeps runs of one second apart.
    """
    return outputs / data / model / (name or f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(2)}")


class RunFolder:
    """One training and its folder. Making the object touches nothing; `start` creates the folder."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.hydra = self.path / ".hydra"
        self.record_file = self.path / "run.json"
        self.history_file = self.path / "metrics.csv"
        self.metrics_file = self.path / "metrics.json"
        self.per_class_file = self.path / "per_class.csv"
        self.predictions_file = self.path / "predictions.csv"
        self.probabilities_file = self.path / "probabilities.npz"
        self.skipped_file = self.path / "skipped.csv"
        self.cost_file = self.path / "cost.json"
        self.page_file = self.path / "report.html"
        self.steps_file = self.path / "steps.csv"
        self.checkpoints = self.path / "checkpoints"
        self.best_checkpoint = self.checkpoints / "best.ckpt"
        self.last_checkpoint = self.checkpoints / "last.ckpt"
        self.gradcam = self.path / "gradcam"
        self.figures = self.path / "figures"
        self.rate_picture = self.figures / "learning_rate.png"
        explain = self.path / "explain"
        # trainings of src.explain
        self.judge, self.shuffled_labels = explain / "judge", explain / "shuffled_labels"
        self.folders = (self.checkpoints, self.gradcam, self.figures)
        self.tables = (
            self.history_file, self.metrics_file, self.per_class_file, self.predictions_file,
            self.probabilities_file, self.skipped_file, self.cost_file, self.page_file, self.steps_file,
        )  # fmt: skip

    def deletions(self, digest: str = "") -> Path:
        """Where src.explain trains a copy of the checkpoint with this digest on, with images that lack a piece."""
        return self.path / "explain" / f"single_deletion_{digest[:8]}"

    @property
    def shown(self) -> str:
        """The path for people: relative to the current folder where it lies below it."""
        here = Path.cwd()
        return str(self.path.relative_to(here) if self.path.is_relative_to(here) else self.path)

    @property
    def logdir(self) -> str:
        """What TensorBoard should read: `outputs` with all its runs if this is one of them, else the run itself."""
        return "outputs" if self.path.absolute().is_relative_to(Path.cwd() / "outputs") else self.shown

    def taken(self) -> list[str]:
        """Return the names in the folder that a training would write, so that nothing of somebody's is lost."""
        names = {path.name for path in (self.hydra, self.record_file, *self.tables, *self.folders)}
        there = [path.name for path in self.path.iterdir()] if self.path.is_dir() else []
        return sorted(name for name in there if name in names or name.startswith(EVENTS))

    # Writing -------------------------------------------------------------------------------------------------------

    def start(
        self,
        *,
        command: str,
        seed: int,
        hardware: Mapping[str, Any],
        resumed: bool = False,
        processes: int = 1,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        images: Mapping[str, int] | None = None,
        train_images_measured: int | None = None,
    ) -> list[str]:
        """Create the folder and `run.json` with status `running`.

        Of a run that begins it keeps the number of `processes`, and the `batch_size` that `data.batch_size=auto` found;
        of one that goes on the `learning_rate` that `optimizer.lr=auto` had found.
        `images` is how many each split has, `train_images_measured` of how many of them the figures `train/…` are
        (None: a limit of the Trainer decides).

        The record of a `resumed` run is continued: its `resumed` lists when and how. Return what has changed since its
        last training, such as "torch went from 2.10 to 2.11". Raise `InputError` where the folder holds another run
        (two runs never share one) or can't be written.
        """
        changes: list[str] = []
        record = {
            "command": command,
            "seed": seed,
            "status": "running",
            "start": _now(),
            "end": None,
            **provenance(),
            "hardware": dict(hardware),
            "processes": processes,
        }
        if images is not None:
            record |= {"images": dict(images), "train_images_measured": train_images_measured}
        if batch_size is not None:
            record["batch_size"] = batch_size
        if learning_rate is not None:
            record["learning_rate"] = learning_rate
        if resumed:
            before = self.record() if self.status else {}  # a record that was cut in half says nothing
            changes = describe_changes(before, record)
            entry = {"time": _now(), "command": command, **_typed_overrides(), "changes": changes}
            record |= {key: before.get(key, record[key]) for key in ("command", "start", "processes")}
            record["resumed"] = [*before.get("resumed", []), entry]
        elif self.record_file.exists():
            raise InputError(f"{self.path} holds a run already: name another folder, or leave hydra.run.dir out")
        try:
            self._write_json(self.record_file, record)
        except OSError as error:
            why = f"{self.path} can't be written ({error.strerror})"
            raise InputError(f"{why}: choose another hydra.run.dir") from None
        return changes

    def keep_settings(self, text: str) -> None:
        """Write `.hydra/config.yaml`, unless Hydra has written it."""
        file = self.hydra / "config.yaml"
        if not file.exists():
            refuse_links(self.path, self.hydra)
            write_text(file, text)

    def refuse(self, *, command: str, error: str) -> None:
        """Write a `run.json` that says why nothing was trained here: a sweep's report names such a run too."""
        now = _now()
        record = {"command": command, "status": "refused", "start": now, "end": now, "error": error}
        self._write_json(self.record_file, record)

    def end(self, status: Status, error: str | None = None) -> None:
        """Set the final status, and why, in `run.json`."""
        why = {} if error is None else {"error": error}
        self._write_json(self.record_file, self.record() | {"status": status, "end": _now()} | why)

    def note_stopped_early(self, why: str) -> None:
        """Say in `run.json` why the training ended before its last epoch."""
        self._write_json(self.record_file, self.record() | {"stopped_early": why})

    def note_learning_rate(self, rate: float) -> None:
        """Say in `run.json` what `optimizer.lr=auto` came to."""
        self._write_json(self.record_file, self.record() | {"learning_rate": rate})

    def note_pruned(self, names: Sequence[str]) -> None:
        """Say in `run.json` what `src.runs prune` takes out of the folder."""
        record = self.record()
        self._write_json(self.record_file, record | {"pruned": [*record.get("pruned", []), *names]})

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Keep the status in `run.json` true, however the block ends."""
        try:
            yield
            self.end("finished")
        except (KeyboardInterrupt, SystemExit):
            with suppress(OSError):  # of a full disk: that somebody wants it to end is what counts
                self.end("interrupted")
            raise
        except BaseException as error:
            with suppress(OSError):  # of a full disk: what is raised says it
                self.end("failed", error=str(error) or type(error).__name__)
            raise

    @contextmanager
    def locked(self, *, again: bool = False) -> Iterator[None]:
        """Keep the folder for this process; raise `InputError` where another one has it, or it can't be made.

        With `again` the command line of this process may have it already.
        """
        with reserved(self.path, self.shown, "choose another hydra.run.dir", again=again):
            yield

    def clear(self, *, all_of_it: bool) -> None:
        """Remove half-written files of a killed process; with `all_of_it` everything that training writes."""
        remove_partial(self.path)
        if not all_of_it:
            return
        for folder in self.folders:
            if folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder)
        for file in (*self.tables, *self.path.glob(f"{EVENTS}.*")):
            file.unlink(missing_ok=True)

    def write_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write `metrics.csv`, one row an epoch. It is rewritten as a whole: no reader ever meets half a row."""
        if not self.path.is_dir():  # and it must not come back with nothing but this in it
            raise RunError(f"{self.path} has vanished: start the training again")
        _write_csv(self.history_file, list(rows[0]), (row.values() for row in rows))

    def write_metrics(self, metrics: Mapping[str, float | int]) -> None:
        """Write `metrics.json`: the best checkpoint's figures, as fractions."""
        self._write_json(self.metrics_file, dict(metrics))

    def write_cost(self, cost: Mapping[str, Any]) -> None:
        """Write `cost.json`: parameters, MACs, latency, memory and speed, and the device they were measured on."""
        self._write_json(self.cost_file, cost)

    def write_per_class(self, table: "pd.DataFrame") -> None:
        _write_csv(self.per_class_file, list(table.columns), zip(*(table[name] for name in table.columns), strict=True))

    def write_predictions(
        self, paths: Sequence[str], targets: "np.ndarray", probabilities: "np.ndarray", class_names: Sequence[str]
    ) -> None:
        """Write `predictions.csv`, a row an image: path, target, predicted (class names), confidence in [0, 1]."""
        names = ([class_names[i] for i in indices] for indices in (targets, probabilities.argmax(axis=1)))
        confidences = [f"{confidence:.6f}" for confidence in probabilities.max(axis=1)]
        rows = zip(paths, *names, confidences, strict=True)
        _write_csv(self.predictions_file, ("path", "target", "predicted", "confidence"), rows)

    def write_label_predictions(
        self,
        paths: Sequence[str],
        targets: "np.ndarray",
        probabilities: "np.ndarray",
        thresholds: "np.ndarray",
        class_names: Sequence[str],
    ) -> None:
        """Write `predictions.csv` of several labels an image: path, target, predicted, unknown, and each probability.

        Labels stand in a cell with `|` between; `probability_NAME` is the column of a label's probability.
        """
        parts = (targets == 1, probabilities >= thresholds, targets != targets)
        words = ([JOINED.join(compress(class_names, row)) for row in part.tolist()] for part in parts)
        shares = ([f"{share:.6f}" for share in row] for row in probabilities.tolist())
        header = ("path", "target", "predicted", "unknown", *(f"probability_{name}" for name in class_names))
        rows = zip(paths, *words, shares, strict=True)
        _write_csv(self.predictions_file, header, ((*told, *likely) for *told, likely in rows))

    def write_probabilities(
        self,
        paths: Sequence[str],
        targets: "np.ndarray",
        class_names: Sequence[str],
        logits: "np.ndarray",
        probabilities: "np.ndarray",
    ) -> None:
        """Write `probabilities.npz`: all of what `predictions.csv` shows the largest of (`answers.Answers`)."""
        from .answers import write_answers

        write_answers(self.probabilities_file, paths, targets, class_names, logits, probabilities)

    def write_page(self, html: str) -> None:
        """Write `report.html`: all of the run on one page."""
        write_text(self.page_file, html)

    def write_skipped(self, skipped: Iterable[tuple[str, str]]) -> None:
        """Write `skipped.csv`: the path of each image that was left out, and why; without any, the header alone."""
        _write_csv(self.skipped_file, ("path", "reason"), skipped)

    # Reading -------------------------------------------------------------------------------------------------------

    @property
    def status(self) -> Status | None:
        """What `run.json` says; None where there is none that can be read."""
        with suppress(OSError, ValueError, KeyError):
            return cast(Status, self.record()["status"])
        return None

    @property
    def is_whole(self) -> bool:
        """Whether the run has finished and its figures can be read."""
        with suppress(OSError, ValueError):
            return self.status == "finished" and bool(self.metrics())
        return False

    @property
    def cannot_go_on(self) -> str | None:
        """Why a finished run can't be given more epochs: it was pruned; None where it wasn't."""
        with suppress(OSError, ValueError):
            if self.record().get("pruned") and not self.last_checkpoint.exists():
                return f"{self.shown} was pruned: without its last.ckpt it can't be given more epochs: train a new run"
        return None

    def record(self) -> dict[str, Any]:
        """Return what `run.json` says; as all files of the folder, raise `UnusableError` where that can't be used."""
        record = self._read(read_json, self.record_file)
        check_record(record, self.record_file)
        return cast(dict[str, Any], record)

    @property
    def batch_size(self) -> int | None:
        """What `data.batch_size=auto` found for this run; None where it was a number, or `run.json` doesn't say."""
        with suppress(OSError, ValueError, KeyError):
            size = self.record()["batch_size"]
            return size if isinstance(size, int) and problem("data.batch_size", size) is None else None
        return None

    @property
    def learning_rate(self) -> float | None:
        """What `optimizer.lr=auto` found for this run; None where it was a number, or `run.json` doesn't say."""
        with suppress(OSError, ValueError, KeyError):
            rate = self.record()["learning_rate"]
            return rate if isinstance(rate, float) and problem("optimizer.lr", rate) is None else None
        return None

    @property
    def processes(self) -> int | None:
        """How many processes the run began with; None where `run.json` doesn't say, as those of earlier versions."""
        with suppress(OSError, ValueError, KeyError):
            number = self.record()["processes"]
            return number if isinstance(number, int) and number >= 1 else None
        return None

    @property
    def is_of_earlier_sample(self) -> bool:
        """Whether an earlier version began the run, which measured all training images up to 10,000."""
        with suppress(OSError, ValueError):
            return "train_images_measured" not in self.record()
        return False

    @property
    def train_images(self) -> tuple[int, int]:
        """How many images were for training, and of how many of them the figures `train/…` are; 0 where nobody knows.

        Runs of earlier versions measured at most 10,000, and have no number.
        """
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = self.record()
            images = record["images"]["train"]
            measured = record.get("train_images_measured", min(images, 10_000))
            if isinstance(images, int) and isinstance(measured, int):
                return images, measured
        return 0, 0

    def overrides(self) -> list[str] | None:
        """Return what was typed, such as `model=resnet50`; None where `.hydra/overrides.yaml` can't be read."""
        with suppress(OSError, ValueError):
            return self.typed()
        return None

    def typed(self) -> list[str]:
        """As `overrides`, but raise `UnusableError` where they can't be read."""
        file = self.hydra / "overrides.yaml"
        words = self._read(lambda folder, name: read_yaml(folder, name, list, foreign=True), file)
        if not all(isinstance(word, str) for word in words):
            raise UnusableError(f"{file} is damaged (not all of it is text)")
        return cast(list[str], words)

    def metrics(self) -> dict[str, float]:
        figures = self._read(read_json, self.metrics_file)
        check_figures(figures, self.metrics_file)
        return cast(dict[str, float], figures)

    def cost(self) -> dict[str, Any]:
        return cast(dict[str, Any], self._read(read_json, self.cost_file))

    def history(self) -> "pd.DataFrame":
        return cast("pd.DataFrame", self._read(read_table, self.history_file))

    def predictions(self) -> "pd.DataFrame":
        # A class may be called NA or null; those are names here, not missing values.
        table = self._read(lambda folder, name: read_table(folder, name, keep_default_na=False), self.predictions_file)
        columns = {"path", "target", "predicted"}
        if not (columns | {"confidence"} <= set(table.columns) or columns | {"unknown"} <= set(table.columns)):
            raise UnusableError(f"{self.predictions_file} is damaged (it lacks columns)")
        return cast("pd.DataFrame", table)

    def per_class(self) -> "pd.DataFrame":
        return cast(
            "pd.DataFrame", self._read(lambda *place: read_table(*place, keep_default_na=False), self.per_class_file)
        )

    def images_of_classes(self) -> list[int]:
        """Return how many test images each class has; empty where no table says so."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            return [int(images) for images in self.per_class()["support"]]
        return []

    def probabilities(self) -> "Answers":
        """Return what `probabilities.npz` holds; only `probabilities=true` writes it."""
        from .answers import read_answers

        return cast("Answers", self._read(read_answers, self.probabilities_file))

    def _read(self, reader: Callable[[Path, str], Any], file: Path) -> Any:
        try:
            return reader(self.path, str(file.relative_to(self.path)))
        except UnusableError as error:
            raise type(error)(f"{self.shown}: {error}") from None

    @staticmethod
    def _write_json(path: Path, content: Mapping[str, Any]) -> None:
        write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8", errors=NAMES) as file:
        file.writelines(csv_line(row) for row in chain((header,), rows))


def _typed_overrides() -> dict[str, list[str]]:
    """Return the `overrides` of this process, as Hydra knows them; an empty list outside Hydra.

    Those of `src.search` are not of a training: its runs say in `.hydra/overrides.yaml` what each was trained with.
    """
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return {"overrides": []}
    hydra = HydraConfig.get()
    return {} if hydra.job.name == "search" else {"overrides": list(hydra.overrides.task)}


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
