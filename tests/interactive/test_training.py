"""`from src import train`: a training in somebody's own process, which is left as it was."""

import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from src import train
from src.errors import InputError
from src.interactive.run import Run
from src.interactive.undisturbed import torch_kept

ROOT = Path(__file__).parents[2]
QUICK = (
    "model=simple_cnn",
    "model.width=4",
    "trainer=cpu",
    "callbacks=none",
    "logger=none",
    "baseline=false",
    "cost=false",
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class At(L.Callback):
    """Does something after a batch."""

    def __init__(self, batch: int, what: Any) -> None:
        self.batch, self.what, self.seen = batch, what, 0

    def on_train_batch_end(self, *_: Any) -> None:
        self.seen += 1
        if self.seen == self.batch:
            self.what()


def state() -> dict[str, Any]:
    names = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP", "SIGALRM")
    loggers = [logging.getLogger(name) for name in ("", "lightning", "lightning.pytorch", "lightning.fabric")]
    return {
        "signals": [signal.getsignal(getattr(signal, name)) for name in names],
        "logging": [(log.handlers[:], log.level, log.propagate) for log in loggers],
        "captured": logging._warnings_showwarning,  # type: ignore[attr-defined]
        "filters": warnings.filters[:],
        "random": (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),
        "torch": (
            torch.get_num_threads(), torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled(),
            torch.backends.cudnn.benchmark, torch.utils.deterministic.fill_uninitialized_memory,
            torch.get_float32_matmul_precision(),
        ),
        "process": (dict(os.environ), Path.cwd(), sys.argv[:], sys.orig_argv[:]),
        "hydra": GlobalHydra.instance().hydra,
    }  # fmt: skip


def test_two_trainings_leave_the_process_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.FileHandler(tmp_path / "mine.log", mode="w")
    logging.getLogger().addHandler(handler)
    turn = At(23, lambda: (random.random(), np.random.rand(), torch.rand(1), os.environ.update(LEFT_BEHIND="1")))
    try:
        with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
            before = state()
            first = train(*QUICK, "trainer.deterministic=true", epochs=1, callbacks=["none", turn])
            said = capsys.readouterr()
            second = train(*QUICK, epochs=1, name="second")
            for name, value in state().items():
                assert value == before[name], name
        logging.getLogger().warning("still there")
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
    assert (tmp_path / "mine.log").read_text() == "still there\n", "and nothing of the training's"
    assert turn.seen == 23
    assert first.metrics == json.loads((first.folder / "metrics.json").read_text())
    assert first.metrics["test/accuracy"] == second.metrics["test/accuracy"]
    assert repr(second).startswith("Run(outputs/digits/simple_cnn/second, test/accuracy 0.")
    assert said.out.count("epoch 1/1") == 1
    assert "validation" in said.out
    assert "GPU available" not in said.out + said.err
    assert said.err == ""
    assert "GPU available" in (first.folder / "train.log").read_text(), "what libraries say is kept there"
    record = json.loads((second.folder / "run.json").read_text())
    assert record["command"].endswith("src.train " + " ".join([*QUICK, "epochs=1", "name=second"]))


def test_torch_is_as_before_even_after_an_error() -> None:
    before = state()
    with suppress(InterruptedError), torch_kept():
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.set_default_dtype(torch.float64)
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
        torch.set_float32_matmul_precision("medium")
        torch.rand(1), np.random.rand(), random.random()
        raise InterruptedError
    assert state() == before


def test_the_verb_itself_takes_a_composed_configuration() -> None:
    from src.train import train as verb

    assert callable(train)
    with pytest.raises(InputError, match="takes a composed configuration; `from src import train` takes words"):
        verb("model=resnet18")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "settings", "said"),
    [
        (("model=resnet19",), {}, "model=resnet19 is unknown; nearest: resnet18, resnet152, resnet101"),
        (("resnet18",), {}, "'resnet18' is not understood: settings are words such as 'model=resnet50', or epochs=2"),
        ((18,), {}, "18 is not understood"),
        (("--epochs=3",), {}, "written without dashes"),
        (("seed=1,2",), {}, "seed=1,2 names several values"),
        ((), {"epochs": 0}, "trainer.max_epochs=0 is not possible"),
        ((), {"learning_rate": 0.1}, "'learning_rate' is not a setting: say optimizer.lr=0.1"),
        ((), {"epochs": print}, "is not possible: take a number, a text, a path or a list of these"),
        ((), {"callbacks": [print]}, "is not possible: take names of options, or Lightning callbacks"),
        (("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"), {}, "several processes are for the command"),
        ((), {"data": "folder", "data.root": "nowhere"}, "nowhere"),
        (("hydra.mode=MULTIRUN",), {}, "is a sweep, which is for the command line"),
        (("resume=nowhere",), {}, "resume=nowhere is no folder"),
        (("requeue=true",), {"name": "r"}, "requeue=true repeats a command"),
    ],
)
def test_what_can_be_put_right_is_one_line(
    words: tuple[Any, ...], settings: dict[str, Any], said: str, tmp_path: Path
) -> None:
    before = state()
    with pytest.raises(InputError) as error:
        train(*words, **settings)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert len(error.traceback) <= 4
    assert error.value.__cause__ is None
    assert error.value.__context__ is None
    assert error.value._render_traceback_() == [f"InputError: {error.value}"]  # type: ignore[attr-defined]
    assert state() == before
    assert not list(tmp_path.rglob("run.json"))


