"""The configuration with which a run goes on: what it began with, and what is said now."""

from collections.abc import Sequence

from omegaconf import DictConfig

from ..runs.folder import RunFolder
from ..settings.composing import Composer, quote
from .resume import check_same, merge_words, what_is_done


def compose_again(composer: Composer, run: RunFolder, typed: Sequence[str]) -> tuple[DictConfig, str | None]:
    """Return the checked configuration, and what to print of a run that has nothing left to do.

    Raises:
        InputError: What was typed makes another training of it.
    """
    folder = quote(str(run.path.absolute()))
    here = [f"hydra.run.dir={folder}", "hydra.output_subdir=null", "hydra.mode=RUN"]
    usual = composer.compose(merge_words(run, []))
    cfg = composer.compose([*merge_words(run, typed), *here], typed=typed)
    composer.check(cfg)
    check_same(run, cfg, usual)
    return cfg, what_is_done(run, cfg, usual)
