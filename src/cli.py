"""What all verbs share: paths taken raw, a configuration that is checked before anything is made, errors in one line.

`main(verb, task)` is a verb's whole command line. It composes and checks the configuration first, and only then lets
Hydra create a folder and call the task; torch is not imported before that.
"""

import itertools
import logging
import os
import re
import secrets
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich import get_console

from src.config import check_config, keys, nearest
from src.errors import InputError, RunError
from src.run import RunFolder

CONF = Path(__file__).parent.parent / "conf"

RAW_PATHS = ("data.root", "checkpoint", "images", "resume", "runs", "output", "weights", "model.weights")
"""Overrides whose value is a path and not Hydra's grammar, which refuses spaces, `ä ~ ( ) = [ ,`."""

JOBS_CHECKED = 64
"""Of a sweep, so many combinations are composed and checked before the first run; each costs some 50 ms."""

log = logging.getLogger(__name__)

# `${hex:4}`: keeps two runs of the same second apart. Cached, so that a configuration names one folder and not several.
OmegaConf.register_new_resolver("hex", lambda digits: secrets.token_hex(digits)[:digits], use_cache=True, replace=True)


class ConsoleHandler(logging.Handler):
    """Log records as plain lines on Rich's console, above a progress bar where one is on.

    Ours are shown from INFO on, those of libraries from ERROR on; train.log has all of them.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.split(".")[0] == "src" or record.name == "__main__" or record.levelno >= logging.ERROR:
            get_console().print(self.format(record), markup=False, highlight=False, soft_wrap=True)


def main(verb: str, task: Callable[[DictConfig], Any]) -> NoReturn:
    """Run a verb with the arguments of this process, and exit.

    0: done. 2: the input was wrong, nothing was begun and nothing is left behind. 1: a run failed. 130: interrupted.
    """
    try:
        code = _run(verb, task, sys.argv[1:])
    except (InputError, RunError) as error:
        code = _report(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)


def _run(verb: str, task: Callable[[DictConfig], Any], argv: Sequence[str]) -> int:
    argv = quote_paths(argv)
    args = get_args_parser().parse_args(argv)
    makes_runs = not (args.help or args.hydra_help or args.cfg or args.info or args.shell_completion)
    made: list[Path] = []
    if makes_runs:
        folder, pinned = _reserve(check_overrides(verb, args.overrides, multirun=args.multirun), argv)
        made, argv = [folder], [*argv, *pinned]
    elif args.cfg or args.help:
        with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
            _compose(verb, args.overrides, args.multirun)

    failures: list[BaseException] = []

    def job(cfg: DictConfig) -> Any:
        """The task, with its failure kept for us: Hydra would print several lines and exit with 1."""
        logging.captureWarnings(True)
        try:
            return task(cfg)
        except Exception as error:
            failures.append(error)
            _discard_unstarted(error)
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                log.error("run %s failed: %s", " ".join(HydraConfig.get().overrides.task), _line(error))
                error.__traceback__ = None  # it would keep the run's network in memory
            return None

    sys.argv = [sys.argv[0], *argv]
    hydra.main(config_path=str(CONF), config_name=verb, version_base="1.3")(job)()
    if not failures:
        return 0
    for folder in made:
        _remove_empty(folder)
    return _report(failures[0]) if len(failures) == 1 else max(_report(failure) for failure in failures)


# Arguments -----------------------------------------------------------------------------------------------------------


def quote_paths(argv: Sequence[str]) -> list[str]:
    """The arguments with the values of `RAW_PATHS` in Hydra's quotes, and a leading `~` replaced by the home folder."""
    quoted = []
    for argument in argv:
        key, equals, value = argument.partition("=")
        already = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        if equals and key.lstrip("+") in RAW_PATHS and value not in ("null", "") and not already:
            path = os.path.expanduser(value) if value.startswith("~") else value  # noqa: PTH111
            argument = f"{key}={_quote(path)}"
        quoted.append(argument)
    return quoted


def _quote(text: str) -> str:
    """Hydra's single quotes: a backslash escapes a quote, and itself where it stands before one or at the end."""
    escaped = re.sub(r"(\\*)'", lambda match: match[1] * 2 + r"\'", text)
    trailing = escaped[len(escaped.rstrip("\\")) :]
    return f"'{escaped}{trailing}'"


def check_overrides(verb: str, overrides: Sequence[str], *, multirun: bool = False) -> DictConfig:
    """Compose the configuration of each run that these overrides ask for, and check it; give back the first one.

    Raises `InputError` for an unknown option or setting, a value that can't be read or can't be meant.
    """
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        try:
            parsed = OverridesParser.create().parse_overrides(list(overrides))
        except HydraException as error:
            raise InputError(_syntax(error)) from error
        sweeps = [override for override in parsed if override.is_sweep_override()]
        fixed = [str(override.input_line) for override in parsed if not override.is_sweep_override()]
        first = _compose(verb, fixed, multirun)
        multirun = multirun or first.hydra.mode == RunMode.MULTIRUN
        if sweeps and not multirun:
            raise InputError(f"{sweeps[0].input_line} names several values: put -m before it for a sweep")
        for combination in itertools.islice(_combinations(sweeps), JOBS_CHECKED):
            checked = _compose(verb, [*fixed, *combination], multirun)
            if verb == "train":
                check_config(_without_hydra(checked))
        return first


