"""`python -m src.train`: one run, from the configuration to a tested network and its pictures."""

import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import activity
from .command.destination import hydra_folder
from .command.main import checked, main
from .command.next_steps import say_next
from .errors import InputError, first_line
from .ranks.place import is_follower
from .runs.folder import EVENTS, RunFolder, new_run_path

if TYPE_CHECKING:
    from lightning import Callback
    from omegaconf import DictConfig

    from .interactive.run import Run


log = logging.getLogger(__name__)


@checked
def train(
    cfg: "DictConfig", folder: Path | str | None = None, *, resume: bool = False, callbacks: Sequence["Callback"] = ()
) -> dict[str, float]:
    """Train as the composed configuration says; return what the run's metrics.json holds.

    Args:
        folder: The run folder; None takes Hydra's, or outside Hydra a new one below `outputs/`.
        resume: The folder, or `cfg.resume`, holds a run that ended early. It continues after its newest whole
            checkpoint, or starts again without one. With `cfg.resume="auto"` the `folder` decides.
        callbacks: Your own, besides those that the configuration names.

    Raises:
        InputError: The configuration or the data are wrong; nothing has begun.
        RunError: The loss diverges.
    """
    from .training.session import run_training  # torch and Lightning, only now

    auto = cfg.resume == "auto"
    named = folder or hydra_folder() or (None if auto else cfg.resume)
    if auto and named is None:
        raise InputError("resume=auto needs to know where: name the folder")
    run = RunFolder(named or new_run_path(cfg.data.name, cfg.model.name, name=cfg.get("name")))
    if auto and run.is_whole:
        return run.metrics()
    resume = resume or (run.record_file.exists() if auto else cfg.resume is not None)
    metrics = run_training(cfg, run, command=shlex.join(sys.orig_argv), resume=resume, callbacks=callbacks)
    write_page(run)
    if run.best_checkpoint.is_file():
        tested = {"tested": run.shown} if cfg.test else {}  # the test set is left alone
        say_next("train", run=run.shown, multilabel=bool(cfg.data.get("multilabel")), **tested)
    return metrics


def write_page(run: RunFolder) -> None:
    """Write the page of a run that has finished, and say where it is. Whatever goes wrong with it, the run is whole."""
    if is_follower():
        return
    try:
        from .reporting.run_page import write_run_page  # Jinja2, only now

        write_run_page(run)
    except Exception as error:
        log.warning("no report.html: %s", first_line(error))
        return
    log.info("page         %s/%s", run.shown, run.page_file.name)


def compare(sweep: Path) -> None:
    """Write a sweep's report into its folder, unless no run has finished with figures of a test set."""
    from .reporting.chosen import read_choice
    from .reporting.report import show, write_report

    activity.show("comparing runs and drawing")
    try:
        written = write_report(sweep, sweep / "report")
        activity.clear()
        show(written)
        if any(sweep.glob(f"*/{EVENTS}*")):
            print(f"TensorBoard of these runs alone: tensorboard --logdir {shlex.quote(RunFolder(sweep).shown)}")
    except InputError as error:
        activity.clear()
        choice = read_choice(sweep)
        print(f"no report: {error}" if choice is None else f"{choice}\nno report: {error}")


class Called(ModuleType):
    """This file, which `from reslens import train` gives."""

    def __call__(self, *words: str, **settings: Any) -> "Run":
        """Train here, as `reslens train` with the same words does: `train("model=resnet50", epochs=2)`.

        Logging, signal handlers, random state and torch's settings are as before when it is done.

        Args:
            words: as on the command line, such as `"data.root=my photos"`.
            settings: the same as Python's values, such as `epochs=2` or `name="mycats"`; `callbacks` may be names of
                `conf/callbacks/`, Lightning callbacks, and lists of both.

        Returns:
            The run: its `folder`, its `metrics`, and what shows its pictures, `show()`.

        Raises:
            InputError: The settings or the data are wrong; nothing has begun.
            RunError: The run began and can't go on.
            KeyboardInterrupt: It was interrupted; `train(resume=FOLDER)` goes on.
        """
        from .interactive.training import train_here

        return train_here(train, words, settings)


if __name__ == "__main__":
    main("train", train, after_sweep=compare)
else:
    sys.modules[__name__].__class__ = Called
