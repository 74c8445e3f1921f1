"""From the settings of `src.explain` to the job for its kind of method: images, channels or classes."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from torch import Tensor, nn

from ..attribution.cam import Attribution
from ..attribution.methods import METHODS, Kind
from ..attribution.randomised import STATISTICS, randomised
from ..errors import InputError
from ..logs import say_interrupted
from ..runs.folder import RunFolder
from ..runs.saved_settings import run_settings
from ..trained.checkpoint import Trained, load_trained
from ..trained.listing import SPLITS
from ..trained.pictures import UNKNOWN, Pictures, open_pictures
from . import image_maps
from .labels import check_labels_request, explain_labels
from .request import kind_of, target_of
from .targets import choose_targets

log = logging.getLogger(__name__)

OF_A_SPLIT = 32
"""How many images of a split are explained unless told."""
FEWEST_MEASURED = 10
"""With fewer images, no interval is worth its name."""


def run_job(cfg: DictConfig, trained: Trained, folder: Path) -> dict[str, Any]:
    """Write the explanation to `folder`, and return what explain.json says of it."""
    if trained.multilabel:
        check_labels_request(cfg)
        pictures, chosen, _ = _choose(cfg, trained)
        return explain_labels(cfg, trained, folder, pictures, chosen, _where(cfg, "test"))
    return JOBS[kind_of(cfg)](cfg, trained, folder)


def _explain_channels(cfg: DictConfig, trained: Trained, folder: Path) -> dict[str, Any]:
    from .channels import explain_channels

    pictures = _open(cfg, trained, "val")
    chosen = pictures.some(cfg.max_images, cfg.seed)
    return explain_channels(trained, pictures, folder, cfg.method, cfg.layer, cfg.channels, chosen, cfg.batch_size)


def _explain_classes(cfg: DictConfig, trained: Trained, folder: Path) -> dict[str, Any]:
    from .classes import explain_classes
    from .tricks import explain_tricks

    explain = explain_tricks if cfg.tricks else partial(explain_classes, make=METHODS[cfg.method].load())
    return explain(
        trained, folder, target_of(cfg),
        per_class=cfg.per_class, steps=cfg.steps, judge=cfg.judge, data_root=cfg.data.root, seed=cfg.seed,
    )  # fmt: skip


def _explain_images(cfg: DictConfig, trained: Trained, folder: Path) -> dict[str, Any]:
    if cfg.shortcuts:
        return _find_shortcuts(cfg, trained, folder)
    shuffled = _shuffled(cfg, trained) if cfg.faithfulness else None  # first: it may be wrong
    if shuffled is not None:
        both = (RunFolder(one.path).shown for one in (trained, shuffled))
        log.info("compared     %s\n             and, of shuffled labels, %s", *both)
    pictures, chosen, of = _choose(cfg, trained)
    names, true = [pictures.names[i] for i in chosen], pictures.targets[chosen]
    targets = choose_targets(target_of(cfg), trained.class_names, true, names)
    places = pictures.places(chosen) if cfg.faithfulness else None  # before what takes long: boxes may be wrong
    images = pictures.take(chosen)

    def explain(classes: NDArray[np.int64] | None, network: nn.Module | None = None) -> image_maps.Maps:
        return image_maps.explain_images(trained, images, cfg.method, classes, cfg.layer, cfg.batch_size, network)

    maps, others = explain(targets), None
    if cfg.misclassified:
        others = explain(true)
    elif kind_of(cfg) == "pixels":  # such maps may be mere edge detectors
        others = explain(maps.targets, _random(trained, images))
    explained = image_maps.Explained(
        images.numpy(), names, true, maps, pictures.ratios(chosen), trained.geometry.resize
    )
    title = " · ".join([METHODS[cfg.method].title, trained.name, *filter(None, [maps.layer])])
    image_maps.draw(folder, explained, others, trained.class_names, title)
    image_maps.keep(folder, explained, others)
    record: dict[str, Any] = {
        "layer": maps.layer,
        "target": target_of(cfg),
        "images": _where(cfg, "test"),
        "count": len(names),
        "of": of,
        "left_out": [{"image": skipped.path, "reason": skipped.reason} for skipped in pictures.skipped],
    }
    if places is not None and isinstance(maps, Attribution):
        from .truth import measure

        with _interrupted(shuffled):
            record["faithfulness"] = measure(
                trained, images, maps, cfg.method, folder,
                places=places, shuffled=shuffled, batch_size=cfg.batch_size, seed=cfg.seed,
            )  # fmt: skip
        if cfg.single_deletion:
            record["faithfulness"]["single_deletion"] = _deletions(cfg, trained, images, true, maps)
    _say(record, cfg.misclassified)
    return record | {"explained": image_maps.describe(explained, trained.class_names)}


def _deletions(
    cfg: DictConfig, trained: Trained, images: Tensor, true: NDArray[np.int64], maps: Attribution
) -> dict[str, Any]:
    """Measure the maps of the true classes, which are the same for all networks, or of what this one predicts."""
    from .deletions import measure_deletions

    measured = measure_deletions(
        trained, images, maps.targets if (true == UNKNOWN).any() else true, cfg.method, maps.layer,
        batch_size=cfg.batch_size, data_root=cfg.data.root,
    )  # fmt: skip
    log.info("%s\n", measured)
    return measured.as_json()


def _find_shortcuts(cfg: DictConfig, trained: Trained, folder: Path) -> dict[str, Any]:
    from .shortcuts import UNLESS_TOLD, find_shortcuts

    pictures = _open(cfg, trained, "test")
    chosen = pictures.some(cfg.max_images or UNLESS_TOLD, cfg.seed)
    found = find_shortcuts(
        trained, pictures, chosen, folder,
        method=cfg.method, layer=cfg.layer, batch_size=cfg.batch_size, seed=cfg.seed, data_root=cfg.data.root,
    )  # fmt: skip
    return {"images": _where(cfg, "test"), "count": len(chosen), "of": len(pictures), "shortcuts": found}


JOBS: dict[Kind, Callable[[DictConfig, Trained, Path], dict[str, Any]]] = {
    "map": _explain_images,
    "pixels": _explain_images,
    "channels": _explain_channels,
    "class_image": _explain_classes,
}


@contextmanager
def _interrupted(shuffled: Trained | None) -> Iterator[None]:
    """Say in the one line for Ctrl-C what of the measurement is kept: only the control, which cost most."""
    try:
        yield
    except KeyboardInterrupt as error:
        kept = f"; the control is, in {shuffled.run.shown}" if shuffled is not None and shuffled.run is not None else ""
        say_interrupted(f": nothing of this explanation is kept{kept}")
        error.args = ("said",)
        raise


def _where(cfg: DictConfig, default: str) -> str:
    return str(cfg.images or default)


def _open(cfg: DictConfig, trained: Trained, default: str) -> Pictures:
    return open_pictures(_where(cfg, default), trained, cfg.data.root)


def _choose(cfg: DictConfig, trained: Trained) -> tuple[Pictures, NDArray[np.int64], int]:
    """Return the pictures, the indices of those to explain, and how many they were chosen from."""
    pictures = _open(cfg, trained, "test")
    most = cfg.max_images or (OF_A_SPLIT if _where(cfg, "test") in SPLITS else None)
    wrong = image_maps.find_wrong(trained, pictures, cfg.batch_size) if cfg.misclassified else None
    chosen = pictures.some(most, cfg.seed, among=wrong)
    if cfg.faithfulness and len(chosen) < FEWEST_MEASURED:
        raise InputError(
            f"faithfulness=true: {len(chosen)} images tell nothing of a mean; take at least {FEWEST_MEASURED}"
        )
    return pictures, chosen, len(pictures) if wrong is None else len(wrong)


def _random(trained: Trained, images: Tensor) -> nn.Module:
    """Return the network with random weights, its batch norms' statistics from some of the images."""
    with torch.no_grad():
        return randomised(
            trained.module.network, images=trained.module.normalise(images[:STATISTICS].to(trained.device))
        )


