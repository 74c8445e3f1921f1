"""What a file tells of a picture before anyone has looked at it: format, size, compression, folder."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..data.datasets import FileDataset
from ..data.members import opened
from ..frames import pd
from ..trained.listing import SPLITS
from ..trained.pictures import Pictures

LOSSLESS = ("PNG", "BMP", "TIFF", "PPM", "GIF")


def properties_of(pictures: Pictures, chosen: NDArray[np.int64], class_names: Sequence[str]) -> pd.DataFrame | None:
    """Return width, height, their ratio, format, colour mode, compression, one row a picture; None without files.

    `compression` is the mean of a JPEG's first quantisation table, 0 of other formats; `blocks` how much of a JPEG that
    it once was a lossless file still shows, see `_blocks`, 0 of JPEGs. Bytes are no property: they tell
    how much there is to see. `folder` are the folders that it lies in beside those of its class and split.
    """
    dataset = pictures.dataset
    if not isinstance(dataset, FileDataset):
        return None
    rows = []
    for index in chosen:
        name = dataset.paths[int(index)]
        path = dataset.root / name
        known = {*SPLITS, class_names[int(pictures.targets[int(index)])]}
        row: dict[str, object] = {
            "folder": "/".join(part for part in PurePosixPath(name).parts[:-1] if part not in known)
        }
        try:
            with opened(path) as file, Image.open(file) as picture:
                width, height = picture.size
                row |= {"format": picture.format or "?", "mode": picture.mode}
                row["blocks"] = _blocks(picture) if picture.format in LOSSLESS else 0.0
                tables = getattr(picture, "quantization", None)  # of a JPEG
            row |= {"width": width, "height": height, "ratio": width / height}
            row["compression"] = float(np.mean(next(iter(tables.values())))) if tables else 0.0
        except (OSError, ValueError, Image.DecompressionBombError):  # a format that another library reads
            row |= {"format": path.suffix.lower().lstrip("."), "mode": "?"}
        rows.append(row)
    table = pd.DataFrame(rows)
    numbers = table.select_dtypes("number").columns
    table[numbers] = table[numbers].fillna(-1)
    return table


def _blocks(picture: Image.Image) -> float:
    """Return how much more grey values change between JPEG's blocks of 8×8 pixels than within them, 1: no more.

    By medians: the edges of what is shown are steeper, and lie anywhere.
    """
    grey = np.asarray(picture.convert("L"), np.float32)
    told = []
    for steps in (np.abs(np.diff(grey, axis=0)), np.abs(np.diff(grey, axis=1)).T):
        between = np.arange(len(steps)) % 8 == 7
        if between.any():
            told.append((1 + np.median(steps[between])) / (1 + np.median(steps[~between])))
    return max(1.0, float(np.mean(told))) if told else 1.0
