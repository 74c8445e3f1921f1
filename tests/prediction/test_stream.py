"""Files decoded and answered batch by batch: each once, in order, whatever some of them are."""

import multiprocessing
import os
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from src.data.processes import cpu_count
from src.data.transforms import Geometry, load_image
from src.errors import RunError
from src.prediction import stream as streaming
from src.prediction.stream import decode, precision_of, stream, worker_count
from src.trained.checkpoint import Trained, load_trained
from src.trained.logits import predict


@pytest.fixture(scope="module")
def trained(digits_run: Path) -> Trained:
    return load_trained(digits_run)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Eleven files of which the third and the last two are no images."""
    folder = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(0)
    for number in range(9):
        Image.fromarray(random.integers(0, 256, (24, 20 + number), np.uint8)).save(folder / f"{number}.png")
    (folder / "2.png").write_bytes(b"no image")
    (folder / "9.png").touch()
    return [str(folder / f"{number}.png") for number in range(11)]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_answers_come_in_order_and_are_the_networks(
    trained: Trained, paths: list[str], batch_size: int, workers: int
) -> None:
    whole = [path for number, path in enumerate(paths) if number not in (2, 9, 10)]
    images = torch.stack([load_image(path, trained.geometry) for path in whole])
    got = list(stream(trained, paths, batch_size, workers))
    assert [path for answers in got for path in answers.paths] == paths
    assert [len(answers.paths) for answers in got[:-1]] == [batch_size] * (len(got) - 1)
    reasons = [reason for answers in got for reason in answers.reasons]
    assert reasons == [None] * 2 + ["not an image"] + [None] * 6 + ["empty file", "missing"]
    torch.testing.assert_close(torch.cat([answers.images for answers in got]), images, rtol=0, atol=0)
    logits = np.concatenate([answers.logits for answers in got])
    np.testing.assert_allclose(logits, predict(trained, [images]), atol=1e-5)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 2])
def test_files_beyond_the_range_of_the_training_are_counted(
    trained: Trained, tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    geometry = replace(trained.geometry, range=(0.0, 1023.0))
    monkeypatch.setattr(Trained, "geometry", geometry)
    for number, brightest in enumerate((1023, 1024, 65535, 7)):
        Image.fromarray(np.full((9, 9), brightest, np.uint16)).save(tmp_path / f"{number}.png")
    Image.new("L", (9, 9)).save(tmp_path / "4.png")
    paths = [str(tmp_path / f"{number}.png") for number in range(5)]
    answers = list(stream(trained, paths, 2, workers))
    assert [one.clipped for one in answers] == [1, 1, 0]


def test_each_file_is_decoded_once_and_not_long_before(
    trained: Trained, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: Counter[str] = Counter()

    def counted(path: str, geometry: Geometry, *rest: Any) -> torch.Tensor | str:
        seen[path] += 1
        return decode(path, geometry, *rest)

    monkeypatch.setattr(streaming, "decode", counted)
    answers = stream(trained, paths, 2, workers=0)
    next(answers)
    assert len(seen) == 2
    list(answers)
    assert seen == Counter(paths)


def test_what_is_no_file_is_said_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    geometry = Geometry(8, 3)
    for name, reason in {
        "pipe": "not a regular file",
        "broken": "broken link",
        "loop": "too many levels of symbolic links",
        "nowhere": "missing",
        "x" * 300: "file name too long",
        ".": "a folder",
    }.items():
        assert decode(str(tmp_path / name), geometry) == reason
    Image.new("RGB", (9, 9)).save(tmp_path / "closed.png")
    (tmp_path / "closed.png").chmod(0)
    if os.geteuid() != 0:
        assert decode(str(tmp_path / "closed.png"), geometry) == "permission denied"


def test_what_decoding_raises_besides_becomes_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (9, 9)).save(tmp_path / "a.png")

    def no_memory(*_: object) -> torch.Tensor:
        raise MemoryError

    monkeypatch.setattr(streaming, "load_image", no_memory)
    assert decode(str(tmp_path / "a.png"), Geometry(8, 1)) == "too large for the memory"


def test_a_worker_that_is_killed_gets_its_line(
    trained: Trained, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: str, geometry: Geometry, *rest: Any) -> torch.Tensor | str:
        if path == paths[6]:
            os.kill(os.getpid(), signal.SIGKILL)
        return decode(path, geometry, *rest)

    monkeypatch.setattr(streaming, "decode", killed)
    with pytest.raises(RunError, match=r"a process was killed at '.*6\.png', perhaps for want of memory"):
        list(stream(trained, paths, 2, workers=2))
    assert not multiprocessing.active_children()


def test_a_file_that_crashes_its_decoder_gets_its_row(
    trained: Trained, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its user is at when the worker dies; and the network's answers to all others are what they were."""
    whole = list(stream(trained, paths, 2, workers=0))

    def crashing(path: str, geometry: Geometry, *rest: Any) -> torch.Tensor | str:
        if path == paths[6]:
            os.kill(os.getpid(), signal.SIGSEGV)
        return decode(path, geometry, *rest)

    monkeypatch.setattr(streaming, "decode", crashing)
    got = []
    for answers in stream(trained, paths, 2, workers=1):
        got.append(answers)
        time.sleep(0.2)
    assert [path for answers in got for path in answers.paths] == paths
    reasons = [reason for answers in got for reason in answers.reasons]
    assert reasons == [
        None, None, "not an image", *[None] * 3, "crashes its decoder (SIGSEGV)", *[None] * 2, "empty file", "missing"
    ]  # fmt: skip
    expected = np.concatenate([answers.logits for answers in whole])
    logits = np.concatenate([answers.logits for answers in got])
    np.testing.assert_allclose(logits, np.delete(expected, 5, axis=0), atol=1e-5)
    assert not multiprocessing.active_children()


