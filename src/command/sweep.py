"""A sweep on disk: which runs it has, which are finished, and how each of the others begins or resumes."""

import gc
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, read_write
from rich import get_console

from ..errors import InputError, RunError
from ..files import append_text, claimed, is_claimed, read_inside, write_text
from ..runs.contents import NAMES
from ..runs.differing import differing, folder_name, number_of
from ..runs.folder import RunFolder, Status
from ..runs.foreign import look_over
from ..settings.composing import quote
from ..tables import duration
from .failures import one_line
from .resume import NAMES_ONLY, check_same, rate_before_recipes, unsaid_by

log = logging.getLogger(__name__)

SECONDS, ERROR = ".seconds", ".error_"
"""Notes in the sweep's folder: how many seconds each run took, and what ended a run, by its number."""

ELSEWHERE = "at work in another process"

SECONDS_TO_DIE = 10.0
"""How long a run that a launcher starts waits for another process on it: one of a command that was killed ends."""

LONGEST_NOTE = 2**22
"""Bytes."""

ENDED: Mapping[Status | None, str] = {None: "not begun", "running": "its process was killed"}
"""What is printed of a run that left no error."""


@dataclass(frozen=True)
class Outcome:
    """What became of one run: its own overrides, its status (None: not begun), and what ended it early.

    `elsewhere`: another process is at work on it.
    """

    folder: RunFolder
    overrides: str
    status: Status | None
    error: str
    elsewhere: bool = False

    @property
    def begun(self) -> bool:
        """Whether training started."""
        return self.status not in (None, "refused")

    @property
    def failure(self) -> InputError | RunError:
        """What ended it early, as the error that its exit code needs."""
        return InputError(self.error) if self.status == "refused" else RunError(self.error)


