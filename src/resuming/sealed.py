"""Checkpoint files that are whole or not there, and that can tell: each carries the SHA-256 of its own bytes."""

import hashlib
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from ..data.workers import is_death
from ..errors import RunError, ran_out
from ..files import replacing
from ..networks.saved import SavedFileError

# A checkpoint is a zip archive, whose last field is a comment of any text, preceded by its length in two bytes
# (APPNOTE.TXT 4.3.16, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT). What stands there travels with the
# file, and torch.load passes over it.
LABEL = b"sha256:"
LENGTH = len(LABEL) + 64


class SealedCheckpointIO(TorchCheckpointIO):
    """Saves beside the target, seals, flushes and renames; Lightning itself writes to TMPDIR and moves, unflushed."""

    def __init__(self) -> None:
        super().__init__()
        self._written_to: set[Path] = set()

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Path | str, storage_options: Any = None) -> None:
        path = Path(path)
        if path.parent in self._written_to and not path.parent.is_dir():
            raise RunError(f"{path.parent} has vanished, and the checkpoints with it: start the training again")
        try:
            with replacing(path) as temporary:
                torch.save(checkpoint, temporary)
                seal(temporary)
            self._written_to.add(path.parent)
        except (OSError, RuntimeError) as error:  # torch says that a disk is full with a RuntimeError of its own
            if is_death(error) or ran_out(error):  # news that can come at any time
                raise
            reason = error.strerror if isinstance(error, OSError) else f"{free_space(path.parent)} free"
            raise RunError(
                f"{path} can't be written ({reason}): make room, then resume; the one before it is whole"
            ) from error


def free_space(folder: Path) -> str:
    """What is left on the folder's disk, such as `0.4 MB`."""
    try:
        return f"{shutil.disk_usage(folder).free / 1e6:.1f} MB"
    except OSError as error:  # the folder has vanished
        return (error.strerror or "nothing").lower()


def seal(file: Path) -> None:
    """Append to a file of `torch.save` the SHA-256 of all that stands before it."""
    with file.open("r+b") as archive:
        archive.seek(-2, os.SEEK_END)
        if archive.read() != b"\0\0":
            raise ValueError(f"{file} is no archive without a comment")
        archive.seek(-2, os.SEEK_END)
        archive.write(struct.pack("<H", LENGTH))
        archive.seek(0)
        digest = hashlib.file_digest(archive, "sha256").hexdigest()
        archive.seek(0, os.SEEK_END)
        archive.write(LABEL + digest.encode())


def check_seal(file: Path) -> None:
    """Raise `SavedFileError` where the file isn't as it was sealed, or can't be read.

    One without a seal, an earlier version's, passes; so does one that is cut off behind its content.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as archive:
            archive.seek(max(0, size - LENGTH - 2))
            end = archive.read()
            archive.seek(0)
            sealed = LABEL in end or end.startswith(struct.pack("<H", LENGTH))
            if sealed and end[2:] != LABEL + _digest(archive, size - LENGTH):
                raise SavedFileError("its SHA-256 does not match")
    except OSError as error:
        raise SavedFileError((error.strerror or "it can't be read").lower()) from error


def _digest(file: Any, size: int) -> bytes:
    """The SHA-256 of the first `size` bytes, in hexadecimal."""
    digest = hashlib.sha256()
    while size > 0:
        block = file.read(min(size, 1 << 20))
        digest.update(block)
        size -= len(block) or size
    return digest.hexdigest().encode()
