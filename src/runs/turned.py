"""The settings of a run that a person turns: what TensorBoard's HParams tab and the run's page show of it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from .contents import UnusableError, read_yaml
from .differing import SETTINGS_OF_SWEEPS

TURNED = (
    "model.name",
    "data.name",
    "data.image_size",
    "data.batch_size",
    "optimizer.lr",
    "trainer.max_epochs",
    "recipe",
    "weights",
    "model.freeze",
    "seed",
)
"""Those of every run; what was typed comes on top."""


def chosen(settings: Mapping[str, Any], typed: Iterable[str]) -> dict[str, int | float | str | bool]:
    """Return the settings that a person turns, by their dotted names; lists become text, None is left out.

    A group of settings that was chosen, `optimizer=adamw`, is named by its option.

    Args:
        settings: A configuration, or one resolved to plain values.
        typed: The words of its command, such as `optimizer.lr=0.1`.
    """
    words = (word.lstrip("+").partition("=") for word in typed if not word.startswith(("~", "hydra.")))
    options = {name.partition("@")[0]: option for name, _, option in words}
    # TURNED has the first two; the last only say where a run lies.
    left_out = ("model", "data", *SETTINGS_OF_SWEEPS)
    options = {name: option for name, option in options.items() if name not in left_out}
    values = {name: _at(settings, name) for name in (*TURNED, *options)}
    return {
        name: options[name] if isinstance(value, Mapping) else value if isinstance(value, int | float) else str(value)
        for name, value in values.items()
        if value is not None
    }


def varied(sweep: Path) -> set[str]:
    """Return the settings that the command of a sweep gave several values; none where a folder is of no sweep."""
    try:
        hydra = read_yaml(sweep, "multirun.yaml", dict)["hydra"]
        words = OverridesParser.create().parse_overrides([str(word) for word in hydra["overrides"]["task"]])
        searched = hydra["sweeper"].get("params") or {}
        return {str(word.key_or_group) for word in words if word.is_sweep_override()} | set(map(str, searched))
    except (UnusableError, HydraException, KeyError, TypeError, AttributeError):
        return set()


def _at(settings: Mapping[str, Any], name: str) -> Any:
    """Return the setting with this dotted name; None where there is none."""
    value: Any = settings
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
