"""What Hydra does with a configuration: show it, or make its folder and call a job, or the jobs of a sweep."""

import logging
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus, configure_log, run_job
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ..activity import clear
from ..errors import InputError, first_line
from ..heap import keep_heap
from ..lean import import_leanly
from ..ranks.joining import crew
from ..ranks.place import is_follower
from ..settings.composing import Composer, typed_words
from . import on_ray


def launch(
    composer: Composer,
    cfg: DictConfig,
    job: Callable[[DictConfig], Any],
    chosen: Sequence[Sequence[str]] | None = None,
) -> None:
    """Do what `hydra.main` does once it has composed, with a configuration that is composed and checked already.

    The job gets this very configuration without Hydra's part, or in a sweep those that the composer has for its runs.

    Args:
        chosen: the overrides of those runs of a sweep that are to be done; None: all.
    """

    def warned(cfg: DictConfig) -> Any:
        keep_heap()  # here: a launcher may have started a process for this run
        import_leanly()
        logging.captureWarnings(True)
        return job(cfg)

    words = [*typed_words(cfg, "task"), *typed_words(cfg, "hydra")]
    sys.argv = [sys.argv[0], *words]  # with which Lightning starts the other processes of a distributed run
    if cfg.hydra.mode == RunMode.RUN and not is_follower():  # the others compose them again, and find the folder there
        crew().share("words", lambda: [*words, "hydra.output_subdir=null"])
    configure_log(cfg.hydra.hydra_logging, cfg.hydra.verbose)
    hydra_ = GlobalHydra.instance().hydra
    if hydra_ and logging.getLogger("hydra").isEnabledFor(logging.DEBUG):  # hydra.verbose=true: it tells all it knows
        hydra_.compose_config(composer.verb, words, cfg.hydra.mode, with_log_configuration=True)
    context = HydraContext(config_loader=composer, callbacks=Callbacks(cfg))
    if cfg.hydra.mode == RunMode.MULTIRUN:
        if not cfg.hydra.launcher._target_.startswith("hydra._internal."):
            clear()  # the terminal is that of other processes, too
            on_ray.register()
        try:
            sweeper = Plugins.instance().instantiate_sweeper(config=cfg, hydra_context=context, task_function=warned)
        except (HydraException, OmegaConfBaseException) as error:
            raise InputError(f"hydra.sweeper, hydra.launcher: {first_line(error)}") from error
        if chosen is not None:
            sweeper.split_arguments = lambda *_: [chosen]  # type: ignore[attr-defined]  # of Hydra's own, the only one
        sweeper.sweep(arguments=typed_words(cfg, "task"))
        return
    if is_follower():  # one train.log, the first process's
        cfg.hydra.job_logging = {"version": 1, "root": {"level": "ERROR"}, "disable_existing_loggers": True}
    _run(context, cfg, warned, logging=True)


def call(composer: Composer, cfg: DictConfig, job: Callable[[DictConfig], Any]) -> None:
    """As `launch` for one run, in a process that is somebody's own: its logging and its arguments stay."""
    _run(HydraContext(config_loader=composer, callbacks=Callbacks(cfg)), cfg, job, logging=False)


def _run(context: HydraContext, cfg: DictConfig, job: Callable[[DictConfig], Any], *, logging: bool) -> None:
    """Let Hydra make the folder and its record of the settings, and do the job."""
    begun = False

    def noted(cfg: DictConfig) -> Any:
        nonlocal begun
        begun = True
        return job(cfg)

    try:
        done = run_job(noted, cfg, "hydra.run.dir", None, context, configure_logging=logging)
    except OSError as error:  # of Hydra's own files: an error of the job is in `done`
        if begun:
            raise
        why = f"{cfg.hydra.run.dir} can't be written ({error.strerror})"
        raise InputError(f"{why}: make room, or name another folder with hydra.run.dir=FOLDER") from error
    if done.status == JobStatus.FAILED:
        raise done._return_value


def show(composer: Composer, parser: ArgumentParser, args: Namespace) -> None:
    """Let Hydra answer `--cfg`, `--help`, `--info` and the like as `hydra.main` does, of what the composer gives it."""
    hydra_, verb, words = GlobalHydra.instance().hydra, composer.verb, args.overrides
    assert hydra_ is not None
    if args.hydra_help:
        args.overrides = []  # they have no say in it, and nobody looks at them
        hydra_.hydra_help(config_name=verb, args_parser=parser, args=args)
    elif args.shell_completion:
        try:
            hydra_.shell_completion(config_name=verb, overrides=words)
        except ValueError as error:
            raise InputError(f"--shell-completion: {first_line(error)}") from error
    else:
        composer.compose(words)  # with one line for what is wrong
        if args.help:
            hydra_.app_help(config_name=verb, args_parser=parser, args=args)
        elif args.cfg:
            hydra_.show_cfg(verb, words, args.cfg, args.package, args.resolve)
        else:
            hydra_.show_info(args.info, config_name=verb, overrides=words)
