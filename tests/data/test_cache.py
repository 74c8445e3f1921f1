"""What the data code remembers may be cut, flipped, replaced or somebody else's: then it is found out again."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from src.data.cache import cache_file
from src.data.depth import Extent
from src.data.folders import list_classes
from src.data.in_memory import decode_into_memory, read_array
from src.data.layout import find_splits
from src.data.manifest import Entry, Verdict, read_manifest, write_manifest
from src.data.transforms import Geometry

ENTRIES = {
    "cat/0.png": Entry(1234, 1_700_000_000_000_000_000, Verdict(None, "RGB")),
    "cat/1.png": Entry(0, 5, Verdict("empty file")),
    "cat/2.png": Entry(9, 7, Verdict(None, "I;16", 1, Extent(0.0, 4095.0, True))),
}


def damaged(whole: bytes, count: int) -> list[bytes]:
    """Cut at every so many bytes, and with one to five bytes flipped at seeded places."""
    random = np.random.default_rng(0)
    found = [whole[: len(whole) * part // 40] for part in range(40)]
    for _ in range(count):
        flipped = bytearray(whole)
        for position in random.integers(0, len(whole), random.integers(1, 6)):
            flipped[position] = random.integers(256)
        found.append(bytes(flipped))
    return found


def test_a_damaged_manifest_says_nothing_that_could_do_harm(tmp_path: Path) -> None:
    write_manifest(tmp_path, ENTRIES)
    path = cache_file(tmp_path, "manifest.json")
    whole = path.read_bytes()
    assert read_manifest(tmp_path) == ENTRIES
    for content in damaged(whole, 400):
        path.write_bytes(content)
        for entry in read_manifest(tmp_path).values():
            # a flip within a number is a file of another size or time, which is looked at again
            assert isinstance(entry.size, int)
            assert isinstance(entry.mtime_ns, int)
            assert entry.verdict.reason is None or isinstance(entry.verdict.reason, str)
            assert entry.verdict.extent is None or isinstance(entry.verdict.extent.high, float)


@pytest.mark.parametrize(
    "files",
    [
        {"a": [1, 2, 3]},
        {"a": [1, 2, ["x"]]},
        {"a": [1, 2, [None, "L", [1, 2]]]},
        {"a": [1, 2]},
        {"a": {"b": 1}},
        {"a": ["x", 2, None]},
        [1],
        "abc",
    ],
)
def test_a_manifest_of_another_make_is_none(tmp_path: Path, files) -> None:
    write_manifest(tmp_path, ENTRIES)
    path = cache_file(tmp_path, "manifest.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": files}))
    assert read_manifest(tmp_path) == {}


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"made_by": 1e999, "files": {}}', bytes(1000), b"\x80\x04."])
def test_what_is_no_manifest_is_none(tmp_path: Path, content: bytes) -> None:
    write_manifest(tmp_path, ENTRIES)
    cache_file(tmp_path, "manifest.json").write_bytes(content)
    assert read_manifest(tmp_path) == {}


def test_a_folder_or_a_link_in_its_place_is_left_alone(tmp_path: Path) -> None:
    path = cache_file(tmp_path, "manifest.json")
    (path / "mine").mkdir(parents=True)
    write_manifest(tmp_path, ENTRIES)
    assert read_manifest(tmp_path) == {}
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    (path / "mine").rmdir()
    path.rmdir()
    other = tmp_path / "somebody's"
    other.write_bytes(b"precious")
    path.symlink_to(other)
    assert read_manifest(tmp_path) == {}
    write_manifest(tmp_path, ENTRIES)
    assert read_manifest(tmp_path) == ENTRIES
    assert other.read_bytes() == b"precious"


def test_damaged_images_are_read_again(make_folder, tmp_path: Path) -> None:
    root = make_folder({"cat": 3, "dog": 3})
    geometry = Geometry(image_size=8, in_channels=3)
    listing = list_classes(root, find_splits(root))
    images = decode_into_memory(listing, geometry).images.numpy()
    path = cache_file(root, "images.npz")
    whole = path.read_bytes()
    fingerprint = str(np.load(io.BytesIO(whole))["fingerprint"])
    passed = 0
    for content in damaged(whole, 400):
        path.write_bytes(content)
        found = read_array(path, fingerprint)
        passed += found is not None
        if found is not None:  # a flip in what nobody looks at: a date, a flag
            np.testing.assert_array_equal(found[0], images)
            assert found[1] == [None] * 6
    assert passed < 200
    path.write_bytes(whole[:-50])
    np.testing.assert_array_equal(decode_into_memory(listing, geometry).images.numpy(), images)
    assert path.read_bytes() == whole
