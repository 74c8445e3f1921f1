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
from contextlib import suppress
from dataclasses import dataclass
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

    0: done. 2: the input was wrong, nothing was begun and nothing is left behind. 1: a run failed; of a sweep, any run
    where others are done. 130: interrupted.
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
    reserved: Reserved | None = None
    if args.cfg or args.help:
        compose_overrides(verb, args.overrides, multirun=args.multirun)
    elif not (args.hydra_help or args.info or args.shell_completion):
        reserved = _reserve(check_overrides(verb, args.overrides, multirun=args.multirun))
        argv = [*argv, *([] if reserved is None else [f"{reserved.key}={quote(str(reserved.path))}"])]
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
            _discard_unstarted(reserved)
            raise
        except Exception as error:
            failures.append((" ".join(HydraConfig.get().overrides.task), error))
            if not isinstance(error, InputError):
                logging.getLogger("traceback").warning("the run failed", exc_info=error)  # for train.log alone
            _discard_unstarted(reserved)
            if _is_sweep():
                log.info("run %s failed: %s", failures[-1][0], _line(error))
                error.__traceback__ = None  # it would keep the run's network in memory
            return None

    sys.argv = [sys.argv[0], *argv]
    try:
        hydra.main(config_path=str(CONF), config_name=verb, version_base="1.3")(job)()
    finally:
        if reserved is not None:
            _remove_empty(reserved)
    if summary is not None and results:
        summary(results)
    return _report_all(failures, some_done=bool(results))


def _is_follower() -> bool:
    """Whether this is a distributed run's second or later process: the first speaks and writes for all."""
    return os.environ.get("LOCAL_RANK", "0") != "0"


def _is_sweep() -> bool:
    return HydraConfig.get().mode == RunMode.MULTIRUN


# Errors ---------------------------------------------------------------------------------------------------------------


def _report_all(failures: Sequence[tuple[str, Exception]], *, some_done: bool) -> int:
    """The exit code of all runs together, with one line on stderr for those that failed.

    It is 2 only where no run was begun: where `some_done`, wrong input of another run gives 1 too.
    """
    if not failures:
        return 0
    if len(failures) == 1:
        return min(_report(failures[0][1]), 1 if some_done else 2)
    runs = "; ".join(f"{overrides} ({_line(error)})" for overrides, error in failures)
    print(f"error: {len(failures)} runs failed: {runs}", file=sys.stderr)
    return 2 if not some_done and all(isinstance(error, InputError) for _, error in failures) else 1


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


@dataclass(frozen=True)
class Reserved:
    """The folder that this process writes to, known before Hydra makes it.

    Attributes:
        path: it, absolute.
        key: Hydra's setting for it.
        made: the topmost of it and its parents that this process made; None where all were there.
        before: what was in it.
    """

    path: Path
    key: str
    made: Path | None
    before: frozenset[str]

    def is_ours(self, path: Path) -> bool:
        """Whether `path` lies in what came into the folder since."""
        parts = path.relative_to(self.path).parts if path.is_relative_to(self.path) else ()
        return bool(parts) and parts[0] not in self.before


