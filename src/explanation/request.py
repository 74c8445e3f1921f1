"""Which settings of `src.explain` go together: checked in milliseconds, without torch."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from ..attribution.methods import METHODS, Kind
from ..errors import InputError
from ..settings.check import nearest
from ..settings.composing import CONF

OF_AN_IMAGE: tuple[Kind, ...] = ("map", "pixels")
FEWEST, MOST = 40, 500
"""Images in which shortcuts are looked for: fewer tell nothing of a place, more take long."""
NO_JUDGE = "tricks=true needs a judge: say judge=RUN of another network, or leave judge out"
FOR: dict[str, tuple[Kind, ...]] = {
    "layer": (*OF_AN_IMAGE, "channels"),
    "images": (*OF_AN_IMAGE, "channels"),
    "max_images": (*OF_AN_IMAGE, "channels"),
    "target": (*OF_AN_IMAGE, "class_image"),
    "misclassified": ("map",),
    "faithfulness": ("map",),
    "shuffled": ("map",),
    "single_deletion": ("map",),
    "shortcuts": ("map",),
    "channels": ("channels", "pixels"),
    "per_class": ("class_image",),
    "steps": ("class_image",),
    "judge": ("class_image",),
    "tricks": ("class_image",),
}
"""The kinds of method to which a setting means something; settings that are not here are for all of them."""


def kind_of(cfg: DictConfig) -> Kind:
    """Return the kind of picture that the settings ask for; without channels, that is the pixels of a class."""
    kind = METHODS[cfg.method].kind
    return "pixels" if kind == "channels" and cfg.channels is None else kind


def target_of(cfg: DictConfig) -> str:
    """Return `predicted`, `true` or a class's name: in Python, Hydra composes `true` as a truth value and 7 as 7."""
    return str(cfg.target).lower() if isinstance(cfg.target, bool) else str(cfg.target)


def check_request(cfg: DictConfig) -> None:
    """Raise `InputError` for settings that don't go together."""
    if cfg.method not in METHODS:
        raise InputError(f"method={cfg.method} is unknown; nearest: {nearest(str(cfg.method), list(METHODS))}")
    kind = kind_of(cfg)
    defaults: Any = OmegaConf.load(CONF / "explain.yaml")
    for key, kinds in FOR.items():
        if kind not in kinds and cfg[key] != defaults[key]:
            raise InputError(f"{key}={cfg[key]} means nothing to method={cfg.method}: leave {key} out")
    if cfg.shuffled != defaults.shuffled and not cfg.faithfulness:
        raise InputError(f"shuffled={cfg.shuffled} is for faithfulness=true: say so too, or leave it out")
    if cfg.single_deletion and not cfg.faithfulness:
        raise InputError("single_deletion=true is for faithfulness=true: say so too, or leave it out")
    if kind == "class_image" and target_of(cfg) == "true":
        raise InputError("target=true is for images: take the name of a class, or all")
    if cfg.tricks and cfg.judge is None:
        raise InputError(NO_JUDGE)
    if cfg.target == "all" and kind != "class_image":
        raise InputError("target=all is for method=class_image: take predicted, true or the name of a class")
    if cfg.misclassified and cfg.faithfulness:
        raise InputError("misclassified=true and faithfulness=true don't go together: leave one out")
    if cfg.shortcuts:
        for key in ("faithfulness", "misclassified"):
            if cfg[key]:
                raise InputError(f"shortcuts=true and {key}=true don't go together: leave one out")
        if target_of(cfg) != "predicted":
            raise InputError("shortcuts=true looks at what is predicted: leave target out")
        if cfg.max_images is not None and not FEWEST <= cfg.max_images <= MOST:
            raise InputError(f"max_images={cfg.max_images} with shortcuts=true: take {FEWEST} to {MOST}")
    if cfg.misclassified and target_of(cfg) != "predicted":
        raise InputError("misclassified=true shows the predicted and the true class: leave target out")
