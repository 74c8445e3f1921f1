"""Class images: what the network wants to see of each class, judged by another network beside three controls."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .. import figures
from ..attribution.archive import save_arrays
from ..attribution.class_image import ClassImages, ClassImageSettings, pixel_ascent
from ..attribution.colour import Colour, measure_colour
from ..attribution.randomised import randomised
from ..data.processes import file_progress
from ..errors import InputError
from ..figures.class_image_sheets import JudgedImages, class_image_pages, class_image_steps
from ..figures.heat_maps import first_three
from ..networks import row_of
from ..runs.output import picture_name
from ..tables import as_text
from ..trained.checkpoint import Trained, load_trained
from ..trained.pictures import open_data, open_split
from .judge import Judgement, Verdict, judged, train_judge, unseen_images, weakness
from .targets import find_class

log = logging.getLogger(__name__)

SAMPLE = 500
"""How many training images give colours and the control's batch norms their statistics."""

Make = Callable[..., ClassImages]
"""A method that makes pictures of classes, such as `class_image.class_images`."""

Shown = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images (n, C, S, S) and the classes (n,) that they are meant to show."""


@dataclass(frozen=True, eq=False)
class Judging:
    """Who judges, its name, its accuracy, and real images that it has not seen, uint8 (n, C, S, S), with their classes.

    The accuracy is that of its test set, or NaN where nothing says it.
    """

    judge: Trained
    called: str
    accuracy: float
    real: torch.Tensor
    targets: NDArray[np.int64]

    @property
    def weakness(self) -> str | None:
        """Why the judge can't judge; None where it can. Without a known accuracy, by the real images."""
        accuracy = self.accuracy
        if np.isnan(accuracy):
            accuracy = judged(self.judge.module, self.real, self.targets).share
        return weakness(accuracy, len(self.judge.class_names))


