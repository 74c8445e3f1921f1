"""Files that `torch.save` wrote, inspected before torch reads them: no code runs, and memory stays below file size.

`weights_only` keeps torch from running code, and no more: a compressed file of a few kilobytes can hold gigabytes, and
a tensor of four bytes can claim 10^12 numbers. `src.networks.pickled` inspects the pickle inside.
"""

import os
import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch
from torch import Tensor, nn

from ..errors import RunError, ran_out
from ..logs import escaped, visible
from .pickled import check_pickles
from .unsafe import UnsafePickleError

MOST_PICKLED = 8 * 2**20
"""Bytes of the pickle, which holds everything but the numbers: 258 kB for ResNet-152 with AdamW and a thousand class
names, 3.7 MB for a hundred thousand names and as many weights."""

END = struct.Struct("<12x2L2x")
"""The end of a zip archive: size and offset of its directory."""
END_64 = struct.Struct("<4s36x2Q8xQ4x")
"""What stands before it in one of 64 bits: its mark, size and offset, then, in the locator, its own offset."""
LOCATOR = 20
LARGE = 2**32 - 1  # see there

MOST_NAMED = 2 * 2**20
"""Bytes of the names and shapes in a `.safetensors` file: 0.1 MB for ResNet-152. 20 MB of empty tensors take 20 s."""

MOST_SHARED = 4
"""How often the tensors of a file may use its numbers, each in another shape or order."""

ZIP = b"PK\x03\x04"
LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number of torch.save before 1.6, pickled
LEGACY_PICKLES = 5  # magic number, protocol, machine, content, names of the storages


class SavedFileError(ValueError):
    """Why a file isn't loaded, in a few words. `unsafe`: it is intact and asks for something it must not."""

    def __init__(self, reason: str, *, unsafe: bool = False) -> None:
        super().__init__(reason)
        self.unsafe = unsafe


def is_url(path: Path | str) -> bool:
    """Return whether this is an address, such as https://…, s3://… or file://…, instead of a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)) is not None


def load_saved(path: Path) -> Any:
    """Return the tensors and plain values that `torch.save` wrote to a regular file; the tensors are mapped, not read.

    A `.safetensors` file, which can hold nothing else, is read by its own library.

    Raises:
        SavedFileError: The file is damaged or unsafe.
        RunError: There is too little memory, which says nothing about the file.
    """
    try:
        if path.exists() and not path.is_file():  # opening a pipe would block
            raise SavedFileError("it is no regular file")
        if path.suffix == ".safetensors":
            _check_header(path)
            return safetensors.torch.load_file(path)
        with path.open("rb") as file:
            start = file.read(30)
            file.seek(0)
            archive = start.startswith(ZIP)
            if archive:
                pickled, parts = _parts_of(path)
                check_pickles(pickled, 1, path.stat().st_size, parts)
            elif LEGACY in start:
                check_pickles(file.read(MOST_PICKLED), LEGACY_PICKLES, path.stat().st_size)
        if not (archive or LEGACY in start):
            raise SavedFileError("torch.save did not write it" if start else "it is empty")
        return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except SavedFileError:
        raise
    except UnsafePickleError as error:
        raise SavedFileError(str(error), unsafe=True) from error
    except pickle.UnpicklingError as error:
        raise SavedFileError("it holds more than tensors and plain values", unsafe=True) from error
    except OSError as error:
        _say_if_memory(error, path)
        raise SavedFileError((error.strerror or "it can't be opened").lower()) from error
    except Exception as error:  # each library raises its own, for each way a file can be broken
        _say_if_memory(error, path)
        sentence = str(error).partition(". ")[0].splitlines()[:1]
        words = visible(sentence[0])[:100] if sentence and not sentence[0].isdigit() else type(error).__name__
        raise SavedFileError(words) from error


def _say_if_memory(error: Exception, path: Path) -> None:
    if ran_out(error):
        raise RunError(f"out of memory while loading {path}: free some, then try again") from error


def check_tensors(tensors: Mapping[str, Any], path: Path) -> None:
    """Raise `SavedFileError` unless these are plain tensors, finite, and together no larger than their file allows.

    Tensors may share their numbers, whole or in part, as tied weights and parts of one flat parameter do: each is no
    larger than the file, and all that differ are together no larger than `MOST_SHARED` files.
    """
    strange = [name for name, value in tensors.items() if not is_plain(value)]
    if strange:
        raise SavedFileError(f"its {_shown(strange[0])} is no plain tensor")
    views = {(value.data_ptr(), value.dtype, value.shape, value.stride()): name for name, value in tensors.items()}
    size = path.stat().st_size
    sizes = [tensors[name].numel() * tensors[name].element_size() for name in views.values()]
    if max(sizes, default=0) > size or sum(sizes) > MOST_SHARED * size:
        raise SavedFileError("its tensors claim more numbers than the file has", unsafe=True)
    for name in views.values():
        if tensors[name].is_floating_point() and not tensors[name].isfinite().all():
            raise SavedFileError(f"it is not finite in {_shown(name)}")


def _shown(name: str) -> str:
    return escaped(name)[:80]


def is_plain(value: Any) -> bool:
    return (
        type(value) in (Tensor, nn.Parameter)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and not value.is_complex()
    )


def _check_header(path: Path) -> None:
    """Raise `SavedFileError` for a `.safetensors` file whose header is far longer than that of a network."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > MOST_NAMED:
        raise SavedFileError(f"it holds {length / 2**20:,.0f} MB besides the tensors", unsafe=True)


