"""The learning rate that nobody typed: that from scratch, or a tenth of it where pretrained weights are trained on.

Weights that are good already are lost at the rate that finds them from nothing; a tenth of it is what fine-tuning
usually takes (Kornblith et al. 2018, https://arxiv.org/abs/1805.08974, search around it).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .defaults import CONF

FINE_TUNING = 0.1

AUTO = "auto"
"""The rate that is found before the training."""


def is_fine_tuning(cfg: Any) -> bool:
    """Return whether a configuration trains more than the head of a network with pretrained weights."""
    model = cfg.get("model")
    model = model if isinstance(model, Mapping | DictConfig) else {}
    weights = model.get("weights") if "weights" in model else cfg.get("weights")
    freeze = model.get("freeze") if "freeze" in model else cfg.get("freeze")
    return weights is not None and freeze != "backbone"


def usual_rate(*rates: float, _root_: Any, _parent_: Any) -> float:
    """Return the learning rate of an optimizer: of two `rates` the first for sgd and the second for adamw."""
    rate = float(rates[1] if len(rates) > 1 and _parent_.get("name") == "adamw" else rates[0])
    return float(f"{rate * FINE_TUNING:.6g}") if is_fine_tuning(_root_) else rate


def from_scratch(cfg: Mapping[str, Any]) -> float | None:
    """Return the rate that a run's optimizer, or its recipe, would have from scratch, if it trains at a tenth of that.

    None where it trains from scratch, or at a rate that somebody has chosen.
    """
    if not is_fine_tuning(cfg) or cfg["optimizer"]["lr"] == AUTO:
        return None
    rate = cfg["optimizer"]["lr"]
    return next((usual for usual in _written(cfg, None) if abs(usual * FINE_TUNING / rate - 1) < 1e-6), None)


def usual_for(cfg: Mapping[str, Any]) -> float:
    """Return the rate that a run would have if nobody had typed one; 0.01 where no file says."""
    return next(_written(cfg, "given" if is_fine_tuning(cfg) else None), 0.01)


def _written(cfg: Mapping[str, Any], weights: str | None) -> Iterator[float]:
    """Yield the rates that a run's recipe and its optimizer have in their files, with pretrained weights or without."""
    for group, option in (("recipe", cfg.get("recipe")), ("optimizer", cfg["optimizer"]["name"])):
        file = CONF / group / f"{option}.yaml"
        if not file.is_file():
            continue
        content = OmegaConf.load(file)
        if group == "optimizer":
            content = OmegaConf.create({"optimizer": content})
        content = OmegaConf.merge({"optimizer": {"name": cfg["optimizer"]["name"]}}, content, {"weights": weights})
        try:
            usual = OmegaConf.select(content, "optimizer.lr")
        except OmegaConfBaseException:  # a file of another day
            continue
        if usual is not None:
            yield float(usual)
