"""The first look at image files: pictures are kept then, so that a first start decodes each once."""

import logging
import multiprocessing
import os
import re
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.data import ImageDataModule, kept_media, transforms
from src.data.defects import FoundFile, find_defects
from src.data.first_look import FirstLook
from src.data.folders import list_files
from src.data.kept_kinds import Kind
from src.data.kept_media import Disk
from src.data.manifest import read_manifest
from src.data.transforms import Geometry
from src.files import locked
from tests.data.mutations import mutate, samples
from tests.support.kept_pictures import CROPS, PLENTY, bits, garble, limited, make_photos, stores

COUNT = 16  # photographs


@pytest.fixture(autouse=True)
def nothing_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of other tests."""
    monkeypatch.setattr(kept_media, "_in_memory", {})


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos")


@pytest.fixture
def look(make_module, photos: Path) -> Callable[..., ImageDataModule]:
    def make(cache: str = "auto", free: int = PLENTY, **settings) -> ImageDataModule:
        """The module of a training that has found its images, and no more."""
        settings = {"image_size": 16, "augment": CROPS, "root": photos, **settings}
        data: ImageDataModule = make_module(cache=cache, **settings)
        data.take(data.find(download=False, free=free))
        data.setup()
        return data

    return make


def go_on(data: ImageDataModule) -> ImageDataModule:
    data.use_kept(data.keep_pictures(PLENTY))
    return data


def expected(make_module, photos: Path, cache: str, **settings) -> str:
    """The bits of a training that keeps nothing."""
    data = make_module(root=photos, cache=cache, **{"image_size": 16, "augment": CROPS, **settings})
    data.setup()
    return bits(data)


def decoded(caplog: pytest.LogCaptureFixture) -> int:
    """How many images the last training says to have decoded."""
    line = [line for line in caplog.messages if line.startswith("pictures kept")][-1]
    return int((re.search(r"([\d,]+) images decoded in", line) or [0, "0"])[1].replace(",", ""))


@pytest.mark.parametrize("settings", [{}, {"augment": None}, {"in_channels": 1, "decode": "exact"}], ids=str)
@pytest.mark.parametrize("how", ["auto", "disk", "memory"])
def test_no_file_is_decoded_again(look, make_module, photos: Path, caplog, how: str, settings) -> None:
    caplog.set_level(logging.INFO)
    wanted = expected(make_module, photos, how, **settings)
    for manifest in Path(os.environ["RESLENS_CACHE"]).glob("*_manifest.json"):
        manifest.unlink()
    data = look(how, **settings)
    garble(photos)
    assert bits(go_on(data)) == wanted
    assert decoded(caplog) == COUNT
    assert bits(go_on(look(how, **settings))) == wanted
    assert decoded(caplog) == 0


@pytest.mark.parametrize(
    "settings", [{"cache": "none"}, {"max_images": 8}, {"train_fraction": 0.5}, {"free": 9000}], ids=str
)
def test_nothing_is_kept_that_may_be_too_much(look, cache: Path, settings) -> None:
    data = look(**settings)
    assert not (data.first_look and data.first_look.decoded)
    assert not stores(cache)


def test_what_is_published_for_testing_is_not_kept_for_crops(look, make_folder) -> None:
    root = make_folder({f"{split}/{name}": 5 for split in ("train", "test") for name in ("cat", "dog")})
    data = look("disk", root=root)
    kept = {kind: Disk(kept_folder(root)).store(kind).read_index() for kind in (data.squares, data.crops)}
    assert len(kept[data.squares]) == 20
    assert {file.path.partition("/")[0] for file in kept[data.crops]} == {"train"}
    assert len(kept[data.crops]) == 10


def kept_folder(root: Path) -> Path:
    found = kept_media.cache_file(root, kept_media.FOLDER)
    assert found is not None
    return found


# The same verdicts ----------------------------------------------------------------------------------------------------


def a_look(geometry: Geometry, how: str = "disk", *, knows_range: bool = False) -> FirstLook:
    return FirstLook(Kind.squares(geometry), None, how, PLENTY, knows_range=knows_range)


@pytest.mark.parametrize(
    "geometry", [Geometry(24, 3, decode="fast"), Geometry(24, 1), Geometry(24, 5)], ids=["fast", "grey", "bands"]
)
def test_verdicts_are_those_of_checking_alone(tmp_path: Path, geometry: Geometry) -> None:
    whole = samples()
    for number in range(150):
        name = list(whole)[number % len(whole)]
        random, content = np.random.default_rng((3, number)), whole[name]
        if number >= len(whole):
            content = mutate(content, random, list(whole.values()))
        (tmp_path / f"{number:03d}.{name.split('-')[0]}").write_bytes(content)
    files = list_files(tmp_path, Path())[0]
    looking = a_look(geometry)
    verdicts = looking(tmp_path, files, ["train"] * len(files))
    assert verdicts == find_defects(tmp_path, [file.path for file in files])
    bad = sum(verdict.reason is not None for verdict in verdicts)
    assert 30 < bad < 120
    of_8_bits = sum(verdict.reason is None and verdict.extent is None for verdict in verdicts)
    assert looking.decoded == (0 if geometry.in_channels == 5 else of_8_bits)


def test_a_file_that_ends_its_decoder_is_checked_alone(tmp_path: Path, photos: Path, monkeypatch) -> None:
    """In full it crashes it, in an eighth of its size it doesn't."""
    real = transforms.read_image

    def deadly(path: Path, *rest):
        if path.name == "3.jpg":
            os.kill(os.getpid(), signal.SIGSEGV)
        if path.name == "4.jpg":
            raise MemoryError
        return real(path, *rest)

    monkeypatch.setattr(transforms, "read_image", deadly)
    files, looking = list_files(photos, Path())[0], a_look(Geometry(16, 3))
    verdicts = looking(photos, files, ["train"] * COUNT)
    assert verdicts == find_defects(photos, [file.path for file in files])
    assert [verdict.reason for verdict in verdicts] == [None] * COUNT
    assert looking.decoded == COUNT - 4  # of either class


