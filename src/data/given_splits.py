"""What a table says of its images' splits: words, true and false, or the folder of each image."""

import logging
from collections.abc import Mapping, Sequence

from ..errors import InputError
from .labels_table import Table
from .layout import SPLIT_FOLDERS

log = logging.getLogger(__name__)

TRUE, FALSE = {"true", "1", "yes", "t", "y"}, {"false", "0", "no", "f", "n"}
FLAGS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("isvalid", "isval", "isvalidation"), ("val", "train")),
    "istest": ("test", "train"),
    "istrain": ("train", "val"),
}
"""What true and false mean in columns of these names, by their letters in lower case."""

NUMBERED: Mapping[str, str] = {"0": "train", "1": "val", "2": "test"}
"""What the numbers of a column `partition` mean, as in CelebA's list_eval_partition."""


def read_splits(table: Table, column: str) -> list[str]:
    """Return train, val or test for each row; raise `InputError` for a value that is no word for one of them."""
    values = [value.lower() for value in table.text(column)]
    words: dict[str, str] = dict(SPLIT_FOLDERS)
    flag = FLAGS.get("".join(sign for sign in column.lower() if sign.isalpha()))
    if flag and set(values) <= TRUE | FALSE:
        words = {**dict.fromkeys(TRUE, flag[0]), **dict.fromkeys(FALSE, flag[1])}
    numbers = sorted(set(values), key=lambda value: (len(value), value))
    if column.strip().lower() in ("partition", "evalpartition", "eval_partition") and numbers == [*NUMBERED]:
        log.info("column %r of %s: 0 is train, 1 val and 2 test, as in CelebA", column, table)
        words = dict(NUMBERED)
    elif all(value.isdecimal() and value not in words for value in numbers):
        raise InputError(_how_to_say_folds(table, column, numbers))
    if unknown := sorted({value for value in values if value not in words}):
        shown = ", ".join(repr(value[:40]) for value in unknown[:4]) + (", …" if len(unknown) > 4 else "")
        raise InputError(
            f"column {column!r} of {table} holds {shown}, where train, val or test is "
            "wanted: rename them, or say data.split=none to have the images divided"
        )
    return [words[value] for value in values]


def _how_to_say_folds(table: Table, column: str, numbers: Sequence[str]) -> str:
    """Return the line for a column of numbers, which may be parts of a cross-validation or anything else."""
    many = len(numbers)
    shown = ", ".join(numbers) if many < 7 else f"{numbers[0]} to {numbers[-1]}"
    as_folds = f"say data.group={column} data.folds={many} data.fold=0 if they are folds to be tested in turn, "
    return (
        f"column {column!r} of {table} holds the number{'s' * (many > 1)} {shown}, where train, val or test is wanted: "
        f"{as_folds if many > 2 else ''}write words in their place, or say data.split=none to have the images divided"
    )


def splits_of_folders(paths: Sequence[str]) -> list[str] | None:
    """Return the split that the first folder of each path names; None unless all do, and train is one of several."""
    words = dict.fromkeys(path.split("/", 1)[0].lower() if "/" in path else "" for path in paths)
    named = {SPLIT_FOLDERS.get(word) for word in words}
    if None in named or "train" not in named or len(named) < 2:
        return None
    return [SPLIT_FOLDERS[path.split("/", 1)[0].lower()] for path in paths]