@dataclass
class Sweep:
    """The runs `folder/0_…`, `folder/1_…`, … of one command. Others may be at work on some of them.

    Attributes:
        jobs: the overrides of each, in order.
        chosen: the numbers of those that are to be run here; None: all.
        command: what was typed, word by word.
    """

    folder: Path
    jobs: Sequence[Sequence[str]]
    chosen: Sequence[int] | None = None
    command: Sequence[str] = field(default_factory=lambda: list(sys.orig_argv))

    def check(self) -> None:
        """Raise `InputError` where the folder holds runs that are not those of this sweep."""
        remedy = "name another one with sweep=NAME"
        look_over(self.folder)
        for number, run in self._there().items():
            if not run.record_file.exists():
                continue
            before = run.overrides()
            if before is None:
                raise InputError(f"{self.folder} holds a sweep already, which can't be resumed: {remedy}")
            now = self.jobs[number] if number < len(self.jobs) else []
            if settings(now) != settings(before):
                wanted = f"would now be {' '.join(now)}" if now else "would not be one of it now"
                raise InputError(
                    f"{self.folder} holds a sweep with other settings: its run {number + 1} is {' '.join(before)}, and "
                    f"{wanted}: repeat the settings that it began with, or {remedy}"
                )

    @property
    def numbers(self) -> Sequence[int]:
        """The runs that are to be run here."""
        return range(len(self.jobs)) if self.chosen is None else self.chosen

    def refuse_taken(self, another: str) -> None:
        """Raise `InputError` where all that is left to do is at work in other processes."""
        left = [number for number in self.numbers if not self._run(number).is_whole]
        if left and all(map(self._is_taken, left)):
            what = f"{self.folder}: run {left[0] + 1}" if len(left) == 1 < len(self.jobs) else str(self.folder)
            raise InputError(f"{what} is at work in another process: wait for it, stop it, or {another}")

    def place(self, words: Sequence[str]) -> str:
        """Return the name of a run's folder, for Hydra: the one that is there, or a new one."""
        return self._run(self.jobs.index(list(words))).path.name

    def _claim(self, number: int) -> Path:
        """Return the file that is there, and locked, while a process is at work on the run."""
        return self.folder / f".run_{number}.lock"

    def _is_taken(self, number: int) -> bool:
        return is_claimed(self._claim(number))

    def _run(self, number: int) -> RunFolder:
        return self._there().get(number) or RunFolder(self.folder / self._names.get(number, str(number)))

    @cached_property
    def _names(self) -> dict[int, str]:
        """Return what the folder of each run is called that has none yet."""
        differ = differing({str(number): words for number, words in enumerate(self.jobs)})
        return {int(number): folder_name(number, words) for number, words in differ.items()}

    def _there(self) -> dict[int, RunFolder]:
        """Return the runs that have a folder, in order; those of earlier versions have no more than a number."""
        paths = sorted(self.folder.iterdir(), reverse=True) if self.folder.is_dir() else []
        found = {number: RunFolder(path) for path in paths if (number := number_of(path)) is not None and path.is_dir()}
        return dict(sorted(found.items()))

    def forget(self) -> None:
        """Remove the notes of the runs, which may be processes of their own. Nobody else may be at work on them."""
        for file in (self.folder / SECONDS, *self.folder.glob(f"{ERROR}*")):
            file.unlink(missing_ok=True)

    def run(
        self, train: Callable[..., Mapping[str, float]], cfg: DictConfig, tidy: Callable[[Path], None]
    ) -> Mapping[str, float] | None:
        """Begin, resume or leave the run that Hydra's launcher has reached; return its figures, None if it failed.

        A failure is printed at once and kept in the run's record; the other runs continue.

        Args:
            tidy: what is done with the folder of a run that is interrupted.
        """
        hydra = HydraConfig.get()
        words = OmegaConf.to_container(hydra.overrides.task, resolve=False)  # as typed: ${model.name} may be in them
        run, number = RunFolder(hydra.runtime.output_dir), self.jobs.index(cast(list[str], words))
        with read_write(hydra):  # type: ignore[arg-type]  # a node that is typed as what it holds
            hydra.job.num = number  # launchers count those that are run here
        if self._is_done(run, number):
            return run.metrics()
        alone = hydra.launcher._target_.startswith("hydra._internal.")
        try:
            with claimed(self._claim(number), 1.0 if alone else SECONDS_TO_DIE):
                try:
                    return run.metrics() if self._is_done(run, number) else self._begin(train, cfg, run, number)
                except (KeyboardInterrupt, SystemExit):
                    tidy(run.path)
                    raise
        except BlockingIOError:
            self._say(number, ELSEWHERE)
            return None

    def _is_done(self, run: RunFolder, number: int) -> bool:
        if run.is_whole:
            self._say(number, "finished before")
        return run.is_whole

    def _say(self, number: int, what: str) -> None:
        """Say it on screen alone: nothing of a run that isn't begun here is touched, its train.log neither."""
        get_console().print(f"{self._name(number)}: {what}", markup=False, highlight=False, soft_wrap=True)

    def _begin(
        self, train: Callable[..., Mapping[str, float]], cfg: DictConfig, run: RunFolder, number: int
    ) -> Mapping[str, float] | None:
        """Begin or resume a run that nobody else is at work on; see `run`."""
        hydra, name, note = HydraConfig.get(), self._name(number), self.folder / f"{ERROR}{number}"
        note.unlink(missing_ok=True)
        if run.status == "refused":  # perhaps what was missing is there now
            run.record_file.unlink()
        resume = run.record_file.exists()
        log.info("%s%s%s", name, self._time_left(number), self._best(cfg.monitor, cfg.mode))
        if not resume or run.overrides() is None:
            keep_settings(run, cfg)
        began = time.monotonic()
        try:
            if resume:
                for key, value in unsaid_by(run).items():
                    OmegaConf.update(cfg, key, value)
                if (rate := rate_before_recipes(run)) is not None and not any(
                    word.startswith("optimizer.lr=") for word in hydra.overrides.task
                ):
                    cfg.optimizer.lr = rate
                # a file of conf/ may have changed since the run began: it would resume as another one
                check_same(run, cfg, cfg, NAMES_ONLY, "set it back, or name another sweep with sweep=NAME")
            with self._alone(run, resume):
                metrics = train(cfg, resume=resume)
            with suppress(OSError):
                append_text(self.folder / SECONDS, f"{time.monotonic() - began}\n")
            return metrics
        except Exception as error:
            if not isinstance(error, InputError):
                logging.getLogger("traceback").warning("the run failed", exc_info=error)  # for train.log alone
            said = one_line(error)
            with suppress(OSError):  # the record of a run that was begun before is left as it was
                write_text(note, said)
            if not run.record_file.exists():
                run.refuse(command=shlex.join(self.command), error=said)
            log.info("%s failed: %s", name, said)
            return None
        finally:
            # Trainer, module and network refer to each other: they would stay until Python looks for such circles.
            gc.collect()

    @contextmanager
    def _alone(self, run: RunFolder, resume: bool) -> Iterator[None]:
        """Make the command line and Hydra describe this run alone, and clean up behind it for the next.

        A distributed run starts its other processes with this process's arguments, which would run the whole sweep. It
        leaves rank and ports in the environment, and every run leaves its seed there. A launcher's own process has a
        command line that nobody typed.
        """
        arguments, typed, environment = sys.argv, sys.orig_argv, dict(os.environ)
        hydra = HydraConfig.get()
        words = [*hydra.overrides.task, *([f"resume={quote(str(run.path))}"] if resume else [])]
        sys.argv, sys.orig_argv = [arguments[0], *words], list(self.command)
        with read_write(hydra):  # type: ignore[arg-type]
            hydra.run.dir = str(run.path)
        try:
            yield
        finally:
            sys.argv, sys.orig_argv = arguments, typed
            os.environ.clear()
            os.environ.update(environment)
            distributed = sys.modules.get("torch.distributed")
            if distributed is not None and distributed.is_available() and distributed.is_initialized():
                distributed.destroy_process_group()

    def outcomes(self) -> list[Outcome]:
        """Return the runs in order, read from their folders: they may have run in other processes, or earlier."""
        there = self._there()
        return [self._outcome(number, there.get(number) or self._run(number)) for number in self.numbers]

    def count_whole(self) -> int:
        """Return how many of all runs have finished."""
        return sum(run.is_whole for number, run in self._there().items() if number < len(self.jobs))

    def _outcome(self, number: int, run: RunFolder) -> Outcome:
        elsewhere, status = self._is_taken(number), run.status
        said = (
            self._note(f"{ERROR}{number}")
            or (run.record().get("error") if status else None)
            or ENDED.get(status)
            or str(status)
        )
        return Outcome(run, self._varied(self.jobs[number]), status, ELSEWHERE if elsewhere else said, elsewhere)

    def _note(self, name: str) -> str:
        """Return what one of the notes says; nothing without it."""
        try:
            return read_inside(self.folder, name, LONGEST_NOTE).decode("utf-8", NAMES)
        except OSError:
            return ""

    def _name(self, number: int) -> str:
        """Return `run 2 of 6, model=resnet18 seed=2`."""
        return f"run {number + 1} of {len(self.jobs)}, {self._varied(self.jobs[number])}"

    def _varied(self, overrides: Sequence[str]) -> str:
        """Return those of a run's overrides that not all runs share; all of them where there is only one run."""
        common = set.intersection(*map(set, self.jobs)) if len(self.jobs) > 1 else set()
        return " ".join(word for word in overrides if word not in common)

    def _time_left(self, number: int) -> str:
        """Return how long this run and those after it will take, from the mean so far; nothing before the first."""
        seconds = list(map(float, self._note(SECONDS).split()))
        if not seconds:
            return ""
        there = self._there()
        waiting = sum(n not in there or not there[n].is_whole for n in self.numbers if n >= number)
        at_once = min(waiting, sum(map(is_claimed, self.folder.glob(self._claim(0).name.replace("0", "*")))))
        return f"; about {duration(waiting / max(at_once, 1) * fmean(seconds))} left"

    def _best(self, monitor: str, mode: str) -> str:
        """Return which run is the best so far by what chooses checkpoints; nothing before the first has finished."""
        found = dict[int, float]()
        for number, run in self._there().items():
            with suppress(OSError, ValueError, KeyError):
                if run.is_whole:
                    found[number] = float(run.metrics()[monitor])
        if not found:
            return ""
        best = (max if mode == "max" else min)(found, key=found.__getitem__)
        return f"; best so far run {best + 1}, {monitor} {found[best]:.3f}"


def settings(overrides: Sequence[str]) -> dict[str, str]:
    """Return overrides by their keys, without the sweep's name: neither it nor their order makes a different run."""
    pairs = (word.lstrip("+").partition("=") for word in overrides)
    return {key: value for key, _, value in pairs if key != "sweep"}


def keep_settings(run: RunFolder, cfg: DictConfig) -> None:
    """Write `.hydra/` of a run that begins; Hydra would write it in resumed runs too."""
    hydra, folder = HydraConfig.get(), run.hydra
    write_text(folder / "config.yaml", OmegaConf.to_yaml(cfg))
    write_text(folder / "hydra.yaml", OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra})))
    write_text(folder / "overrides.yaml", OmegaConf.to_yaml(hydra.overrides.task))