def _shuffled(cfg: DictConfig, trained: Trained) -> Trained | None:
    """Return the network on shuffled labels that the settings name, or that is trained, and kept, in the run."""
    if cfg.shuffled is None:
        return None
    if cfg.shuffled != "train":
        return _checked(load_trained(cfg.shuffled, trained.device, "shuffled"), trained, f"shuffled={cfg.shuffled}")
    if trained.run is None:
        log.info("no control on shuffled labels: %s belongs to no run, so its data are unknown", trained.path)
        return None
    from .controls import train_shuffled

    folder = trained.run.shuffled_labels
    architecture = trained.module.hparams["architecture"]
    checkpoint = train_shuffled(trained.run, folder, architecture=architecture, data_root=cfg.data.root)
    return _checked(load_trained(checkpoint, trained.device), trained, str(folder))


def _checked(control: Trained, trained: Trained, named: str) -> Trained:
    """Return `control` if it is a network like `trained` that learned shuffled labels; raise `InputError` otherwise."""
    if control.run is None or not run_settings(control.run).data.get("shuffle_labels"):
        raise InputError(f"{named} is no run with data.shuffle_labels=true: train one, or say shuffled=train")
    both = [(one.module.hparams["architecture"], one.class_names, one.geometry) for one in (control, trained)]
    if both[0] != both[1]:
        raise InputError(f"{named} is of another network, other classes or another image size: say shuffled=train")
    return control


def _say(record: dict[str, Any], wrong: bool) -> None:
    kind = "misclassified images" if wrong else "images"
    more = f" of {record['of']} (max_images)" if record["of"] > record["count"] else ""
    where = f" at {record['layer']}" if record["layer"] else ""
    log.info("%d%s %s explained%s", record["count"], more, kind, where)
    if record["left_out"]:
        first = record["left_out"][0]
        log.info("%d files left out, such as %s (%s)", len(record["left_out"]), first["image"], first["reason"])
