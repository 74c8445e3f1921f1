"""A command inside the tests' own process: one of its own takes ten seconds to import torch and Lightning.

Tests of what only a process can show (signals, pipes, what is imported) start one.
"""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from importlib import import_module
from io import StringIO
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest.mock import patch

from src.command.main import main

ANSWERED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGALRM)


def start(*arguments: str, cwd: Path, log: Path, verb: str = "train") -> BaseProcess:
    """The command in a process of its own, which can be killed; what it says goes into `log`.

    It is forked, so that torch and Lightning are there already.
    """

    def run() -> None:
        os.setsid()  # Ctrl-C of whoever runs the tests is not meant for it
        result = run_here(*arguments, cwd=cwd, verb=verb)
        log.write_text(result.stdout + result.stderr)
        sys.stdout.flush()
        os._exit(result.returncode)  # nothing of the tests' own process ends here

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    return process


def run_here(*arguments: str, cwd: Path, verb: str = "train") -> "subprocess.CompletedProcess[str]":
    """What the command does in `cwd`: its exit code and what it said. The process is afterwards as it was before."""
    words = [sys.executable, "-m", f"src.{verb}", *arguments]
    out, err = StringIO(), StringIO()
    handlers, level = list(logging.root.handlers), logging.root.level
    answers = {number: signal.getsignal(number) for number in ANSWERED}
    with (
        chdir(cwd),
        redirect_stdout(out),
        redirect_stderr(err),
        patch.object(sys, "argv", words[2:]),
        patch.object(sys, "orig_argv", words),
        patch.dict(os.environ),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("default")
        try:
            module = import_module("src.runs.__main__" if verb == "runs" else f"src.{verb}")
            main(verb, getattr(module, verb), after_sweep=getattr(module, "compare", None))
        except SystemExit as end:
            code = end.code
        finally:
            logging.captureWarnings(False)
            for number, answer in answers.items():
                signal.signal(number, answer)
            for handler in logging.root.handlers:
                if handler not in handlers:
                    handler.close()
            logging.root.handlers[:] = handlers
            logging.root.setLevel(level)
    assert isinstance(code, int)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())
