"""A trained network that Python asks about pictures: `load("last").predict("cat.jpg")`."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
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
    """

    classes: list[str] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    decided: list[str] = field(default_factory=list)
    path: str | None = None
    error: str | None = None

    def __repr__(self) -> str:
        said = " · ".join(f"{name} {share:.2f}" for name, share in zip(self.classes, self.probabilities, strict=True))
        return "   ".join(part for part in (self.error or said, self.path) if part)


class Classifier:
    """A trained network with its classes and preprocessing, or an ensemble of several."""

    def __init__(self, trained: Trained | Ensemble) -> None:
        self._trained = trained
        calibration = read_calibration(trained.path) if isinstance(trained, Trained) else None
        self._temperature = 1.0 if calibration is None else calibration.temperature

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
    def predict(self, images: Any, top_k: int = 3) -> "Prediction | list[Prediction]":
        """Predict a picture, or a list of pictures: paths and Pillow's images. A folder or a pattern is a list.

        Args:
            top_k: how many classes are told of each.

        Raises:
            InputError: There is no such file, or the only one can't be read. Of several, `error` says so.
        """
        if top_k < 1:
            raise InputError(f"top_k={top_k} is no number of classes: take at least 1")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")  # as `data.images` does, which a training has undone
            return self._predict(images, top_k)

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
            said = iter(self._told(answers.logits, top_k))
            for path, reason in zip(answers.paths, answers.reasons, strict=True):
                if reason is not None:
                    found.append(Prediction(path=path, error=reason))
                else:
                    classes, shares, decided = next(said)
                    found.append(Prediction(classes, shares, decided, path))
        return found

    def _stream(self, paths: list[str], workers: int) -> Iterator[Answers]:
        if isinstance(self._trained, Trained):
            return stream(self._trained, paths, BATCH, workers)
        return stream_together(self._trained, dict.fromkeys(self._trained.geometries, paths), BATCH, workers)

    def _of_pictures(self, pictures: list[Image.Image], top_k: int) -> list[Prediction]:
        found = []
        for start in range(0, len(pictures), BATCH):
            found += [Prediction(*told) for told in self._told(self._logits(pictures[start : start + BATCH]), top_k)]
        return found

    def _logits(self, pictures: list[Image.Image]) -> NDArray[Any]:
        trained = self._trained
        if isinstance(trained, Ensemble):
            cut = {way: torch.stack([_read(picture, way) for picture in pictures]) for way in trained.geometries}
            return answer_together(trained, cut)
        batch = torch.stack([_read(picture, trained.geometry) for picture in pictures])
        with as_tested(trained, precision_of(trained)):
            return softmax.predict(trained, [batch])

    def _told(self, logits: NDArray[Any], top_k: int) -> list[tuple[list[str], list[float], list[str]]]:
        """Return classes, probabilities and what is decided of each row of logits (N, K)."""
        names, told = self.class_names, []
        shares = (
            label_results.probabilities(logits)
            if self._trained.multilabel
            else softmax.probabilities(logits, self._temperature)
        )
        for row in shares:
            order = np.argsort(-row, kind="stable")[:top_k].tolist()
            decided = [names[order[0]]]
            if self._trained.multilabel and isinstance(self._trained, Trained):
                thresholds = label_results.thresholds_of(self._trained.module)
                decided = [names[place] for place in np.flatnonzero(row >= thresholds)]
            told.append(([names[place] for place in order], [float(row[place]) for place in order], decided))
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
