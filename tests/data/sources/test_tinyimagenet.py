"""Tiny-ImageNet in its publisher's layout, written small."""

import hashlib
import inspect
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from src.data.sources import check_source, tinyimagenet
from src.data.sources.tinyimagenet import choose_classes
from src.errors import InputError

WORDS = {
    "n01443537": "goldfish, Carassius auratus",
    "n02279972": "monarch, monarch butterfly",
    "n03126707": "crane",
    "n01990800": "crane, wading bird",
    "n00000001": "never listed",
}
WNIDS = ["n02279972", "n01443537", "n99999999", "n03126707", "n01990800"]  # in no order, as published; one has no words


@pytest.fixture
def base(tmp_path: Path, save_image) -> Path:
    """tmp_path/data/tiny-imagenet-200 with 4 training and 2 val images in each of 5 classes, and an unlabelled test."""
    base = tmp_path / "data" / "tiny-imagenet-200"
    annotations = []
    for number, wnid in enumerate(WNIDS):
        for i in range(4):
            mode = "L" if i == 3 else "RGB"
            save_image(base / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", 10 * number + i, (64, 64), mode)
        (base / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t0\t62\t44\n")
        for i in (number, number + 5):
            save_image(base / "val" / "images" / f"val_{i}.JPEG", 100 + i, (64, 64))
            annotations.append(f"val_{i}.JPEG\t{wnid}\t0\t32\t44\t62\n")
    for i in range(2):
        save_image(base / "test" / "images" / f"test_{i}.JPEG", 200 + i, (64, 64))
    (base / "train" / WNIDS[1] / f"{WNIDS[1]}_boxes.txt").unlink()
    (base / "val" / "val_annotations.txt").write_text("".join(sorted(annotations)))
    (base / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (base / "words.txt").write_text("".join(f"{wnid}\t{words}\n" for wnid, words in WORDS.items()))
    return base


def test_the_published_layout(find, base):
    found = find("tinyimagenet", base.parent)
    assert found.root == base
    # in the order of the WordNet IDs: n01443537 n01990800 n02279972 n03126707 n99999999
    assert found.class_names == ["goldfish", "crane (n01990800)", "monarch", "crane (n03126707)", "n99999999"]
    assert {split: len(indices) for split, indices in found.published.items()} == {"train": 20, "test": 10}
    assert found.skipped == []
    labelled = dict(line.split()[:2] for line in (base / "val" / "val_annotations.txt").read_text().splitlines())
    for split, indices in found.published.items():
        for path, target in zip(np.array(found.paths)[indices], found.targets[indices], strict=True):
            wnid = labelled[Path(path).name] if split == "test" else path.split("/")[1]
            assert wnid == sorted(WNIDS)[target]
            assert (base / path).is_file()


def test_greyscale_images_are_images(make_module, base):
    data = make_module("tinyimagenet", root=base.parent, image_size=64, classes=2)
    data.setup()
    grey = [i for i, path in enumerate(data.found.paths) if path.endswith("_3.JPEG")]
    assert len(grey) == 2
    images = data.dataset("train", None)
    assert all(images[i][0].shape == (3, 64, 64) for i in range(data.size("train")))
    assert [data.size(split) for split in ("train", "val", "test")] == [6, 2, 4]


def test_chosen_classes_are_counted_from_zero(find, base, monkeypatch):
    scanned: list[str] = []
    real = tinyimagenet.collect

    def watched(listing):
        scanned.extend(file.path for file in listing.files)
        return real(listing)

    monkeypatch.setattr(tinyimagenet, "collect", watched)
    found = find("tinyimagenet", base.parent, classes=3, class_seed=7)
    chosen = choose_classes(WNIDS, 3, 7)
    assert len(found.class_names) == len(chosen) == 3
    assert np.bincount(found.targets).tolist() == [6, 6, 6]
    train = found.published["train"]
    assert [found.paths[i].split("/")[1] for i in train] == [chosen[target] for target in found.targets[train]]
    assert sorted(scanned) == sorted(found.paths)  # no file of another class is opened


def test_names_differ_where_both_are_chosen_and_only_there(tmp_path):
    (tmp_path / "words.txt").write_text("".join(f"{wnid}\t{words}\n" for wnid, words in WORDS.items()))
    names = tinyimagenet.readable_names(tmp_path / "words.txt", ["n01990800", "n02279972"])
    assert names == ["crane", "monarch"]
    assert tinyimagenet.readable_names(tmp_path / "none.txt", ["n01990800", "n02279972"]) == ["n01990800", "n02279972"]


def test_a_choice_is_the_same_everywhere():
    """Two processes that hash strings and order the list differently, given the function alone: torch starts slowly."""
    wnids = [f"n{number:08d}" for number in range(200)]
    imports = "import hashlib, sys\nfrom collections.abc import Sequence\n"
    code = f"{imports}{inspect.getsource(choose_classes)}\nprint(*choose_classes(sys.argv[1:], 25, 303))"
    said = [
        subprocess.run(
            [sys.executable, "-c", code, *listed],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for hash_seed, listed in (("1", wnids), ("2", wnids[::-1]))
    ]
    assert said[0] == said[1] == choose_classes(wnids, 25, 303) == sorted(set(said[0]))
    # `printf 303/n00000149 | sha256sum` begins with 0262: the first of the 200
    assert choose_classes(wnids, 3, 303) == ["n00000026", "n00000149", "n00000162"]


def test_a_choice_grows_and_another_seed_chooses_others():
    wnids = [f"n{number:08d}" for number in range(200)]
    sizes = [set(choose_classes(wnids, n, 303)) for n in (2, 10, 25, 200)]
    assert sizes[0] < sizes[1] < sizes[2] < sizes[3] == set(choose_classes(wnids, None, 303))
    assert len(set(choose_classes(wnids, 25, 304)) & sizes[2]) < 15


def break_layout(base: Path, what: str) -> None:
    annotations = base / "val" / "val_annotations.txt"
    lines = annotations.read_text().splitlines(keepends=True)
    if what == "no folder":
        shutil.rmtree(base / "train" / "n03126707")
    elif what == "one column":
        annotations.write_text("".join([*lines[:3], "val_3.JPEG\n", *lines[4:]]))
    elif what == "cut short":
        annotations.write_text("".join(line for line in lines if "n03126707" not in line))
    elif what == "leads out":
        annotations.write_text("".join([*lines, "../../secret.JPEG\tn03126707\n"]))
    elif what == "two labels":
        annotations.write_text("".join([*lines, f"{lines[0].split()[0]}\tn01443538\n"]))
    elif what == "binary":
        annotations.write_bytes(b"\xff\xfe\x00")
    elif what == "no list":
        (base / "wnids.txt").unlink()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no folder", r"wnids\.txt lists n03126707, but there is no train/n03126707/images"),
        ("one column", r"val_annotations\.txt is damaged in line 4, 'val_3\.JPEG'"),
        ("cut short", r"val_annotations\.txt names no image of n03126707"),
        ("leads out", r"val_annotations\.txt is damaged in line 11"),
        ("two labels", r"val_annotations\.txt is damaged in line 11"),
        ("binary", r"val_annotations\.txt is missing or damaged"),
        ("no list", r"wnids\.txt is missing or damaged"),
    ],
)
def test_a_damaged_layout_is_told_in_one_line(find, base, what, message):
    break_layout(base, what)
    with pytest.raises(InputError, match=message) as caught:
        find("tinyimagenet", base.parent)
    assert "\n" not in str(caught.value)


def test_what_is_wrong_with_a_class_that_is_not_chosen_does_not_matter(find, base):
    chosen = choose_classes(WNIDS, 4, 0)
    (other,) = set(WNIDS) - set(chosen)
    shutil.rmtree(base / "train" / other)
    assert len(find("tinyimagenet", base.parent, classes=4).class_names) == 4


def test_an_image_that_is_listed_and_missing_is_left_out(find, base):
    (base / "val" / "images" / "val_3.JPEG").unlink()
    found = find("tinyimagenet", base.parent)
    assert [(skipped.path, skipped.reason) for skipped in found.skipped] == [("val/images/val_3.JPEG", "missing")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 6}, r"data\.classes=6, but .*tiny-imagenet-200 has 5 of them"),
        ({"classes": 1}, r"data\.classes=1 is not possible: take null, a list of at least two names"),
        ({"classes": "ten"}, r"data\.classes=ten"),
        ({"class_seed": -1}, r"data\.class_seed=-1"),
        ({"class_seed": 1.5}, r"data\.class_seed=1\.5"),
        ({"class_seed": None}, r"data\.class_seed=null"),
    ],
)
def test_absurd_choices(find, base, options, message):
    def look():
        check_source("tinyimagenet", options)
        find("tinyimagenet", base.parent, **options)

    with pytest.raises(InputError, match=message) as caught:
        look()
    assert "\n" not in str(caught.value)


