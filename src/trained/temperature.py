"""The temperature of a checkpoint: what its confidences have to be divided by to be honest, in a file beside it."""

import hashlib
import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from ..files import write_text

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Calibration:
    """What temperature scaling has found on images that were neither trained nor tested on.

    Attributes:
        temperature: T > 0; calibrated probabilities are softmax(logits / T). Above 1 the network was too sure.
        split: the images that it was fitted on, such as `val`.
        images: how many they were.
        nll_before, nll_after: their mean negative log-likelihood with T = 1 and with T.
        sha256: of the checkpoint file; that of another one says nothing about this one.
    """

    temperature: float
    split: str
    images: int
    nll_before: float
    nll_after: float
    sha256: str


def calibration_file(checkpoint: Path) -> Path:
    """`best.ckpt` -> `best.calibration.json` beside it."""
    return checkpoint.with_name(f"{checkpoint.stem}.calibration.json")


def write_calibration(checkpoint: Path, calibration: Calibration) -> Path:
    """Write the side file of a checkpoint; where it is."""
    file = calibration_file(checkpoint)
    write_text(file, json.dumps(asdict(calibration), indent=2) + "\n")
    return file


def read_calibration(checkpoint: Path) -> Calibration | None:
    """What the side file of a checkpoint says; None without one, and, with a warning, where it is not this one's."""
    file = calibration_file(checkpoint)
    if not file.is_file():
        return None
    try:
        calibration = Calibration(**json.loads(file.read_text(encoding="utf-8")))
        if not (math.isfinite(calibration.temperature) and calibration.temperature > 0):
            raise ValueError
    except (OSError, ValueError, TypeError, RecursionError):
        log.warning("%s can't be read and is passed over: src.evaluate calibrate=true makes it again", file)
        return None
    if calibration.sha256 != digest(checkpoint):
        log.warning("%s is of another checkpoint and is passed over: src.evaluate calibrate=true makes it again", file)
        return None
    return calibration


def digest(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
