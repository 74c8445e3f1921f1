"""Labels from a table, as people, Hugging Face and Kaggle have them."""

import logging
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from src.errors import InputError

Photos = Callable[..., Path]


@pytest.fixture
def photos(tmp_path: Path, save_image) -> Photos:
    """Small images of these names below tmp_path / photos, and tables there of these lines."""

    def make(names: list[str], **tables: list[str]) -> Path:
        root = tmp_path / "photos"
        for i, name in enumerate(names):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            save_image(root / name, seed=i)
        for name, lines in tables.items():
            path = root / f"{name.replace('__', '/')}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return root

    return make


def lines(names: list[str], header: str = "file,label") -> list[str]:
    """A row for each name, of classes cat and dog in turn."""
    return [header, *(f"{name},{'cat' if i % 2 == 0 else 'dog'}" for i, name in enumerate(names))]


NAMES = [f"{i}.png" for i in range(6)]


def parts(found) -> dict[str, list[str]]:
    return {split: [found.paths[i] for i in indices] for split, indices in found.published.items()}


def labels(found) -> dict[str, str]:
    return {path: found.class_names[target] for path, target in zip(found.paths, found.targets, strict=True)}


def test_the_order_of_the_rows_makes_no_difference(photos, find):
    root = photos(NAMES, labels=lines(NAMES))
    one = find("table", root, table=root / "labels.csv")
    text = (root / "labels.csv").read_text().splitlines()
    (root / "labels.csv").write_text("\n".join([text[0], *text[:0:-1]]))
    other = find("table", root, table="labels.csv")  # in data.root
    assert one.paths == other.paths == NAMES
    assert one.targets.tolist() == other.targets.tolist() == [0, 1, 0, 1, 0, 1]
    assert one.class_names == ["cat", "dog"]
    assert parts(one) == {"train": NAMES}


def test_found_columns_are_said_in_a_line(photos, find, caplog):
    caplog.set_level(logging.INFO)
    find("table", photos([f"train/{n}" for n in NAMES], labels=lines([n[:-4] for n in NAMES], "id,breed")))
    assert [record.getMessage() for record in caplog.records if "rows" in record.getMessage()] == [
        "labels.csv: 6 rows; file: id, label: breed; files: train/*.png"
    ]


def test_kaggle(photos, find):
    train, test = ([f"{folder}/{n}" for n in NAMES] for folder in ("train", "test"))
    stems = [name[:-4] for name in NAMES]
    root = photos([*train, *test], train=lines(stems, "id,breed"), test=["id", *stems], sample_submission=["id,breed"])
    found = find("table", root)  # the folder like the table
    assert labels(found) == {path: "cat" if i % 2 == 0 else "dog" for i, path in enumerate(train)}
    assert find("table", root / "test", table=root / "train.csv").paths == NAMES
    (root / "train.csv").rename(root / "labels.csv")
    with pytest.raises(InputError, match=r"in several folders, 'test', 'train': say data\.root=FOLDER"):
        find("table", root, table="labels.csv")


def test_kaggles_nested_folders(photos, find):
    root = photos(["train/0/a/0ab.jpg", "train/1/b/1bc.jpg"], train=["id,landmark_id", "0ab,7", "1bc,10"])
    assert labels(find("table", root)) == {"train/0/a/0ab.jpg": "7", "train/1/b/1bc.jpg": "10"}


def test_hugging_face(photos, find):
    names = [f"{folder}/{n}" for folder in ("train", "test") for n in NAMES]
    rows = lines(NAMES, "file_name,label")
    root = photos(names, train__metadata=rows, test__metadata=rows)
    found = find("table", root)
    assert parts(found) == {split: [f"{split}/{n}" for n in NAMES] for split in ("train", "test")}
    (root / "test" / "metadata.csv").write_text("\n".join(["file_name", *NAMES]))  # without labels
    assert parts(find("table", root)) == {"train": [f"train/{n}" for n in NAMES]}


def test_hugging_face_with_one_table_above_all(photos, find):
    names = [f"{folder}/{n}" for folder in ("train", "validation") for n in NAMES]
    root = photos(names, metadata=lines(names, "file_name,label"))
    found = find("table", root)
    assert parts(found) == {
        split: [f"{w}/{n}" for n in NAMES] for split, w in (("train", "train"), ("val", "validation"))
    }
    assert list(find("table", root, split="none").published) == ["train"]


