"""CIFAR-100 in torchvision's layout and in class folders, written small."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR100

from src.errors import InputError

FINE = [f"class {number:02d}" for number in range(100)]


@pytest.fixture
def pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """What tmp_path/cifar-100-python holds, with the checksums that torchvision is to expect."""
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    found, sums = {}, {}
    contents: dict[str, dict] = {"meta": {"fine_label_names": FINE, "coarse_label_names": ["coarse"] * 20}}
    for seed, (name, each) in enumerate((("train", 3), ("test", 1))):
        count = 100 * each
        found[name] = np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)
        fine = np.arange(count) % 100
        contents[name] = {"data": found[name], "fine_labels": fine.tolist(), "coarse_labels": (fine // 5).tolist()}
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(CIFAR100, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", {**CIFAR100.meta, "md5": sums["meta"]})
    return found


def test_batches_by_their_fine_labels(find, tmp_path, pixels):
    found = find("cifar100", tmp_path)
    assert found.class_names == FINE
    assert found.targets.tolist() == [*range(100)] * 4
    np.testing.assert_array_equal(found.images, np.concatenate([*pixels.values()]).reshape(-1, 3, 32, 32))
    assert found.published["test"].tolist() == list(range(300, 400))
    assert found.paths[300] == "cifar100/test/00000"


def test_it_is_divided_and_served(make_module, tmp_path, pixels):
    data = make_module("cifar100", root=tmp_path, image_size=32, num_classes=100, mean=[0.5] * 3, std=[0.25] * 3)
    data.setup()
    assert [data.size(split) for split in ("train", "val", "test")] == [200, 100, 100]  # one of each class at least
    images, targets = next(iter(data.test_dataloader()))
    assert images.shape == (8, 3, 32, 32)
    assert targets.tolist() == list(range(8))


def test_a_changed_batch_is_never_unpickled(find, tmp_path, pixels):
    class Harmful:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    (tmp_path / "cifar-100-python" / "train").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(InputError, match=r"no CIFAR-100 in .*: set data\.root"):
        find("cifar100", tmp_path)
    assert not (tmp_path / "ran").exists()


def test_class_folders(find, make_folder):
    root = make_folder({"train/apple": 3, "train/wolf": 3, "test/apple": 2, "test/wolf": 1}, name="cifar100")
    found = find("cifar100", root.parent)
    assert found.class_names == ["apple", "wolf"]
    assert found.images.shape == (9, 3, 32, 32)
    assert {split: len(indices) for split, indices in found.published.items()} == {"train": 6, "test": 3}


@pytest.mark.usefixtures("no_network")
def test_without_network(find, tmp_path):
    with pytest.raises(InputError, match=r"by hand: .*cifar-100-python\.tar\.gz"):
        find("cifar100", tmp_path, download=True)
    assert list(tmp_path.iterdir()) == []
