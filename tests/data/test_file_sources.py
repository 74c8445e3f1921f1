"""Data sets of image files, each in its publisher's layout, written small."""

import hashlib
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from src.data import file_sources
from src.data.sources import check_source
from src.errors import InputError


def test_catsdogs_folder(find, make_folder):
    root = make_folder({"Cat": 30, "Dog": 30}, name="PetImages")
    (root / "Cat" / "666.jpg").touch()
    (root / "Dog" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" * 99)
    found = find("catsdogs", root.parent)
    assert found.class_names == ["Cat", "Dog"]
    assert [(s.path, s.reason) for s in found.skipped] == [
        ("Cat/666.jpg", "empty file"),
        ("Dog/Thumbs.db", "not an image"),
    ]


def write_catsdogs_zip(root: Path, make_folder, monkeypatch: pytest.MonkeyPatch) -> Path:
    source = make_folder({"Cat": 4, "Dog": 4}, name="source")
    root.mkdir()
    archive = root / "kagglecatsanddogs_5340.zip"
    with zipfile.ZipFile(archive, "w") as content:
        for file in source.rglob("*.png"):
            content.write(file, f"PetImages/{file.relative_to(source)}")
        content.writestr("readme.txt", "read me")
    digest = f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}"
    published = replace(file_sources.CATSDOGS, digest=digest, size=archive.stat().st_size)
    monkeypatch.setattr(file_sources, "CATSDOGS", published)
    return archive


@pytest.mark.usefixtures("no_network")
def test_catsdogs_zip_is_unpacked(find, tmp_path, make_folder, monkeypatch):
    archive = write_catsdogs_zip(tmp_path / "data", make_folder, monkeypatch)
    with pytest.raises(InputError, match=r"PetImages \(the folder\) or "):
        find("catsdogs", tmp_path / "data")  # not unless it is allowed to write
    assert len(find("catsdogs", tmp_path / "data", download=True).paths) == 8
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"PetImages", archive.name}
    archive.unlink()
    assert len(find("catsdogs", tmp_path / "data").paths) == 8


@pytest.mark.usefixtures("no_network")
def test_catsdogs_without_folder_or_good_zip(find, tmp_path, make_folder, monkeypatch):
    archive = write_catsdogs_zip(tmp_path / "data", make_folder, monkeypatch)
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="sha256 differs"):
        find("catsdogs", tmp_path / "data", download=True)
    archive.unlink()
    both = re.escape(f"{tmp_path / 'data' / 'PetImages'} (the folder) or {archive}")
    for download in (True, False):
        with pytest.raises(InputError, match=both):
            find("catsdogs", tmp_path / "data", download=download)
    assert list((tmp_path / "data").iterdir()) == []


def test_imagenette_val_is_the_test_split(find, make_folder):
    root = make_folder(
        {f"{split}/{wnid}": 2 for split in ("train", "val") for wnid in file_sources.IMAGENETTE_CLASSES},
        name="imagenette2-160",
    )
    found = find("imagenette", root.parent)
    assert found.class_names == sorted(file_sources.IMAGENETTE_CLASSES.values())
    assert set(found.published) == {"train", "test"}
    church = found.class_names.index("church")
    assert {
        path.split("/")[1] for path, target in zip(found.paths, found.targets, strict=True) if target == church
    } == {"n03028079"}


def write_pets(base: Path, save_image) -> None:
    (base / "annotations").mkdir(parents=True)
    rows = {
        "trainval": ["Abyssinian_1 1 1 1", "great_pyrenees_7 2 2 1", "Abyssinian_3 1 1 1"],
        "test": ["Abyssinian_2 1 1 1"],
    }
    for split, lines in rows.items():
        for line in lines:
            save_image(base / "images" / f"{line.split()[0]}.jpg")
        (base / "annotations" / f"{split}.txt").write_text("\n".join(lines) + "\n")
    (base / "images" / "stray.mat").touch()


def test_pets_by_breed_and_by_species(find, tmp_path, save_image):
    write_pets(tmp_path / "oxford-iiit-pet", save_image)
    found = find("pets", tmp_path)
    assert found.class_names == ["Abyssinian", "Great Pyrenees"]
    assert found.targets.tolist() == [0, 1, 0, 0]
    assert found.published["test"].tolist() == [3]
    assert found.paths[3] == "images/Abyssinian_2.jpg"
    assert find("pets", tmp_path, target="species").class_names == ["cat", "dog"]
    with pytest.raises(InputError, match="take breed or species"):
        check_source("pets", {"target": "colour"})
    (tmp_path / "oxford-iiit-pet" / "images" / "Abyssinian_3.jpg").unlink()
    assert [s.reason for s in find("pets", tmp_path, max_skipped=0.5).skipped] == ["missing"]


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(("name", "file"), [("pets", "annotations.tar.gz"), ("imagenette", "imagenette2-320.tgz")])
def test_photographs_without_network(find, tmp_path, name, file):
    with pytest.raises(InputError, match=f"by hand: .*{file}"):
        find(name, tmp_path, download=True)
    assert list(tmp_path.iterdir()) == []
