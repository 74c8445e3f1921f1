"""Cats and dogs in their publisher's layout, written small."""

import hashlib
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from src.data.sources import catsdogs
from src.errors import InputError


def test_catsdogs_folder(find, make_folder):
    root = make_folder({"Cat": 30, "Dog": 30}, name="PetImages")
    (root / "Cat" / "666.jpg").touch()
    (root / "Dog" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" * 99)
    found = find("catsdogs", root.parent)
    assert found.class_names == ["Cat", "Dog"]
    assert [(s.path, s.reason) for s in found.skipped] == [("Cat/666.jpg", "empty file")]
    assert found.passed_over.files == {"Thumbs.db": 1}


def write_catsdogs_zip(root: Path, make_folder, monkeypatch: pytest.MonkeyPatch) -> Path:
    source = make_folder({"Cat": 4, "Dog": 4}, name="source")
    root.mkdir()
    archive = root / "kagglecatsanddogs_5340.zip"
    with zipfile.ZipFile(archive, "w") as content:
        for file in source.rglob("*.png"):
            content.write(file, f"PetImages/{file.relative_to(source)}")
        content.writestr("readme.txt", "read me")
    digest = f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}"
    published = replace(catsdogs.CATSDOGS, digest=digest, size=archive.stat().st_size)
    monkeypatch.setattr(catsdogs, "CATSDOGS", published)
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
