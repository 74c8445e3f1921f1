"""Oxford's pets in their publisher's layout, written small."""

from pathlib import Path

import pytest

from src.data.sources import check_source
from src.errors import InputError


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
def test_without_network(find, tmp_path):
    with pytest.raises(InputError, match="by hand: .*annotations.tar.gz"):
        find("pets", tmp_path, download=True)
    assert list(tmp_path.iterdir()) == []