def test_pictures_of_more_than_8_bits_wait_for_their_range(look, make_module, tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    random = np.random.default_rng(0)
    for number in range(20):
        path = tmp_path / "deep" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 4096, (20, 24), dtype=np.uint16)).save(path)
    wanted = expected(make_module, tmp_path / "deep", "none", in_channels=1)
    manifest = read_manifest(tmp_path / "deep")
    for said, kept in (("auto", 0), (12, 20)):
        for path in Path(os.environ["RESLENS_CACHE"]).iterdir():
            if path.is_file():
                path.unlink()
        for store in stores(Path(os.environ["RESLENS_CACHE"])):
            store.index.unlink()
        data = look(root=tmp_path / "deep", in_channels=1, range=said)
        assert data.first_look.decoded == kept
        assert read_manifest(tmp_path / "deep") == manifest
        assert bits(go_on(data)) == wanted
        assert decoded(caplog) == 20


# Whatever happens to it -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_look_that_is_killed_goes_on(make_module, photos: Path, cache: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    for number in range(150):  # more than a part of files, see `CHUNK`
        (photos / "a" / f"more{number}.jpg").hardlink_to(photos / "a" / "5.jpg")
    data = make_module(root=photos, image_size=16, augment=CROPS)
    process = multiprocessing.get_context("fork").Process(target=lambda: data.find(download=False, free=PLENTY))
    process.start()
    while (
        process.is_alive() and sum(bool(store.read_index()) for store in stores(cache)) < 2
    ):  # whole, and to crop from
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    done = len(set().union(*(store.read_index() for store in stores(cache))))
    assert done > 0
    data.take(data.find(download=False, free=PLENTY))
    data.setup()
    garble(photos)
    kept = go_on(data).dataset("train", None)
    assert kept.needs_no_workers
    assert decoded(caplog) <= COUNT + 150 - done // 2


@pytest.fixture
def too_small() -> Iterator[None]:
    with limited(resource.RLIMIT_FSIZE, 5000):
        yield


def test_a_disk_that_is_full_in_the_middle_costs_no_verdict(photos: Path, cache: Path, too_small) -> None:
    files, looking = list_files(photos, Path())[0], a_look(Geometry(16, 3))
    verdicts = looking(photos, files, ["train"] * COUNT)
    assert [verdict.reason for verdict in verdicts] == [None] * COUNT
    assert looking.decoded == 0
    assert not stores(cache)


def test_who_keeps_pictures_just_now_is_not_waited_for(photos: Path, cache: Path) -> None:
    files, looking, folder = list_files(photos, Path())[0], a_look(Geometry(16, 3)), kept_folder(photos)
    folder.mkdir()
    with locked(folder):
        start = time.monotonic()
        verdicts = looking(photos, files, ["train"] * COUNT)
    assert time.monotonic() - start < 10
    assert [verdict.reason for verdict in verdicts] == [None] * COUNT
    assert not stores(cache)


def test_where_the_cache_folder_is_of_no_use_pictures_are_in_memory(
    look, cache: Path, photos: Path, monkeypatch, caplog
) -> None:
    caplog.set_level(logging.INFO)
    (cache / "file").write_text("")
    monkeypatch.setenv("RESLENS_CACHE", str(cache / "file" / "below"))
    data = look()
    garble(photos)
    go_on(data)
    assert "pictures kept in memory" in caplog.messages[-1]
    assert decoded(caplog) == COUNT


def test_files_that_are_known_are_not_opened(photos: Path) -> None:
    looking, geometry = a_look(Geometry(16, 3)), Geometry(16, 3)
    files = list_files(photos, Path())[0]
    looking(photos, files, ["train"] * COUNT)
    again = a_look(geometry)
    new = [FoundFile("a/0.jpg", *files[0][1:])]
    assert again(photos, new, ["train"])[0].reason is None
    assert again.decoded == 0
