"""What a table says of its images' splits: words, true and false, or the folder of each image."""

from collections.abc import Mapping, Sequence

from ..errors import InputError
from .labels_table import Table
from .layout import SPLIT_FOLDERS

TRUE, FALSE = {"true", "1", "yes", "t", "y"}, {"false", "0", "no", "f", "n"}
FLAGS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("isvalid", "isval", "isvalidation"), ("val", "train")),
    "istest": ("test", "train"),
    "istrain": ("train", "val"),
}
"""What true and false mean in columns of these names, by their letters in lower case."""


def read_splits(table: Table, column: str) -> list[str]:
    """Return train, val or test for each row; raise `InputError` for a value that is no word for one of them."""
    values = [value.lower() for value in table.text(column)]
    words: dict[str, str] = dict(SPLIT_FOLDERS)
    flag = FLAGS.get("".join(sign for sign in column.lower() if sign.isalpha()))
    if flag and set(values) <= TRUE | FALSE:
        words = {**dict.fromkeys(TRUE, flag[0]), **dict.fromkeys(FALSE, flag[1])}
    if unknown := sorted({value for value in values if value not in words}):
        shown = ", ".join(repr(value[:40]) for value in unknown[:4]) + (", …" if len(unknown) > 4 else "")
        raise InputError(
            f"column {column!r} of {table} holds {shown}, where train, val or test is "
            "wanted: rename them, or say data.split=none to have the images divided"
        )
    return [words[value] for value in values]


def splits_of_folders(paths: Sequence[str]) -> list[str] | None:
    """Return the split that the first folder of each path names; None unless all do, and train is one of several."""
    words = dict.fromkeys(path.split("/", 1)[0].lower() if "/" in path else "" for path in paths)
    named = {SPLIT_FOLDERS.get(word) for word in words}
    if None in named or "train" not in named or len(named) < 2:
        return None
    return [SPLIT_FOLDERS[path.split("/", 1)[0].lower()] for path in paths]
