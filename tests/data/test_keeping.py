"""Pictures decoded once: the same bits kept or not, whatever happens to the cache."""

import logging
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.data import ImageDataModule, kept_media
from src.data.augmented import Augmentation, augment, augment_square, reserve
from src.data.bands import Bands
from src.data.datasets import FileDataset
from src.data.defects import FoundFile
from src.data.kept_kinds import Kind, from_picture, to_picture
from src.data.kept_media import Disk
from src.data.picture_store import Shelf, Store, Writer
from src.data.transforms import Geometry
from tests.support.kept_pictures import CROPS, PLENTY, bits, garble, limited, make_photos, stores

CHANGES = {
    "nothing": None,
    "flips and shifts": {"flip": True, "shift": 3, "scale": 1.0, "color": 0.0},
    "colours": {"flip": True, "shift": 2, "scale": 1.0, "color": 0.4},
    "crops": {"flip": True, "shift": 1, "scale": 0.35, "color": 0.2},
}


@pytest.fixture(autouse=True)
def nothing_in_memory(monkeypatch) -> None:
    """Of other tests."""
    monkeypatch.setattr(kept_media, "_in_memory", {})


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos")


@pytest.fixture
def module(make_module, photos: Path) -> Callable[..., ImageDataModule]:
    def make(cache: str = "auto", free: int = PLENTY, **settings) -> ImageDataModule:
        """The module as a training has it: pictures kept."""
        settings = {"image_size": 16, "augment": CROPS, **settings}
        data = make_module(root=photos, cache=cache, **settings)
        data.setup()
        data.use_kept(data.keep_pictures(free))
        return data

    return make


# The same bits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", CHANGES)
def test_cold_warm_and_none_give_the_same_bits(module, photos: Path, changes: str) -> None:
    settings = {"augment": CHANGES[changes]}
    expected = bits(module("none", **settings))
    assert bits(module("auto", **settings)) == expected
    garble(photos)
    warm = module("auto", **settings)
    assert bits(warm) == expected
    assert warm.worker_count() == 0


@pytest.mark.parametrize(
    "settings",
    [{"in_channels": 1}, {"resize": "pad"}, {"resize": "squash"}, {"decode": "exact"}, {"interpolation": "bicubic"}],
    ids=str,
)
@pytest.mark.parametrize("how", ["auto", "memory"])
def test_so_do_all_ways_to_read_a_picture(module, photos: Path, settings, how: str) -> None:
    alone = module(how, **settings)
    alone.use_kept([])
    expected = bits(alone)
    kept = module(how, **settings)
    garble(photos)
    assert bits(kept) == expected


def test_crops_from_memory_and_disk_are_the_same_with_and_without_the_cache(module, photos: Path, caplog) -> None:
    """Where there is no room, each picture becomes small anew; evaluation has the pixels of `none`."""
    caplog.set_level(logging.INFO)
    alone, none, disk = module("disk", free=0), module("none"), module("disk")
    alone.use_kept([])
    expected = bits(alone)
    assert bits(disk) == expected
    assert bits(module("memory")) == expected
    assert expected != bits(none)
    for split in ("train", "val", "test"):
        for ours, its in zip(disk.evaluation_dataloader(split), none.evaluation_dataloader(split), strict=True):
            assert ours[0].equal(its[0])
    garble(photos)
    assert bits(module("disk")) == expected
    assert bits(module("memory")) == expected  # those of the run before, in the same process
    said = [line for line in caplog.messages if line.startswith("pictures kept")]
    assert [("nothing to decode" in line) for line in said] == [False, True, False, True, True], said


