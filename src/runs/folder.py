"""RunFolder: the one place that knows which files a run has, and writes and reads them.

The names and columns are a contract with users, reports and later verbs; README.md lists them.
"""

import json
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from ..errors import InputError, RunError
from ..files import csv_line, remove_partial, replacing, write_text
from ..settings.check import problem
from .provenance import describe_changes, provenance
from .reserved import reserved

if TYPE_CHECKING:  # the command line knows run folders, and starts without pandas
    import numpy as np
    import pandas as pd

Status = Literal["running", "finished", "failed", "interrupted", "refused"]
"""`refused`: the input was wrong, and nothing was trained. `running` is also what a killed run leaves behind."""

NAMES: Literal["surrogateescape"] = "surrogateescape"
"""How file names that are not UTF-8 pass through text files: byte by byte, as Python itself passes them."""


def new_run_path(data: str, model: str, outputs: Path = Path("outputs")) -> Path:
    """Return `outputs/<data>/<model>/<date>_<time>_<4 random hex>`: the hex keeps runs of one second apart."""
    return outputs / data / model / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(2)}"


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
        self.skipped_file = self.path / "skipped.csv"
        self.cost_file = self.path / "cost.json"
        self.checkpoints = self.path / "checkpoints"
        self.best_checkpoint = self.checkpoints / "best.ckpt"
        self.last_checkpoint = self.checkpoints / "last.ckpt"
        self.gradcam = self.path / "gradcam"
        self.figures = self.path / "figures"

    @property
    def shown(self) -> str:
        """The path for people: relative to the current folder where it lies below it."""
        here = Path.cwd()
        return str(self.path.relative_to(here) if self.path.is_relative_to(here) else self.path)

    @property
    def logdir(self) -> str:
        """What TensorBoard should read: `outputs` with all its runs if this is one of them, else the run itself."""
        return "outputs" if self.path.absolute().is_relative_to(Path.cwd() / "outputs") else self.shown

    # Writing -------------------------------------------------------------------------------------------------------

    def start(
        self,
        *,
        command: str,
        seed: int,
        hardware: Mapping[str, Any],
        resumed: bool = False,
        batch_size: int | None = None,
    ) -> list[str]:
        """Create the folder and `run.json` with status `running`; `batch_size` is what `data.batch_size=auto` found.

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
        }
        if batch_size is not None:
            record["batch_size"] = batch_size
        if resumed:
            before = self.record() if self.status else {}  # a record that was cut in half says nothing
            changes = describe_changes(before, record)
            entry = {"time": _now(), "command": command, "overrides": _typed_overrides(), "changes": changes}
            record |= {key: before.get(key, record[key]) for key in ("command", "start")}
            record["resumed"] = [*before.get("resumed", []), entry]
        elif self.record_file.exists():
            raise InputError(f"{self.path} holds a run already: name another folder, or leave hydra.run.dir out")
        try:
            self._write_json(self.record_file, record)
        except OSError as error:
            raise self._unwritable(error) from None
        return changes

    def keep_settings(self, text: str) -> None:
        """Write `.hydra/config.yaml`, unless Hydra has written it."""
        file = self.hydra / "config.yaml"
        if not file.exists():
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

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Keep the status in `run.json` true, however the block ends.

        Ctrl-C leaves it as `KeyboardInterrupt`, SIGTERM as `SystemExit(143)`. Lightning answers both with a
        `SystemExit` of its own, the first with a KeyboardInterrupt behind it.
        """
        try:
            yield
            self.end("finished")
        except (KeyboardInterrupt, SystemExit) as error:
            with suppress(OSError):  # of a full disk: that somebody wants it to end is what counts
                self.end("interrupted")
            if isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            raise SystemExit(143) from error
        except BaseException as error:
            with suppress(OSError):  # of a full disk: what is raised says it
                self.end("failed", error=str(error) or type(error).__name__)
            raise

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the folder for this process; raise `InputError` where another one has it, or it can't be made."""
        with reserved(self.path, self.shown, "choose another hydra.run.dir"):
            yield

    def clear(self, *, all_of_it: bool) -> None:
        """Remove half-written files of a killed process; with `all_of_it` everything that training writes."""
        remove_partial(self.path)
        if not all_of_it:
            return
        for folder in (self.checkpoints, self.gradcam, self.figures):
            if folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder)
        written = (self.history_file, self.metrics_file, self.per_class_file, self.predictions_file, self.skipped_file)
        for file in (*written, self.cost_file, *self.path.glob("events.out.tfevents.*")):
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

    def write_skipped(self, skipped: Iterable[tuple[str, str]]) -> None:
        """Write `skipped.csv`: the path of each image that was left out, and why; without any, the header alone."""
        _write_csv(self.skipped_file, ("path", "reason"), skipped)

    # Reading -------------------------------------------------------------------------------------------------------

    @property
    def status(self) -> Status | None:
        """What `run.json` says; None where there is none that can be read."""
        try:
            return cast(Status, self.record()["status"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def is_whole(self) -> bool:
        """Whether the run has finished and its figures can be read."""
        try:
            return self.status == "finished" and bool(self.metrics())
        except (OSError, ValueError):
            return False

    def record(self) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads(self.record_file.read_text(encoding="utf-8")))

    @property
    def batch_size(self) -> int | None:
        """What `data.batch_size=auto` found for this run; None where it was a number, or `run.json` doesn't say."""
        try:
            size = self.record()["batch_size"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return size if isinstance(size, int) and problem("data.batch_size", size) is None else None

    def overrides(self) -> list[str] | None:
        """Return what was typed, such as `model=resnet50`; None where `.hydra/overrides.yaml` can't be read."""
        import yaml

        try:
            words = yaml.safe_load((self.hydra / "overrides.yaml").read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            return None
        return [str(word) for word in words] if isinstance(words, list) else None

    def metrics(self) -> dict[str, float]:
        return cast(dict[str, float], json.loads(self.metrics_file.read_text(encoding="utf-8")))

    def cost(self) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads(self.cost_file.read_text(encoding="utf-8")))

    def history(self) -> "pd.DataFrame":
        from ..frames import pd

        return pd.read_csv(self.history_file)

    def predictions(self) -> "pd.DataFrame":
        from ..frames import pd

        # A class may be called NA or null; those are names here, not missing values.
        return pd.read_csv(self.predictions_file, keep_default_na=False, encoding_errors=NAMES)

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"{self.path} can't be written ({error.strerror}): choose another hydra.run.dir")

    @staticmethod
    def _write_json(path: Path, content: Mapping[str, Any]) -> None:
        write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8", errors=NAMES) as file:
        file.writelines(csv_line(row) for row in chain((header,), rows))


def _typed_overrides() -> list[str]:
    """Return the overrides of this process, as Hydra knows them; none outside Hydra."""
    from hydra.core.hydra_config import HydraConfig

    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
