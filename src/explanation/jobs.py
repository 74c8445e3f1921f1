"""From the settings of `src.explain` to one of its four jobs: maps of images, faithfulness, channels, class images."""

import logging
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from src.attribution.gradcam import Attribution
from src.config import nearest
from src.errors import InputError
from src.explanation import images as image_maps
from src.explanation.methods import METHODS
from src.explanation.targets import choose_targets
from src.inference.checkpoint import Trained, load_trained
from src.inference.pictures import SPLITS, Pictures, open_pictures

log = logging.getLogger(__name__)

OF_A_SPLIT = 32
"""So many images of a split are explained where nobody says how many."""


def kind_of(cfg: DictConfig) -> str:
    """The kind of picture that the settings ask for; without channels, those of the class's logit."""
    kind = METHODS[cfg.method].kind
    return "pixels" if kind == "channels" and cfg.channels is None else kind


def check_request(cfg: DictConfig) -> None:
    """Raise `InputError` for settings that don't go together, before the checkpoint is read."""
    if cfg.method not in METHODS:
        raise InputError(f"method={cfg.method} is unknown; nearest: {nearest(str(cfg.method), list(METHODS))}")
    kind = kind_of(cfg)
    if not isinstance(cfg.layer, str | None):
        raise InputError(f"layer={cfg.layer} is not possible: take a name such as layer3, or null")
    if kind == "class_image" and target_of(cfg) == "true":
        raise InputError("target=true is for images: take the name of a class, or all")
    if cfg.target == "all" and kind != "class_image":
        raise InputError("target=all is for method=class_image: take predicted, true or the name of a class")
    if cfg.misclassified and (kind != "map" or cfg.faithfulness):
        other = "faithfulness=true" if kind == "map" else f"method={cfg.method}"
        raise InputError(f"misclassified=true and {other} don't go together: leave one out")
    if cfg.misclassified and target_of(cfg) != "predicted":
        raise InputError("misclassified=true shows the predicted and the true class: leave target out")
    if cfg.faithfulness and kind != "map":
        raise InputError(f"faithfulness=true measures maps: take method=gradcam or its kin, not method={cfg.method}")


def target_of(cfg: DictConfig) -> str:
    """`predicted`, `true` or a class's name: composed in Python, Hydra takes `true` for a truth value and 7 for 7."""
    return str(cfg.target).lower() if isinstance(cfg.target, bool) else str(cfg.target)


def output_folder(cfg: DictConfig, trained: Trained) -> Path:
    """Where the explanation is written: `output`, else in the run, else in `outputs/explain`."""
    if cfg.output is not None:
        return Path(cfg.output).expanduser()
    if trained.run is not None:
        return trained.run.path / "explain" / cfg.method
    return Path("outputs") / "explain" / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{cfg.method}"


def run_job(cfg: DictConfig, trained: Trained, folder: Path) -> dict[str, Any]:
    """Write the explanation to `folder`; what explain.json says of it."""
    kind = kind_of(cfg)
    if kind == "channels":
        from src.explanation.channels import explain_channels

        pictures = _open(cfg, trained, "val")
        chosen = pictures.some(cfg.max_images, cfg.seed)
        return explain_channels(
            trained, pictures, folder, cfg.method, cfg.layer, cfg.channels, chosen, cfg.batch_size, cfg.seed
        )
    if kind == "class_image":
        from src.explanation.classes import explain_classes

        return explain_classes(
            trained, folder, target_of(cfg),
            per_class=cfg.per_class, steps=cfg.steps, judge=cfg.judge, data_root=cfg.data.root, seed=cfg.seed,
        )  # fmt: skip
    return _explain_images(cfg, trained, folder)


def _open(cfg: DictConfig, trained: Trained, default: str) -> Pictures:
    return open_pictures(str(cfg.images or default), trained, cfg.data.root)


def _explain_images(cfg: DictConfig, trained: Trained, folder: Path) -> dict[str, Any]:
    pictures = _open(cfg, trained, "test")
    where = str(cfg.images or "test")
    most = cfg.max_images or (OF_A_SPLIT if where in SPLITS else None)
    found = image_maps.find_wrong(trained, pictures, cfg.batch_size) if cfg.misclassified else None
    chosen = pictures.some(most, cfg.seed, among=found)
    names, true = [pictures.names[i] for i in chosen], pictures.targets[chosen]
    targets = choose_targets(target_of(cfg), trained.class_names, true, names)
    images = pictures.take(chosen)
    maps = image_maps.explain_images(trained, images, cfg.method, targets, cfg.layer, cfg.batch_size)
    others = None
    if cfg.misclassified:
        others = image_maps.explain_images(trained, images, cfg.method, true, cfg.layer, cfg.batch_size)
    explained = image_maps.Explained(images.numpy(), names, true, maps)
    title = " · ".join([METHODS[cfg.method].title, trained.name, *filter(None, [maps.layer])])
    image_maps.draw(folder, explained, others, trained.class_names, title)
    image_maps.keep(folder, explained, others)
    record: dict[str, Any] = {
        "layer": maps.layer,
        "target": target_of(cfg),
        "images": where,
        "count": len(names),
        "of": len(pictures) if found is None else len(found),
        "left_out": [{"image": skipped.path, "reason": skipped.reason} for skipped in pictures.skipped],
    }
    if cfg.faithfulness and isinstance(maps, Attribution):
        from src.explanation.truth import measure

        record["faithfulness"] = measure(
            trained, images, maps, cfg.method, folder,
            shuffled=_shuffled(cfg, trained), batch_size=cfg.batch_size, seed=cfg.seed,
        )  # fmt: skip
    _say(record, found is not None)
    return record | {"explained": image_maps.describe(explained, trained.class_names)}


def _shuffled(cfg: DictConfig, trained: Trained) -> Trained | None:
    """The network on shuffled labels that the settings name; trained in the run where they say so, and kept there."""
    if cfg.shuffled is None:
        return None
    if cfg.shuffled != "train":
        return load_trained(cfg.shuffled, trained.device)
    if trained.run is None:
        log.info("no control on shuffled labels: %s lies in no run, so that its data are not known", trained.path)
        return None
    from src.studies.controls import train_shuffled

    folder = trained.run.path / "explain" / "shuffled_labels"
    return load_trained(train_shuffled(trained.run, folder, data_root=cfg.data.root), trained.device)


def _say(record: dict[str, Any], wrong: bool) -> None:
    kind = "misclassified images" if wrong else "images"
    more = f" of {record['of']} (max_images)" if record["of"] > record["count"] else ""
    where = f" at {record['layer']}" if record["layer"] else ""
    log.info("%d%s %s explained%s", record["count"], more, kind, where)
    if record["left_out"]:
        first = record["left_out"][0]
        log.info("%d files left out, such as %s (%s)", len(record["left_out"]), first["image"], first["reason"])
