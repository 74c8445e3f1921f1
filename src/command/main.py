"""What all verbs share: paths taken raw, a configuration that is checked before anything is made, errors in one line.

`main(verb, task)` is a verb's whole command line. It composes and checks the configuration first, and only then lets
Hydra create a folder and call the task, or the tasks of a sweep; torch is not imported before that.
"""

import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ..errors import InputError, RunError
from ..logs import is_follower, say_interrupted
from ..runs.folder import RunFolder
from ..settings.composing import CONF, Plan, check_overrides, compose_overrides, quote, quote_paths
from .reservation import Reserved, discard, remove_empty, reserve, writes_itself
from .resume import check_same, merge_words, run_to_resume, what_is_done
from .signals import answer_signals
from .sweep import Outcome, Sweep, one_line

log = logging.getLogger(__name__)

Task = Callable[..., Any]
Summary = Callable[[Sequence[Any]], None]
AfterSweep = Callable[[Path], None]
Failure = tuple[str, Exception]  # the overrides of a run, and what ended it early


def main(
    verb: str,
    task: Task,
    summary: Summary | None = None,
    after_sweep: AfterSweep | None = None,
) -> NoReturn:
    """Run a verb with the arguments of this process, and exit.

    `summary` gets what the tasks returned, in order. A verb with `after_sweep` leaves run folders behind: its sweeps
    can be gone on with, its task takes `resume=` besides the configuration, and `after_sweep` gets the sweep's folder.

    0: done. 2: the input was wrong, nothing was begun and nothing is left behind. 1: a run failed; of a sweep, any run
    where others are done. 130: interrupted by Ctrl-C, 143: by SIGTERM or SIGUSR1.
    """
    # Read by OpenMP when torch is imported: threads that wait for each other sleep instead of spinning. Beside one busy
    # process, ResNet-18 on digits trained 217 instead of 110 images/s on 2 cores; alone 295 instead of 303.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    for stream in (sys.stdout, sys.stderr):  # a terminal without ★ or × gets a question mark, not a traceback
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    answer_signals()
    try:
        code = _run(verb, task, summary, after_sweep, sys.argv[1:])
    except (InputError, RunError) as error:
        code = _report(error)
    except KeyboardInterrupt as error:
        if not error.args:  # else it has been said already, with what to do
            say_interrupted()
        code = 130
    sys.exit(code)


def output_folder(cfg: DictConfig) -> Path:
    """Where a verb writes: Hydra's folder of this job; outside Hydra `output` of the configuration."""
    return Path(HydraConfig.get().runtime.output_dir if HydraConfig.initialized() else cfg.output)


def _run(verb: str, task: Task, summary: Summary | None, after_sweep: AfterSweep | None, argv: Sequence[str]) -> int:
    argv = quote_paths(argv)
    args = get_args_parser().parse_args(argv)
    for flag in ("config_path", "config_name", "config_dir", "experimental_rerun"):
        if getattr(args, flag) is not None:
            word = flag.replace("_", "-")
            raise InputError(f"--{word} is not possible: put a file of yours into conf/experiment, say experiment=NAME")
    if args.cfg or args.help or args.hydra_help or args.info or args.shell_completion:
        if args.cfg or args.help:
            compose_overrides(verb, args.overrides, multirun=args.multirun)
        _hydra(verb, lambda _: None, argv)
        return 0
    # The other processes of a distributed run are told everything by the first.
    run = run_to_resume(args.overrides) if after_sweep is not None and not is_follower() else None
    if run is not None:
        return _resume(verb, task, run, args.overrides, multirun=args.multirun)
    plan = check_overrides(verb, args.overrides, multirun=args.multirun)
    multirun = plan.cfg.hydra.mode == RunMode.MULTIRUN
    if multirun and after_sweep is not None:
        return _run_sweep(verb, task, after_sweep, plan, argv)
    if multirun and writes_itself(plan.cfg):
        raise InputError(f"src.{verb} does one thing at a time: leave -m out")
    if multirun and not plan.cfg.hydra.launcher._target_.startswith("hydra._internal."):
        raise InputError(f"hydra/launcher={plan.cfg.hydra.runtime.choices['hydra/launcher']} is for src.train alone")
    results, failures = _run_each(verb, task, reserve(plan.cfg), argv)
    if summary is not None and results:
        summary(results)
    return _report_all(failures, some_done=bool(results))


