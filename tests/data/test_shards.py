"""Tar shards in WebDataset's format are the folder that they were made of, wherever an image's bytes are asked for."""

import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from src.data import members, shards
from src.data.datasets import FileDataset
from src.data.images import look_at, size_as_read
from src.data.keeping import describe
from src.data.members import INDEX, find_member, index_of, read_index
from src.data.refusal import UnreadableImageError
from src.errors import InputError
from src.explanation.files_told import properties_of
from src.packing.destination import Destination
from src.packing.shards import key_of, write_shards
from src.trained.pictures import Pictures


@pytest.fixture
def pack(tmp_path: Path) -> Callable[..., Path]:
    """Pack what a module has found; return the folder of shards, of which nothing is known in this process."""

    def packed(module, name: str = "shards", most: int = 1500) -> Path:  # type: ignore[no-untyped-def]
        module.setup()
        members._known.clear()
        (tmp_path / name).mkdir()
        write_shards(module.found, Destination(tmp_path / name), most, seed=1)
        members._known.clear()
        return tmp_path / name

    return packed


@pytest.fixture
def photos(make_folder: Callable[..., Path], save_image: Callable[..., None]) -> Path:
    root = make_folder({"class 10": 7, "class 2": 7, "Größe": 5})
    save_image(root / "class 2/deep/er.v2.jpg", seed=7)
    save_image(root / "class 2/deep/er.v2.png", seed=8)
    (root / "class 2/deep/er.v2.png").rename(root / "class 2/deep/no_suffix")
    (root / "class 2/half.jpg").write_bytes((root / "class 2/deep/er.v2.jpg").read_bytes()[:300])
    (root / "class 2/notes.txt").write_text("Tom")
    return root


def same(one, other) -> bool:  # type: ignore[no-untyped-def]
    for module in (one, other):
        module.setup()
    batches = (next(iter(module.train_dataloader())) for module in (one, other))
    alike = all(np.array_equal(a, b) for a, b in zip(*batches, strict=True))
    return one.census == other.census and one.skipped == other.skipped and alike


def test_shards_are_the_folder(photos: Path, make_module: Callable, pack: Callable[..., Path]) -> None:
    root = pack(make_module(root=str(photos), max_skipped=0.5))
    assert len(list(root.glob("shard-*.tar"))) > 3
    augment = {"augment": {"flip": True, "scale": 0.4, "shift": 0, "color": 0.1}}
    for options in ({}, augment, {"exclude": ["*/*5.png"]}, {"classes": ["class 2", "class 10"]}, {"cache": "disk"}):
        local, packed = (make_module(root=str(place), max_skipped=0.5, **options) for place in (photos, root))
        assert same(local, packed), options
        packed.use_kept(packed.keep_pictures(10**9))
        assert same(local, packed), options


def test_a_training_may_go_shard_by_shard(photos: Path, make_module: Callable, pack: Callable) -> None:
    root = pack(make_module(root=str(photos), max_skipped=0.5), most=600)
    names = [member.shard for member in read_index(root) or []]
    assert len(set(names)) > 8
    data = make_module(root=str(root), max_skipped=0.5, shuffle="shards", batch_size=2)
    data.setup()
    where = dict(zip((member.file for member in read_index(root) or []), names, strict=True))
    drawn = [data.paths("train")[i] for batch in data.train_dataloader().batch_sampler for i in batch.indices]
    assert sorted(drawn) == sorted(data.paths("train"))
    places = [where[path] for path in drawn]
    early = set(places[: places.index(list(dict.fromkeys(places))[4])])
    assert len(early) == 4
    assert not early & set(places[places.index(list(dict.fromkeys(places))[4]) :])
    with pytest.raises(InputError, match="data.shuffle=shards, but .* holds no tar shards: set data.shuffle=images"):
        make_module(root=str(photos), max_skipped=0.5, shuffle="shards").setup()
    with pytest.raises(InputError, match="leaves no choice to data.balance=sampler"):
        make_module(root=str(root), max_skipped=0.5, shuffle="shards", balance="sampler").setup()


