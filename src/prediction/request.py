"""Which settings of `src.predict` go together: checked in milliseconds, without torch."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from ..attribution.methods import find_map_method
from ..errors import InputError
from ..settings.composing import CONF
from .rows import FORMATS


def check_prediction(cfg: DictConfig) -> None:
    """Raise `InputError` for settings that are empty or contradict each other."""
    for key in ("checkpoint", "images"):
        if cfg[key] is None or not str(cfg[key]).strip():
            raise InputError(f"{key}={cfg[key] or ''} names nothing: say {key}=…")
    if cfg.format not in FORMATS:
        raise InputError(f"format={cfg.format} is not possible: take {' or '.join(FORMATS)}")
    defaults: Any = OmegaConf.load(CONF / "predict.yaml")
    for key in ("method", "layer"):
        if not cfg.overlays and cfg[key] != defaults[key]:
            raise InputError(f"{key}={cfg[key]} is for overlays=true: say so too, or leave it out")
    if cfg.overlays:
        find_map_method(str(cfg.method))
    if not isinstance(cfg.layer, str | None):
        raise InputError(f"layer={cfg.layer} is not possible: take a name such as layer3, or null")
