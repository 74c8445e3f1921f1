"""Hostile and wrong checkpoints: every verb refuses each in one line, and nothing that is in them is run."""

import os
import pickle
import resource
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from src.errors import InputError
from src.networks.pretrained import read_weights
from src.networks.saved import SavedFileError, load_saved
from src.resuming.starting_point import last_whole
from src.runs.folder import RunFolder
from src.trained.checkpoint import REMEDY, load_trained
from src.training.session import run_training
from tests.support.command_line import run_here
from tests.support.hostile_files import CODE, FILES, Content, archive

TOLD_OTHERWISE = {"code, bare pickle", "code, tar", "bomb, declared", "bomb, expanded", "bomb, laughs"}
AT_ONCE = {"bomb, one hash", "bomb, one hash of pairs", "bomb, called storage", "bomb, called class"}
SECONDS = 5  # generous: they are refused in milliseconds, or where a million values are counted in one second
MEBIBYTES = 500

VERBS = {
    "explain": ("checkpoint={bad}",),
    "explain judge": ("checkpoint={run}", "method=class_image", "steps=1", "per_class=1", "judge={bad}"),
    "explain shuffled": ("checkpoint={run}", "faithfulness=true", "max_images=10", "shuffled={bad}"),
    "evaluate": ("checkpoint={bad}",),
    "predict": ("checkpoint={bad}", "images={picture}"),
    "export": ("checkpoint={bad}",),
    "app": ("checkpoint={bad}", "browser=false", "port={port}"),
    "app two": ("checkpoint=[{run},{bad}]", "browser=false", "port={port}"),
    "train weights": ("weights={bad}", "model=simple_cnn", "data.image_size=16", "trainer=cpu", "logger=none"),
}


@pytest.fixture(scope="module")
def content(digits_run: Path) -> bytes:
    return (digits_run / "checkpoints/best.ckpt").read_bytes()


@pytest.fixture
def good(content: bytes, tmp_path: Path) -> Content:
    """What a checkpoint of ours holds, to be changed."""
    (tmp_path / "good").write_bytes(content)
    return torch.load(tmp_path / "good", weights_only=True)


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file that mustn't be there afterwards, by a test that takes little time and memory."""
    yield tmp_path / "canary"
    assert not (tmp_path / "canary").exists()