def _resume(verb: str, task: Task, run: RunFolder, typed: Sequence[str], *, multirun: bool) -> int:
    """Go on with a run in its folder, with the settings that it began with and what is typed now."""
    if multirun:
        raise InputError("resume= goes on with one run: leave -m out; a sweep goes on when its command is given again")
    words = merge_words(run, typed)
    plan = check_overrides(verb, words)
    usual = check_overrides(verb, merge_words(run, [])).cfg
    check_same(run, plan.cfg, usual)
    done = what_is_done(run, plan.cfg, usual)
    if done is not None:
        print(done)
        return 0
    folder = quote(str(run.path.absolute()))
    argv = [*words, f"hydra.run.dir={folder}", "hydra.output_subdir=null", "hydra.mode=RUN"]
    results, failures = _run_each(verb, task, None, argv)
    return _report_all(failures, some_done=bool(results))


def _run_each(verb: str, task: Task, reserved: Reserved | None, argv: Sequence[str]) -> tuple[list[Any], list[Failure]]:
    """Do the task, or each of those of a sweep that leaves no runs behind: what they returned, and what failed."""
    results: list[Any] = []
    failures: list[Failure] = []

    def job(cfg: DictConfig) -> None:
        """The task, with its failure kept for us: Hydra would print several lines and exit with 1."""
        try:
            results.append(task(cfg))
        except Exception as error:
            running = HydraConfig.get()
            failures.append((" ".join(running.overrides.task), error))
            if not isinstance(error, InputError):
                logging.getLogger("traceback").warning("the run failed", exc_info=error)  # for train.log alone
            _discard_unstarted(reserved)
            if running.mode == RunMode.MULTIRUN:
                log.info("run %s failed: %s", failures[-1][0], one_line(error))

    try:
        _hydra(verb, job, argv, reserved)
    except (KeyboardInterrupt, SystemExit):  # perhaps while Hydra was writing
        if reserved is not None:
            discard(reserved, reserved.path)
        raise
    finally:
        if reserved is not None:
            remove_empty(reserved)
    return results, failures


def _run_sweep(verb: str, task: Task, after_sweep: AfterSweep, plan: Plan, argv: Sequence[str]) -> int:
    """Run what a sweep still lacks, whatever fails, and let `after_sweep` look at it."""
    subdir = OmegaConf.to_container(plan.cfg.hydra.sweep, resolve=False)["subdir"]  # type: ignore[call-overload,index]
    if subdir != "${hydra.job.num}":
        raise InputError(f"hydra.sweep.subdir={subdir} is not possible: the runs of a sweep are numbered, leave it out")
    reserved = reserve(plan.cfg, check_sweep=lambda folder: Sweep(folder, plan.jobs).check())
    if reserved is None:
        raise InputError("LOCAL_RANK is set: a sweep starts the processes of its distributed runs by itself")
    sweep = Sweep(reserved.path, plan.jobs)

    def job(cfg: DictConfig) -> Any:
        metrics = sweep.run(task, cfg)
        if sweep.jobs is not None:
            return metrics
        # What a sweeper such as Optuna wants: one number, and of a run that failed the worst.
        return metrics[cfg.monitor] if metrics else float("-inf" if cfg.mode == "max" else "inf")

    code, outcomes = 0, list[Outcome]()
    try:
        with sweep.locked():
            try:
                _hydra(verb, job, [*argv, "hydra.output_subdir=null"], reserved)
            except SystemExit as error:
                if error.code != 1:
                    raise
                code = 1  # the launcher or the sweeper failed, not a run: a process of theirs was killed, say
            finally:
                outcomes = sweep.outcomes()
                if not any(outcome.begun for outcome in outcomes):
                    for outcome in outcomes:
                        discard(reserved, outcome.folder.path)
    except (KeyboardInterrupt, SystemExit) as error:
        if sweep.jobs is not None and any(outcome.status for outcome in outcomes):
            say_interrupted(f": the same command goes on where this one stopped, with {_named(reserved)}")
            if isinstance(error, KeyboardInterrupt):
                error.args = ("said",)
        raise
    finally:
        remove_empty(reserved)
    return max(code, _look_at(sweep.folder, outcomes, after_sweep))