def test_the_zip_is_downloaded_checked_and_unpacked(find, base, serve, tmp_path, monkeypatch):
    archive = Path(shutil.make_archive(str(tmp_path / "served" / "tiny-imagenet-200"), "zip", base.parent))
    published = replace(
        tinyimagenet.TINY_IMAGENET,
        url=f"{serve(archive.parent)}/{archive.name}",
        digest=f"md5:{hashlib.md5(archive.read_bytes()).hexdigest()}",
        size=archive.stat().st_size,
    )
    monkeypatch.setattr(tinyimagenet, "TINY_IMAGENET", published)
    with pytest.raises(InputError, match=r"no Tiny-ImageNet in .*new: put there .*tiny-imagenet-200 \(the folder\) or"):
        find("tinyimagenet", tmp_path / "new")
    found = find("tinyimagenet", tmp_path / "new", download=True)
    assert found.paths == find("tinyimagenet", base.parent).paths
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"tiny-imagenet-200", "tiny-imagenet-200.zip"}

    monkeypatch.setattr(tinyimagenet, "TINY_IMAGENET", replace(published, digest=f"md5:{'0' * 32}"))
    with pytest.raises(InputError, match=r"another file than expected \(md5:"):
        find("tinyimagenet", tmp_path / "other", download=True)
    assert not (tmp_path / "other").exists()
    shutil.rmtree(tmp_path / "new" / "tiny-imagenet-200")
    with pytest.raises(InputError, match=r"not the published file \(its md5 differs\)"):
        find("tinyimagenet", tmp_path / "new", download=True)
