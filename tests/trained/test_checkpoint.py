"""A checkpoint alone gives the trained network back; anything else gets its line."""

from pathlib import Path

import numpy as np
import pytest
import torch

from src.errors import InputError
from src.runs.folder import RunFolder
from src.trained.checkpoint import choose_device, load_trained
from src.trained.hyperparameters import check_hyperparameters
from src.trained.logits import predict
from src.trained.pictures import open_pictures


def test_a_run_s_best_checkpoint_predicts_what_the_run_did(digits_run: Path) -> None:
    trained = load_trained(digits_run)
    assert trained.path == digits_run / "checkpoints/best.ckpt"
    assert trained.run is not None
    assert trained.name == "simple_cnn"
    assert trained.geometry.image_size == 16
    pictures = open_pictures("test", trained)
    logits = predict(trained, pictures.batches(50))
    predictions = RunFolder(digits_run).predictions()
    assert predictions["path"].tolist() == pictures.names
    agreed = np.array(trained.class_names)[logits.argmax(axis=1)] == predictions["predicted"].astype(str)
    assert agreed.all()
    np.testing.assert_allclose(torch.from_numpy(logits).softmax(1).amax(1), predictions["confidence"], atol=2e-6)


def test_a_file_away_from_its_run_needs_nothing_else(digits_run: Path, tmp_path: Path) -> None:
    file = tmp_path / "net work.ckpt"
    file.write_bytes((digits_run / "checkpoints/last.ckpt").read_bytes())
    trained = load_trained(file)
    assert trained.run is None
    assert not trained.module.training
    with pytest.raises(InputError, match="belongs to none: say images=FILE or images=FOLDER"):
        open_pictures("test", trained)


def test_a_checkpoint_file_of_a_run_knows_its_run(digits_run: Path) -> None:
    run = load_trained(digits_run / "checkpoints/last.ckpt").run
    assert run is not None
    assert run.path == digits_run


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"", r"can't be read \(it is empty\)"),
        (b"not a checkpoint", r"can't be read \(torch.save did not write it\)"),
        ({"weight": torch.zeros(2)}, "no checkpoint of src.train"),
        (["a list"], "no checkpoint of src.train"),
        ({"hyper_parameters": {"architecture": {"name": "simple_cnn"}}, "state_dict": {}}, "of another version"),
    ],
    ids=["missing", "empty", "text", "state dict", "list", "settings missing"],
)
def test_what_is_no_checkpoint_gets_its_line(tmp_path: Path, content: object, words: str) -> None:
    file = tmp_path / "x.ckpt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(InputError, match=words) as caught:
        load_trained(file)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path(tmp_path / "harm").mkdir, ())  # type: ignore[return-value]

    torch.save({"hyper_parameters": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match=r"is not safe to load \(it asks for "):
        load_trained(tmp_path / "evil.ckpt")
    assert not (tmp_path / "harm").exists()


def test_a_half_checkpoint_is_refused(digits_run: Path, tmp_path: Path) -> None:
    whole = (digits_run / "checkpoints/best.ckpt").read_bytes()
    (tmp_path / "half.ckpt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="can't be read"):
        load_trained(tmp_path / "half.ckpt")


def test_a_checkpoint_with_other_weights_is_refused(digits_run: Path, tmp_path: Path) -> None:
    content = torch.load(digits_run / "checkpoints/best.ckpt", weights_only=True)
    content["state_dict"].pop("network.fc.weight")
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(InputError, match="of another version"):
        load_trained(tmp_path / "x.ckpt")


def test_a_folder_without_a_checkpoint_is_told_what_to_name(digits_run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no checkpoints/best.ckpt in it"):
        load_trained(tmp_path)
    (tmp_path / "0").symlink_to(digits_run)
    with pytest.raises(InputError, match=r"holds 1 runs: name one of them, such as .*/0"):
        load_trained(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_gets_its_line() -> None:
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(InputError, match="accelerator=gpu"):
        choose_device("gpu")


@pytest.mark.parametrize(
    ("key", "value"), [("image_size", 10**6), ("in_channels", 5000), ("num_classes", 10**9), ("num_classes", True)]
)
def test_sizes_are_limited_as_on_the_command_line(digits_run: Path, key: str, value: int) -> None:
    settings = torch.load(digits_run / "checkpoints/best.ckpt", weights_only=True)["hyper_parameters"]
    check_hyperparameters(settings)
    settings["architecture"] = {"name": "resnet18", "num_classes": 10, "in_channels": 1, "image_size": 16} | {
        key: value
    }
    settings["preprocessing"] |= {key: value} if key != "num_classes" else {}
    with pytest.raises(ValueError, match=f"architecture.{key}={value}: take "):
        check_hyperparameters(settings)
