"""The temperature of a checkpoint, by which its logits are divided for honest confidences: a file beside it."""

import hashlib
import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from ..files import write_text
from ..runs.contents import UnusableError, is_number, read_json

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Calibration:
    """What temperature scaling found on images that were neither trained nor tested on.

    Attributes:
        temperature: T > 0; calibrated probabilities are softmax(logits / T). Above 1 the network was overconfident.
        split: the images that it was fitted on, such as `val`.
        images: how many they were.
        nll_before, nll_after: their mean negative log-likelihood with T = 1 and with T.
        sha256: of the checkpoint file: a temperature of another one means nothing for this one.
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
    """Write the file beside a checkpoint; return its path."""
    file = calibration_file(checkpoint)
    write_text(file, json.dumps(asdict(calibration), indent=2) + "\n")
    return file


def read_calibration(checkpoint: Path) -> Calibration | None:
    """Read the file beside a checkpoint; None without one, or, with a warning, if it belongs to another."""
    file = calibration_file(checkpoint)
    if not os.path.lexists(file):
        return None
    try:
        calibration = Calibration(**read_json(file.parent, file.name))
        figures = (calibration.temperature, calibration.images, calibration.nll_before, calibration.nll_after)
        if not (all(map(is_number, figures)) and calibration.temperature > 0 and isinstance(calibration.split, str)):
            raise TypeError
    except (UnusableError, TypeError):
        log.warning("%s can't be read and is ignored: src.evaluate calibrate=true makes it again", file)
        return None
    if calibration.sha256 != digest(checkpoint):
        log.warning("%s belongs to another checkpoint and is ignored: src.evaluate calibrate=true makes it again", file)
        return None
    return calibration


def digest(file: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
