"""Data sets that are held in memory, each in its publisher's layout, written small."""

import gzip
import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10

from src.errors import InputError


def write_idx(path: Path, values: np.ndarray, packed: bool = False) -> None:
    """The format of http://yann.lecun.com/exdb/mnist: type uint8 (8), dimensions, sizes, values."""
    header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = header + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if packed else content)


def write_mnist(raw: Path) -> dict[str, np.ndarray]:
    images = {}
    for part, count in (("train", 30), ("t10k", 20)):
        images[part] = np.random.default_rng(count).integers(0, 256, (count, 28, 28))
        write_idx(raw / f"{part}-images-idx3-ubyte", images[part])
        write_idx(raw / f"{part}-labels-idx1-ubyte", np.arange(count) % 10)
    return images


def test_digits_are_scaled_to_8_bits(find, tmp_path):
    found = find("digits", tmp_path / "nowhere")
    assert found.images.shape == (1797, 1, 8, 8)
    assert set(np.unique(found.images)) <= {round(value * 255 / 16) for value in range(17)}
    assert (found.images.min(), found.images.max()) == (0, 255)
    assert found.class_names == [str(digit) for digit in range(10)]
    assert found.paths[42] == "digits/00042"  # no split is published
    assert not (tmp_path / "nowhere").exists()


def test_mnist(find, tmp_path):
    images = write_mnist(tmp_path / "MNIST" / "raw")
    found = find("mnist", tmp_path)
    np.testing.assert_array_equal(found.images[30:, 0], images["t10k"])
    assert found.targets.tolist() == [*(np.arange(30) % 10), *(np.arange(20) % 10)]
    assert found.paths[31] == "mnist/test/00001"
    assert found.published["test"].tolist() == list(range(30, 50))


@pytest.mark.usefixtures("no_network")
def test_mnist_without_network(find, tmp_path):
    with pytest.raises(InputError, match=r"Put there by hand: .*MNIST/raw/train-images-idx3-ubyte\.gz"):
        find("mnist", tmp_path, download=True)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match=r"set data\.root"):
        find("mnist", tmp_path)


def test_mnist_cut_short(find, tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw")
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match="is damaged"):
        find("mnist", tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"garbage" * 9, b"", b"\0\0\x63\1" + bytes(8), b"\0\0\x08\1\0\0\0\x05" + bytes(5)],
    ids=["garbage", "empty", "unknown type", "too few"],
)
def test_mnist_with_a_corrupt_header(find, tmp_path, content):
    write_mnist(tmp_path / "MNIST" / "raw")
    (tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        find("mnist", tmp_path)


def write_cifar10(folder: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
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
    pixels = write_cifar10(tmp_path / "cifar-10-batches-py", monkeypatch)
    found = find("cifar10", tmp_path)
    np.testing.assert_array_equal(found.images, pixels)
    assert found.class_names[3] == "cat"
    assert len(found.published["test"]) == 10


@pytest.mark.usefixtures("no_network")
def test_cifar10_without_network(find, tmp_path):
    with pytest.raises(InputError, match=r"by hand: .*cifar-10-python\.tar\.gz"):
        find("cifar10", tmp_path, download=True)
    assert list(tmp_path.iterdir()) == []


def test_cifar10_folders_are_decoded_once(find, make_folder, cache, monkeypatch):
    root = make_folder({"train/cat": 20, "train/dog": 20, "test/cat": 3, "test/dog": 3}, name="cifar10")
    (root / "train" / "cat" / "bad.png").write_bytes(b"x")
    first = find("cifar10", root.parent)
    assert first.images.shape == (46, 3, 32, 32)
    assert [item.path for item in first.skipped] == ["train/cat/bad.png"]

    def never(*_args):
        raise AssertionError("decoded again")

    monkeypatch.setattr("src.data.memory_sources.load_image", never)
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
