"""A verb's task: done once, or for each run of a sweep, in a folder that is tidied up where nothing came of it."""

import inspect
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ..errors import InputError
from ..logs import say_interrupted
from ..settings.composing import Composer, set_hydras
from .destination import Destination, refuse_taken, reserve
from .failures import Failure, one_line, report, report_all
from .launching import launch
from .sweep import Outcome, Sweep

log = logging.getLogger(__name__)

Task = Callable[..., Any]
Start = Callable[[Composer, DictConfig, Callable[[DictConfig], Any]], None]
AfterSweep = Callable[[Path], None]


def run_each(
    composer: Composer, cfg: DictConfig, task: Task, folder: Destination | None, start: Start = launch
) -> tuple[list[Any], list[Failure]]:
    """Do the task, or in a sweep each; return what they returned and what failed.

    Args:
        start: `launch`, for a process that is the command's own, or `call`.
    """
    results: list[Any] = []
    failures: list[Failure] = []
    with reserve(folder) if folder else nullcontext() as mine:
        if folder is not None:
            refuse_taken(cfg, folder)

        def job(cfg: DictConfig) -> None:
            """Do the task, and keep its failure for later: the others go on."""
            running = HydraConfig.get()
            try:
                results.append(inspect.unwrap(task)(cfg))
            except BaseException as error:
                if isinstance(error, Exception) and not isinstance(error, InputError):
                    logging.getLogger("traceback").warning("the run failed", exc_info=error)  # for train.log alone
                if mine is not None:
                    mine.tidy(Path(running.runtime.output_dir))
                if not isinstance(error, Exception):
                    raise
                failures.append((" ".join(running.overrides.task), error))
                if running.mode == RunMode.MULTIRUN:
                    log.info("run %s failed: %s", failures[-1][0], one_line(error))

        start(composer, cfg, job)
    return results, failures


def run_sweep(composer: Composer, cfg: DictConfig, task: Task, after_sweep: AfterSweep, folder: Destination) -> int:
    """Run what a sweep still lacks, whatever fails, and let `after_sweep` look at it; return the exit code."""
    set_hydras(cfg, "hydra.output_subdir", None)  # `Sweep.run` writes .hydra/, of a run that is begun alone
    sweep = Sweep(folder.path, composer.check(cfg) or [])
    composer.place = sweep.place
    code, outcomes = 0, list[Outcome]()
    try:
        with reserve(folder) as mine:
            sweep.check()

            def job(cfg: DictConfig) -> Any:
                try:
                    return sweep.run(inspect.unwrap(task), cfg)  # it has been checked
                except (KeyboardInterrupt, SystemExit):
                    mine.tidy(Path(HydraConfig.get().runtime.output_dir))
                    raise

            sweep.forget()
            try:
                launch(composer, cfg, job)
            except Exception as error:  # of the launcher or the sweeper: a process of theirs was killed, say
                code = report(error)
            finally:
                outcomes = sweep.outcomes()
                sweep.forget()
                if not any(outcome.begun for outcome in outcomes):
                    for outcome in outcomes:  # only runs that were refused: nothing came of the sweep
                        outcome.folder.record_file.unlink(missing_ok=True)
    except (KeyboardInterrupt, SystemExit) as error:
        if any(outcome.status for outcome in outcomes):
            say_interrupted(f": the same command goes on where this one stopped, with {_named(folder.path)}")
            if isinstance(error, KeyboardInterrupt):
                error.args = ("said",)
        raise
    code = max(code, _look_at(sweep.folder, outcomes, after_sweep))
    return min(code, 1) if any(outcome.begun for outcome in outcomes) else code


def _look_at(folder: Path, outcomes: Sequence[Outcome], after_sweep: AfterSweep) -> int:
    """Let `after_sweep` look at a sweep in which a run has finished, and say which haven't; return the exit code."""
    code = 0
    if any(outcome.status == "finished" for outcome in outcomes):
        try:
            after_sweep(folder)
        except Exception as error:  # what the runs have given is there, and what failed is still to be said
            report(error)
            code = 1
    failures = [(outcome.overrides, outcome.failure) for outcome in outcomes if outcome.status != "finished"]
    return max(report_all(failures, some_done=any(outcome.begun for outcome in outcomes)), code)


def _named(folder: Path) -> str:
    """Return how to name the folder of a sweep on the command line."""
    usual = Path.cwd() / "outputs" / "sweeps"
    return f"sweep={folder.name}" if folder.parent == usual else f"hydra.sweep.dir={folder}"
