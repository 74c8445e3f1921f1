"""A process that is somebody's own, a notebook's say: what a training turns in it is turned back."""

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from rich import get_console

from ..command.signals import answer_signals
from ..logs import ConsoleHandler, LogFile
from ..settings.defaults import PACKAGE

SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP", "SIGALRM")

LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
"""As conf/hydra/job_logging/reslens.yaml has it."""


@contextmanager
def undisturbed(words: list[str]) -> Iterator[None]:
    """Leave logging, warnings, signal handlers, Hydra, environment and folder as they were; of torch, see `torch_kept`.

    Args:
        words: what is typed behind `python -m src.train` for the same; the run's record has it.
    """
    environment, folder, typed = dict(os.environ), Path.cwd(), sys.orig_argv
    sys.orig_argv = ["python", "-m", f"{PACKAGE}.train", *words]
    with ExitStack() as kept:
        kept.enter_context(warnings.catch_warnings())
        kept.enter_context(_logs_kept())
        kept.enter_context(_signals_kept())
        kept.enter_context(_hydra_kept())
        try:
            yield
        finally:
            sys.orig_argv = typed
            os.chdir(folder)
            for name in os.environ.keys() - environment.keys():
                del os.environ[name]
            os.environ.update(environment)


@contextmanager
def _logs_kept() -> Iterator[None]:
    """Say what a command says, and nothing of the libraries; then let all loggers be what they were.

    `logging.config`, which Hydra uses, would close the handlers that a notebook has.
    """
    root, captured = logging.getLogger(), logging._warnings_showwarning is not None  # type: ignore[attr-defined]
    names = ("lightning", "lightning.pytorch", "lightning.fabric", "mlflow", "alembic")
    others = [(log, log.handlers[:], log.propagate, log.level) for log in map(logging.getLogger, names)]
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = [ConsoleHandler(logging.INFO)]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        if not captured:
            logging.captureWarnings(False)
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
        for log, own, passes_on, least in others:
            log.handlers[:], log.propagate = own, passes_on
            log.setLevel(least)


@contextmanager
def logged_in(folder: Path) -> Iterator[None]:
    """Write train.log into a run's folder while the block runs."""
    file = LogFile(folder / "train.log", encoding="utf-8")
    file.setFormatter(logging.Formatter(LINE))
    logging.getLogger().addHandler(file)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(file)
        file.close()


@contextmanager
def _hydra_kept() -> Iterator[None]:
    """Put aside the configuration that a notebook is at work with (`with initialize(…)`)."""
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().hydra = None
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = before  # of another instance, perhaps: Hydra puts back a copy


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Answer signals as a command does; only the main thread can, and gets them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    answer_signals()
    try:
        yield
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            if handler is not None:  # one that Python has not set
                signal.signal(number, handler)


@contextmanager
def torch_kept() -> Iterator[None]:
    """Leave what is random, and torch's settings, as they were."""
    import torch
    from lightning.pytorch.utilities.seed import isolate_rng

    cudnn: Any = torch.backends.cudnn
    filling: Any = torch.utils.deterministic
    threads, kind, precise = torch.get_num_threads(), torch.get_default_dtype(), torch.get_float32_matmul_precision()
    exact, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    flags = (cudnn.benchmark, cudnn.deterministic, filling.fill_uninitialized_memory)
    error: BaseException | None = None
    try:
        with isolate_rng():  # which forgets it where an exception passes through
            try:
                yield
            except BaseException as raised:
                error = raised
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_default_dtype(kind)
        if torch.get_float32_matmul_precision() != precise:
            torch.set_float32_matmul_precision(precise)
        torch.use_deterministic_algorithms(exact, warn_only=warns)
        cudnn.benchmark, cudnn.deterministic, filling.fill_uninitialized_memory = flags
    if error is not None:
        raise error


def in_notebook() -> bool:
    """Return whether pictures can be shown below a cell."""
    return "IPython" in sys.modules and get_console().is_jupyter
