"""The settings of a run that a person turns: what TensorBoard's HParams tab and the run's page show of it."""

from collections.abc import Iterable, Mapping
from typing import Any

TURNED = (
    "model.name",
    "data.name",
    "data.image_size",
    "data.batch_size",
    "optimizer.lr",
    "trainer.max_epochs",
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
    options = {name: option for name, option in options.items() if name not in ("model", "data")}  # TURNED has them
    values = {name: _at(settings, name) for name in (*TURNED, *options)}
    return {
        name: options[name] if isinstance(value, Mapping) else value if isinstance(value, int | float) else str(value)
        for name, value in values.items()
        if value is not None
    }


def _at(settings: Mapping[str, Any], name: str) -> Any:
    """Return the setting with this dotted name; None where there is none."""
    value: Any = settings
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
