"""What a run with several labels an image leaves behind of its test set."""

from collections.abc import Sequence

import lightning as L
import numpy as np
from numpy.typing import NDArray

from ..analysis.label_scores import per_label
from ..callbacks.test_outputs import Predictions
from ..data import ImageDataModule
from ..runs.folder import RunFolder
from .multilabel import MultilabelClassifier


def write_label_test(
    folder: RunFolder, trainer: L.Trainer, data: ImageDataModule, predictions: Predictions, *, whole: bool = False
) -> None:
    """Write the best checkpoint's answers on the test set; `whole`: its logits, too."""
    module = trainer.lightning_module
    said = probabilities(predictions.logits)
    write_label_answers(folder, data.paths("test"), predictions.targets, said, thresholds_of(module), data.class_names)
    if whole:
        paths, targets = data.paths("test")[: len(predictions.targets)], predictions.targets
        folder.write_probabilities(paths, targets, data.class_names, predictions.logits, said.astype(np.float32))


def write_label_answers(
    folder: RunFolder,
    paths: Sequence[str],
    targets: NDArray[np.float32],
    said: NDArray[np.float64],
    decided_at: NDArray[np.float64],
    names: Sequence[str],
) -> None:
    """Write predictions.csv and per_class.csv.

    `targets` (N, K) are those of the first N `paths`; `said` (N, K) are probabilities, `decided_at` (K,) thresholds.
    """
    folder.write_label_predictions(paths[: len(targets)], targets, said, decided_at, names)
    folder.write_per_class(per_label(said, targets, decided_at, names))


def probabilities(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return sigmoid(logits / T) of logits (N, K), in float64."""
    from scipy.special import expit

    said: NDArray[np.float64] = expit(logits.astype(np.float64) / temperature)
    return said


def thresholds_of(module: L.LightningModule | None) -> NDArray[np.float64]:
    """Return where each label is decided, (K,)."""
    assert isinstance(module, MultilabelClassifier)
    return module.thresholds.double().cpu().numpy()
