"""A signal to one process of a training, or to all, at moments that no clock would meet: it ends all, within seconds.

The processes are forked from this one, and with them what sends the signal.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import pytest

from src.callbacks.test_outputs import Predictions
from src.data.module import ImageDataModule
from src.runs.folder import RunFolder
from src.training import lifecycle
from src.training.classifier import ImageClassifier
from tests.ranks.test_launchers import TINY
from tests.support.launched import Launched
from tests.support.started import by_hand_meeting

WORDS = (*TINY, "callbacks.gradcam=null", "hydra.run.dir=run", "resume=auto")

AFTER_FIT = "self.trainer.fit_loop.epoch_progress.current.completed"
MOMENTS: dict[str, tuple[Any, str, str]] = {
    "the images are taken": (ImageDataModule, "setup", "True"),
    "the run is on record": (lifecycle, "as_told", "True"),
    "the untrained network is tested": (ImageClassifier, "zero_grad", "self.trainer.state.fn == 'test'"),
    "it is put on its device": (ImageClassifier, "configure_optimizers", "True"),
    "the training begins": (ImageClassifier, "zero_grad", "self.trainer.state.fn == 'fit'"),
    "the first batch": (ImageClassifier, "training_step", "True"),
    "validation": (ImageClassifier, "validation_step", "not self.trainer.sanity_checking"),
    "a checkpoint is gathered": (ImageClassifier, "on_save_checkpoint", "True"),
    "the last epoch ends": (ImageClassifier, "on_train_epoch_end", "self.current_epoch == 1"),
    "the trained network is tested": (ImageClassifier, "test_step", AFTER_FIT),
    "its answers are gathered": (Predictions, "on_test_epoch_end", "'test' in args[2].evaluated"),
    "Lightning tidies up": (L.Trainer, "_teardown", "self.state.fn == 'fit'"),
}
AT_THE_END = ("its answers are gathered",)
"""Neither waits for the other any more: one may have done its work."""


@contextmanager
def trained(cwd: Path, several: int = 2) -> Iterator[list[Launched]]:
    with ExitStack() as stack:
        both = []
        for variables in by_hand_meeting(several):
            with pytest.MonkeyPatch.context() as patch:
                for name, value in variables.items():
                    patch.setenv(name, value)
                both.append(stack.enter_context(Launched(*WORDS, cwd=cwd)))
        yield both


def codes(both: list[Launched], seconds: float) -> list[int]:
    end = time.monotonic() + seconds
    return [command.code(max(0.1, end - time.monotonic())) for command in both]


def tell_before(owner: Any, name: str, condition: str, which: str, patch: pytest.MonkeyPatch) -> None:
    """Let the ranks `which` get SIGTERM once, when they are about to call a function on a condition."""
    whole, told = getattr(owner, name), []

    def tell(*args: Any, **kwargs: Any) -> Any:
        names = {"self": args and args[0], "args": args}
        if os.environ.get("RANK", "none") in which and not told and eval(condition, names):
            told.append(name)
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(*args, **kwargs)

    patch.setattr(owner, name, tell)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("which", ["0", "1", "01"])
def test_a_signal_at_any_moment_ends_all(moment: str, which: str, tmp_path: Path) -> None:
    """Although gloo would wait for half an hour for who has left; and the run goes on."""
    run = RunFolder(tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        tell_before(*MOMENTS[moment], which, patch)
        with trained(tmp_path) as both:
            ended = codes(both, 60)
            said = [command.said for command in both]
    assert "Traceback" not in "".join(said)
    if moment in AT_THE_END:
        assert set(ended) <= {0, 143}, said
    else:
        assert ended == [143, 143], said
    if run.record_file.exists() and not run.is_whole:
        does = "goes on" if run.last_checkpoint.exists() else "begins it again: there is no checkpoint yet"
        assert said[0].splitlines()[-1] == f"interrupted: python -m src.train resume=run {does}"
        assert run.record()["status"] == "interrupted"
    with trained(tmp_path) as both:
        assert codes(both, 120) == [0, 0], [command.said for command in both]
    assert run.is_whole
    assert len(run.history()) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
