"""Checkpoints can tell whether they are whole."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from src.networks.saved import SavedFileError
from src.resuming.checkpoint_files import WholeCheckpointIO, load_whole
from tests.test_old_runs import OLD

CONTENT = {"state_dict": {"weight": torch.arange(5000.0)}, "epoch": 3, "hyper_parameters": {"name": "ä"}}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    file = tmp_path / "checkpoints" / "last.ckpt"
    WholeCheckpointIO().save_checkpoint(CONTENT, file)
    return file


def is_whole(file: Path) -> bool:
    """Return what a run that is resumed finds out."""
    try:
        load_whole(file)
    except SavedFileError:
        return False
    return True


def values(content: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all that a checkpoint holds, each under its place, in a form that can be compared."""
    if isinstance(content, dict | list | tuple):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for name, value in items:
            yield from values(value, f"{where}/{name!r}")
    else:
        yield where, content.numpy().tobytes() if isinstance(content, torch.Tensor) else repr(content)


def test_a_checkpoint_loads_and_is_whole(checkpoint: Path) -> None:
    assert is_whole(checkpoint)
    for mmap in (False, True):
        content = torch.load(checkpoint, weights_only=True, mmap=mmap)
        assert content["epoch"] == 3
        assert torch.equal(content["state_dict"]["weight"], CONTENT["state_dict"]["weight"])
    assert WholeCheckpointIO().load_checkpoint(checkpoint, weights_only=True)["hyper_parameters"] == {"name": "ä"}
    assert [path.name for path in checkpoint.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99, 0.9999])
def test_a_cut_checkpoint_is_found(checkpoint: Path, share: float) -> None:
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: int(share * len(whole))])
    assert not is_whole(checkpoint)


def flipped(content: bytes, place: int, bit: int) -> bytes:
    return content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :]


@pytest.mark.parametrize("seed", range(4))
def test_each_flipped_byte_that_matters_is_found(seed: int, tmp_path: Path) -> None:
    """In a real checkpoint, of an earlier version: nothing is loaded that isn't what was saved."""
    whole = (OLD / "interrupted" / "checkpoints" / "last.ckpt").read_bytes()
    wanted = dict(values(load_whole(OLD / "interrupted" / "checkpoints" / "last.ckpt")))
    random = torch.Generator().manual_seed(seed)
    file, found, unsafe = tmp_path / "last.ckpt", 0, 0
    for place in torch.randint(len(whole), (100,), generator=random).tolist():
        file.write_bytes(flipped(whole, place, int(torch.randint(8, (), generator=random))))
        try:
            assert dict(values(load_whole(file))) == wanted, place
        except SavedFileError as error:
            unsafe += error.unsafe
            found += 1
    assert unsafe == 0  # damage is passed over, and what is unsafe is refused
    assert found > 70  # the rest is padding, and what nobody reads of the headers


def test_a_flip_in_a_tensor_is_found_where_torch_takes_it(checkpoint: Path) -> None:
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(flipped(content, content.index(CONTENT["state_dict"]["weight"].numpy().tobytes()) + 400, 6))
    assert not torch.equal(torch.load(checkpoint)["state_dict"]["weight"], CONTENT["state_dict"]["weight"])
    with pytest.raises(SavedFileError, match="it is damaged: Bad CRC-32 for file"):
        load_whole(checkpoint)


def test_no_more_is_unpacked_than_there_is(tmp_path: Path) -> None:
    bomb = tmp_path / "last.ckpt"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a/data.pkl", "w") as part:
        for _ in range(64):
            part.write(bytes(2**20))
    with pytest.raises(SavedFileError, match="compressed") as error:
        load_whole(bomb)
    assert error.value.unsafe
