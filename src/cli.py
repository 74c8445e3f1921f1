"""What all verbs share: paths taken raw, a configuration that is checked before anything is made, errors in one line.

`main(verb, task)` is a verb's whole command line. It composes and checks the configuration first, and only then lets
Hydra create a folder and call the task; torch is not imported before that.
"""

import io
import logging
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich import get_console

from src.errors import InputError, RunError
from src.overrides import CONF, check_overrides, compose_overrides, quote, quote_paths
from src.run import RunFolder

log = logging.getLogger(__name__)


class ConsoleHandler(logging.Handler):
    """Log records as plain lines on Rich's console, above a progress bar where one is on.

    Ours are shown from INFO on, those of libraries from ERROR on; train.log has all of them.
    """

    gone = False
    """Whether the reader of a pipe has left (`| head`): the run goes on, and train.log still has everything."""

    def emit(self, record: logging.LogRecord) -> None:
        if self.gone or _is_follower():
            return
        if record.name.split(".")[0] == "src" or record.name == "__main__" or record.levelno >= logging.ERROR:
            try:
                get_console().print(self.format(record), markup=False, highlight=False, soft_wrap=True)
            except SystemExit:  # Rich's answer to a broken pipe
                self.gone = True


def main(
    verb: str, task: Callable[[DictConfig], Any], summary: Callable[[Sequence[Any]], None] | None = None
) -> NoReturn:
    """Run a verb with the arguments of this process, and exit; `summary` gets what the tasks returned, in order.

    0: done. 2: the input was wrong, nothing was begun and nothing is left behind. 1: a run failed. 130: interrupted.
    """
    # Read by OpenMP when torch is imported: threads that wait for each other sleep instead of spinning. Beside one busy
    # process, ResNet-18 on digits trained 217 instead of 110 images/s on 2 cores; alone 295 instead of 303.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    for stream in (sys.stdout, sys.stderr):  # a terminal without ★ or × gets a question mark, not a traceback
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = _run(verb, task, summary, sys.argv[1:])
    except (InputError, RunError) as error:
        code = _report(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)


def output_folder(cfg: DictConfig) -> Path:
    """Where a verb writes: Hydra's folder of this job; outside Hydra `output` of the configuration."""
    return Path(HydraConfig.get().runtime.output_dir if HydraConfig.initialized() else cfg.output)


def _run(
    verb: str,
    task: Callable[[DictConfig], Any],
    summary: Callable[[Sequence[Any]], None] | None,
    argv: Sequence[str],
) -> int:
    argv = quote_paths(argv)
    args = get_args_parser().parse_args(argv)
    made: Path | None = None
    if args.cfg or args.help:
        compose_overrides(verb, args.overrides, multirun=args.multirun)
    elif not (args.hydra_help or args.info or args.shell_completion):
        made, pinned = _reserve(check_overrides(verb, args.overrides, multirun=args.multirun))
        argv = [*argv, *pinned]
    if _is_follower():
        argv = [*argv, "hydra/job_logging=disabled"]  # one train.log, the first process's
    failures: list[tuple[str, Exception]] = []
    results: list[Any] = []

    def job(cfg: DictConfig) -> Any:
        """The task, with its failure kept for us: Hydra would print several lines and exit with 1."""
        logging.captureWarnings(True)
        try:
            results.append(task(cfg))
            return results[-1]
        except (KeyboardInterrupt, SystemExit):
            _discard_unstarted(made)
            raise
        except Exception as error:
            failures.append((" ".join(HydraConfig.get().overrides.task), error))
            if not isinstance(error, InputError):
                logging.getLogger("traceback").warning("the run failed", exc_info=error)  # for train.log alone
            _discard_unstarted(made)
            if _is_sweep():
                log.info("run %s failed: %s", failures[-1][0], _line(error))
                error.__traceback__ = None  # it would keep the run's network in memory
            return None

    sys.argv = [sys.argv[0], *argv]
    try:
        hydra.main(config_path=str(CONF), config_name=verb, version_base="1.3")(job)()
    finally:
        if made is not None:
            _remove_empty(made)
    if summary is not None and results:
        summary(results)
    return _report_all(failures)


def _is_follower() -> bool:
    """Whether this is a distributed run's second or later process: the first speaks and writes for all."""
    return os.environ.get("LOCAL_RANK", "0") != "0"


