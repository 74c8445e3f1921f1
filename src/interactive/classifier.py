"""A trained network that Python asks about pictures: `load("last").predict("cat.jpg")`."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..data.refusal import UnreadableImageError
from ..data.transforms import Geometry, load_image
from ..errors import InputError
from ..prediction.stream import Answers, answer_together, as_tested, precision_of, stream, stream_together, worker_count
from ..prediction.validated import Validated, prepare_validated
from ..trained import logits as softmax
from ..trained.checkpoint import Trained, choose_device, load_trained
from ..trained.ensemble import Ensemble, load_ensemble
from ..trained.listing import find_paths
from ..trained.temperature import read_calibration
from ..training import label_results
from .run import Run
from .short_errors import shortly

BATCH = 32

STORED = {"PNG": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16"), "TIFF": ("I", "F", "CMYK", "LAB")}
"""How a picture in memory becomes what reads as a file does, by Pillow's modes."""


@dataclass(frozen=True, repr=False)
class Prediction:
    """What a network says of one picture.

    Attributes:
        classes: the likeliest first.
        probabilities: of these classes, in [0, 1].
        decided: the class; where a picture has several labels, those that reach their thresholds.
        path: of its file, if it came from one.
        error: why the file can't be read; then there are no classes.
        set: the classes that hold the true one so often, with `coverage=`; the likeliest first.
        ood_p: the p-value of being like the validation images, with `ood=`; up to `ood` it is `unfamiliar`.
    """

    classes: list[str] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    decided: list[str] = field(default_factory=list)
    path: str | None = None
    error: str | None = None
    set: list[str] = field(default_factory=list)
    ood_p: float | None = None
    unfamiliar: bool | None = None

    def __repr__(self) -> str:
        said = " · ".join(f"{name} {share:.2f}" for name, share in zip(self.classes, self.probabilities, strict=True))
        return "   ".join(part for part in (self.error or said, self.path) if part)


