"""Which settings of `src.predict` go together: told in milliseconds, without torch."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from ..attribution.methods import find_map_method
from ..errors import InputError
from ..settings.composing import CONF
from .rows import STDOUT


def check_prediction(cfg: DictConfig) -> None:
    """Raise `InputError` for settings that don't go together."""
    defaults: Any = OmegaConf.load(CONF / "predict.yaml")
    for key in ("method", "layer"):
        if not cfg.overlays and cfg[key] != defaults[key]:
            raise InputError(f"{key}={cfg[key]} is for overlays=true: say so too, or leave it out")
    if cfg.overlays and cfg.output == STDOUT:
        raise InputError("overlays=true draws pictures into a folder: say output=FOLDER instead of output=-")
    if cfg.overlays:
        find_map_method(str(cfg.method))


def row_format(cfg: DictConfig) -> str:
    """Return what rows are written as: as asked, else JSON on stdout and CSV in a folder."""
    return str(cfg.format or ("jsonl" if cfg.output == STDOUT else "csv"))
