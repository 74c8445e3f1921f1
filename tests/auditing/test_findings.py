"""The audit finds what is there twice and nothing else, and counts what is there."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.auditing.duplicates import close_pairs, find_duplicates
from src.auditing.findings import Audit, audit_images
from src.auditing.on_screen import page
from src.auditing.signatures import sign, sign_file
from src.tables import as_text

DATA = Path(__file__).parents[2] / "data"


def photograph(seed: int, size: tuple[int, int] = (240, 180)) -> Image.Image:
    """Clouds of several sizes, in colour: no two seeds look alike. `size` is (width, height)."""
    random = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)).resize(size, 3), dtype=float
        )
        for cells in (3, 6, 12, 40)
    ]
    mixed = np.average(layers, axis=0, weights=(4, 3, 2, 1))
    return Image.fromarray(np.clip(128 + 2 * (mixed - mixed.mean()), 0, 255).astype(np.uint8))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six photographs in train and three in val and test, of each of two classes, all different."""
    for k, (split, number) in enumerate((("train", 6), ("val", 3), ("test", 3))):
        for j, name in enumerate(("cat", "dog")):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for i in range(number):
                photograph(100 * k + 10 * j + i).save(folder / f"{i}.png")
    return tmp_path / "photos"


@pytest.fixture
def look(make_module) -> Callable[..., Audit]:
    def audited(root: Path, name: str = "folder", **options) -> Audit:
        data = make_module(name, root=root, **options)
        data.setup()
        return audit_images(data)

    return audited


def paths(audit: Audit) -> list[tuple[str, set[str]]]:
    return [(group.title, {path for path, _, _ in group.images}) for group in audit.groups]


def test_different_photographs_are_no_duplicates(photos, look):
    audit = look(photos)
    assert audit.groups == []
    assert audit.sound
    assert audit.counts.tolist() == [[6, 3, 3], [6, 3, 3]]
    assert audit.verdict == "Ready to train: no duplicates across splits or classes."


def test_groups_across_given_splits_are_a_leak(photos, look):
    for split in ("train", "val", "test"):
        for i in range(3):
            path = photos / split / "cat" / f"{i}.png"
            path.rename(path.with_name(f"p{i if split == 'val' else f'{split}{i}'}.png"))
    shutil.move(photos / "test/cat/ptest0.png", photos / "test/cat/p1.png")
    audit = look(photos, group=r"(p?\w+)\.png")
    torn = {"0": ["train", "val", "test"], "1": ["train", "val", "test"], "2": ["train", "val", "test"]}
    assert audit.torn == torn | {"p1": ["val", "test"]}
    assert not audit.sound
    assert "4 groups of images in more than one split (measurements would flatter)" in audit.verdict
    assert audit.as_dict()["groups"] == {"number": audit.belonging, "across_splits": audit.torn}
    assert "group across splits: p1 (val, test)" in as_text(page(audit))
    assert look(photos).as_dict()["groups"] is None


def test_planted_copies_are_found_and_named(photos, look):
    shutil.copy(photos / "train/cat/0.png", photos / "test/cat/copy.png")
    small = Image.open(photos / "train/dog/1.png").resize((140, 105))
    small.save(photos / "val/dog/small.jpg", quality=40)
    Image.open(photos / "train/cat/2.png").save(photos / "train/dog/again.bmp")
    shutil.copy(photos / "test/dog/0.png", photos / "test/dog/twice.png")
    audit = look(photos)
    assert paths(audit) == [
        ("exact, across splits", {"train/cat/0.png", "test/cat/copy.png"}),
        ("exact, across classes", {"train/cat/2.png", "train/dog/again.bmp"}),
        ("near, across splits", {"train/dog/1.png", "val/dog/small.jpg"}),
        ("exact, within a split", {"test/dog/0.png", "test/dog/twice.png"}),
    ]
    assert (len(audit.leaks), len(audit.contradictions)) == (2, 1)
    content = audit.as_dict()
    assert {key: content["duplicates"][key] for key in ("exact", "near", "within")} == {
        "exact": 3,
        "near": 1,
        "within": 1,
    }
    assert content["duplicates"]["groups"][1] == {
        "kind": "exact",
        "across_splits": False,
        "across_classes": True,
        "images": [
            {"path": "train/cat/2.png", "split": "train", "class": "cat"},
            {"path": "train/dog/again.bmp", "split": "train", "class": "dog"},
        ],
    }
    assert not content["sound"]


def test_duplicates_within_a_split_are_told_but_do_no_harm(photos, look):
    shutil.copy(photos / "train/cat/0.png", photos / "train/cat/copy.png")
    audit = look(photos)
    assert audit.sound
    assert audit.verdict.endswith("; 1 group of duplicates within a split.")