def test_values_of_python_are_settings(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "my photos").symlink_to(photos)
    run = train(
        *QUICK, data="folder", epochs=np.int64(1), lr=1e-3, resume=None, test=False, image_size=16,
        **{"data.root": tmp_path / "my photos", "data.num_workers": 0, "data.augment": {"flip": True}},
    )  # fmt: skip
    kept = yaml.safe_load((run.folder / ".hydra" / "config.yaml").read_text())
    assert (kept["data"]["root"], kept["optimizer"]["lr"], kept["test"]) == (str(tmp_path / "my photos"), 1e-3, False)
    assert kept["data"]["augment"]["flip"] is True


def test_an_interrupted_training_goes_on_to_the_same_end(capsys: pytest.CaptureFixture[str]) -> None:
    whole = train(*QUICK, epochs=2, name="whole")
    before = state()
    with pytest.raises(KeyboardInterrupt) as error:
        train(*QUICK, epochs=2, name="cut", callbacks=["none", At(30, lambda: os.kill(os.getpid(), signal.SIGINT))])
    assert state() == before
    assert str(error.value) == "train(resume='outputs/digits/simple_cnn/cut') goes on here"
    assert len(error.traceback) <= 4
    assert capsys.readouterr().err == (
        "interrupted: python -m src.train resume=outputs/digits/simple_cnn/cut goes on\n"
    )
    record = Path("outputs/digits/simple_cnn/cut/run.json")
    assert json.loads(record.read_text())["status"] == "interrupted"
    run = train(resume="cut")
    figures = [{k: v for k, v in one.metrics.items() if "second" not in k} for one in (whole, run)]
    assert figures[0] == figures[1]
    assert isinstance(train(resume=run), Run), "nothing is left to do"
    assert "is finished, with 2 epochs" in capsys.readouterr().out


def test_another_signal_ends_the_training_and_then_does_what_it_did() -> None:
    told: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    try:
        with pytest.raises(KeyboardInterrupt):
            train(*QUICK, epochs=9, name="t", callbacks=[At(2, lambda: os.kill(os.getpid(), signal.SIGTERM))])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert told == [signal.SIGTERM]
    assert json.loads(Path("outputs/digits/simple_cnn/t/run.json").read_text())["status"] == "interrupted"


def test_a_thread_can_train() -> None:
    runs: list[Run] = []
    thread = threading.Thread(target=lambda: runs.append(train(*QUICK, epochs=1)))
    thread.start()
    thread.join()
    assert runs[0].metrics["epochs"] == 1


def test_pictures_are_named_outside_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    run = train(*QUICK[:3], "logger=none", "baseline=false", "cost=false", epochs=2)
    capsys.readouterr()
    run.show()
    names = [Path(line).relative_to(run.folder).as_posix() for line in capsys.readouterr().out.splitlines()]
    assert names == ["figures/curves.png", "gradcam/epoch_001.png", "gradcam/epoch_002.png"]


def test_to_import_it_is_quick() -> None:
    code = "import sys; from src import train, load; print(sorted({'torch', 'lightning', 'pandas'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