def _combinations(sweeps: Sequence[Override]) -> Iterator[tuple[str, ...]]:
    """All combinations of the values of a sweep, as overrides; one empty combination where nothing is swept."""
    values = [
        [f"{sweep.get_key_element()}={value}" for value in sweep.sweep_string_iterator()]
        for sweep in sweeps
        if sweep.is_discrete_sweep()
    ]
    return itertools.product(*values)


def _compose(verb: str, overrides: list[str], multirun: bool) -> DictConfig:
    extra = ["hydra.mode=MULTIRUN"] if multirun else []
    try:
        return compose(verb, [*overrides, *extra], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(_explain(verb, error)) from error


def _without_hydra(cfg: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])


# Errors --------------------------------------------------------------------------------------------------------------


def _explain(verb: str, error: Exception) -> str:
    """One line for what Hydra says in several: the value, and the nearest right ones."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return f"{group}={option} is unknown; nearest: {nearest(option, list(error.options))}"
    text = str(error)
    if match := re.match(r"Could not (?:override|append to config) '([^']+)'", text):
        name = match[1]
        known = keys(_without_hydra(compose(verb, return_hydra_config=True)))
        if name not in known:
            return f"{name!r} is not a setting; nearest: {nearest(name, known)}"
    if isinstance(error, OverrideParseException):
        return _syntax(error)
    cause = f": {str(error.__cause__).splitlines()[0]}" if error.__cause__ is not None else ""
    return text.splitlines()[0] + cause


def _syntax(error: Exception) -> str:
    override = getattr(error, "override", None)
    if override is None:
        return str(error).splitlines()[0]
    if "=" not in override:
        return f"{override!r} is not understood: settings are written as name=value, such as model=resnet50"
    return f"{override!r} can't be read: put its value in quotes within quotes, \"name='value'\""


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _report(error: BaseException) -> int:
    """Say what went wrong on stderr and give the exit code. Our own two errors take a line, a bug its traceback."""
    expected = isinstance(error, (InputError, RunError))
    if not expected or os.environ.get("HYDRA_FULL_ERROR") == "1":
        traceback.print_exception(error)
    if expected:
        print(f"error: {_line(error)}", file=sys.stderr)
    return 2 if isinstance(error, InputError) else 1


# Folders -------------------------------------------------------------------------------------------------------------


def _reserve(cfg: DictConfig, argv: Sequence[str]) -> tuple[Path, list[str]]:
    """Choose the run's folder now, so that it is known what this process makes: (first missing folder, overrides).

    Raises `InputError` where the folder holds a run already or can't be made. A distributed run's other processes
    (`LOCAL_RANK` is set) are told their folder by the first.
    """
    multirun = cfg.hydra.mode == RunMode.MULTIRUN or any(a in ("-m", "--multirun") for a in argv)
    key = "hydra.sweep.dir" if multirun else "hydra.run.dir"
    folder = Path(str(OmegaConf.select(cfg, key))).absolute()
    missing = folder
    while not missing.parent.exists():
        missing = missing.parent
    if "LOCAL_RANK" in os.environ:
        return missing, []
    if not multirun and RunFolder(folder).record_file.exists():
        raise InputError(f"{folder} holds a run already: name another folder, or leave hydra.run.dir out")
    try:  # permissions don't tell: root passes them on a file system that is read-only
        with tempfile.TemporaryDirectory(dir=folder if folder.exists() else missing.parent):
            pass
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise InputError(f"{folder} can't be written ({reason}): name another folder with {key}=FOLDER") from None
    return missing, [f"{key}={_quote(str(folder))}"]


def _discard_unstarted(error: BaseException) -> None:
    """Remove the folder that Hydra made for a run which never began: one without run.json, after an input error."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    if not isinstance(error, InputError) or RunFolder(folder).record_file.exists():
        return
    for handler in list(logging.root.handlers):
        if isinstance(handler, logging.FileHandler):
            logging.root.removeHandler(handler)
            handler.close()
    shutil.rmtree(folder / ".hydra", ignore_errors=True)
    (folder / f"{HydraConfig.get().job.name}.log").unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _remove_empty(top: Path) -> None:
    """Remove `top` where nothing but empty folders and a sweep's own record is in it."""
    files = [path for path in top.rglob("*") if not path.is_dir()]
    if all(path.name == "multirun.yaml" for path in files):
        shutil.rmtree(top, ignore_errors=True)