def test_one_picture_in_two_splits_and_two_classes_is_one_group(photos, look):
    for place in ("test/cat", "val/dog", "train/dog"):
        shutil.copy(photos / "train/cat/0.png", photos / place / "copy.png")
    [group] = look(photos).groups
    assert group.title == "exact, across splits and classes"
    assert len(group.images) == 4


@pytest.mark.parametrize("quality", [15, 40, 95])
@pytest.mark.parametrize("scale", [0.4, 1.0, 2.5])
def test_resized_and_recompressed_copies_are_near(tmp_path, scale, quality):
    for seed in range(10):
        picture = photograph(seed)
        picture.resize((int(240 * scale), int(180 * scale))).save(tmp_path / "copy.jpg", quality=quality)
        signatures = [sign(picture, "RGB", ""), sign_file(tmp_path / "copy.jpg")]
        assert [group.tolist() for group in find_duplicates(signatures)] == [[0, 1]]


@pytest.mark.parametrize(("side", "quality"), [(32, 60), (31, 60), (28, 80), (24, 80)])
def test_small_copies_of_large_images_are_near(tmp_path, side, quality):
    for seed in range(10):
        picture = photograph(seed)
        picture.resize((side * 4 // 3, side)).save(tmp_path / "copy.jpg", quality=quality)
        signatures = [sign(picture, "RGB", ""), sign_file(tmp_path / "copy.jpg"), sign(photograph(99), "RGB", "")]
        assert [group.tolist() for group in find_duplicates(signatures)] == [[0, 1]]


def test_many_unreadable_files_and_names_of_any_characters_are_reported(photos, look):
    for i in range(4):
        (photos / f"train/cat/bad{i}.jpg").touch()
    shutil.copy(photos / "train/dog/0.png", photos / "test/dog/a\x1b[2J\nb\udcfc.png")
    audit = look(photos, max_skipped=1.0)
    assert not audit.sound
    assert "4 of 29 files can't be read, more than 5%" in audit.verdict
    text = as_text(page(audit))
    assert "test/dog/a\ufffd[2J b\ufffd.png" in " ".join(text.split())
    assert "\x1b" not in text
    assert audit.groups[0].images[1][0] == "test/dog/a\x1b[2J\nb\udcfc.png"


def test_a_changed_detail_of_a_small_drawing_is_another_drawing():
    random = np.random.default_rng(0)
    drawing = random.integers(0, 2, (8, 8)).repeat(3, axis=1).repeat(3, axis=0).astype(np.uint8) * 255
    other = drawing.copy()
    other[9:12, 9:12] = 255 - other[9:12, 9:12]
    pictures = [Image.fromarray(pixels).convert("RGB") for pixels in (drawing, other, drawing)]
    assert [g.tolist() for g in find_duplicates([sign(p, "L", "") for p in pictures])] == [[0, 2]]


def test_flat_images_are_duplicates_only_where_they_are_equal():
    noise = [np.random.default_rng(seed).integers(100, 103, (60, 60, 3), dtype=np.uint8) for seed in range(6)]
    flat = [Image.new("RGB", (60, 60), (level,) * 3) for level in (100, 100, 101, 102)]
    signatures = [sign(picture, "RGB", "") for picture in [*flat, *map(Image.fromarray, noise)]]
    assert [group.tolist() for group in find_duplicates(signatures)] == [[0, 1]]


def test_a_thousand_copies_are_one_group():
    signature, other = (sign(photograph(seed), "RGB", "") for seed in (0, 1))
    assert [len(group) for group in find_duplicates([signature] * 1000 + [other])] == [1000]


def test_all_pairs_of_close_hashes_are_found_once():
    """Against all pairs compared with all; of hashes at each distance from others, and some many times."""
    random = np.random.default_rng(0)
    hashes = random.integers(0, 1 << 63, 300, dtype=np.uint64)
    near = []
    for number, value in enumerate(hashes):
        for bit in random.choice(64, number % 14, replace=False):
            value ^= np.uint64(1) << np.uint64(bit)
        near.append(value)
    hashes = np.concatenate([hashes, near, hashes[:40], hashes[:40]])
    distances = np.bitwise_count(hashes[:, None] ^ hashes[None])
    expected = {(i, j) for i, j in np.argwhere(distances <= 8).tolist() if i < j}
    found = [tuple(pair) for pairs in close_pairs(hashes) for pair in pairs.tolist()]
    assert len(found) == len(set(found)) > 300
    assert set(found) == expected


def test_resized_copies_are_found_among_others():
    signatures = [sign(photograph(seed % 20), "RGB", "") for seed in range(20)]
    near = [sign(photograph(seed).resize((120, 90)), "RGB", "") for seed in range(20)]
    assert [group.tolist() for group in find_duplicates(signatures + near)] == [[i, i + 20] for i in range(20)]


def test_modes_formats_sizes_and_what_is_left_out(photos, look):
    folder = photos / "train/cat"
    for i, mode in enumerate(("L", "P", "CMYK", "I;16")):
        picture = photograph(900 + i, (40 + i, 30))
        grey = np.asarray(picture.convert("L"), dtype=np.uint16) * 257
        other = Image.fromarray(grey) if mode == "I;16" else picture.convert(mode)
        other.save(folder / f"mode{i}.{'tif' if mode == 'CMYK' else 'png'}")
    (folder / "empty.jpg").touch()
    (folder / "odd").write_text("no image")
    (folder / "notes.txt").write_text("passed over")
    audit = look(photos, max_skipped=0.2)
    assert audit.modes == {"RGB": 24, "L": 1, "P": 1, "CMYK": 1, "I;16": 1}
    assert audit.formats == {"PNG": 27, "TIFF": 1}
    assert audit.as_dict()["width"] == {"min": 40, "median": 240.0, "max": 240}
    assert audit.skipped == [("train/cat/empty.jpg", "empty file"), ("train/cat/odd", "not an image")]
    assert audit.as_dict()["passed_over"] == {"files": {".txt": 1}, "folders": {}}
    assert audit.imbalance == 10 / 6
    text = as_text(page(audit))
    assert "2 files: 1 empty file (train/cat/empty.jpg), 1 not an image (train/cat/odd)" in text
    assert "1 file that is no image (.txt 1)" in text
    assert "RGB 24, L 1, P 1, CMYK 1, I;16 1" in text
    assert "1.67 times" in text


def test_the_page_folds_many_classes_and_takes_names_as_they_are(tmp_path, look):
    for k in range(25):
        for i in range(3 + (k == 7)):
            path = tmp_path / "many" / ("[red]" if k == 7 else f"class{k:02d}") / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            photograph(10 * k + i, (24, 24)).save(path)
    lines = as_text(page(look(tmp_path / "many"))).splitlines()
    assert "… 15 classes between" in lines
    assert [line.split() for line in lines if line.startswith("[red]")] == [["[red]", "2", "1", "1", "4"]]
    assert [line.split() for line in lines if line.startswith("median")] == [["median", "class", "1", "1", "1", "3"]]


def test_images_in_memory_are_looked_at_too(look):
    audit = look(Path(), "digits", in_channels=1)
    assert audit.modes == {"L": 1797}
    assert audit.formats == {"array": 1797}
    assert audit.as_dict()["height"] == {"min": 8, "median": 8.0, "max": 8}
    assert audit.groups == []


def test_only_images_of_the_splits_are_looked_at(photos, look):
    shutil.copy(photos / "train/cat/0.png", photos / "test/cat/copy.png")
    audit = look(photos, train_fraction=0.4)
    assert audit.counts.sum(axis=0).tolist() == [5, 6, 7]
    assert len(audit.widths) == 18


@pytest.mark.skipif(not (DATA / "PetImages").is_dir(), reason="data/PetImages is not here (shared/data/unpack data)")
def test_planted_duplicates_among_real_photographs_are_found(tmp_path, look):
    root = tmp_path / "PetImages"
    shutil.copytree(DATA / "PetImages", root)
    for source, copy in (("Cat/1.jpg", "Cat/9001.jpg"), ("Dog/5.jpg", "Dog/9002.jpg"), ("Dog/7.jpg", "Cat/9003.jpg")):
        shutil.copy(root / source, root / copy)
    picture = Image.open(root / "Cat/10.jpg")
    picture.resize((picture.width // 2, picture.height // 2)).save(root / "Cat/9004.jpg", quality=50)
    planted = look(tmp_path, "catsdogs")
    assert sorted(map(sorted, (found for _, found in paths(planted)))) == [
        ["Cat/1.jpg", "Cat/9001.jpg"],
        ["Cat/10.jpg", "Cat/9004.jpg"],
        ["Cat/9003.jpg", "Dog/7.jpg"],
        ["Dog/5.jpg", "Dog/9002.jpg"],
        ["Dog/712.jpg", "Dog/91.jpg"],  # not planted: truly the same photograph
    ]
    assert [set(known) for title, known in paths(planted) if "classes" in title] == [{"Cat/9003.jpg", "Dog/7.jpg"}]
