"""Checkpoints know whether they are whole."""

from pathlib import Path

import pytest
import torch

from src.networks.saved import SavedFileError, load_saved
from src.resuming.sealed import SealedCheckpointIO, check_seal

CONTENT = {"state_dict": {"weight": torch.arange(5000.0)}, "epoch": 3, "hyper_parameters": {"name": "ä"}}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    file = tmp_path / "checkpoints" / "last.ckpt"
    SealedCheckpointIO().save_checkpoint(CONTENT, file)
    return file


def is_whole(file: Path) -> bool:
    """As a run that goes on asks."""
    try:
        check_seal(file)
        load_saved(file)
    except SavedFileError:
        return False
    return True


def test_a_sealed_checkpoint_loads_and_is_whole(checkpoint: Path) -> None:
    assert is_whole(checkpoint)
    for mmap in (False, True):
        content = torch.load(checkpoint, weights_only=True, mmap=mmap)
        assert content["epoch"] == 3
        assert torch.equal(content["state_dict"]["weight"], CONTENT["state_dict"]["weight"])
    assert SealedCheckpointIO().load_checkpoint(checkpoint, weights_only=True)["hyper_parameters"] == {"name": "ä"}
    assert [path.name for path in checkpoint.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99, 0.9999])
def test_a_cut_checkpoint_is_found(checkpoint: Path, share: float) -> None:
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: int(share * len(whole))])
    assert not is_whole(checkpoint)


def test_each_flipped_byte_is_found(checkpoint: Path) -> None:
    whole = checkpoint.read_bytes()
    for place in torch.randint(len(whole), (200,), generator=torch.Generator().manual_seed(0)).tolist():
        checkpoint.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        assert not is_whole(checkpoint) or place >= len(whole) - 71, place


def test_one_without_a_seal_has_to_be_readable(tmp_path: Path) -> None:
    file = tmp_path / "old.ckpt"
    torch.save(CONTENT, file)
    assert is_whole(file)
    file.write_bytes(file.read_bytes()[:-100])
    assert not is_whole(file)