def test_published_splits_and_groups_stay(make_folder: Callable, make_module: Callable, pack: Callable) -> None:
    counts = {f"{split}/{name}": n for split, n in (("train", 6), ("val", 3), ("test", 3)) for name in ("cat", "dog")}
    root = make_folder(counts)
    shards_ = pack(make_module(root=str(root), group=r"(\d)\.png"))
    assert {path.name.partition("-")[0] for path in shards_.glob("*.tar")} == {"train", "val", "test"}
    local, packed = make_module(root=str(root), group=r"(\d)\.png"), make_module(root=str(shards_))
    assert same(local, packed)
    assert packed.found.groups == local.found.groups
    without = make_module(root=str(shards_), group="none")
    without.setup()
    assert without.found.groups is None


def test_shards_packed_anew_are_the_same_bytes(photos: Path, make_module: Callable, pack: Callable) -> None:
    first = pack(make_module(root=str(photos), max_skipped=0.5))
    again = pack(make_module(root=str(first), max_skipped=0.5), "again")
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in again.iterdir())
    assert all((first / name).read_bytes() == (again / name).read_bytes() for name in names)


def test_other_readers_read_them(photos: Path, make_module: Callable, pack: Callable) -> None:
    root = pack(make_module(root=str(photos), max_skipped=0.5))
    names = (root / "classes.txt").read_text().splitlines()
    assert names == ["Größe", "class 2", "class 10"]
    seen: dict[str, dict[str, bytes]] = {}
    for path in sorted(root.glob("*.tar")):
        with tarfile.open(path) as tar:
            for info in tar:
                key, _, suffix = info.name.rpartition("/")[2].partition(".")
                sample = seen.setdefault(f"{info.name.rpartition('/')[0]}/{key}", {})
                assert suffix not in sample
                sample[suffix] = tar.extractfile(info).read()  # type: ignore[union-attr]
    listed = [one for one in read_index(root) or [] if not one.skipped]
    assert len(seen) == len(listed) == 21
    for key, sample in seen.items():
        assert names[int(sample.pop("cls"))] == key.split("/")[0]
    held = {content for sample in seen.values() for content in sample.values()}
    assert held == {
        path.read_bytes() for path in photos.rglob("*") if path.is_file() and path.name not in ("notes.txt", "half.jpg")
    }


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves files open
def test_webdataset_reads_them(photos: Path, make_module: Callable, pack: Callable) -> None:
    webdataset = pytest.importorskip("webdataset")
    root = pack(make_module(root=str(photos), max_skipped=0.5))
    urls = [str(path) for path in sorted(root.glob("*.tar"))]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert len(samples) == 21
    assert all(set(sample) - {"__key__", "__url__", "__local_path__"} > {"cls"} for sample in samples)


