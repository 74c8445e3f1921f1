"""Which column of a table of labels means what: named by the user, or found by its name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import InputError, nearest
from .labels_table import Table

SAID = 8
"""Columns of labels that are named in a line."""

NONE = "none"
"""What a setting says to do without such a column."""

# Letters and digits of the names in lower case, in ranks: the first rank of which a table has a name decides.
FILE = (
    ("file", "fname", "fn", "filename", "filenames", "filepath", "path", "imagepath", "imagefile", "imagefilename",
     "imgpath", "imgfile"),
    ("image", "img", "imagename", "imgname", "picture", "photo", "images"),
    ("imageid", "imgid", "idcode", "id", "uuid", "name"),
)  # fmt: skip
LABEL = (
    ("label", "labels", "class", "classname", "labelname", "category", "categoryname", "target", "y"),
    ("breed", "species", "diagnosis", "dx", "disease", "type", "kind", "variety", "finding"),
    ("classid", "labelid", "categoryid", "targetid", "classidx", "labelidx", "classindex", "labelindex"),
)  # fmt: skip
SPLIT = (
    ("split", "subset", "set", "partition", "fold", "phase"),
    ("isvalid", "isval", "isvalidation", "istest", "istrain"),
)
GROUP = (
    ("group", "groupid", "patient", "patientid", "subject", "subjectid", "participant", "participantid", "person",
     "personid", "caseid", "lesionid", "individual", "individualid"),
)  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """The names of a table's columns; None where there is none. Of several labels an image, one column or more."""

    file: str
    label: str | tuple[str, ...] | None
    split: str | None
    group: str | None

    def __str__(self) -> str:
        found = {"file": self.file, "split": self.split, "group": self.group}
        if isinstance(self.label, str | None):
            found = {"file": found.pop("file"), "label": self.label, **found}
        else:
            more = f", … ({len(self.label)} in all)" if len(self.label) > SAID else ""
            found = {"file": found.pop("file"), "labels": ", ".join(self.label[:SAID]) + more, **found}
        return ", ".join(f"{role}: {name}" for role, name in found.items() if name is not None)


def find_columns(table: Table, wanted: Mapping[str, str | None]) -> Columns:
    """Return the columns of a table; `wanted` has what the user says of file, label, split and group.

    Without a name that is known, a label is the one column that is left. A group that is no column is a pattern, which
    isn't for here.

    Raises:
        InputError: no column names the files, there is no such column, or it could be several.
    """
    file, split, group = find_others(table, wanted, label=named(table, "label", wanted))
    taken = [name for name in (file, split, group) if name]
    label = named(table, "label", wanted) or by_name(table, "label", LABEL, taken)
    if label is None:
        left = usable(table, taken)
        label = left[0] if len(left) == 1 else None
    return Columns(file, label, split, group)


def find_others(
    table: Table, wanted: Mapping[str, str | None], label: str | None
) -> tuple[str, str | None, str | None]:
    """Return the columns of file, split and group, none of which is that of the `label`."""
    file = named(table, "file", wanted) or by_name(table, "file", FILE, [])
    if file is None and (picture := next(filter(_is_file, table.columns), None)):
        raise InputError(
            f"{table} has no header, for its first line names {picture!r}: put a line with names above, as file,label"
        )
    if file is None:
        raise InputError(
            f"no column of {table} is known to name the files (it has {listed(table)}): say data.file=COLUMN"
        )
    taken = [file, *filter(None, (named(table, "split", wanted), label))]
    group_said = wanted.get("group")
    group = find_named(table, group_said) if group_said else by_name(table, "group", GROUP, taken)
    taken += [group] if group else []
    split = named(table, "split", wanted) or (None if wanted.get("split") else by_name(table, "split", SPLIT, taken))
    return file, split, group


def usable(table: Table, taken: Sequence[str]) -> list[str]:
    """Return the other columns that have a name of their own."""
    return [name for name in table.columns if name not in taken and not name.startswith("column ")]


def _is_file(name: str) -> bool:
    """Return whether a column is called as a file is: it is one, in the first line of a table without a header."""
    return re.search(r"\.(jpe?g|png|tiff?|webp|bmp|gif|jp2|avif)$", name.strip(), re.IGNORECASE) is not None


def named(table: Table, role: str, wanted: Mapping[str, str | None]) -> str | None:
    """Return the column that the user names for a role, None if none is named."""
    name = wanted.get(role)
    if name is None or (name == NONE and role != "label"):
        return None
    found = find_named(table, name)
    if found is None:
        raise InputError(
            f"data.{role}={name} is no column of {table}: it has {listed(table)}; nearest: "
            f"{nearest(name, table.columns)}"
        )
    return found


def find_named(table: Table, name: str) -> str | None:
    """Return the column of this name, whose capitals may differ where that is clear."""
    if name in table.columns:
        return name
    alike = [column for column in table.columns if column.lower() == name.strip().lower()]
    return alike[0] if len(alike) == 1 else None


def by_name(table: Table, role: str, ranks: Sequence[Sequence[str]], taken: Sequence[str]) -> str | None:
    """Return the column that a role's usual names find; raise `InputError` for several of one rank."""
    letters = {name: "".join(sign for sign in name.lower() if sign.isalnum()) for name in table.columns}
    for rank in ranks:
        found = [name for name in table.columns if name not in taken and letters[name] in rank]
        if len(found) > 1:
            raise InputError(
                f"{table} has the columns {', '.join(map(repr, found))}, and each could be the {role}: say "
                f"data.{role}={found[0]}"
            )
        if found:
            return found[0]
    return None


def listed(table: Table) -> str:
    names = [repr(name) for name in table.columns]
    return ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")