def explain_classes(
    trained: Trained,
    folder: Path,
    target: str,
    make: Make,
    *,
    per_class: int,
    steps: int | None = None,
    judge: str | None = "train",
    data_root: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Make `per_class` images of each class that `target` names (`all`, or one of them), and have them judged.

    Write sheets, a PNG an image, the steps and the arrays to `folder`, and return what explain.json says. `judge` is a
    run or checkpoint, `train` to train one beside the run's explanations, or None; `data_root` is where the run's data
    set lies now.
    """
    classes = wanted_classes(trained, target)
    judging = find_judge(trained, judge, per_class * len(trained.class_names), data_root)
    targets = [place for place in classes for _ in range(per_class)]
    made = _make(trained, make, targets, steps, data_root, seed)
    names = [f"{trained.class_names[place]} {number + 1}" for place in classes for number in range(per_class)]
    title = f"What {trained.name} wants to see"
    _keep(folder, made)
    _draw_each(folder, made["class images"], names)
    _draw_steps(folder, trained, made["class images"], per_class if len(classes) > 1 else 1, title)
    record: dict[str, Any] = {
        "layer": row_of(trained.module.network).head,
        "target": target,
        "steps": made["class images"].steps[-1],
        "class_images": [
            {"class": name, "confidence": round(float(confidence), 6)}
            for name, confidence in zip(names, made["class images"].confidences, strict=True)
        ],
    }
    shown = {name: (one.images, np.asarray(one.targets)) for name, one in made.items()}
    if judging is None:
        _sheets(folder, trained, trained, shown, title, "the network itself")
        return record
    shown["real images"] = real_images(judging, classes, per_class)
    weak = judging.weakness
    judgement = Judgement(*_sheets(folder, trained, judging.judge, shown, title, judging.called))
    if weak is not None:
        log.warning("%s", weak)
    log.info("\nTop-1 of the judge, %s\n\n%s\n", judging.called, as_text(judgement.table()))
    judge_said = {"judge": str(judging.judge.path), "judge_network": judging.judge.name}
    return record | judge_said | {"named_right": judgement.figures, "judge_too_weak": weak is not None}


def wanted_classes(trained: Trained, target: str) -> list[int]:
    """Return the classes that `target` names: one, or all of them, which is the default too."""
    if target in ("all", "predicted"):
        return list(range(len(trained.class_names)))
    return [find_class(target, trained.class_names)]


def _sheets(
    folder: Path, trained: Trained, judge: Trained, shown: Mapping[str, Shown], title: str, called: str
) -> list[Verdict]:
    """Draw all kinds of images with what the judge says of them; return its verdicts in their order."""
    verdicts = [judged(judge.module, *pair) for pair in shown.values()]
    groups = {
        name: JudgedImages(images, targets, verdict.predicted, verdict.confidences)
        for (name, (images, targets)), verdict in zip(shown.items(), verdicts, strict=True)
    }
    for number, page in enumerate(class_image_pages(groups, trained.class_names, title, called), start=1):
        figures.save(page, folder / ("sheet.png" if number == 1 else f"sheet_{number}.png"))
    return verdicts


def _keep(folder: Path, made: Mapping[str, ClassImages]) -> None:
    """Write the arrays of each kind of image to a file of its own."""
    for name, one in made.items():
        save_arrays(
            folder / f"{name.replace(' ', '_')}.npz", images=one.images, targets=one.targets,
            confidences=one.confidences, snapshots=one.snapshots, steps=np.array(one.steps),
        )  # fmt: skip


def _draw_steps(folder: Path, trained: Trained, made: ClassImages, every: int, title: str) -> None:
    """Draw `steps.png`, how each `every`-th image came about."""
    strip = np.arange(0, len(made.targets), every)
    labels = [trained.class_names[made.targets[i]] for i in strip]
    strips = class_image_steps(made.snapshots[:, strip], made.steps, labels, f"{title}, by step")
    figures.save(strips, folder / "steps.png")


def _make(
    trained: Trained, make: Make, targets: Sequence[int], steps: int | None, data_root: str | None, seed: int
) -> dict[str, ClassImages]:
    """Make class images of the network, and the controls: plain pixel ascent, and class images of random weights.

    The ascent starts from noise, and from where class images start: that alone can win a judge over.
    """
    preprocessing = trained.module.hparams["preprocessing"]
    settings = ClassImageSettings() if steps is None else ClassImageSettings(steps=steps)
    sample = sample_of(trained, data_root)
    colour: Colour | None = None if sample is None else measure_colour(sample)
    # Without a run, no images can give the batch norms of random weights their statistics.
    some = None if sample is None else trained.module.normalise(sample[:128].to(trained.device))
    random = randomised(trained.module.network, images=some)
    kinds: list[tuple[str, Make, nn.Module]] = [
        ("class images", make, trained.module.network),
        ("pixel ascent", pixel_ascent, trained.module.network),
        ("ascent from mean", partial(pixel_ascent, from_mean=True), trained.module.network),
        ("random weights", make, random),
    ]
    made = {}
    for name, way, network in kinds:
        with file_progress(f"{name[0].upper()}{name[1:]} (%)", 100) as advance:
            made[name] = way(
                network,
                list(targets),
                **{key: preprocessing[key] for key in ("image_size", "mean", "std")},
                colour=colour,
                settings=settings,
                seed=seed,
                progress=lambda done, of, advance=advance: advance(100 * done // of),
                snapshots=[0, *(2**power for power in range(1, 16) if 2**power < settings.steps)],
            )
    return made


def sample_of(trained: Trained, data_root: str | None) -> torch.Tensor | None:
    """Return training images, uint8 (n, C, S, S); None where the checkpoint belongs to no run."""
    if trained.run is None:
        log.info("%s belongs to no run: colours come from mean and std alone", trained.path)
        return None
    return open_data(trained.run, data_root, trained.geometry).sample("train", SAMPLE)[0]


def find_judge(trained: Trained, judge: str | None, images: int, data_root: str | None) -> Judging | None:
    """Return the network that judges, which must not be the judged one."""
    if judge is None:
        return None
    if judge == "train":
        if trained.run is None:
            raise InputError(
                f"judge=train: {trained.path} belongs to no run; say judge=RUN of another network, or null"
            )
        folder = trained.run.judge
        found = train_judge(trained.run, folder, data_root=data_root)
        if found.module.class_names != trained.class_names:
            raise InputError(f"{folder} holds a judge for other classes: remove it, or say judge=RUN")
        real, targets = unseen_images(folder, images, data_root)
        other = load_trained(folder, trained.device)
        called = f"{found.name} ({found.accuracy:.3f} on test images)"
        return Judging(other, called, found.accuracy, real, targets)
    other = load_trained(judge, trained.device, "judge")
    own, theirs = trained.module.state_dict(), other.module.state_dict()
    same_run = trained.run is not None and other.run is not None and trained.run.path.samefile(other.run.path)
    if same_run or (own.keys() == theirs.keys() and all(torch.equal(own[name], theirs[name]) for name in own)):
        raise InputError(f"judge={judge} is the network itself: name another one, or say judge=train")
    if other.class_names != trained.class_names:
        raise InputError(f"judge={judge} knows other classes: name a network that was trained on the same data")
    run = other.run or trained.run
    if run is None:
        raise InputError(f"judge={judge} and the checkpoint belong to no run that has real images: say judge=RUN")
    pictures = open_split(run, "test", other.geometry, other.class_names, data_root)
    chosen = pictures.some(images, seed=0)
    return Judging(other, other.name, _accuracy(other), pictures.take(chosen), pictures.targets[chosen])


def _accuracy(judge: Trained) -> float:
    """Return the test accuracy that a judge's run has written; NaN without one."""
    with suppress(OSError, ValueError, KeyError):
        return float(judge.run.metrics()["test/accuracy"]) if judge.run is not None else float("nan")
    return float("nan")


def real_images(
    judging: Judging, classes: Sequence[int], per_class: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return as many real images of these classes, uint8 (n, C, S, S), and their classes."""
    chosen = np.concatenate([np.flatnonzero(judging.targets == place)[:per_class] for place in classes])
    return judging.real[torch.from_numpy(chosen)].numpy(), judging.targets[chosen]


def _draw_each(folder: Path, made: ClassImages, names: Sequence[str]) -> None:
    """Draw a PNG an image, enlarged by a whole factor where it is small."""
    factor = max(1, 224 // made.images.shape[-1])
    for place, name in enumerate(names):
        pixels = first_three(made.images[place]).repeat(factor, axis=1).repeat(factor, axis=2)
        figures.save_image(pixels.transpose(1, 2, 0), folder / picture_name(place, name))