@pytest.mark.parametrize(
    ("header", "train", "val"), [("split", "Training", "dev"), ("is_valid", "False", "True"), ("is_train", "1", "0")]
)
def test_a_split_column_is_obeyed(photos, find, header, train, val):
    rows = [f"{line},{val if i > 4 else train}" for i, line in enumerate(lines(NAMES)[1:], start=1)]
    found = find("table", photos(NAMES, labels=[f"file,label,{header}", *rows]))
    assert parts(found) == {"train": NAMES[:4], "val": NAMES[4:]}


def test_names_of_another_system(photos, find, save_image):
    cafe = unicodedata.normalize("NFD", "café.png")
    root = photos(["a/0.png", f"a/{cafe}"], labels=["file,label", r"a\0.png,dog", "a/café.png,café"])
    found = find("table", root)
    assert labels(found) == {"a/0.png": "dog", f"a/{cafe}": "café"}


def test_absolute_paths_and_paths_from_the_tables_folder(photos, find, tmp_path):
    root = photos(["im/0.png", "im/1.png"], meta__labels=["file,label", "../im/0.png,cat", "../im/1.png,dog"])
    assert find("table", root, table=root / "meta" / "labels.csv").paths == ["im/0.png", "im/1.png"]
    (root / "meta" / "labels.csv").write_text(f"file,label\n{root}/im/0.png,cat\n{root}/im/1.png,dog\n")
    assert find("table", root, table=root / "meta" / "labels.csv").paths == ["im/0.png", "im/1.png"]
    with pytest.raises(InputError, match=r"im/0\.png', which is not below .*: say data\.root=FOLDER that all images"):
        find("table", root / "meta", table="labels.csv")


def test_classes_that_are_numbers(photos, find):
    root = photos(NAMES[:3], labels=["file,label", "0.png,10.0", "1.png,2.0", "2.png,1.0"])
    found = find("table", root)
    assert found.class_names == ["1", "2", "10"]
    assert found.targets.tolist() == [2, 1, 0]


def test_a_file_that_is_named_twice_counts_once(photos, find):
    root = photos(NAMES, labels=[*lines(NAMES), "0.png,cat", "./0.png,cat"])
    assert find("table", root).paths == NAMES


def test_a_few_missing_files_are_left_out(photos, find):
    root = photos(NAMES, labels=[*lines(NAMES), "gone.png,cat"])
    found = find("table", root, max_skipped=0.2)
    assert found.paths == NAMES
    assert [(entry.path, entry.reason) for entry in found.skipped] == [("gone.png", "missing")]
    with pytest.raises(InputError, match=r"1 of 7 files .*max_skipped=0\.05: gone\.png \(missing\)"):
        find("table", root)


@pytest.mark.parametrize(
    ("rows", "said", "message"),
    [
        ([*lines(NAMES), "0.png,dog"], {}, r"0\.png stands in two rows with two labels, 'cat' and 'dog': remove one"),
        ([*lines(NAMES), "0.png,"], {}, "1 of the 7 rows of labels.csv have no label in column 'label' .first row 7"),
        ([*lines(NAMES), ",cat"], {}, "no file in row 7 of column 'file': fill it in"),
        (["file,label", *(f"{n},cat" for n in NAMES)], {}, "one class only, 'cat'"),
        (lines(["x.png", "y.png"]), {}, r"none of the 2 files that labels\.csv names are in .*no 'x\.png'"),
        (lines(["0.png", "../1.png"]), {}, r"names '\.\./1\.png', which is not below"),
        (lines(["0.png", "https://x.org/1.png"]), {}, "download the images"),
        (lines(["0.png", r"C:\pics\1.png"]), {}, "is not below"),
        (lines(NAMES, "file,a"), {"label": "b"}, r"data\.label=b is no column of labels\.csv: it has 'file', 'a'"),
        (["file,a,b", "0.png,1,2"], {}, r"no column of labels\.csv is known to be the label \(it has 'file', 'a', "),
        (["file,label,split", "0.png,a,train", "1.png,b,x"], {}, r"column 'split' of labels\.csv holds 'x', where"),
        (["file,label,fold", "0.png,a,0", "1.png,b,1"], {}, r"holds the numbers 0, 1, where .* data\.split=none"),
        (["file,label,split", "0.png,a,test", "1.png,b,test"], {}, "no images for train"),
        (["file,label,split", "0.png,a,train", "1.png,a,train", "2.png,b,val"], {}, "no training image of 'b'"),
        (["file,label,patient", "0.png,a,1", "1.png,b,"], {}, r"no group in row 2 .*data\.group=none"),
        (lines(NAMES), {"group": "patent"}, r"data\.group=patent is no column of the table, and a pattern that 6 of 6"),
        (lines(NAMES), {"table": "labls.csv"}, r"data\.table=labls\.csv does not exist"),
        (lines(NAMES), {"table": "."}, r"is a folder, not a table: say data\.root=FOLDER"),
    ],
)  # fmt: skip
def test_what_is_wrong_takes_one_line(photos, find, rows, said, message):
    root = photos(NAMES, labels=rows)
    with pytest.raises(InputError, match=message) as caught:
        find("table", root, **said)
    assert "\n" not in str(caught.value)