def test_bands_come_back_as_they_were() -> None:
    random = np.random.default_rng(0)
    bands = Bands([Image.fromarray(random.integers(0, 256, (5, 7), dtype=np.uint8)) for _ in range(4)])
    again = to_picture(from_picture(bands))
    assert again.size == (7, 5)
    assert [list(band.tobytes()) for band in again.bands] == [list(band.tobytes()) for band in bands.bands]


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
@pytest.mark.parametrize("shift", [0, 3, 9])
def test_squares_are_flipped_and_shifted_as_pictures_are(shift: int, padding: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    changes, geometry = Augmentation(flip=True, shift=shift, padding=padding), Geometry(8, 3)
    for seed in range(40):
        ours = augment_square(pixels, changes, np.random.default_rng(seed))
        picture = to_picture(pixels.transpose(1, 2, 0))
        np.testing.assert_array_equal(ours, augment(picture, geometry, changes, np.random.default_rng(seed)).numpy())


def test_a_reserve_has_the_pixels_that_the_smallest_crop_needs() -> None:
    needed = Augmentation(scale=0.35).needed(128)
    assert needed == 250
    assert reserve((500, 353), needed) == (500, 353)  # less than twice the pixels: as it is
    assert reserve((1000, 500), needed) == (500, 250)
    assert reserve((501, 2000), needed) == (250, 998)


def test_what_the_pixels_depend_on_is_in_the_key() -> None:
    geometry, changes = Geometry(16, 3), Augmentation(scale=0.5)
    kinds = [
        Kind.squares(geometry),
        *(
            Kind.squares(replace(geometry, **{name: value}))
            for name, value in (
                ("image_size", 17), ("in_channels", 1), ("interpolation", "bicubic"), ("decode", "fast"),
                ("resize", "pad"), ("range", (0.0, 4095.0)), ("color", "stored"), ("fill", (1, 2, 3)),
            )
        ),
        Kind.of_crops(geometry, changes),
        Kind.of_crops(geometry, replace(changes, scale=0.4)),
        Kind.of_crops(geometry, replace(changes, reserve=True)),
    ]  # fmt: skip
    assert len({kind.key for kind in kinds}) == len(kinds)
    # neither of these is in the pictures
    assert Kind.of_crops(geometry, replace(changes, flip=True, color=0.5)).key == Kind.of_crops(geometry, changes).key


# Whatever happens to it -----------------------------------------------------------------------------------------------


def test_a_changed_picture_is_read_anew(module, photos: Path) -> None:
    module("auto")
    for path in photos.rglob("*.jpg"):
        with Image.open(path) as picture:
            turned = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        turned.save(path, quality=90)
    assert bits(module("auto")) == bits(module("none"))


@pytest.mark.parametrize("harm", ["flip", "cut", "no pixels", "no index", "cut index", "garbage"])
def test_a_damaged_cache_does_no_harm_and_is_made_anew(module, cache: Path, caplog, harm: str) -> None:
    caplog.set_level(logging.INFO)
    expected, kept = bits(module("none")), module("auto")
    for store in stores(cache):
        pixels, index = store.pixels.read_bytes(), store.index.read_bytes()
        match harm:
            case "flip":
                store.pixels.write_bytes(bytes([pixels[0] ^ 1]) + pixels[1:])
            case "cut":
                os.truncate(store.pixels, len(pixels) // 2)
            case "no pixels":
                store.pixels.unlink()
            case "no index":
                store.index.unlink()
            case "cut index":
                store.index.write_bytes(index[: len(index) // 2])
            case "garbage":
                store.index.write_bytes(bytes(range(256)) * 9)
    assert bits(kept) == expected  # of a training that is under way
    assert bits(module("auto")) == expected
    caplog.clear()
    assert bits(module("auto")) == expected
    assert "damaged" not in caplog.text
    assert bits(module("auto")) == expected
    assert "nothing to decode" in caplog.messages[-1]


def test_no_damage_to_an_index_gives_other_pixels(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    store = Store(tmp_path / "a.pixels", tmp_path / "a.index")
    files = [FoundFile(f"a/{number}", number, 5) for number in range(20)]
    pictures = [random.integers(0, 256, (3, 4, 4), dtype=np.uint8) for _ in files]
    writer = Writer.of(store)
    writer.note([(file, writer.add(picture, (4, 4))) for file, picture in zip(files, pictures, strict=True)])
    writer.close()
    whole, found = store.index.read_bytes(), 0
    for _ in range(300):
        flipped = bytearray(whole)
        for position in random.integers(0, len(whole), 3):
            flipped[position] = random.integers(256)
        store.index.write_bytes(bytes(flipped)[: random.integers(len(whole))])
        shelf = Shelf(store, store.read_index(), files)
        for place, picture in enumerate(pictures):
            pixels = shelf.read(place)
            found += pixels is not None
            assert pixels is None or np.array_equal(pixels, picture)
    assert found > 1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def in_both(cache: Path) -> set[FoundFile]:
    """Return the files of which squares and crops are kept."""
    indexes = [set(store.read_index()) for store in stores(cache)]
    return set.intersection(*indexes) if len(indexes) == 2 else set()


def test_a_killed_filling_goes_on(make_module, photos: Path, cache: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    for number in range(150):  # more than a part of files, see `CHUNK`
        (photos / "a" / f"more{number}.jpg").hardlink_to(photos / "a" / "5.jpg")
    data = make_module(root=photos, image_size=16, augment=CROPS)
    data.setup()
    process = multiprocessing.get_context("fork").Process(target=lambda: data.keep_pictures(PLENTY))
    process.start()
    while process.is_alive() and not in_both(cache):
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    done = len(in_both(cache))
    assert done > 0
    data.use_kept(data.keep_pictures(PLENTY))
    assert data.dataset("train", data.augmentation).needs_no_workers is False
    assert data.dataset("train", None).needs_no_workers
    decoded = re.search(r"(\d+) images decoded", caplog.text)
    assert decoded is None or int(decoded[1]) <= 166 - done // 2
    kept = data.dataset("train", None)
    data.use_kept([])
    read = data.dataset("train", None)
    assert all(kept[place][0].equal(read[place][0]) for place in range(len(read)))


def test_a_worker_that_is_killed_while_it_writes_stops_nobody(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.pixels", tmp_path / "a.index")
    writer, picture = Writer.of(store), np.ones((3, 300, 300), dtype=np.uint8)

    def write() -> None:
        while True:
            writer.add(picture, (4, 4))

    for _ in range(5):
        process = multiprocessing.get_context("fork").Process(target=write)
        process.start()
        time.sleep(0.02)
        process.kill()
        process.join()
    record = writer.add(picture, (4, 4))
    writer.note([(FoundFile("a", 1, 1), record)])
    shelf = Shelf(store, store.read_index(), [FoundFile("a", 1, 1)])
    assert np.array_equal(shelf.read(0), picture)


def test_two_trainings_that_begin_together_decode_once(make_module, photos: Path, tmp_path: Path) -> None:
    data = make_module(root=photos, image_size=16, augment=CROPS)
    data.setup()

    def keep(said: Path) -> None:
        logging.basicConfig(filename=said, level=logging.INFO, force=True)
        data.keep_pictures(PLENTY)

    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=keep, args=(tmp_path / f"said{number}",)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    said = "".join((tmp_path / f"said{number}").read_text() for number in range(3))
    assert said.count("pictures kept") == 3
    assert sum(int(number) for number in re.findall(r"(\d+) images decoded", said)) == 16


@pytest.mark.parametrize("where", ["full", "nowhere", "inside"])
def test_a_disk_that_is_full_or_read_only_is_gone_on_without(
    module, cache: Path, photos: Path, monkeypatch, caplog, where: str
) -> None:
    caplog.set_level(logging.INFO)
    expected = bits(module("disk", free=0, augment=None))
    for store in stores(cache):
        store.index.unlink()
        store.pixels.unlink()
    if where == "nowhere":
        (cache / "file").write_text("")
        monkeypatch.setenv("RESLENS_CACHE", str(cache / "file" / "below"))
    if where == "inside":
        monkeypatch.setenv("RESLENS_CACHE", str(photos / "cache"))
    with limited(resource.RLIMIT_FSIZE, 5000 if where == "full" else resource.RLIM_INFINITY):
        data = module("disk", augment=None)
    assert bits(data) == expected
    assert [line for line in caplog.messages if line.startswith("pictures are not kept: ")], caplog.messages
    assert not list(cache.rglob("*.pixels"))
    assert bits(module("auto", augment=None)) == expected  # in memory, then
    assert "pictures kept in memory" in caplog.messages[-1] or where == "full"


def test_a_file_system_that_is_full_or_read_only(module, tmp_path: Path, monkeypatch, caplog) -> None:
    caplog.set_level(logging.INFO)
    expected = bits(module("none"))
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount")
    monkeypatch.setenv("RESLENS_CACHE", str(folder))
    try:
        monkeypatch.setattr(kept_media, "CAREFUL_SHARE_OF_DISK", 1e9)  # as where others have filled it meanwhile
        assert bits(module("auto")) == expected
        assert "pictures kept in memory" in caplog.messages[-1]
        assert not list(folder.rglob("*.pixels"))
        subprocess.run(["mount", "-o", "remount,ro,size=64m", str(folder)], check=True)
        assert bits(module("auto")) == expected
        subprocess.run(["mount", "-o", "remount,rw,size=64m", str(folder)], check=True)
        assert bits(module("auto")) == expected
        assert f"pictures kept in {folder}" in caplog.messages[-1]
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        assert bits(module("auto")) == expected
        assert "nothing to decode" in caplog.messages[-1]
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("how", ["memory", "auto"])
def test_too_little_memory_is_said_in_a_line(module, caplog, how: str) -> None:
    caplog.set_level(logging.INFO)
    data = module(how, free=1000)
    said = [record for record in caplog.records if record.message.startswith("pictures")]
    assert len(said) == 1
    wanted = r"pictures are not kept: they would take \d+ KiB, and may take 0 KiB; each epoch decodes them "
    assert re.fullmatch(wanted + rf"\(data\.cache={how}\)", said[0].message)
    assert said[0].levelname == ("WARNING" if how == "memory" else "INFO")
    assert not data.shelves


def test_squares_are_kept_where_there_is_no_room_for_crops(module, caplog) -> None:
    caplog.set_level(logging.INFO)
    data = module("auto", free=2 * 16 * 3 * 16**2)
    assert "not all: they would take" in caplog.messages[-1]
    assert not data.dataset("train", data.augmentation).needs_no_workers
    assert data.dataset("test", None).needs_no_workers
    assert bits(data) == bits(module("none"))


def test_the_least_recently_used_pictures_go_first(tmp_path: Path) -> None:
    sizes = {"a": 10**6, "b": 2 * 10**6, "c": 10**6}
    for age, (name, size) in enumerate(sizes.items()):
        folder = tmp_path / f"{name}_pictures"
        folder.mkdir()
        (folder / "k.pixels").write_bytes(bytes(size))
        (folder / "k.index").write_text("")
        os.utime(folder / "k.index", (1000 + age, 1000 + age))
    own = Store(tmp_path / "c_pictures" / "k.pixels", tmp_path / "c_pictures" / "k.index")
    disk = Disk(tmp_path / "c_pictures")
    disk.share = 4.5e6 / (disk.room() / disk.share)  # 4.5 MB for all, within what others write meanwhile
    disk.make_room([own], 10**6)
    assert len(disk.stores()) == 3
    disk.make_room([own], 2 * 10**6)
    assert [store.index.parent.name for store in disk.stores()] == ["b_pictures", "c_pictures"]
    disk.use(Store(tmp_path / "b_pictures" / "k.pixels", tmp_path / "b_pictures" / "k.index"))
    disk.share = 0
    disk.make_room([own], 0)
    assert [store.index.parent.name for store in disk.stores()] == ["c_pictures"]


def test_what_was_removed_is_still_there_for_who_reads_it(module, cache: Path) -> None:
    data = module("auto")
    expected = bits(data)
    for store in stores(cache):
        store.pixels.unlink()
        store.index.unlink()
    assert bits(data) == expected


def test_a_dataset_without_pictures_kept_needs_workers(module) -> None:
    dataset = module("none").dataset("train", None)
    assert isinstance(dataset, FileDataset)
    assert not dataset.needs_no_workers