def _parts_of(path: Path) -> tuple[bytes, dict[str, int]]:
    """Return the pickle in a zip archive that torch will read, and how many bytes each storage has.

    `torch.save` compresses nothing. In an ambiguous archive torch's library and Python's may see different files.
    """
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        _check_directory(file, archive)
        names = [entry.filename.partition("/")[2] for entry in entries]
        if "constants.pkl" in names:  # it is compressed, too
            raise SavedFileError("it asks for TorchScript, a program", unsafe=True)
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise SavedFileError("it is compressed, which torch.save never does", unsafe=True)
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise SavedFileError("its parts overlap", unsafe=True)
        if len({entry.filename.partition("/")[0] for entry in entries}) != 1:
            raise SavedFileError("it is a zip archive of something else")
        if len({name.lower() for name in names}) < len(names):  # torch ignores case
            raise SavedFileError("two of its parts have one name", unsafe=True)
        if "data.pkl" not in names:
            raise SavedFileError("it is a zip archive of something else")
        pickled = entries[names.index("data.pkl")]
        if pickled.file_size > MOST_PICKLED:
            raise SavedFileError(f"it holds {pickled.file_size / 2**20:,.0f} MB besides the tensors", unsafe=True)
        parts = {name.removeprefix("data/"): entry.file_size for name, entry in zip(names, entries, strict=True)}
        return archive.read(pickled), parts


def _check_directory(file: BinaryIO, archive: zipfile.ZipFile) -> None:
    """Raise `SavedFileError` unless the archive's directory is where its end says, and ends there.

    Python takes the bytes before the end for it, and torch those at the offset that the end names.
    """
    end = file.seek(0, os.SEEK_END) - END.size - len(archive.comment)
    file.seek(max(0, end - END_64.size))
    tail = file.read(END_64.size + END.size)
    size, start = END.unpack(tail[-END.size :])
    if tail[-END.size - LOCATOR :].startswith(b"PK\x06\x07"):
        end -= END_64.size
        of_64, size_64, start_64, named = END_64.unpack(tail[: END_64.size])
        if (of_64, named) != (b"PK\x06\x06", end) or size not in (size_64, LARGE) or start not in (start_64, LARGE):
            raise SavedFileError("its directory is ambiguous", unsafe=True)
        size, start = size_64, start_64
    if (start, start + size) != (archive.start_dir, end):
        raise SavedFileError("its directory is ambiguous", unsafe=True)