def test_what_is_no_class(photos, find):
    names = [f"{i}.png" for i in range(30)]
    root = photos(names, labels=["file,price", *(f"{name},{i / 7}" for i, name in enumerate(names))])
    with pytest.raises(
        InputError, match=r"30 different values in 30 rows, which are no classes: say data\.label=COLUMN"
    ):
        find("table", root)


def test_a_name_that_two_files_have(photos, find, save_image):
    root = photos(["a.png", "b.png", "a.jpg"], labels=["id,label", "a,cat", "b,dog"])
    with pytest.raises(InputError, match=r"names 'a', which may be 'a\.jpg' or 'a\.png'"):
        find("table", root)


def test_which_table(photos, find):
    root = photos(NAMES, one=lines(NAMES), two=lines(NAMES))
    with pytest.raises(InputError, match=r"several tables, one\.csv, two\.csv: say which with data\.table=FILE"):
        find("table", root)
    (root / "one.csv").rename(root / "train.csv")
    (root / "two.csv").unlink()
    assert find("table", root).paths == NAMES
    (root / "train.csv").unlink()
    with pytest.raises(InputError, match="holds no table"):
        find("table", root)


def grouped(make_module, photos, **settings):
    names = [f"p{i // 4}_{i}.png" for i in range(40)]
    rows = [f"{line},{i // 4}" for i, line in enumerate(lines(names)[1:])]
    root = photos(names, labels=["file,label,patient", *rows])
    data = make_module("table", table=str(root / "labels.csv"), seed=1, **settings)
    data.setup()
    return data


@pytest.mark.parametrize("settings", [{}, {"group": r"p(\d+)_"}, {"folds": 5, "fold": 2}])
def test_a_group_stays_in_one_split(make_module, photos, settings):
    data = grouped(make_module, photos, **settings)
    sides = [{path.split("_")[0] for path in data.paths(split)} for split in ("train", "val", "test")]
    assert all(sides)
    assert sum(map(len, sides)) == len(set.union(*sides)) == 10


def test_without_groups_the_division_is_as_ever(make_module, photos):
    data = grouped(make_module, photos, group="none")
    assert data.found.groups is None
    assert len({path.split("_")[0] for split in ("train", "val") for path in data.paths(split)}) == 10


def test_a_pattern_makes_groups_in_folders_of_classes_too(make_module, make_folder):
    root = make_folder({f"{name}/p{i}": 3 for name in ("cat", "dog") for i in range(6)})
    data = make_module("folder", root=root, group=r"/(p\d)/")
    data.setup()
    sides = [{path.split("/")[1] for path in data.paths(split)} for split in ("train", "val", "test")]
    assert sum(map(len, sides)) == 6
    assert not np.array_equal(data.indices("test"), _divided_without_groups(make_module, root))


def _divided_without_groups(make_module, root: Path) -> np.ndarray:
    data = make_module("folder", root=root)
    data.setup()
    return data.indices("test")


