"""What `data.exclude=` leaves out of a data set: a list of files, such as an audit's, or patterns of paths."""

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..lists import read_paths
from ..names import nfc
from .collection import ImageCollection

log = logging.getLogger(__name__)

LISTS = (".csv", ".tsv", ".txt", ".lst", ".list")
"""How the name of a list ends: one that is missing is an error, no pattern that fits nothing."""

NAMED = 3
"""Patterns or paths that are named in a line."""


class Exclusion:
    """The files and folders that are left out, by their paths relative to the data set's folder, with slashes.

    A pattern means what .gitignore means by it: without a slash the name of a file or folder anywhere, with one the
    whole path; `*` is part of a name, `**` any folders. The paths of a list are taken as they are. Composed and
    decomposed letters (é) are the same.
    """

    def __init__(self, said: str | Sequence[str], root: Path) -> None:
        """Read a list file, a pattern or several.

        Raises:
            InputError: a list that is missing or can't be read, or a blank pattern.
        """
        self.root = root
        self.file = list_file(said)
        words = read_paths(self.file, "data.exclude") if self.file else [said] if isinstance(said, str) else list(said)
        self._paths: dict[str, str] = {}
        self._patterns: dict[str, re.Pattern[str]] = {}
        for word in words:
            path = self._relative(str(word))
            if not path:
                raise InputError(f"data.exclude={said} holds a blank pattern, or that of all images: remove it")
            if self.file or (not _is_pattern(path) and "/" in path) or os.path.lexists(root / path):
                self._paths[path] = word
            else:
                self._patterns[word] = re.compile(_expression(path))
        self._used: set[str] = set()
        self.files = self.folders = 0

    def _relative(self, word: str) -> str:
        """Return a path or pattern relative to the root, however it was written."""
        path = nfc(word.strip() if not self.file else word)
        for root in (str(self.root), str(self.root.absolute()), str(self.root.resolve())):
            inside = path.startswith(f"{nfc(root)}/")
            if inside and (os.path.isabs(path) or not os.path.lexists(self.root / path)):  # noqa: PTH117  # Windows' too
                path = path[len(nfc(root)) + 1 :]
        if "\\" in path and not os.path.lexists(self.root / path):  # as Windows writes it
            path = path.replace("\\", "/")
        while path.startswith("./"):
            path = path[2:]
        return path.rstrip("/")

    def leaves_out_folder(self, path: str) -> bool:
        """Return whether a folder and all below it is left out."""
        found = self._fits(path)
        self.folders += found
        return found

    def leaves_out(self, path: str) -> bool:
        """Return whether a file is left out, by itself or with a folder that it lies in."""
        parts = path.removeprefix("./").split("/")
        found = any(self._fits("/".join(parts[: end + 1])) for end in range(len(parts)))
        self.files += found
        return found

    def __str__(self) -> str:
        folders = f" and {self.folders:,} folder{'s' * (self.folders > 1)}" if self.folders else ""
        return f"data.exclude leaves out {self.files:,} file{'s' * (self.files != 1)}{folders}"

    def _fits(self, path: str) -> bool:
        path = nfc(path)
        found = {path} & self._paths.keys() | {
            word for word, pattern in self._patterns.items() if pattern.fullmatch(path)
        }
        self._used |= found
        return bool(found)

    def without(self, found: ImageCollection) -> ImageCollection:
        """Return the data set without the images, unreadable files and classes that are left out.

        A class is left out where it has images, and all of them are. Raises `InputError` for less than two classes.
        """
        keep = np.array([not self.leaves_out(path) for path in found.paths], dtype=bool)
        skipped = [file for file in found.skipped if not self.leaves_out(file.path)]
        kept = replace(found.only(keep), skipped=skipped)
        for split, indices in found.published.items():
            if len(indices) and not len(kept.published[split]):
                raise InputError(f"{self}, all of the {split} images of {found.root}: leave out less.")
        return kept if found.targets.ndim > 1 else self._without_classes(found, kept)

    def _without_classes(self, found: ImageCollection, kept: ImageCollection) -> ImageCollection:
        """Return the images with the classes that lost none, or not all, of theirs."""
        before, after = (np.bincount(one.targets, minlength=len(found.class_names)) for one in (found, kept))
        stays = (after > 0) | (before == 0)
        if stays.all():
            return kept
        names = [name for name, stay in zip(found.class_names, stays, strict=True) if stay]
        if len(names) < 2:
            raise InputError(
                f"{self} of {found.root} and leaves one class only, {names[0]!r}: leave out less, for at least two are "
                "needed."
            )
        return replace(kept, class_names=names, targets=(np.cumsum(stays) - 1)[kept.targets])

    def say(self) -> None:
        """Say in a line what was left out, and in another what fits nothing."""
        log.info("%s", self)
        idle = [word for word in self._patterns if word not in self._used]
        idle += [word for path, word in self._paths.items() if path not in self._used]
        if idle:
            named = ", ".join(idle[:NAMED]) + (f", … ({len(idle):,} in all)" if len(idle) > NAMED else "")
            where = f" of {self.file}" if self.file else ""
            log.warning("data.exclude%s names what is not in %s: %s", where, self.root, named)


def list_file(said: str | Sequence[str]) -> Path | None:
    """Return the list that is meant; None for patterns."""
    if not isinstance(said, str):
        return None
    file = Path(said).expanduser()
    if os.path.isfile(file):  # noqa: PTH113  # Path.is_file raises for a name that is too long
        return file
    if file.suffix.lower() in LISTS and not _is_pattern(said):
        raise InputError(
            f"data.exclude={said} does not exist: name a list of paths, or patterns such as ['*_mask.png']"
        )
    return None


def _is_pattern(path: str) -> bool:
    return any(sign in path for sign in "*?[")


def _expression(pattern: str) -> str:
    """Return the regular expression of a pattern, for a whole path."""
    anywhere = "" if "/" in pattern else "(?:.*/)?"
    found = ""
    for part in re.findall(r"\*\*/|\*\*|\*|\?|\[[!^]?\]?[^]/]*\]|.", pattern.removeprefix("/"), re.DOTALL):
        if part[0] == "[" and len(part) > 2:
            inner = part[1:-1].replace("\\", "\\\\")
            found += f"[^/{inner[1:]}]" if inner[0] in "!^" else f"[{inner}]"
        else:
            found += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part) or re.escape(part)
    return f"(?s:{anywhere}{found})"
