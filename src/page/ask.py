"""What the page asks a network: how sure it is of each class, and where in the picture it sees the evidence."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..attribution.cam import Attribution, class_activation_maps
from ..attribution.methods import METHODS
from ..data.transforms import Geometry
from ..figures.heat_maps import enlarge, overlay, panel_size, scale_maps
from ..prediction.stream import answer_together, as_tested, precision_of
from ..trained.logits import predict, predict_with_features, probabilities
from .exhibits import Exhibit
from .pictures import Picture

OFFERED = [name for name, method in METHODS.items() if method.kind == "map" and not method.per_channel]
"""The methods that take one pass through the network: the others take one for each of up to 2048 channels."""

SIDE = 336
"""About the longer side of a picture in pixels; the browser fits it to the screen."""

KEPT = 24
"""How many answers are remembered, so that redrawing a page doesn't ask again: two networks, twelve pictures."""

SAID = 1000
"""How many answers without a map are remembered: some kilobytes each at most."""


@dataclass(frozen=True)
class Question:
    """What a network is asked about one picture; equal for the same picture and settings.

    Attributes:
        image: uint8 (C, S, S), as `exhibit` wants it; `digest` stands for it in comparisons.
        target: The class that the map is to explain; None for the predicted one.
    """

    exhibit: Exhibit
    image: torch.Tensor = field(compare=False, repr=False)
    digest: str
    method: str
    layer: str
    target: int | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """What a network answers.

    Attributes:
        probabilities: (K,), calibrated where the exhibit has a temperature.
        target: The class that the map explains.
        dark: Whether the map has no positive evidence.
        picture: A JPEG of what the network sees, and beside it the same in grey under the heat of the map.
    """

    probabilities: NDArray[np.float64]
    target: int
    dark: bool
    picture: bytes


def digest(image: torch.Tensor) -> str:
    """Return what stands for an image in a `Question`."""
    return hashlib.sha256(image.numpy().tobytes()).hexdigest()


def say(exhibit: Exhibit, picture: Picture) -> NDArray[np.float64]:
    """Return what a network says of a picture, (K,), calibrated where the exhibit has a temperature; without a map."""
    said: NDArray[np.float64] = _in_turn.submit(_say, _of(exhibit, picture)).result()
    return said


def familiarity(exhibit: Exhibit, picture: Picture) -> float | None:
    """Return the p-value of a picture to be like the validation images; None where nobody has asked for it."""
    if exhibit.validated is None or exhibit.validated.ood is None:
        return None
    share: float = _in_turn.submit(_familiarity, _of(exhibit, picture)).result()
    return share


def ask(question: Question, opacity: float = 1.0) -> Answer:
    """Return the answer to a question, its map drawn with an opacity in [0, 1].

    One thread serves all visitors, one after another: several at once would only take cores and memory from each other.
    Raise `InputError` where `class_activation_maps` does.
    """
    return _in_turn.submit(_answer, question, opacity).result()


_in_turn = ThreadPoolExecutor(1, thread_name_prefix="network")


@dataclass(frozen=True)
class _Said:
    """Of which picture an answer is; equal for the same network and picture."""

    exhibit: Exhibit
    digests: tuple[str, ...]
    images: dict[Geometry, torch.Tensor] = field(compare=False, repr=False)


def _of(exhibit: Exhibit, picture: Picture) -> _Said:
    ways = exhibit.geometries
    return _Said(exhibit, tuple(picture.digests[way] for way in ways), {way: picture.inputs[way] for way in ways})


@lru_cache(maxsize=SAID)
def _say(of: _Said) -> NDArray[np.float64]:
    exhibit = of.exhibit
    if exhibit.ensemble is not None:
        batches = {way: image[None] for way, image in of.images.items()}
        shares: NDArray[np.float64] = probabilities(answer_together(exhibit.ensemble, batches))[0]
        return shares
    image = of.images[exhibit.trained.geometry]
    found: NDArray[np.float64] = exhibit.probabilities(predict(exhibit.trained, [image[None]]))[0]
    return found


@lru_cache(maxsize=SAID)
def _familiarity(of: _Said) -> float:
    trained, validated = of.exhibit.trained, of.exhibit.validated
    assert validated is not None
    with as_tested(trained, precision_of(trained)):
        _, features = predict_with_features(trained, [of.images[trained.geometry][None]], stages=True)
    found = validated.familiarity(features)
    assert found is not None
    return float(found[0])


@lru_cache(maxsize=KEPT)
def _answer(question: Question, opacity: float) -> Answer:
    said = _explain(question)
    target, raw = int(said.targets[0]), np.where(np.isfinite(said.maps[0]), said.maps[0], 0)
    picture = _draw(question.image.numpy(), raw, opacity)
    return Answer(question.exhibit.probabilities(said.logits)[0], target, not raw.max() > 0, picture)


@lru_cache(maxsize=KEPT)
def _explain(question: Question) -> Attribution:
    trained = question.exhibit.trained
    targets = None if question.target is None else torch.tensor([question.target])
    with torch.no_grad():
        normalised = trained.module.normalise(question.image[None])
    return class_activation_maps(trained.module.network, normalised, question.method, targets, question.layer)


def _draw(image: NDArray[np.uint8], raw: NDArray[np.float32], opacity: float) -> bytes:
    """Return a JPEG of the image (C, S, S) and, beside it, the image under its map (h, w)."""
    size = panel_size(image.shape[1:], SIDE)
    picture = enlarge(image, size)
    under_heat = overlay(picture, scale_maps(raw[None], size)[0])
    mixed = (1 - opacity) * picture + opacity * under_heat
    gap = np.full((size[0], 4, 3), 255, np.uint8)
    file = BytesIO()
    both = Image.fromarray(np.concatenate([picture, gap, mixed.round().astype(np.uint8)], axis=1))
    both.save(file, format="JPEG", quality=90, subsampling=0)  # a fifth of a PNG, which takes ten times as long
    return file.getvalue()
