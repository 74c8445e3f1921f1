"""What the page shows: one or two trained networks, what is known about each, and the test images of a run."""

import copy
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..analysis.intervals import wilson
from ..analysis.tasks import ONE_CLASS
from ..attribution.layers import deepest_layer, map_sizes
from ..attribution.snapshot import frozen_copy
from ..data.transforms import Geometry
from ..errors import InputError, RunError
from ..names import NO_LABEL, together
from ..networks import layers_of
from ..prediction.validated import Validated, prepare_validated
from ..runs.differing import differing, in_short, name_of
from ..runs.saved_settings import run_settings
from ..trained.checkpoint import Trained, load_trained
from ..trained.ensemble import Ensemble, load_ensemble, name_members
from ..trained.logits import probabilities
from ..trained.pictures import Pictures, open_split
from ..trained.temperature import read_calibration
from ..training.label_results import probabilities as label_probabilities
from ..training.label_results import thresholds_of

log = logging.getLogger(__name__)

Doubt = tuple[float | None, float | None]
"""`coverage` of sets of classes, and `ood`, the share of familiar images that may be called unfamiliar."""

NOTHING: Doubt = (None, None)

MOST_EXAMPLES = 200
"""How many test images there are to choose from: the browser gets the whole list again and again."""


@dataclass(frozen=True, eq=False)
class Exhibit:
    """A trained network with what the page says about it.

    Attributes:
        letter: A or B where there are two, otherwise nothing.
        temperature: What calibrates its confidences; None where nobody has fitted it.
        layers: Height and width of the map of each layer to choose from, the deepest first.
        layer: The one to begin with, the deepest with a map of at least 7×7.
        facts: What it is called, network, data, size of input, test accuracy, as far as they are known.
        thresholds: (K,), the probability from which each label is decided; None where an image has one class.
        ensemble: Those that answer together, of which `trained` is the first and draws the map; None of one network.
        validated: What is asked of the validation images; None where that is nothing.
    """

    letter: str
    trained: Trained
    temperature: float | None
    layers: dict[str, tuple[int, int]]
    layer: str
    facts: list[str]
    thresholds: NDArray[np.float64] | None = None
    ensemble: Ensemble | None = None
    validated: Validated | None = None

    @property
    def networks(self) -> list[Trained]:
        return [self.trained] if self.ensemble is None else [member.trained for member in self.ensemble.members]

    @property
    def geometries(self) -> list[Geometry]:
        """How its networks want a picture cut, that of `trained` first."""
        return list(dict.fromkeys(one.geometry for one in self.networks))

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (N, K), calibrated where there is a temperature."""
        of_task = probabilities if self.thresholds is None else label_probabilities
        return of_task(logits, self.temperature or 1.0)


@dataclass(frozen=True, eq=False)
class Examples:
    """Test images of a run to choose from: `chosen` are their indices among the `pictures`."""

    pictures: Pictures
    chosen: NDArray[np.int64]
    class_names: list[str]

    def input(self, index: int, geometry: Geometry) -> torch.Tensor:
        """Return an image as a network of this geometry sees it, uint8 (C, S, S)."""
        dataset = copy.copy(self.pictures.dataset)  # shares the images
        dataset.geometry = geometry
        return dataset[index][0]

    def true(self, index: int) -> str:
        """Return the class, or the labels with those of which nobody knows behind."""
        if self.pictures.labels is None:
            return self.class_names[int(self.pictures.targets[index])]
        row = self.pictures.labels[[index]]
        (known,), (unknown,) = together(row == 1, self.class_names), together(np.isnan(row), self.class_names)
        return known if unknown == NO_LABEL else f"{known}, unknown {unknown}"


@dataclass(frozen=True, eq=False)
class Exhibition:
    """Everything on the page.

    Attributes:
        examples: where there are no test images, a sentence that says why.
        runs: the folder whose runs can be chosen instead; None where there is no choice.
        doubt: what is asked of the validation images of each network.
    """

    exhibits: list[Exhibit]
    examples: Examples | str
    runs: Path | None = None
    doubt: Doubt = NOTHING


def open_exhibition(
    checkpoint: str,
    device: torch.device,
    data_root: str | None = None,
    runs: Path | None = None,
    doubt: Doubt = NOTHING,
    *,
    ensemble: bool = False,
) -> Exhibition:
    """As `open_networks`, for one path, or two as `[A,B]`; several together as an `ensemble`, as a sweep's always are.

    Raise `InputError` for anything but checkpoints of ours, and for an ensemble of which validation images are asked.
    """
    if not ensemble and (checkpoint.startswith("[") or name_members(checkpoint) == [checkpoint]):
        return open_networks(split_paths(checkpoint), device, data_root, runs, doubt)
    if doubt != NOTHING:
        raise InputError("coverage= and ood= are for one run, and checkpoint names several: leave them out")
    found = load_ensemble(checkpoint, device)
    if found is None:
        raise InputError(
            f"ensemble=true needs several networks, and checkpoint={checkpoint} names one: write [RUN,RUN]"
        )
    first = _exhibit("", found.members[0].trained)
    calibrated = f"{found.calibrated} of them calibrated" if found.calibrated else "not calibrated"
    facts = [f"mean of {len(found.members)} networks, {calibrated}", *(member.name for member in found.members)]
    return Exhibition([replace(first, facts=facts, ensemble=found)], _examples(first.trained, data_root, found), runs)


def open_networks(
    paths: Sequence[str],
    device: torch.device,
    data_root: str | None = None,
    runs: Path | None = None,
    doubt: Doubt = NOTHING,
) -> Exhibition:
    """Load one or two networks, and find the test images of the first.

    `data_root` is where the run's data set lies now. Raise `InputError` for anything but a checkpoint of ours.
    """
    trained = [load_trained(path, device, multilabel=True) for path in paths]
    letters = ["A", "B"] if len(paths) == 2 else [""]
    exhibits = [_exhibit(letter, one) for letter, one in zip(letters, trained, strict=True)]
    exhibits = [
        replace(one, validated=prepare_validated(one.trained, *doubt, one.temperature or 1.0, data_root))
        for one in exhibits
    ]
    for exhibit, words in zip(exhibits, _differences(trained), strict=True):
        exhibit.facts.extend(words)
    return Exhibition(exhibits, _examples(trained[0], data_root), runs, doubt)


def split_paths(checkpoint: str) -> list[str]:
    """Return one path, or the two of `[A,B]`; raise `InputError` for another number.

    A path may contain commas and brackets itself: a path that exists is taken as typed.
    """
    if not checkpoint:
        raise InputError("checkpoint=null names nothing: name a run folder, or its checkpoints/best.ckpt")
    if _exists(checkpoint) or not (checkpoint.startswith("[") and checkpoint.endswith("]")):
        return [checkpoint]
    words = checkpoint[1:-1].split(",")
    pairs = [[",".join(words[:i]).strip(), ",".join(words[i:]).strip()] for i in range(1, len(words))]
    there = [pair for pair in pairs if all(_exists(path) for path in pair)]
    if there:
        return there[0]
    if len(words) != 2 or not all(word.strip() for word in words):
        raise InputError(
            f"checkpoint={checkpoint} names {len(words)} networks: name one, or two as [A,B], or say ensemble=true"
        )
    return pairs[0]


def _exists(path: str) -> bool:
    return bool(path) and os.path.exists(os.path.expanduser(path))  # noqa: PTH110, PTH111  # False for what can't be asked


def _exhibit(letter: str, trained: Trained) -> Exhibit:
    calibration = read_calibration(trained.path)
    size, channels = trained.geometry.image_size, trained.geometry.in_channels
    with frozen_copy(trained.module.network) as network:
        blank = torch.zeros(1, channels, size, size, device=trained.device)
        sizes = map_sizes(network, blank)
        layer = deepest_layer(network, blank)
    own = trained.module.network
    named = [name for names in layers_of(own) for name in names]
    usual = {name for name in named if any(True for _ in own.get_submodule(name).parameters())}
    # A map of less than 2×2 cells says nothing about where; and the usual names only, not every convolution's.
    layers = {name: cells for name, cells in sizes.items() if name in {*usual, layer} and min(cells) >= 2}
    temperature = None if calibration is None else calibration.temperature
    thresholds = thresholds_of(trained.module) if trained.multilabel else None
    return Exhibit(letter, trained, temperature, dict(reversed(layers.items())), layer, _facts(trained), thresholds)


def _facts(trained: Trained) -> list[str]:
    size, channels = trained.geometry.image_size, trained.geometry.in_channels
    task = trained.module.task
    classes = f"{len(trained.class_names)} {task.classes}"
    called = trained.path.name if trained.run is None else name_of(trained.run)
    colours = {1: "grey", 3: "colour"}.get(channels, f"{channels} bands")
    facts = [called, trained.name, f"{size}×{size} px, {colours}"]
    if trained.run is None:
        return [*facts, classes]
    with suppress(InputError, AttributeError):
        facts.append(f"trained on {run_settings(trained.run).data.name}")
    facts.append(classes)
    with suppress(
        OSError, ValueError, KeyError, TypeError, RecursionError
    ):  # it was not tested, or its figures are damaged
        value = float(trained.run.metrics()[f"test/{task.first}"])
        images = sum(trained.run.images_of_classes()) if task is ONE_CLASS else 0
        between = " ({:.3f} to {:.3f})".format(*wilson(value, images)) if images else ""
        facts.append(f"test {task.score.title} {value:.3f}{between}")
    return facts


def _differences(trained: Sequence[Trained]) -> list[list[str]]:
    """Return what was typed for one of two runs and not for the other, in short; nothing where that isn't known."""
    runs = [one.run for one in trained if one.run is not None]
    words = [typed for run in runs if (typed := run.overrides()) is not None]
    if len(words) < 2:
        return [[] for _ in trained]
    apart = differing(dict(zip("AB", words, strict=True))).values()
    # The name of a run of a sweep says it already.
    return [[word for word in in_short(own) if word not in name_of(run)] for run, own in zip(runs, apart, strict=True)]


def _examples(trained: Trained, data_root: str | None, ensemble: Ensemble | None = None) -> Examples | str:
    networks = [trained] if ensemble is None else [member.trained for member in ensemble.members]
    if any(one.run is None for one in networks):
        return "The checkpoint belongs to no run, so there are no test images to choose from."
    try:
        found = [open_split(one.run, "test", one.geometry, one.class_names, data_root) for one in networks if one.run]
        pictures = found[0]
        if any(one.names != pictures.names for one in found):
            return "The runs were divided differently, so that no test images are new to all of them."
    except (InputError, RunError) as error:
        log.warning("the run's test images are not available: %s", error)  # paths are not for visitors
        return "The run's test images are not available: the terminal says why."
    return Examples(pictures, pictures.some(MOST_EXAMPLES, seed=1), trained.class_names)
