"""What an audit leaves out: enough to make a data set sound, and no more than was asked for."""

import csv
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from src.auditing.findings import Audit, audit_images
from src.auditing.leaving_out import Row, choose, read_earlier, write_rows
from src.auditing.on_screen import page
from src.data import ImageDataModule
from src.errors import InputError
from src.tables import as_text
from tests.auditing.test_findings import photograph

Look = Callable[..., tuple[ImageDataModule, Audit]]


@pytest.fixture
def look(make_module: Callable[..., ImageDataModule]) -> Look:
    def audited(root: Path, **options: object) -> tuple[ImageDataModule, Audit]:
        data = make_module(root=root, **options)
        data.setup()
        return data, audit_images(data)

    return audited


def make(root: Path, counts: dict[str, int]) -> Path:
    """Different photographs, so many in each folder."""
    for k, (place, number) in enumerate(counts.items()):
        (root / place).mkdir(parents=True)
        for i in range(number):
            photograph(100 * k + i).save(root / place / f"{i}.png")
    return root


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A given division: a copy across splits, one within train, one in two classes, and a file that is no image."""
    root = make(tmp_path / "given", {f"{split}/{name}": 3 for split in ("train", "val", "test") for name in "ab"})
    shutil.copy(root / "test/a/0.png", root / "train/a/leak.png")
    shutil.copy(root / "val/b/1.png", root / "train/b/leak, too.png")
    photograph(600 - 200).resize((120, 90)).save(root / "train/b/near.jpg", quality=90)  # of test/a's first
    shutil.copy(root / "train/a/1.png", root / "train/a/twice.png")
    shutil.copy(root / "train/a/2.png", root / "train/b/other label.png")
    (root / "train/a/broken.png").write_bytes(b"nothing of an image")
    return root


def test_of_a_given_division_the_measured_images_stay(given: Path, look: Look) -> None:
    data, audit = look(given, max_skipped=1.0)
    rows = {row.file: row for row in choose(audit, data, "copies")}
    assert set(rows) == {"train/a/broken.png", "train/a/leak.png", "train/b/leak, too.png", "train/b/near.jpg"}
    assert rows["train/a/leak.png"] == Row("train/a/leak.png", "near copy of test/a/0.png", "train", "a")
    assert rows["train/b/leak, too.png"].reason == "exact copy of val/b/1.png"
    assert rows["train/a/broken.png"].reason == "not an image"


def test_labels_that_contradict_go_only_when_they_are_asked_for(given: Path, look: Look) -> None:
    data, audit = look(given, max_skipped=1.0)
    more = {row.file for row in choose(audit, data, "labels")} - {row.file for row in choose(audit, data, "copies")}
    assert more == {"train/a/2.png", "train/b/other label.png", "test/a/0.png"}  # the last with its copy in class b


@pytest.mark.parametrize(("fix", "contradictions"), [("copies", 1), ("labels", 0)])
def test_the_list_makes_a_given_division_sound(
    fix: str, contradictions: int, given: Path, look: Look, tmp_path: Path
) -> None:
    before = sorted(given.rglob("*"))
    data, audit = look(given, max_skipped=1.0)
    assert not audit.sound
    (tmp_path / "exclude.csv").write_text(write_rows(choose(audit, data, fix), []))
    _, after = look(given, exclude=str(tmp_path / "exclude.csv"))
    assert (after.leaks, len(after.contradictions), after.skipped) == ([], contradictions, [])
    assert sorted(given.rglob("*")) == before


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_of_a_division_of_ours_one_of_each_picture_stays(seed: int, look: Look, tmp_path: Path) -> None:
    """Whatever is left out, the rest is divided anew: copies within a split could lie across splits afterwards."""
    root = make(tmp_path / "photos", {"a": 12, "b": 12})
    for number in range(10):
        shutil.copy(root / f"a/{number}.png", root / f"a/copy {number}.png")
    data, audit = look(root, seed=seed)
    assert audit.leaks
    rows = choose(audit, data, "copies")
    assert len(rows) == len({row.file for row in rows}) == 10
    (tmp_path / "exclude.csv").write_text(write_rows(rows, []))
    _, after = look(root, seed=seed, exclude=str(tmp_path / "exclude.csv"))
    assert after.groups == []
    assert after.sound


def test_an_earlier_list_is_taken_over(tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.txt"
    earlier.write_text("a/1.png\na/2.png\n")
    text = write_rows([Row("a/2.png", "exact copy of a/3.png", "train", "a")], read_earlier(str(earlier)))
    table = list(csv.DictReader(io.StringIO(text)))
    assert [(row["file"], row["reason"]) for row in table] == [
        ("a/1.png", "left out before"),
        ("a/2.png", "exact copy of a/3.png"),
    ]
    assert read_earlier(None) == []
    with pytest.raises(InputError, match="holds patterns"):
        read_earlier(["*_mask.png"])


def test_classes_without_images_to_measure_on_are_named(look: Look, tmp_path: Path) -> None:
    places = {"train/many": 4, "train/one": 2, "train/two": 2, "val/many": 2, "test/many": 2, "test/two": 1}
    _, audit = look(make(tmp_path / "photos", places))
    assert audit.lacking == {"val": ["one", "two"], "test": ["one"]}
    assert audit.as_dict()["lacking"] == audit.lacking
    shown = [line.split() for line in as_text(page(audit)).splitlines()]
    assert ["no", "val", "2", "classes:", "one,", "two"] in shown
    assert ["no", "test", "1", "class:", "one"] in shown
