"""A stranger's checkpoint: each of its values is changed in each way, and a run goes on from it or refuses it."""

import copy
import math
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from src.errors import InputError, RunError
from src.networks.saved import SavedFileError
from src.resuming.starting_point import Own, check_restorable
from src.runs.folder import RunFolder
from src.train import train
from src.training import session
from src.training.assemble import assemble, to_dict
from src.training.optimizers import plan_optimization
from tests.resuming.test_exactness import run_until
from tests.support.command_line import run_here

Content = dict[str, Any]

OLD = Path(__file__).parent.parent / "support/old_runs"

NOT_THERE = object()
EVIL: dict[str, Any] = {
    "lines": "\ntouch canary\nreturn",
    "outside": "/run/checkpoints/..",
    "long": "x" * 100_000,
    "none": None,
    "true": True,
    "negative": -1,
    "large": 2**31,
    "endless": 10**300,
    "half": 0.5,
    "nan": math.nan,
    "infinite": math.inf,
    "list": [],
    "dict": {},
    "nested": {"a": [{"b": [1]}]},
    "tensor": torch.ones(3),
    "nan tensor": torch.tensor(math.nan),
    "giant tensor": torch.ones(1).expand(10**12),
    "sparse": torch.eye(3).to_sparse(),
    "complex": torch.ones(3, dtype=torch.complex64),
    "missing": NOT_THERE,
}
"""What takes the place of a value. Besides, each dictionary gets a key more, each list a value more."""