@pytest.mark.parametrize("labelled", ["cls", "json", "folder", "names", "txt"])
def test_shards_of_others_are_looked_through_once(
    labelled: str, tmp_path: Path, make_folder: Callable, make_module: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, images = tmp_path / "theirs", make_folder({"a": 9, "b": 9})
    root.mkdir()
    for number in range(3):
        with tarfile.open(root / f"set-train-{number:04d}.tar", "w") as tar:
            for i in range(3):
                for target, name in enumerate("ab"):
                    content = (images / name / f"{3 * number + i:03d}.png").read_bytes()
                    key = f"{name}/{i:03d}" if labelled == "folder" else f"{i:03d}{name}"
                    label = {
                        "cls": ("cls", str(target)),
                        "names": ("cls", str(target)),
                        "json": ("json", f'{{"label": "{name}", "width": 12}}'),
                        "txt": ("txt", name),
                        "folder": ("caption", "x"),
                    }[labelled]
                    for suffix, held in (("png", content), (label[0], label[1].encode())):
                        if suffix == "caption":
                            continue
                        info = tarfile.TarInfo(f"{key}.{suffix}")
                        info.size = len(held)
                        tar.addfile(info, io.BytesIO(held))
    if labelled == "names":
        (root / "classes.txt").write_text("a\nb\n")
    module = make_module(root=str(root))
    module.setup()
    assert module.class_names == (["0", "1"] if labelled == "cls" else ["a", "b"])
    assert len(module.found.paths) == 18
    for place, path in enumerate(module.found.paths):
        name = "ab"[module.found.targets[place]]
        with members.opened(root / path) as file:
            assert file.read() in {(images / name / f"{i:03d}.png").read_bytes() for i in range(9)}
    monkeypatch.setattr(shards, "samples", lambda _: pytest.fail("looked through again"))
    again = make_module(root=str(root))
    again.setup()
    assert again.census == module.census
    monkeypatch.undo()
    os.utime(root / "set-train-0001.tar", (1, 1))
    monkeypatch.setattr(shards, "samples", lambda _: iter(()))
    with pytest.raises(InputError, match="0 classes"):
        make_module(root=str(root)).setup()


def test_a_member_is_asked_for_like_a_file(photos: Path, make_module: Callable, pack: Callable) -> None:
    root = pack(make_module(root=str(photos), max_skipped=0.5))
    path = root / "Größe/001.png"
    assert look_at(path).format == "PNG"
    assert size_as_read(path, None) == (12, 10)
    found = describe(root, "Größe/001.png")
    assert found is not None
    assert found.size == (photos / "Größe/001.png").stat().st_size
    assert describe(root, "Größe/none.png") is None
    with pytest.raises(UnreadableImageError, match="missing"):
        look_at(root / "Größe/none.png")
    with pytest.raises(UnreadableImageError, match="missing"):
        look_at(photos / "none.png")
    assert find_member(photos / "none.png") is None


def test_what_files_tell_members_tell_too(photos: Path, make_module: Callable, pack: Callable) -> None:
    root = pack(make_module(root=str(photos), max_skipped=0.5))
    told = []
    for place in (photos, root):
        module = make_module(root=str(place), max_skipped=0.5)
        module.setup()
        pictures = Pictures(module.dataset("train", None), module.paths("train"), module.targets("train"))
        told.append(properties_of(pictures, np.arange(len(pictures)), module.class_names))
    assert told[0] is not None
    assert set(told[0]["format"]) == {"PNG", "JPEG"}
    assert told[0].equals(told[1])


def test_a_process_that_was_not_forked_finds_them(photos: Path, make_module: Callable, pack: Callable) -> None:
    root = pack(make_module(root=str(photos), max_skipped=0.5))
    module = make_module(root=str(root), max_skipped=0.5)
    module.setup()
    first = module.dataset("train", None)[0][0]
    dataset: FileDataset = pickle.loads(pickle.dumps(module.dataset("train", None)))
    members._known.clear()
    assert (dataset[0][0] == first).all()


def test_shards_that_are_not_whole_are_a_line(photos: Path, make_module: Callable, pack: Callable) -> None:
    root = pack(make_module(root=str(photos), max_skipped=0.5))
    shard = sorted(root.glob("*.tar"))[1]
    whole = shard.read_bytes()
    shard.write_bytes(whole[:700])
    with pytest.raises(InputError, match=rf"{shard.name} has 700 bytes, and its index says .* it is half a copy"):
        make_module(root=str(root)).setup()
    shard.unlink()
    with pytest.raises(InputError, match=rf"{shard.name} can't be opened \(no such file or directory\)"):
        make_module(root=str(root)).setup()
    shard.write_bytes(whole)
    text = (root / INDEX).read_text()
    for damaged in (
        text.replace("class 2/000.png,", "class 2/000.png", 1),
        text.replace("class 2/000.png", "../../000.png"),
        text.replace(shard.name, "../shard.tar"),
        text.replace(f"{shard.name},", f"{shard.name},-"),
    ):
        (root / INDEX).write_text(damaged)
        with pytest.raises(InputError, match=r"index\.csv is damaged, in line \d+: pack the images anew"):
            make_module(root=str(root)).setup()
    (root / INDEX).unlink()
    shard.write_bytes(b"no tar at all" * 100)
    with pytest.raises(InputError, match="can't be read as a tar"):
        make_module(root=str(root)).setup()


def test_a_folder_of_classes_with_a_tar_beside_them_is_no_shards(make_folder: Callable, make_module: Callable) -> None:
    root = make_folder({"cat": 5, "dog": 5})
    with tarfile.open(root / "backup.tar", "w") as tar:
        tar.add(root / "cat/000.png", "x/0.png")
    (root / INDEX).write_text("name,age\nTom,3\n")
    assert index_of(root) is None
    module = make_module(root=str(root))
    module.setup()
    assert module.class_names == ["cat", "dog"]


def test_every_key_is_its_own_and_has_no_dot() -> None:
    used: set[str] = set()
    names = ["a/b.c.jpg", "a/b_c.jpg", "a/b.c.png", "b.jpg", "a/b", "a.b/b.jpg"]
    keys = [key_of(name, used) for name in names]
    assert len({key for key, _ in keys}) == len(names)
    assert all("." not in key.rpartition("/")[2] for key, _ in keys)
    assert keys[0] == ("a/b_c", "jpg")
    assert keys[4][1] == "img"