def _reserve(cfg: DictConfig) -> Reserved | None:
    """Choose the folder now, so that it is known what this process makes of it.

    Raises `InputError` where something is in it that would be written over, or it can't be made. None for a
    distributed run's processes (`LOCAL_RANK` is set): they are told their folder by the first.
    """
    if "LOCAL_RANK" in os.environ:
        return None
    multirun = cfg.hydra.mode == RunMode.MULTIRUN
    key = "hydra.sweep.dir" if multirun else "hydra.run.dir"
    word = _word_of(cfg, key)
    try:
        named = OmegaConf.select(cfg, word)
        if named is None or not str(named).strip():
            said = f"{word}={'null' if named is None else named}"
            raise InputError(f"{said} names no folder: name one, or leave {word} out")
        value = OmegaConf.select(cfg, key)
    except OmegaConfBaseException as error:
        raise InputError(f"{word}: {str(error).splitlines()[0]}") from error
    folder = Path(os.path.abspath(str(value)))  # noqa: PTH100  # as Hydra makes it, without ..
    made = None
    try:
        made = _first_missing(folder)
        before = frozenset() if made else frozenset(path.name for path in folder.iterdir())
        if before:
            _refuse_taken(cfg, folder, word)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder):  # permissions don't tell: root has them on a read-only disk too
            pass
    except OSError as error:
        if made is not None:
            _remove_empty(Reserved(folder, key, made, frozenset()))
        reason = (error.strerror or "").lower()
        remedy = f"{word}={'NAME' if word == 'sweep' else 'FOLDER'}"
        raise InputError(f"{folder} can't be written ({reason}): name another folder with {remedy}") from None
    return Reserved(folder, key, made, before)


def _word_of(cfg: DictConfig, key: str) -> str:
    """The setting by which the user says where to write: what was typed, else what the verb has for it, else `key`."""
    overrides: Any = OmegaConf.to_container(cfg.hydra.overrides, resolve=False)
    typed = {word.lstrip("+").partition("=")[0] for words in overrides.values() for word in words}
    words = (key, "output", "sweep") if key == "hydra.sweep.dir" else (key, "output")
    return next((word for word in words if word in typed), "output" if "output" in cfg else key)


def _first_missing(folder: Path) -> Path | None:
    """The topmost of `folder` and its parents that doesn't exist; None where all do."""
    missing = None if folder.exists() else folder
    while missing is not None and not missing.parent.exists():
        missing = missing.parent
    return missing


def _refuse_taken(cfg: DictConfig, folder: Path, word: str) -> None:
    """Raise `InputError` where what is in the folder, which is not empty, would be written over or mixed with.

    A training leaves a user's own files alone, and refuses Hydra's record and that of a run. The other verbs give
    their files names that a user might have chosen as well, and take an empty folder only.
    """
    if "output" in cfg:
        raise InputError(f"{word}={OmegaConf.select(cfg, word)} is not empty: name another folder")
    names = ("run.json", cfg.hydra.output_subdir or ".hydra", f"{cfg.hydra.job.name}.log")
    if cfg.hydra.mode == RunMode.MULTIRUN:
        if any((run / name).exists() for run in folder.iterdir() for name in names):
            raise InputError(f"{folder} holds a sweep already: name another one with sweep=NAME")
    elif any((folder / name).exists() for name in names):
        raise InputError(f"{folder} holds a run already: name another folder, or leave hydra.run.dir out")


def _discard_unstarted(reserved: Reserved | None) -> None:
    """Remove what Hydra wrote for a run that never began, which is one without run.json; nothing older than that."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    if reserved is None or RunFolder(folder).record_file.exists() or _is_follower():
        return
    for handler in list(logging.root.handlers):
        if isinstance(handler, logging.FileHandler):
            logging.root.removeHandler(handler)
            handler.close()
    record, text = folder / ".hydra", folder / f"{HydraConfig.get().job.name}.log"
    if reserved.is_ours(record):
        shutil.rmtree(record, ignore_errors=True)
    if reserved.is_ours(text):
        text.unlink(missing_ok=True)
    if reserved.is_ours(folder) and not any(folder.iterdir()):
        folder.rmdir()


def _remove_empty(reserved: Reserved) -> None:
    """Remove the folder, and the parents made for it, where nothing but empty folders and a sweep's record came in."""
    files = [path for path in reserved.path.rglob("*") if not path.is_dir()]
    if reserved.before or any(path.name != "multirun.yaml" for path in files):
        return
    for file in files:
        file.unlink()
    if reserved.made is None:
        return
    shutil.rmtree(reserved.path, ignore_errors=True)
    for parent in reserved.path.parents:
        if parent.is_relative_to(reserved.made):
            with suppress(OSError):  # another process has begun a run in it
                parent.rmdir()