def leaves(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value, those that hold others included."""
    listed = isinstance(content, list | tuple)
    for key, value in content.items() if isinstance(content, dict) else enumerate(content) if listed else ():
        yield (*path, key)
        yield from leaves(value, (*path, key))


def put(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at the path; tensors are shared."""
    if isinstance(content, tuple):
        return tuple(put(list(content), path, value))
    changed = copy.copy(content)
    if len(path) > 1:
        changed[path[0]] = put(content[path[0]], path[1:], value)
    elif value is NOT_THERE:
        del changed[path[0]]
    elif isinstance(changed, list) and path[0] == len(changed):
        changed.append(value)
    else:
        changed[path[0]] = value
    return changed


def at(content: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        content = content[key]
    return content


MORE = ["optimizer=adamw", "scheduler=onecycle", "trainer.accumulate_grad_batches=2", "callbacks=early_stopping"]


@pytest.fixture(scope="module", params=[[], MORE], ids=["sgd", "adamw"])
def stopped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Any]:
    """A run that was stopped after the third batch of its second epoch, and its configuration. Don't write."""
    from hydra import compose, initialize_config_dir

    from tests.conftest import ROOT

    folder = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch, initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        patch.setattr(session, "draw_epochs", lambda *_: None)
        words = [
            "model=simple_cnn", "model.width=4", "data.image_size=8", "data.batch_size=128", "trainer=cpu",
            "trainer.max_epochs=3", "trainer.precision=32-true", "baseline=false", "cost=false", "callbacks=none",
            "checkpoint_every=0.001s", *request.param,
        ]  # fmt: skip
        cfg = compose("train", overrides=words)
        run_until((1, 3), cfg, folder / "run", patch)
    return RunFolder(folder / "run"), cfg


@pytest.fixture(scope="module")
def good(stopped: tuple[RunFolder, Any]) -> Content:
    return torch.load(stopped[0].last_checkpoint, weights_only=True)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def own(stopped: tuple[RunFolder, Any]) -> Own:
    parts = assemble(stopped[1], stopped[0])
    settings = to_dict(stopped[1])
    made = plan_optimization(parts.module.network, settings["optimizer"], settings["scheduler"])
    return Own(parts.module, parts.data, parts.trainer, *made)


def is_refused(content: Any, own: Own) -> bool:
    try:
        check_restorable(content, own)
    except SavedFileError as error:
        line = str(error)
        assert line.isprintable(), repr(line)
        assert len(line) < 250
        return True
    return False


def changes(good: Content, share: int) -> Iterator[tuple[str, str, Content]]:
    """Each place, what stands there now, and the content with it: each `share`th of these in turn."""
    number = 0
    for path in leaves(good):
        value = at(good, path)
        there = dict(EVIL)
        if isinstance(value, dict):
            there |= {"key more": (*path, "__class__\n"), "number more": (*path, 9_999)}
        elif isinstance(value, list | tuple):
            there |= {"value more": (*path, len(value))}
        for name, evil in there.items():
            number += 1
            if number % share == 0 and not (
                type(evil) is type(value) in (bool, dict, list, type(None)) and evil == value
            ):
                changed = put(good, evil, 1) if name.endswith(" more") else put(good, path, evil)
                yield ".".join(map(str, path)), name, changed


MAY_DIFFER = re.compile(
    r"loops\..*\.is_last_batch|callbacks\.|hyper_parameters|hparams_name|optimizer_states\.0\.(state|param_groups\.\d+\.(lr|momentum|betas))"
    r"|lr_schedulers\.0\.(last_epoch|_step_count|_last_lr|total_steps|_schedule_phases\.\d\.end_step)"
)
"""Where another value is as possible as the one that was there, or means nothing."""

IS_LIKE_NOTHING = ("missing", "none", "dict", "list")
"""What Lightning writes, too, where there is nothing to keep."""


@pytest.mark.parametrize("share", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_each_value_is_checked(share: int, good: Content, own: Own) -> None:
    assert not is_refused(good, own)
    for place, name, content in changes(good, share):
        if not is_refused(content, own):
            assert MAY_DIFFER.match(place) or name in IS_LIKE_NOTHING, (place, name)


def put_evil(run: RunFolder, place: tuple[Any, ...], value: Any, name: str) -> None:
    file = run.checkpoints / name
    torch.save(put(torch.load(file, weights_only=True), place, value), file)


MONITORED = (
    "ModelCheckpoint{'monitor': 'val/accuracy', 'mode': 'max', 'every_n_train_steps': 0, 'every_n_epochs': 1, "
    "'train_time_interval': None}"
)
ATTACKS: dict[str, tuple[tuple[Any, ...], Any]] = {
    "lines in the log": (("unfinished",), {"batches": "\ntouch canary\nreturn"}),
    "a folder to delete": (("callbacks", MONITORED, "kth_best_model_path"), "/x/checkpoints/.."),
    "an attribute of the schedule": (("lr_schedulers", 0, "optimizer"), None),
    "an attribute of a metric": (("unfinished", "figures", "0"), (1, {"compute": torch.ones(1)})),
    "an attribute of a counter": (("loops", "fit_loop", "epoch_progress", "current", "reset"), 1),
    "a callback of its own": (("callbacks", "StochasticWeightAveraging"), {"n_averaged": 1}),
    "an epoch without end": (("epoch",), 10**300),
    "a column of metrics.csv": (("callbacks", "History", "rows", 0, "=cmd|' /C calc'!A0"), 1.0),
    "a giant average": (("optimizer_states", 0, "state", 0, "momentum_buffer"), torch.ones(1).expand(10**10, 1000)),
}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("file", ["last.ckpt", "best.ckpt"])
def test_a_hostile_checkpoint_is_refused_in_a_line_and_the_run_stays_as_it_was(
    name: str, file: str, tmp_path: Path
) -> None:
    """Also the best one, which is restored when the training is over."""
    run = RunFolder(shutil.copytree(OLD / "interrupted", tmp_path / "run"))
    place, value = ATTACKS[name]
    if place[0] == "unfinished" and file == "best.ckpt":
        place, value = ("unfinished",), {"batches": 1, "of": 2, "gradients": {}, "figures": {place[-1]: value}}
    put_evil(run, place, value, file)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    result = run_here("resume=run", cwd=tmp_path)
    assert (result.returncode, len(result.stdout.splitlines()) < 2) == (2, True), result.stdout
    assert f"{file} " in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert len(result.stderr) < 500
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    after.pop(run.path / "train.log"), before.pop(run.path / "train.log")
    assert after == before


@pytest.mark.slow
def test_what_is_let_pass_does_no_harm(
    good: Content, own: Own, stopped: tuple[RunFolder, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends well or with one of our own lines, and nothing beside it is touched."""
    monkeypatch.setattr(session, "draw_epochs", lambda *_: None)
    seen: set[tuple[str, str]] = set()
    for place, name, content in changes(good, 1):
        kind = re.sub(r"\d+", "N", place), name
        if place.startswith("hyper_parameters.") or kind in seen or is_refused(content, own):
            continue
        seen.add(kind)
        run = RunFolder(shutil.copytree(stopped[0].path, tmp_path / "beside/run"))
        torch.save(content, run.last_checkpoint)
        with warnings.catch_warnings(), suppress(InputError, RunError):
            warnings.simplefilter("ignore")
            train(stopped[1], run.path, resume=True)
        assert [path.name for path in (*tmp_path.iterdir(), *(tmp_path / "beside").iterdir())] == ["beside", "run"]
        shutil.rmtree(tmp_path / "beside")