class Classifier:
    """A trained network with its classes and preprocessing, or an ensemble of several."""

    def __init__(self, trained: Trained | Ensemble) -> None:
        self._trained = trained
        calibration = read_calibration(trained.path) if isinstance(trained, Trained) else None
        self._temperature = 1.0 if calibration is None else calibration.temperature
        self._asked: Validated | None = None

    @property
    def class_names(self) -> list[str]:
        return self._trained.class_names

    def __repr__(self) -> str:
        trained = self._trained
        if isinstance(trained, Ensemble):
            return f"Classifier({', '.join(one.name for one in trained.members)}, {len(self.class_names)} classes)"
        where = trained.run.shown if trained.run else trained.path
        return f"Classifier({trained.name}, {len(self.class_names)} classes, {where})"

    @shortly
    def predict(
        self, images: Any, top_k: int = 3, *, coverage: float | None = None, ood: float | None = None
    ) -> "Prediction | list[Prediction]":
        """Predict a picture, or a list of pictures: paths and Pillow's images. A folder or a pattern is a list.

        Args:
            top_k: how many classes are told of each.
            coverage: as 0.9: how often `set` is to hold the true class.
            ood: as 0.05: the share of pictures like the validation images that may be called unfamiliar.

        Raises:
            InputError: There is no such file, or the only one can't be read. Of several, `error` says so.
        """
        if top_k < 1:
            raise InputError(f"top_k={top_k} is no number of classes: take at least 1")
        for name, value in (("coverage", coverage), ("ood", ood)):
            if value is not None and not 0 < value < 1:
                raise InputError(f"{name}={value} is no share: take a number between 0 and 1")
        self._asked = self._validated(coverage, ood)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")  # as `data.images` does, which a training has undone
            return self._predict(images, top_k)

    def _validated(self, coverage: float | None, ood: float | None) -> Validated | None:
        if coverage is None and ood is None:
            return None
        if isinstance(self._trained, Ensemble):
            raise InputError("coverage and ood are for one run, and this is an ensemble: leave them out")
        return prepare_validated(self._trained, coverage, ood, self._temperature)

    def _predict(self, images: Any, top_k: int) -> "Prediction | list[Prediction]":
        if isinstance(images, Image.Image):
            return self._of_pictures([images], top_k)[0]
        if isinstance(images, str | Path):
            paths = find_paths(str(images))
            found = self._of_files(paths, top_k)
            if paths != [str(Path(images).expanduser())]:
                return found
            if found[0].error is not None:
                raise InputError(f"{found[0].path} can't be read: {found[0].error}")
            return found[0]
        if not isinstance(images, Iterable) or isinstance(images, bytes | np.ndarray | torch.Tensor):
            raise InputError(f"{type(images).__name__} is no picture: take a path, a Pillow image, or a list of these")
        return self._of_several(list(images), top_k)

    def _of_several(self, images: Sequence[Any], top_k: int) -> list[Prediction]:
        for image in images:
            if not isinstance(image, str | Path | Image.Image):
                raise InputError(f"{type(image).__name__} is no picture: take paths and Pillow images")
        files = [str(Path(image).expanduser()) for image in images if not isinstance(image, Image.Image)]
        pictures = [image for image in images if isinstance(image, Image.Image)]
        of_files, of_pictures = iter(self._of_files(files, top_k)), iter(self._of_pictures(pictures, top_k))
        return [next(of_pictures if isinstance(image, Image.Image) else of_files) for image in images]

    def _of_files(self, paths: list[str], top_k: int) -> list[Prediction]:
        found = []
        for answers in self._stream(paths, worker_count("auto", -(-len(paths) // BATCH))):
            said = iter(self._told(answers.logits, answers.features, top_k))
            for path, reason in zip(answers.paths, answers.reasons, strict=True):
                one = Prediction(error=reason) if reason is not None else next(said)
                found.append(replace(one, path=path))
        return found

    def _stream(self, paths: list[str], workers: int) -> Iterator[Answers]:
        if isinstance(self._trained, Trained):
            return stream(self._trained, paths, BATCH, workers, features=self._asked is not None)
        return stream_together(self._trained, dict.fromkeys(self._trained.geometries, paths), BATCH, workers)

    def _of_pictures(self, pictures: list[Image.Image], top_k: int) -> list[Prediction]:
        found = []
        for start in range(0, len(pictures), BATCH):
            found += self._told(*self._answer(pictures[start : start + BATCH]), top_k)
        return found

    def _answer(self, pictures: list[Image.Image]) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
        """Return logits (n, K), and the features of all stages where they are asked for."""
        trained = self._trained
        if isinstance(trained, Ensemble):
            cut = {way: torch.stack([_read(picture, way) for picture in pictures]) for way in trained.geometries}
            return answer_together(trained, cut), None
        batch = torch.stack([_read(picture, trained.geometry) for picture in pictures])
        with as_tested(trained, precision_of(trained)):
            if self._asked is not None:
                return softmax.predict_with_features(trained, [batch], stages=True)
            return softmax.predict(trained, [batch]), None

    def _told(self, logits: NDArray[Any], features: NDArray[np.float32] | None, top_k: int) -> list[Prediction]:
        """Return what is said of each row of logits (N, K) and features (N, F)."""
        names, trained, asked = self.class_names, self._trained, self._asked
        thresholds = (
            label_results.thresholds_of(trained.module) if isinstance(trained, Trained) and trained.multilabel else None
        )
        shares = (
            softmax.probabilities(logits, self._temperature)
            if thresholds is None
            else label_results.probabilities(logits)
        )
        sets = None if asked is None else asked.sets(shares)
        familiarity = None if asked is None else asked.familiarity(features)
        told = []
        for place, row in enumerate(shares):
            order = np.argsort(-row, kind="stable")[:top_k].tolist()
            decided = order[:1] if thresholds is None else np.flatnonzero(row >= thresholds).tolist()
            share = None if familiarity is None else float(familiarity[place])
            told.append(
                Prediction(
                    [names[k] for k in order],
                    [float(row[k]) for k in order],
                    [names[k] for k in decided],
                    set=[] if sets is None else [names[k] for k in sets[place]],
                    ood_p=share,
                    unfamiliar=None if share is None or asked is None or asked.ood is None else share <= asked.ood,
                )
            )
        return told


def _read(picture: Image.Image, geometry: Geometry) -> torch.Tensor:
    """Return a picture in memory as its file would be read, uint8 (C, S, S)."""
    kind = next((kind for kind, modes in STORED.items() if picture.mode in modes), None)
    if kind is None:
        raise InputError(f"a picture of mode {picture.mode} can't be read: say picture.convert('RGB')")
    file = BytesIO()
    ImageOps.exif_transpose(picture).save(file, kind)
    file.seek(0)
    try:
        return load_image(file, geometry)
    except UnreadableImageError as error:
        raise InputError(f"a picture of mode {picture.mode} can't be read: {error.reason}") from None


@shortly
def load_classifier(run: Run | Path | str | Sequence[Run | Path | str], accelerator: str = "auto") -> Classifier:
    """Load the best checkpoint of a run, or a checkpoint file, or an ensemble of several; see `src.load`."""
    if accelerator not in ("auto", "cpu", "gpu"):
        raise InputError(f"accelerator={accelerator} is unknown; take auto, cpu or gpu")
    device = choose_device(accelerator)
    if isinstance(run, list | tuple):
        ensemble = load_ensemble([_place(one) for one in run], device, word="load")
    else:
        ensemble = load_ensemble(str(_place(run)), device, word="load")
    return Classifier(ensemble or load_trained(_place(run), device, "load", multilabel=True))


def _place(run: object) -> Path | str:
    where = run.folder if isinstance(run, Run) else run
    if not isinstance(where, str | Path):
        raise InputError(f"{type(where).__name__} is no run: take what train returned, a folder, a name, or last")
    return where
