"""What has to be said of a run before its network answers: that it hasn't ended, or was never better than guessing."""

import logging
from contextlib import suppress

from ..analysis.intervals import beside_guessing
from ..runs.contents import UnusableError
from ..runs.folder import RunFolder
from .checkpoint import Trained

log = logging.getLogger(__name__)

UNFINISHED = {
    "running": "is still training, or was killed",
    "interrupted": "was interrupted: train resume={run} goes on",
    "failed": "failed",
}
"""What is said of a run by its status."""


def say_standing(trained: Trained, *, tested: bool = True) -> None:
    """Warn of a network whose answers should be read with care; of most there is nothing to say.

    `tested`: by its figures of the test set, too.
    """
    if trained.run is not None and (said := standing(trained.run, tested=tested)):
        log.warning("%s", said)


def standing(run: RunFolder, *, tested: bool = True) -> str:
    """Return a line about a run that hasn't finished, or whose test images show no more than guessing; else nothing."""
    with suppress(OSError, UnusableError, ValueError, KeyError):
        if run.status in UNFINISHED:
            epochs = len(run.history())
            return (
                f"{run.shown} {UNFINISHED[run.status].format(run=run.shown)}; "
                f"its best of {epochs} epoch{'s' * (epochs != 1)} answers"
            )
        if tested and "test/accuracy" in (metrics := run.metrics()):
            guessing = beside_guessing(metrics["test/accuracy"], run.images_of_classes())
            return guessing and f"{run.shown} was tested: {guessing}"
    return ""