def _look_at(folder: Path, outcomes: Sequence[Outcome], after_sweep: AfterSweep) -> int:
    """Let `after_sweep` look at a sweep in which a run has finished, and say which haven't; the exit code of all."""
    code = 0
    if any(outcome.status == "finished" for outcome in outcomes):
        try:
            after_sweep(folder)
        except Exception as error:  # what the runs have given is there, and what failed is still to be said
            _report(error)
            code = 1
    failures = [(outcome.overrides, outcome.failure) for outcome in outcomes if outcome.status != "finished"]
    return max(_report_all(failures, some_done=any(outcome.begun for outcome in outcomes)), code)


def _hydra(verb: str, job: Callable[[DictConfig], Any], argv: Sequence[str], reserved: Reserved | None = None) -> None:
    """Let Hydra compose the configuration again, make what was reserved, and call the job, or the jobs of a sweep."""

    def unless_interrupted(cfg: DictConfig) -> Any:
        logging.captureWarnings(True)
        try:
            return job(cfg)
        except (KeyboardInterrupt, SystemExit):
            _discard_unstarted(reserved)
            raise

    if reserved is not None:
        argv = [*argv, f"{reserved.key}={quote(str(reserved.path))}"]
    if is_follower():
        argv = [*argv, "hydra/job_logging=disabled"]  # one train.log, the first process's
    sys.argv = [sys.argv[0], *argv]
    hydra.main(config_path=str(CONF), config_name=verb, version_base="1.3")(unless_interrupted)()


def _named(reserved: Reserved) -> str:
    """How to name the folder of a sweep on the command line."""
    usual = Path.cwd() / "outputs" / "sweeps"
    return f"sweep={reserved.path.name}" if reserved.path.parent == usual else f"hydra.sweep.dir={reserved.path}"


def _discard_unstarted(reserved: Reserved | None) -> None:
    if reserved is not None:
        discard(reserved, Path(HydraConfig.get().runtime.output_dir))


# Errors ---------------------------------------------------------------------------------------------------------------


def _report_all(failures: Sequence[Failure], *, some_done: bool) -> int:
    """The exit code of all runs together, with one line on stderr for those that failed.

    It is 2 only where no run was begun: where `some_done`, wrong input of another run gives 1 too.
    """
    if not failures:
        return 0
    if len(failures) == 1 and not some_done:
        return _report(failures[0][1])
    runs = "; ".join(f"{overrides} ({one_line(error)})" for overrides, error in failures)
    print(f"error: {len(failures)} run{'s' if len(failures) > 1 else ''} failed: {runs}", file=sys.stderr)
    return 2 if not some_done and all(isinstance(error, InputError) for _, error in failures) else 1


def _report(error: BaseException) -> int:
    """Say what went wrong on stderr and give the exit code. Our own two errors take a line, a bug its traceback."""
    # A full disk, a folder that vanished, too little memory: no bugs, and train.log has the traceback.
    expected = isinstance(error, (InputError, RunError, OSError, MemoryError))
    if not expected or os.environ.get("HYDRA_FULL_ERROR") == "1":
        traceback.print_exception(error)
    if expected:
        print(f"error: {one_line(error)}", file=sys.stderr)
    return 2 if isinstance(error, InputError) else 1