def test_other_errors_of_a_worker_are_left_alone(
    trained: Trained, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object) -> torch.Tensor:
        raise RuntimeError("mine")

    monkeypatch.setattr(streaming, "decode", wrong)
    with pytest.raises(RuntimeError, match="mine"):
        list(stream(trained, paths, 2, workers=1))


def test_a_stream_that_is_left_leaves_no_process(trained: Trained, paths: list[str]) -> None:
    answers = stream(trained, paths, 2, workers=2)
    next(answers)
    assert len(multiprocessing.active_children()) == 2
    answers.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


def test_numbers_that_are_none_are_no_answer(digits_run: Path, paths: list[str]) -> None:
    broken = load_trained(digits_run)
    with torch.no_grad():
        next(broken.module.network.parameters()).fill_(float("nan"))
    with pytest.raises(RunError, match=r"best.ckpt gives .*0.png logits that are not finite: take another"):
        list(stream(broken, paths, 2, workers=0))


def test_precision_is_the_runs(digits_run: Path, tmp_path: Path) -> None:
    assert precision_of(load_trained(digits_run)) == "32-true"  # as tests/conftest.py says
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / ".hydra").mkdir()
    (run / "checkpoints/best.ckpt").hardlink_to(digits_run / "checkpoints/best.ckpt")
    (run / "run.json").write_text("{}")
    settings = (digits_run / ".hydra/config.yaml").read_text()
    (run / ".hydra/config.yaml").write_text(settings.replace("precision: 32-true", "precision: bf16-mixed"))
    trained = load_trained(run)
    assert precision_of(trained) == "bf16-mixed"
    Image.effect_noise((20, 20), 60).save(tmp_path / "a.png")
    (answers,) = stream(trained, [str(tmp_path / "a.png")], 1, workers=0)
    with torch.autocast("cpu", torch.bfloat16):
        expected = predict(trained, [answers.images])
    np.testing.assert_array_equal(answers.logits, expected)
    assert not np.array_equal(expected, predict(trained, [answers.images]))
    (run / ".hydra/config.yaml").unlink()
    assert precision_of(trained) == trained.fastest


def test_workers_are_as_many_as_can_be_busy() -> None:
    assert worker_count("auto", 1000) == min(cpu_count(), 8)
    assert worker_count("auto", 1) == worker_count(4, 1) == 1
    assert worker_count(4, 3) == 3
    assert worker_count(0, 1000) == 0
