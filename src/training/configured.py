"""Callbacks and loggers that the configuration names."""

import re
from typing import Any

import lightning
from hydra.utils import get_class, instantiate
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig

from ..errors import InputError, first_line
from ..settings.composing import PACKAGE
from ..settings.trust import check_targets, settle


def build(node: DictConfig, group: str, **arguments: Any) -> Any:
    """The callback or logger that a configuration node names.

    Raises `InputError` for anything else, `src.settings.trust.CLASSES` says what (a configuration from elsewhere must
    not name code), and for arguments that it doesn't take.
    """
    settings = settle(node, group)
    check_targets(settings, group)
    # Configurations say src, whatever name we are installed under: two copies of a class would be two classes.
    target = re.sub(r"^(src|reslens)\.", f"{PACKAGE}.", str(settings.get("_target_", None)))
    settings["_target_"] = target
    try:
        if not issubclass(get_class(target), (lightning.Callback, Logger)):
            raise InputError(f"{group}: _target_={target} is neither a callback nor a logger: leave it out")
        return instantiate(settings, **arguments)
    except Exception as error:
        cause = error.__cause__ or error
        if isinstance(cause, InputError):
            raise cause from None
        raise InputError(f"{group}: {target} can't be made: {first_line(cause)}") from error
