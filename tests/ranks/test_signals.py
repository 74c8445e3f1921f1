"""A signal to one process of a training, or to all, at moments that no clock would meet: it ends all."""

from pathlib import Path

import pytest

from src.runs.folder import RunFolder
from tests.ranks.test_launchers import TINY, alone
from tests.support.started import Started, by_hand_meeting

TOLD = """
import os, signal, sys, time
from src.train import compare, main, train

def tell(name, once=[]):
    if os.environ["RANK"] in WHICH and not once:
        once.append(name)
        os.kill(os.getpid(), signal.SIGTERM)

MOMENT
main("train", train, after_sweep=compare)
"""

BEFORE = """
from PLACE import NAME as owner
whole = owner.METHOD
def told(self, *args, **kwargs):
    if CONDITION:
        tell("METHOD")
    return whole(self, *args, **kwargs)
owner.METHOD = told
"""


def before(place: str, name: str, method: str, condition: str = "True") -> str:
    """Code that tells a process to stop when it is about to call a method."""
    words = {"PLACE": place, "NAME": name, "METHOD": method, "CONDITION": condition}
    code = BEFORE
    for word, value in words.items():
        code = code.replace(word, value)
    return code


MODULE = ("src.training.classifier", "ImageClassifier")
MOMENTS = {
    "the images are looked for": before("src.data.module", "ImageDataModule", "setup"),
    "the network is put on its device": before(*MODULE, "configure_optimizers"),
    "Lightning's loop begins": before(*MODULE, "zero_grad", "self.trainer.state.fn == 'fit'"),
    "the untrained network is tested": before(*MODULE, "zero_grad", "self.trainer.state.fn == 'test'"),
    "the first batch": before(*MODULE, "training_step"),
    "validation": before(*MODULE, "validation_step", "not self.trainer.sanity_checking"),
    "a checkpoint is gathered": before(*MODULE, "on_save_checkpoint"),
    "the last epoch ends": before(*MODULE, "on_train_epoch_end", "self.current_epoch == 1"),
    "the trained network is tested": before(
        *MODULE, "test_step", "self.trainer.fit_loop.epoch_progress.current.completed"
    ),
    "its answers are gathered": before("src.callbacks.test_outputs", "Predictions", "on_test_epoch_end"),
    "Lightning tidies up": before("lightning.pytorch.trainer.trainer", "Trainer", "_teardown"),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("which", ["0", "1", "01"])
def test_a_signal_at_any_moment_ends_all(moment: str, which: str, tmp_path: Path) -> None:
    """Within seconds, although gloo would wait for half an hour for who has left; and the run goes on."""
    run, code = RunFolder(tmp_path / "run"), TOLD.replace("WHICH", repr(which)).replace("MOMENT", MOMENTS[moment])
    words = (*TINY, "callbacks.gradcam=null", "hydra.run.dir=run", "resume=auto")
    with Started(tmp_path, *[("-c", code, *words)] * 2, variables=by_hand_meeting(2)) as started:
        assert started.codes(60) == [143, 143], started.said
        assert "Traceback" not in started.said
        assert started.said.count("interrupted") == 1
        if run.record_file.exists():
            does = "goes on" if run.last_checkpoint.exists() else "begins it again: there is no checkpoint yet"
            assert started.said.splitlines()[-1] == f"interrupted: python -m src.train resume=run {does}"
            assert run.record()["status"] == "interrupted"
    with Started(tmp_path, *[("-m", "src.train", *words)] * 2, variables=by_hand_meeting(2)) as started:
        assert started.codes() == [0, 0], started.said
    assert run.is_whole
    assert len(run.history()) == 2
    alone(tmp_path)