def refused(load: Callable[[Path], Any], path: Path) -> str:
    """The one line with which `load` refuses it, soon and without taking memory."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError) as caught:
        load(path)
    assert time.perf_counter() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEBIBYTES * 1024
    line = str(caught.value)
    assert "\n" not in line
    assert len(line.partition(": if you trust it, ")[0]) < 400  # what follows is a command
    return line


@pytest.mark.parametrize("name", CODE)
def test_the_code_would_run_if_it_were_let(name: str, tmp_path: Path) -> None:
    """Or the tests below would show nothing."""
    pickle.loads(CODE[name](tmp_path))
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_checkpoint_is_refused(name: str, good: Content, tmp_path: Path, canary: Path) -> None:
    FILES[name](tmp_path / "bad.ckpt", good)
    start = time.perf_counter()
    line = refused(load_trained, tmp_path / "bad.ckpt")
    assert name not in AT_ONCE or time.perf_counter() - start < 1
    assert line.startswith(f"checkpoint={tmp_path / 'bad.ckpt'} ")
    assert line.endswith(REMEDY)
    if name.startswith(("code", "bomb")) and name not in TOLD_OTHERWISE:
        assert f"is not safe to load ({'it asks for ' if name.startswith('code') else ''}" in line


@pytest.mark.parametrize(
    "name",
    [name for name in FILES if name.startswith(("code", "cut", "NaN", "sparse"))]
    + ["bomb, deflated", "bomb, declared", "bomb, expanded", "bomb, bytearray"],
)
def test_a_file_of_no_weights_is_refused(name: str, good: Content, tmp_path: Path, canary: Path) -> None:
    FILES[name](tmp_path / "bad.pth", good)
    assert refused(read_weights, tmp_path / "bad.pth").startswith(f"weights={tmp_path / 'bad.pth'} ")


def test_a_checkpoint_that_was_saved_again_is_none_of_them(good: Content, tmp_path: Path) -> None:
    torch.save(good, tmp_path / "again.ckpt")
    torch.save(good, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    for name in ("again.ckpt", "old.ckpt"):
        weights = load_trained(tmp_path / name).module.state_dict()
        assert all(torch.equal(weights[key], tensor) for key, tensor in good["state_dict"].items())
        assert read_weights(tmp_path / name).keys() == {key.removeprefix("network.") for key in good["state_dict"]}


@pytest.mark.parametrize("url", ["http://host/a.ckpt", "https://host/a.ckpt", "file:///etc/passwd", "s3://bucket/a"])
def test_an_address_is_no_file(url: str) -> None:
    with pytest.raises(InputError, match=f"checkpoint={url} is an address, not a file: download it") as caught:
        load_trained(url)
    assert "\n" not in str(caught.value)


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, digits_run: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "run/checkpoints/best.ckpt").mkdir(parents=True)
    (tmp_path / "other/checkpoints").mkdir(parents=True)
    os.mkfifo(tmp_path / "other/checkpoints/best.ckpt")
    for path, words in {
        tmp_path / "pipe": "is a device or a pipe",
        Path("/dev/zero"): "is a device or a pipe",
        tmp_path / "run": "is no run with a checkpoint",
        tmp_path / "other": "is no run with a checkpoint",
        tmp_path / ("x" * 300): "can't be read",
        Path("~nobody_of_this_name/x"): "does not exist",
    }.items():
        with pytest.raises(InputError, match=words):
            load_trained(path)
    with pytest.raises(SavedFileError, match="no regular file"):
        load_saved(tmp_path / "pipe")


def test_a_file_that_may_not_be_read_gets_its_line(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.ckpt").write_bytes(content)

    def denied(*arguments: object, **more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert "permission denied" in refused(load_trained, tmp_path / "x.ckpt")


@pytest.mark.parametrize("name", ["code, os.system", "bomb, bytearray"])
def test_a_run_does_not_go_on_from_a_hostile_checkpoint(
    name: str, good: Content, digits_run: Path, tmp_path: Path, canary: Path
) -> None:
    for checkpoint in ("last.ckpt", "best.ckpt"):
        run = RunFolder(shutil.copytree(digits_run, tmp_path / f"run {checkpoint}"))
        FILES[name](run.checkpoints / checkpoint, good)
        assert "is not safe to load" in refused(lambda path: last_whole(RunFolder(path)), run.path)
        assert not (run.checkpoints / "canary").exists()


def test_a_run_goes_on_from_what_fits_alone(digits_run: Path, good: Content, tmp_path: Path, config: Any) -> None:
    run = RunFolder(shutil.copytree(digits_run, tmp_path / "run"))
    assert last_whole(run) == run.last_checkpoint
    run.last_checkpoint.write_bytes(run.last_checkpoint.read_bytes()[:5000])  # what a kill leaves behind
    assert last_whole(run) == run.best_checkpoint
    for change in ({"loops": None}, {"state_dict": {"network.x": torch.ones(2)}}, {"optimizer_states": 5}):
        torch.save(good | change, run.last_checkpoint)
        record = run.record_file.read_text()
        with pytest.raises(InputError, match=r"last.ckpt does not fit this run"):
            run_training(
                config("model=simple_cnn", "model.width=16", "data.image_size=16", "trainer=cpu"), run, "", resume=True
            )
        assert run.record_file.read_text() == record
    run.best_checkpoint.unlink()
    run.last_checkpoint.unlink()
    assert last_whole(run) is None


SETTINGS = {
    "environment": ("root: data", "root: ${oc.env:HOME}", r"refers to \$\{oc.env:…\}"),
    "nested environment": ("root: data", "root: ${full_or_quick:'${oc.env:HOME}',1}", r"refers to \$\{oc.env:…\}"),
    "hydra": ("root: data", "root: ${hydra:runtime.cwd}", "HydraConfig|hydra"),
    "itself": ("root: data", "root: ${data.root}", "config.yaml"),
    "nothing": ("seed: 1", "seed: ${nowhere}", "nowhere"),
    "a number": ("root: data", "root: 5", "data.root=5 names no folder"),
    "workers": ("num_workers: auto", "num_workers: 1000000", "data.num_workers=1000000 is not possible"),
    "no group": ("seed: 1\n", "seed: 1\nmodel: 3\n", "config.yaml"),
    "aliases": ("seed: 1\n", "seed: 1\na: &a [1, 1]\nb: [*a, *a]\n", "Hydra writes no such YAML"),
    "deep": ("seed: 1\n", f"seed: 1\na: {'[' * 5000}{']' * 5000}\n", "Hydra writes no such YAML"),
    "large": ("seed: 1\n", f"seed: 1\na: [{'1,' * 100_000}]\n", "larger than 128 KiB"),
    "object": ("seed: 1\n", "seed: 1\na: !!python/object/apply:os.system ['true']\n", "is damaged"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_settings_of_a_stranger_s_run_are_not_trusted(name: str, digits_run: Path, tmp_path: Path) -> None:
    from src.runs.saved_settings import run_settings

    run = RunFolder(tmp_path)
    (tmp_path / ".hydra").mkdir()
    text = (digits_run / ".hydra/config.yaml").read_text()
    before, after, words = SETTINGS[name]
    assert before in text
    (run.hydra / "config.yaml").write_text(text.replace(before, after, 1))
    start = time.perf_counter()
    with pytest.raises(InputError, match=words) as caught:
        run_settings(run)
    assert time.perf_counter() - start < SECONDS
    assert "\n" not in str(caught.value)
    assert os.environ["HOME"] not in str(caught.value).replace(str(tmp_path), "")


def test_nothing_inside_a_callback_is_instantiated(tmp_path: Path, canary: Path, config: Any) -> None:
    from src.training.configured import build

    cfg = config(
        "callbacks=early_stopping", f"+callbacks.early_stopping.x=[{{_target_:os.system,_args_:['touch {canary}']}}]"
    )
    with pytest.raises(InputError, match="_target_=os.system is not allowed"):
        build(next(node for node in cfg.callbacks.values() if "x" in node), "callbacks")


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def said(verb: str, bad: Path | str, digits_run: Path, tmp_path: Path) -> str:
    """What the verb says to stderr of a checkpoint: one line, with exit code 2."""
    picture = tmp_path / "a.png"
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(picture)
    run = tmp_path / "a run"
    if not run.exists():
        shutil.copytree(digits_run, run)
    words = [word.format(bad=bad, run=run, picture=picture, port=free_port()) for word in VERBS[verb]]
    there = sorted(tmp_path.rglob("*"))
    result = run_here(*words, cwd=tmp_path, verb=verb.split()[0])
    assert result.returncode == 2, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    assert sorted(tmp_path.rglob("*")) == there
    return lines[0]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_refuses_in_a_line_and_leaves_nothing(
    verb: str, good: Content, digits_run: Path, tmp_path: Path, canary: Path
) -> None:
    archive(tmp_path / "bad.ckpt", CODE["os.system"](tmp_path))
    assert "posix.system" in said(verb, tmp_path / "bad.ckpt", digits_run, tmp_path)
    line = said(verb, "https://host/best.ckpt", digits_run, tmp_path)
    assert "https://host/best.ckpt is " in line


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_refuses_every_file(
    verb: str, name: str, good: Content, digits_run: Path, tmp_path: Path, canary: Path
) -> None:
    if verb == "train weights" and not name.startswith(("code", "cut")):
        pytest.skip("weights need less than a checkpoint: see above")
    FILES[name](tmp_path / "bad.ckpt", good)
    said(verb, tmp_path / "bad.ckpt", digits_run, tmp_path)