def _is_sweep() -> bool:
    return HydraConfig.get().mode == RunMode.MULTIRUN


# Errors ---------------------------------------------------------------------------------------------------------------


def _report_all(failures: Sequence[tuple[str, Exception]]) -> int:
    """The exit code of all runs together, with one line on stderr for those that failed."""
    if not failures:
        return 0
    if len(failures) == 1:
        return _report(failures[0][1])
    runs = "; ".join(f"{overrides} ({_line(error)})" for overrides, error in failures)
    print(f"error: {len(failures)} runs failed: {runs}", file=sys.stderr)
    return 2 if all(isinstance(error, InputError) for _, error in failures) else 1


def _report(error: BaseException) -> int:
    """Say what went wrong on stderr and give the exit code. Our own two errors take a line, a bug its traceback."""
    # A full disk, a folder that vanished, too little memory: no bugs, and train.log has the traceback.
    expected = isinstance(error, (InputError, RunError, OSError, MemoryError))
    if not expected or os.environ.get("HYDRA_FULL_ERROR") == "1":
        traceback.print_exception(error)
    if expected:
        print(f"error: {_line(error)}", file=sys.stderr)
    return 2 if isinstance(error, InputError) else 1


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# Folders -------------------------------------------------------------------------------------------------------------


def _reserve(cfg: DictConfig) -> tuple[Path | None, list[str]]:
    """Choose the folder now, so that it is known what this process makes of it: (first missing folder, overrides).

    Raises `InputError` where the folder holds a run already or can't be made. A distributed run's other processes
    (`LOCAL_RANK` is set) are told their folder by the first.
    """
    if "LOCAL_RANK" in os.environ:
        return None, []
    multirun = cfg.hydra.mode == RunMode.MULTIRUN
    key = "hydra.sweep.dir" if multirun else "hydra.run.dir"
    try:
        folder = Path(str(OmegaConf.select(cfg, key))).absolute()
    except OmegaConfBaseException as error:
        raise InputError(f"{key}: {str(error).splitlines()[0]}") from error
    missing = None
    try:
        missing = _first_missing(folder)
        if missing is None:
            _refuse_taken(folder, multirun)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder):  # permissions don't tell: root has them on a read-only disk too
            pass
    except OSError as error:
        if missing is not None:
            _remove_empty(missing)
        reason = (error.strerror or "").lower()
        raise InputError(f"{folder} can't be written ({reason}): name another folder with {key}=FOLDER") from None
    return missing, [f"{key}={quote(str(folder))}"]


def _first_missing(folder: Path) -> Path | None:
    """The topmost of `folder` and its parents that doesn't exist; None where all do."""
    missing = None if folder.exists() else folder
    while missing is not None and not missing.parent.exists():
        missing = missing.parent
    return missing


def _refuse_taken(folder: Path, multirun: bool) -> None:
    """Raise `InputError` where Hydra would write over what is there: a run's record, or that of the runs of a sweep."""
    if multirun and any(RunFolder(run).record_file.exists() for run in folder.iterdir()):
        raise InputError(f"{folder} holds a sweep already: name another one with sweep=NAME")
    if not multirun and any((folder / name).exists() for name in ("run.json", ".hydra", "train.log")):
        raise InputError(f"{folder} holds a run already: name another folder, or leave hydra.run.dir out")


def _discard_unstarted(made: Path | None) -> None:
    """Remove what Hydra wrote for a run that never began, which is one without run.json."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    if RunFolder(folder).record_file.exists() or _is_follower():
        return
    for handler in list(logging.root.handlers):
        if isinstance(handler, logging.FileHandler):
            logging.root.removeHandler(handler)
            handler.close()
    shutil.rmtree(folder / ".hydra", ignore_errors=True)
    (folder / f"{HydraConfig.get().job.name}.log").unlink(missing_ok=True)
    if (made is not None or _is_sweep()) and not any(folder.iterdir()):
        folder.rmdir()


def _remove_empty(top: Path) -> None:
    """Remove `top`, which this process made, where nothing but empty folders and a sweep's own record is in it."""
    files = [path for path in top.rglob("*") if not path.is_dir()]
    if top.is_dir() and all(path.name == "multirun.yaml" for path in files):
        shutil.rmtree(top, ignore_errors=True)
