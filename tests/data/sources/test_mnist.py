"""MNIST in its publisher's layout, written small."""

import gzip
from pathlib import Path

import numpy as np
import pytest

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
