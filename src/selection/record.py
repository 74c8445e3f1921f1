"""search.json: all that a search knows, whole after every step, so that one that was stopped goes on with it."""

import io
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..files import replacing, write_text
from ..runs.contents import UnusableError, read_json
from ..runs.folder import RunFolder

FILE, TABLE, PAGE, RUNS = "search.json", "table.csv", "search.html", "runs"

VERSION = 1

NEEDED: Mapping[str, Any] = {
    "words": list, "rounds": dict, "candidates": dict, "data": dict, "seconds": int | float, "loaded": int | float,
}  # fmt: skip
"""What a search that goes on reads first."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What a candidate has come to at the end of a round.

    Attributes:
        steps, seconds: Of its training, rounds before included.
        right, losses: Of each validation image (N,): whether the answer was right, and its log-loss.
        wall: Seconds that the round took.
        around: Those of them that were no training: loading, validation at the end, checkpoints.
        step_seconds: Of one step of training; of no step NaN.
        image_seconds: Of one image in evaluation, decoded and all; NaN where nobody knows.
    """

    steps: int
    seconds: float
    right: NDArray[np.bool_]
    losses: NDArray[np.float32]
    wall: float
    around: float
    step_seconds: float
    image_seconds: float

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    @property
    def loss(self) -> float:
        return float(self.losses.mean(dtype=np.float64))

    @property
    def rank(self) -> tuple[float, float]:
        """The larger, the better: accuracy, and among equals the log-loss."""
        return self.accuracy, -self.loss


@dataclass
class Record:
    """The folder of a search and what its search.json says.

    Attributes:
        content: As in the file.
        spent_before: Seconds of earlier sittings.
    """

    folder: Path
    content: dict[str, Any]
    began: float = field(default_factory=time.monotonic)
    spent_before: float = 0.0

    @classmethod
    def read(cls, folder: Path, began: float) -> "Record":
        """Return what a search that was stopped has left; raise `InputError` where the folder holds none."""
        try:
            content = read_json(folder, FILE)
            ours = isinstance(content, dict) and content.get("version") == VERSION
        except UnusableError as error:
            remedy = "restore that file, or search anew" if (folder / FILE).is_file() else "name its folder"
            raise InputError(f"resume={folder} is no search that can go on ({error}): {remedy}") from None
        if not ours or not all(isinstance(content.get(key), kind) for key, kind in NEEDED.items()):
            raise InputError(f"resume={folder} holds a {FILE} of another hand: name the folder of a search")
        return cls(folder, content, began, float(content.get("seconds", 0.0)))

    @property
    def shown(self) -> str:
        return RunFolder(self.folder).shown

    @property
    def spent(self) -> float:
        """Seconds so far, earlier sittings included."""
        return self.spent_before + time.monotonic() - self.began

    def at(self, seconds: float) -> float:
        """Return when so many seconds will be spent, as `time.monotonic()` has it."""
        return self.began + seconds - self.spent_before

    def run(self, name: str) -> RunFolder:
        return RunFolder(self.folder / RUNS / name)

    def write(self, **changes: Any) -> None:
        self.content |= changes
        self.content["seconds"] = round(self.spent, 2)
        write_text(self.folder / FILE, json.dumps(self.content, indent=1, ensure_ascii=False) + "\n")

    def recalled(self, key: str, value: Any) -> Any:
        """Return what was decided under this key before; the first time it is `value`, which is written."""
        if key not in self.content:
            self.write(**{key: value})
        return self.content[key]

    def keep(self, number: int, name: str, measured: Measured) -> None:
        """Keep what a candidate has come to in a round."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, right=measured.right, losses=measured.losses)
        with replacing(self._arrays(number, name)) as temporary:
            temporary.write_bytes(buffer.getvalue())
        row = {
            "steps": measured.steps,
            "seconds": round(measured.seconds, 3),
            "accuracy": measured.accuracy,
            "loss": measured.loss,
            "wall": round(measured.wall, 3),
            "around": round(measured.around, 3),
            "step_seconds": measured.step_seconds,
            "image_seconds": measured.image_seconds,
            "at": round(self.spent, 2),
        }
        self.content["rounds"].setdefault(str(number), {})[name] = row
        self.write()

    def known(self, number: int, name: str) -> Measured | None:
        """Return what `keep` has kept; None where there is nothing whole."""
        row: Mapping[str, Any] | None = self.content["rounds"].get(str(number), {}).get(name)
        if row is None:
            return None
        try:
            with self._arrays(number, name).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                right, losses = arrays["right"], arrays["losses"]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None
        return Measured(
            row["steps"],
            row["seconds"],
            right,
            losses,
            row["wall"],
            row["around"],
            row["step_seconds"],
            row["image_seconds"],
        )

    def _arrays(self, number: int, name: str) -> Path:
        return self.folder / RUNS / name / f"round_{number}.npz"

    def leave_out(self, name: str, reason: str) -> None:
        """Note why a candidate takes no further part."""
        self.content["candidates"][name]["out"] = reason
        self.write()
