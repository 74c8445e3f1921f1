"""All probabilities of a run: written whole, read with checks."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from src.runs.answers import read_answers, write_answers
from src.runs.arrays import save_arrays
from src.runs.contents import MissingError, UnusableError
from src.runs.folder import RunFolder

LOGITS = np.array([[0.0, 200.0, -1.0], [3.0, 2.0, 1.0]], dtype=np.float32)
SHARES = softmax(LOGITS, axis=1)
PATHS, NAMES = ["a/ä b.png", "b/\udcff.png"], ["cat", "NA", "=1+1"]


def test_they_come_back_as_they_were(tmp_path: Path) -> None:
    """Names that are no UTF-8, words that pandas takes for missing, and logits whose probability is 0."""
    RunFolder(tmp_path).write_probabilities(PATHS, np.array([1, 2]), NAMES, LOGITS, SHARES)
    found = RunFolder(tmp_path).probabilities()
    assert (found.paths, found.class_names, found.targets.tolist()) == (PATHS, NAMES, [1, 2])
    np.testing.assert_array_equal(found.logits, LOGITS)
    np.testing.assert_array_equal(found.probabilities, SHARES)


def test_without_the_setting_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"probabilities\.npz is missing"):
        RunFolder(tmp_path).probabilities()


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("targets", np.array([1, 3])),
        ("targets", np.array([-1, 1])),
        ("targets", np.array([1])),
        ("targets", np.array([0.5, 1.0])),
        ("logits", LOGITS[:, :2]),
        ("probabilities", SHARES.astype(np.float64)),
        ("paths", np.array([1, 2])),
    ],
)
def test_parts_that_dont_belong_together_are_refused(tmp_path: Path, part: str, value: np.ndarray) -> None:
    whole = {
        "paths": np.array(PATHS),
        "targets": np.array([1, 2]),
        "class_names": np.array(NAMES),
        "logits": LOGITS,
        "probabilities": SHARES,
    }
    save_arrays(tmp_path / "probabilities.npz", **(whole | {part: value}))
    with pytest.raises(UnusableError, match="damaged"):
        read_answers(tmp_path, "probabilities.npz")


def test_half_a_file_is_damaged(tmp_path: Path) -> None:
    file = tmp_path / "probabilities.npz"
    write_answers(file, PATHS, np.array([1, 2]), NAMES, LOGITS, SHARES)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(UnusableError, match="damaged"):
        read_answers(tmp_path, file.name)
