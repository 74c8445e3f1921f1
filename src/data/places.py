"""Where the objects lie in pictures, where somebody has said so: boxes or masks beside them.

Three kinds are known: `boxes.csv` in the data set's folder, the boxes of Tiny-ImageNet, the masks of Oxford-IIIT pets.
"""

import csv
from collections import defaultdict
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageDraw

from ..errors import InputError

BOXES = "boxes.csv"
COLUMNS = ("file", "left", "top", "right", "bottom")
TRIMAPS = "annotations/trimaps"
BACKGROUND = 2
"""In the masks of Oxford-IIIT pets; 1 is the animal, 3 its edge."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the upright picture, the last two just outside, as Pillow crops."""


class Places:
    """The places of objects in the pictures below the folder `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tiny: dict[PurePosixPath, dict[str, Box]] = {}

    def knows(self, path: str) -> bool:
        """Return whether somebody has said where the objects are in the picture at `path`, relative to the folder.

        Raise `InputError` for a `boxes.csv` that can't be read.
        """
        return bool(self._boxes(path)) or (self._has_trimaps and self._trimap(path).is_file())

    def mask(self, path: str, size: tuple[int, int]) -> Image.Image:
        """Return where they are: 255 in a picture of mode L and of `size` (W, H), that of the picture, upright."""
        if boxes := self._boxes(path):
            mask = Image.new("L", size)
            draw = ImageDraw.Draw(mask)
            for left, top, right, bottom in boxes:
                draw.rectangle((round(left), round(top), round(right) - 1, round(bottom) - 1), fill=255)
            return mask
        with Image.open(self._trimap(path)) as trimap:
            mask = Image.fromarray(np.where(np.asarray(trimap) != BACKGROUND, 255, 0).astype(np.uint8))
        return mask.resize(size, Image.Resampling.NEAREST)

    @cached_property
    def _has_trimaps(self) -> bool:
        return (self._root / TRIMAPS).is_dir()

    def _trimap(self, path: str) -> Path:
        return self._root / TRIMAPS / f"{PurePosixPath(path).stem}.png"

    def _boxes(self, path: str) -> list[Box]:
        if path in self._listed:
            return self._listed[path]
        place = PurePosixPath(path)
        if place.parent.name != "images":
            return []
        folder = place.parent.parent
        if folder not in self._tiny:
            self._tiny[folder] = self._of_tiny_imagenet(folder)
        box = self._tiny[folder].get(place.name)
        return [] if box is None else [box]

    @cached_property
    def _listed(self) -> dict[str, list[Box]]:
        """Return the boxes of `boxes.csv`, one a line, by their files."""
        table, boxes = self._root / BOXES, defaultdict[str, list[Box]](list)
        if not table.is_file():
            return boxes
        with table.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            rows = csv.DictReader(file)
            if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
                raise InputError(f"{table} lacks the column {missing[0]}: its first line is {','.join(COLUMNS)}")
            for row in rows:
                try:
                    left, top, right, bottom = (float(row[name]) for name in COLUMNS[1:])
                except (TypeError, ValueError):
                    left = right = top = bottom = float("nan")
                if not (0 <= left < right and 0 <= top < bottom):
                    given = ",".join(str(row[name]) for name in COLUMNS)
                    raise InputError(
                        f"{table}, line {rows.line_num}: {given} is no box: left < right and top < bottom, in pixels"
                    )
                boxes[str(row["file"])].append((left, top, right, bottom))
        return boxes

    def _of_tiny_imagenet(self, folder: PurePosixPath) -> dict[str, Box]:
        """Return the boxes that Tiny-ImageNet gives for the pictures of a folder, by the pictures' names."""
        for name in (f"{folder.name}_boxes.txt", "val_annotations.txt"):
            table = self._root / folder / name
            if table.is_file():
                rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()]
                return {
                    row[0]: (float(row[-4]), float(row[-3]), float(row[-2]) + 1, float(row[-1]) + 1)
                    for row in rows
                    if len(row) >= 5
                }
        return {}
