"""The arrays of a run, which are written as a whole, and which NumPy reads when their size is known."""

import io
import math
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format

from ..errors import first_line
from ..files import open_inside, replacing
from .contents import MissingError, UnusableError


def save_arrays(path: Path, **arrays: Any) -> None:
    """Save like `numpy.savez_compressed`, but write beside and rename, so that a reader never sees half a file."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read_arrays(folder: Path, name: str, wanted: Sequence[str]) -> dict[str, "np.ndarray[Any, Any]"]:
    """Return arrays of an `.npz` file. Their sizes are known, and no more than 32 MiB + 8 times the file's, before."""
    try:
        with open_inside(folder, name) as file, zipfile.ZipFile(file) as archive:
            most = 2**25 + 8 * file.seek(0, io.SEEK_END)
            parts = [archive.getinfo(f"{key}.npy") for key in wanted]
            if any(part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for part in parts):
                raise ValueError("NumPy compresses in another way")
            if sum(part.file_size for part in parts) > most:
                raise UnusableError(f"{name} can't be read (its arrays would take more than {most >> 20:,} MiB)")
            for part in parts:
                with archive.open(part) as stream:
                    _check_header(stream, part.file_size)
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return {key: arrays[f"{key}.npy"] for key in wanted}
    except FileNotFoundError:
        raise MissingError(f"{name} is missing") from None
    except UnusableError:
        raise
    except OSError as error:
        raise UnusableError(f"{name} can't be read ({error.strerror or first_line(error)})") from None
    except Exception as error:  # zipfile raises nearly anything on flipped bytes
        raise UnusableError(f"{name} is damaged ({first_line(error)[:120]})") from None


def _check_header(stream: Any, size: int) -> None:
    """Raise `ValueError` where an array of no size, or one larger than its file, is announced."""
    readers: dict[tuple[int, int], Callable[[Any], Any]] = {
        (1, 0): format.read_array_header_1_0,
        (2, 0): format.read_array_header_2_0,
    }
    shape, _, dtype = readers[format.read_magic(stream)](stream)
    # Without any size, an array of 10**12 empty values would be no byte long.
    if max(shape, default=1) > size or math.prod(shape) * max(dtype.itemsize, 1) > size:
        raise ValueError(f"an array of {shape} in {size:,} bytes")