def test_groups_across_given_splits_are_named(make_module, photos, caplog):
    splits = ["train", "train", "train", "val", "test", "test"]
    groups = ["p", "q", "r", "p", "s", "p"]
    rows = [f"{line},{split},{name}" for line, split, name in zip(lines(NAMES)[1:], splits, groups, strict=True)]
    data = make_module("table", table=photos(NAMES, labels=["file,label,split,patient", *rows]) / "labels.csv")
    data.setup()
    assert [data.size(split) for split in ("train", "val", "test")] == [3, 1, 2]
    assert "1 of the 4 groups are in more than one split, as they were given: 'p' (train, val, test)" in caplog.text


def test_given_splits_and_too_few_groups(make_module, photos):
    rows = [f"{line},{'train' if i < 4 else 'test'},p" for i, line in enumerate(lines(NAMES)[1:])]
    data = make_module("table", table=photos(NAMES, labels=["file,label,split,patient", *rows]) / "labels.csv")
    with pytest.raises(InputError, match=r"1 group can't be divided into train, val: .*data\.group=none"):
        data.setup()


def test_what_is_left_out_takes_its_group_along(photos, find):
    rows = ["file,label,patient", *(f"{name},{'cat' if i % 2 else 'dog'},p{i}" for i, name in enumerate(NAMES))]
    root = photos(NAMES, labels=rows)
    found = find("table", root, table=root / "labels.csv", exclude=["2.png"])
    assert found.paths == [name for name in NAMES if name != "2.png"]
    assert found.groups == ["p0", "p1", "p3", "p4", "p5"]


# Several labels an image ----------------------------------------------------------------------------------------------


def matrix(found) -> dict[str, list[float | None]]:
    return {
        path: [None if np.isnan(value) else value for value in row.tolist()]
        for path, row in zip(found.paths, found.targets, strict=True)
    }


def test_columns_of_0_and_1_are_labels_and_empty_cells_unknown(photos, find, caplog):
    caplog.set_level(logging.INFO)
    rows = ["0.png,3.5,1,0,1", "1.png,2.0,,1,0", "2.png,1.5,0.0,0,True", "3.png,4.5,-1,false,0"]
    root = photos(NAMES[:4], labels=["file,age,wolf,cat,Dog", *rows])
    found = find("table", root, multilabel=True)
    assert found.class_names == ["Dog", "cat", "wolf"]
    assert matrix(found) == {"0.png": [1, 0, 1], "1.png": [0, 1, None], "2.png": [1, 0, 0], "3.png": [0, 0, None]}
    assert found.targets.dtype == np.float32
    assert any("labels: wolf, cat, Dog" in record.getMessage() for record in caplog.records)
    chosen = find("table", root, multilabel=True, label=["Dog", "wolf"])
    assert chosen.class_names == ["Dog", "wolf"]
    for twice in (["cat", "cat"], ["cat", "Dog", "dog"]):
        with pytest.raises(InputError, match=rf"data\.label names the column '{twice[1]}' twice: name each once"):
            find("table", root, multilabel=True, label=twice)


@pytest.mark.parametrize(
    "cells",
    [["cat;dog", "", "dog"], ["cat dog", "", "dog"], ["cat|dog", "", "dog"], ['"[""cat"", ""dog""]"', "[]", "dog"]],
)
def test_a_column_of_lists(photos, find, cells):
    root = photos(NAMES[:3], labels=["file,tags", *(f"{n},{c}" for n, c in zip(NAMES, cells, strict=False))])
    found = find("table", root, multilabel=True)
    assert found.class_names == ["cat", "dog"]
    assert matrix(found) == {"0.png": [1, 1], "1.png": [0, 0], "2.png": [0, 1]}


def test_lists_of_json_keep_spaces_and_a_row_for_each_label_is_one_image(photos, find):
    root = photos(NAMES[:2])
    text = '{"file": "0.png", "label": ["golden retriever"]}\n{"file": "0.png", "label": ["ball"]}\n{"file": "1.png"}\n'
    (root / "labels.jsonl").write_text(text)
    found = find("table", root, multilabel=True)
    assert matrix(found) == {"0.png": [1, 1], "1.png": [0, 0]}
    assert found.class_names == ["ball", "golden retriever"]


