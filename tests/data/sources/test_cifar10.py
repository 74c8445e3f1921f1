"""CIFAR-10 in torchvision's layout and in class folders, written small."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10

from src.errors import InputError


def write_batches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """torchvision's batches, with the checksums that torchvision is to expect."""
    folder.mkdir(parents=True)
    names = [name for name, _ in [*CIFAR10.train_list, *CIFAR10.test_list]]
    pixels = np.random.default_rng(0).integers(0, 256, (len(names), 10, 3072), dtype=np.uint8)
    contents = {
        name: pickle.dumps({"data": batch, "labels": list(range(10))})
        for name, batch in zip(names, pixels, strict=True)
    }
    labels = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    contents["batches.meta"] = pickle.dumps({"label_names": labels})
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    sums = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(CIFAR10, "train_list", [[name, sums[name]] for name in names[:5]])
    monkeypatch.setattr(CIFAR10, "test_list", [[name, sums[name]] for name in names[5:]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})
    return pixels.reshape(60, 3, 32, 32)


def test_cifar10_batches(find, tmp_path, monkeypatch):
    pixels = write_batches(tmp_path / "cifar-10-batches-py", monkeypatch)
    found = find("cifar10", tmp_path)
    np.testing.assert_array_equal(found.images, pixels)
    assert found.class_names[3] == "cat"
    assert len(found.published["test"]) == 10


@pytest.mark.usefixtures("no_network")
def test_cifar10_without_network(find, tmp_path):
    with pytest.raises(InputError, match=r"by hand: .*cifar-10-python\.tar\.gz"):
        find("cifar10", tmp_path, download=True)
    assert list(tmp_path.iterdir()) == []


def test_a_batch_that_is_not_the_published_one_is_never_unpickled(find, tmp_path, monkeypatch):
    """A pickle runs whatever code it names."""

    class Harmful:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    folder = tmp_path / "cifar-10-batches-py"
    write_batches(folder, monkeypatch)
    for name in ("test_batch", "data_batch_3", "batches.meta"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(pickle.dumps(Harmful()))
        with pytest.raises(InputError, match=r"no CIFAR-10 in .*: set data\.root"):
            find("cifar10", tmp_path)
        (folder / name).write_bytes(whole)
    assert not (tmp_path / "ran").exists()
    assert len(find("cifar10", tmp_path).paths) == 60


def test_cifar10_folders_are_decoded_once(find, make_folder, cache, monkeypatch):
    root = make_folder({"train/cat": 20, "train/dog": 20, "test/cat": 3, "test/dog": 3}, name="cifar10")
    (root / "train" / "cat" / "bad.png").write_bytes(b"x")
    first = find("cifar10", root.parent)
    assert first.images.shape == (46, 3, 32, 32)
    assert [item.path for item in first.skipped] == ["train/cat/bad.png"]

    def never(*_args):
        raise AssertionError("decoded again")

    monkeypatch.setattr("src.data.in_memory.load_image", never)
    again = find("cifar10", root.parent)
    assert torch.equal(first.images, again.images)
    assert first.skipped == again.skipped
    monkeypatch.undo()
    monkeypatch.setenv("RESLENS_CACHE", str(cache))
    Image.new("RGB", (32, 32), "red").save(root / "train" / "cat" / "000.png")  # a changed file is noticed
    changed = find("cifar10", root.parent)
    assert changed.images[changed.paths.index("train/cat/000.png"), :, 0, 0].tolist() == [255, 0, 0]
    (kept,) = cache.glob("*images.npz")
    kept.write_bytes(kept.read_bytes()[:5000])
    assert torch.equal(find("cifar10", root.parent).images, changed.images)
