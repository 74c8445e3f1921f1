"""Callbacks and loggers that the configuration names."""

from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig

from src.errors import InputError

TARGETS = ("src.callbacks.", "lightning.pytorch.callbacks.", "lightning.pytorch.loggers.")
"""What a configuration may instantiate: our callbacks and Lightning's callbacks and loggers."""


def build(node: DictConfig, group: str, **arguments: Any) -> Any:
    """The callback or logger that a configuration node names.

    Raises `InputError` for a target outside `TARGETS` (a configuration from elsewhere must not name code), and for
    arguments that it doesn't take.
    """
    target = node.get("_target_", None)
    for named in [target, *_inner_targets(node)]:
        if not isinstance(named, str) or not named.startswith(TARGETS):
            allowed = ", ".join(f"{prefix}*" for prefix in TARGETS)
            raise InputError(f"{group}: _target_={named} is not allowed; take one of {allowed}")
    try:
        return instantiate(node, **arguments)
    except Exception as error:
        cause = error.__cause__ or error
        if isinstance(cause, InputError):
            raise cause from None
        raise InputError(f"{group}: {target} can't be made: {str(cause).splitlines()[0]}") from error


def _inner_targets(node: Any) -> list[Any]:
    """What Hydra would instantiate as an argument, and as an argument of that."""
    inner = list(node.values()) if isinstance(node, DictConfig) else list(node) if isinstance(node, ListConfig) else []
    targets = [one["_target_"] for one in inner if isinstance(one, DictConfig) and "_target_" in one]
    return targets + [target for one in inner for target in _inner_targets(one)]
