from pathlib import Path

import pytest

from src.data.columns import find_columns
from src.data.labels_table import Table
from src.errors import InputError


def find(names: str, **said):
    table = Table(Path("labels.csv"), {name: ["x"] for name in names.split(",")})
    found = find_columns(table, {"file": None, "label": None, "split": None, "group": None, **said})
    return found.file, found.label, found.split, found.group


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("file_name,label", ("file_name", "label", None, None)),
        ("id,breed", ("id", "breed", None, None)),
        ("Image,Id", ("Image", "Id", None, None)),  # Kaggle's whales: the one that is left
        ("image_id,label", ("image_id", "label", None, None)),
        ("id_code,diagnosis", ("id_code", "diagnosis", None, None)),
        ("image_name,patient_id,sex,target", ("image_name", "target", None, "patient_id")),
        ("lesion_id,image_id,dx,dx_type,age", ("image_id", "dx", None, "lesion_id")),
        ("fname,label,is_valid", ("fname", "label", "is_valid", None)),  # fastai's
        ("path,class_name,is_valid", ("path", "class_name", "is_valid", None)),
        ("Filename,Class,SPLIT,PatientID", ("Filename", "Class", "SPLIT", "PatientID")),
        ("column 1,image,variety,set", ("image", "variety", "set", None)),
        ("label,id,image", ("image", "label", None, None)),
        ("image,MEL,NV", ("image", None, None, None)),
    ],
)
def test_columns_are_found_by_their_names(names, found):
    assert find(names) == found


def test_columns_can_be_named():
    names = "file,label,other label,split,patient,site"
    assert find(names, label="other label") == ("file", "other label", "split", "patient")
    assert find(names, label="OTHER LABEL", split="none", group="site") == ("file", "other label", None, "site")
    assert find(names, group="none", file="site") == ("site", "label", "split", None)
    assert find(names, group=r"p(\d+)") == ("file", "label", "split", None)


@pytest.mark.parametrize(
    ("names", "said", "message"),
    [
        ("a,b", {}, r"no column of labels\.csv is known to name the files \(it has 'a', 'b'\): say data\.file=COLUMN"),
        (
            "cat/1.JPG,cat",
            {},
            r"labels\.csv has no header, for its first line names 'cat/1\.JPG': put a line with names",
        ),
        ("file,label,category", {}, "columns 'label', 'category', and each could be the label: say data.label=label"),
        ("filename,path,label", {}, "columns 'filename', 'path', and each could be the file: say data.file=filename"),
        ("file,label", {"label": "lable"}, r"data\.label=lable is no column of labels\.csv: .*; nearest: label"),
        ("file,label", {"split": "fold"}, r"data\.split=fold is no column"),
    ],
)
def test_what_is_not_clear_takes_one_line(names, said, message):
    with pytest.raises(InputError, match=message):
        find(names, **said)
