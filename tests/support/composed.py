"""What a command composes of its words, without doing any of it."""

from collections.abc import Sequence

from omegaconf import DictConfig

from src.settings.composing import composing
from src.settings.other_names import in_full


def check_overrides(verb: str, overrides: Sequence[str], *, multirun: bool = False) -> DictConfig:
    """Compose and check what these overrides ask for, as a command does, and do no more."""
    with composing(verb) as composer:
        cfg = composer.compose(in_full(verb, overrides), multirun=multirun)
        composer.check(cfg)
        return cfg


def compose_overrides(verb: str, overrides: Sequence[str], *, multirun: bool = False) -> DictConfig:
    """Return the verb's configuration with these overrides, its values unchecked, Hydra's own part included."""
    with composing(verb) as composer:
        return composer.compose(overrides, multirun=multirun)