def test_what_is_no_labels_is_refused(photos, find):
    root = photos(NAMES[:2], labels=["file,a,b,text", "0.png,1,2,x", "1.png,0,1,y"])
    for label, message in (
        (["a", "b"], "column 'b' of labels.csv holds '2'"),
        (["a", "c"], "names 'c', no column of labels.csv"),
        ("a", "holds 0 and 1, a single label"),
        (None, r"say data\.label=COLUMN or data\.label=\[COLUMN,COLUMN\]"),
    ):
        with pytest.raises(InputError, match=message):
            find("table", root, multilabel=True, label=label)
    (root / "labels.csv").write_text("file,a,b\n0.png,1,0\n0.png,0,0\n1.png,0,1\n")
    with pytest.raises(InputError, match="stands in two rows with two labels, a and no label"):
        find("table", root, multilabel=True)


def test_the_data_module_serves_them_stratified(photos, tmp_path):
    from src.data import ImageDataModule

    names = [f"{i}.png" for i in range(60)]
    rows = [f"{name},{i % 2},{int(i % 3 == 0)},{'' if i % 5 == 0 else int(i % 7 == 0)}" for i, name in enumerate(names)]
    root = photos(names, labels=["file,a,b,c", *rows])
    data = ImageDataModule(
        name="table", root=root, image_size=8, multilabel=True, batch_size=8, num_workers=0, balance="loss"
    )
    data.setup()
    assert [data.size(split) for split in ("train", "val", "test")] == [49, 5, 6]
    images, targets = next(iter(data.train_dataloader()))
    assert images.shape == (8, 3, 8, 8)
    assert targets.shape == (8, 3)
    assert targets.is_floating_point()
    shares = np.nanmean(data.targets("train"), axis=0)
    assert data.class_weights() == pytest.approx((1 - shares) / shares)
    assert not data.classes_without("test")
    assert data.sample("val", 3)[1].shape == (3, 3)
    with pytest.raises(InputError, match="sampler"):
        ImageDataModule(name="table", root=root, multilabel=True, balance="sampler")
    with pytest.raises(InputError, match=r"data\.multilabel=true"):
        ImageDataModule(name="table", root=root, label=["a", "b"])


def test_the_numbers_of_a_partition_are_those_of_celeba(photos, find, caplog):
    caplog.set_level("INFO")
    root = photos(
        NAMES, labels=["file,label,partition", *(f"{name},{'cd'[i % 2]},{i % 3}" for i, name in enumerate(NAMES))]
    )
    found = find("table", root)
    assert {split: len(places) for split, places in found.published.items()} == {
        split: len(NAMES[place::3]) for place, split in enumerate(("train", "val", "test"))
    }
    assert "0 is train, 1 val and 2 test" in caplog.text


@pytest.mark.parametrize(
    ("column", "numbers", "said"),
    [
        (
            "fold",
            "0123",
            r"the numbers 0, 1, 2, 3, where .*: say data\.group=fold data\.folds=4 data\.fold=0 if they are",
        ),
        ("Fold", "123", r"say data\.group=Fold data\.folds=3 data\.fold=0"),
        ("partition", "123", r"say data\.group=partition data\.folds=3"),
        ("split", "012", r"say data\.group=split data\.folds=3"),
        ("split", "01", "the numbers 0, 1, where train, val or test is wanted: write words"),
        ("split", "1", "the number 1, where train"),
    ],
)
def test_other_numbers_get_a_line_that_says_how(photos, find, column: str, numbers: str, said: str):
    cells = [numbers[i % len(numbers)] for i in range(len(NAMES))]
    rows = [f"{name},{'cd'[i // 4 % 2]},{cell}" for i, (name, cell) in enumerate(zip(NAMES, cells, strict=True))]
    root = photos(NAMES, labels=[f"file,label,{column}", *rows])
    with pytest.raises(InputError, match=said):
        find("table", root)
    assert find("table", root, split="none").published.keys() == {"train"}


def test_numbered_folds_can_be_tested_in_turn_as_the_line_says(photos, make_module):
    names = [f"{i:02}.png" for i in range(24)]
    root = photos(
        names, labels=["file,label,fold", *(f"{name},{'cd'[i % 2]},{i // 6}" for i, name in enumerate(names))]
    )
    tested = []
    for fold in range(4):
        data = make_module("table", root=root, group="fold", folds=4, fold=fold)
        data.setup()
        tested.append(sorted({int(path[:2]) // 6 for path in data.paths("test")}))
    assert sorted(tested) == [[0], [1], [2], [3]]
