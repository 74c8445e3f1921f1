"""A verb's task: done once, or for each run of a sweep, in a folder that is tidied up where nothing came of it."""

import inspect
import logging
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ..activity import clear
from ..errors import InputError
from ..logs import say_interrupted
from ..runs.folder import RunFolder
from ..runs.reserved import Reserved
from ..settings.composing import Composer, set_hydras
from .destination import Destination, another, refuse_taken, reserve
from .failures import Failure, one_line, report, report_all
from .launching import launch
from .next_steps import how_to_start
from .on_ray import check_ray
from .only import numbers
from .sweep import ELSEWHERE, Outcome, Sweep

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


def run_sweep(
    composer: Composer, cfg: DictConfig, task: Task, after_sweep: AfterSweep, folder: Destination, only: str | None
) -> int:
    """Run what a sweep still lacks, whatever fails, and let `after_sweep` look at it; return the exit code.

    Other processes may be at work on it, too, here or on a machine that shares the folder: each takes runs that nobody
    else has.

    Args:
        only: the numbers of the runs to be done here, as they were typed; None: all.
    """
    set_hydras(cfg, "hydra.output_subdir", None)  # `Sweep.run` writes .hydra/, of a run that is begun alone
    jobs = composer.check(cfg) or []
    check_ray(cfg)
    sweep = Sweep(folder.path, jobs, None if only is None else numbers(only, len(jobs)))
    composer.place = sweep.place
    code, outcomes = 0, list[Outcome]()
    try:
        with reserve(folder, together=True) as mine:
            sweep.check()
            sweep.refuse_taken(another(folder))

            def job(cfg: DictConfig) -> Any:
                return sweep.run(inspect.unwrap(task), cfg, mine.tidy)  # it has been checked

            _forget(sweep, mine)
            try:
                launch(composer, cfg, job, None if only is None else [jobs[number] for number in sweep.numbers])
            except InputError:  # of the launcher, which has begun nothing
                raise
            except Exception as error:  # of the launcher or the sweeper: a process of theirs was killed, say
                code = report(error)
            finally:
                outcomes = sweep.outcomes()
                _forget(sweep, mine)
                if not any(outcome.begun for outcome in outcomes):
                    for outcome in outcomes:  # only runs that were refused: nothing came of the sweep
                        if not outcome.elsewhere:
                            outcome.folder.record_file.unlink(missing_ok=True)
                            mine.tidy(outcome.folder.path)
    except (KeyboardInterrupt, SystemExit) as error:
        if any(outcome.status for outcome in outcomes):
            say_interrupted(f": the same command goes on where this one stopped, with {_named(folder.path)}")
            if isinstance(error, KeyboardInterrupt):
                error.args = ("said",)
        raise
    code = max(code, _look_at(sweep, outcomes, after_sweep))
    return min(code, 1) if any(outcome.begun for outcome in outcomes) else code


def _forget(sweep: Sweep, mine: Reserved) -> None:
    with mine.alone() as alone:
        if alone:
            sweep.forget()


def _look_at(sweep: Sweep, outcomes: Sequence[Outcome], after_sweep: AfterSweep) -> int:
    """Let `after_sweep` look at a sweep in which a run has finished, and say which haven't; return the exit code.

    Of a sweep whose runs are chosen in many processes the last one looks at it.
    """
    code, whole = 0, sweep.count_whole()
    compares = f"{how_to_start('report')} runs={shlex.quote(RunFolder(sweep.folder).shown)} compares them"
    if whole < len(sweep.jobs) and sweep.chosen is not None:
        clear()
        print(f"{whole} of {len(sweep.jobs)} runs are finished: {compares}")
    elif whole:
        try:
            after_sweep(sweep.folder)
        except Exception as error:  # what the runs have given is there, and what failed is still to be said
            report(error)
            code = 1
    lacking = [outcome for outcome in outcomes if outcome.status != "finished"]
    failures = [(outcome.overrides, outcome.failure) for outcome in lacking if not outcome.elsewhere]
    if elsewhere := [outcome.overrides for outcome in lacking if outcome.elsewhere]:
        clear()
        print(f"{ELSEWHERE}: {'; '.join(elsewhere)}: when it is done, {compares}", file=sys.stderr)
        code = 1
    return max(report_all(failures, some_done=any(outcome.begun for outcome in outcomes)), code)


def _named(folder: Path) -> str:
    """Return how to name the folder of a sweep on the command line."""
    usual = Path.cwd() / "outputs" / "sweeps"
    return f"sweep={folder.name}" if folder.parent == usual else f"hydra.sweep.dir={folder}"
