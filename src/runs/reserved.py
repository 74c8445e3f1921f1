"""A folder that is written to: tried first, kept for one process, and gone again where nothing came of it."""

import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..files import attended, locked

Alone = Callable[[], AbstractContextManager[bool]]


@dataclass(frozen=True)
class Reserved:
    """A folder while this process writes to it.

    Attributes:
        path: absolute.
        before: all that was in it, at any depth.
        alone: keeps others out while a block runs, and tells it whether there are none.
    """

    path: Path
    before: frozenset[Path]
    alone: Alone

    def tidy(self, folder: Path) -> None:
        """Remove what has come into `folder` since, and the folder if it is new, unless something came of it.

        What is written before any work, Hydra's settings and a log, is nothing yet; any other file is something.
        """
        new = sorted(set(folder.rglob("*")) - self.before, reverse=True)  # what is in a folder before the folder
        if not all(map(_comes_before_work, new)):
            return
        for handler in list(logging.root.handlers):
            if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename) in new:
                logging.root.removeHandler(handler)
                handler.close()
        for path in new:
            _remove(path)
        if folder != self.path and folder not in self.before:
            _remove(folder)


@contextmanager
def reserved(
    path: Path, name: str, remedy: str = "name another folder", *, again: bool = False, together: bool = False
) -> Iterator[Reserved]:
    """Make the folder or take the one that is there, and tidy it up and its new parents at the end.

    Args:
        name: what an error calls it, such as `output=FOLDER`.
        again: whether a folder that this process has reserved already will do.
        together: whether others may be at work in it as well, who say so, too. The last one tidies up.

    Raises:
        InputError: it can't be written, or another process has it.
    """
    refuse_remote(str(path), name)
    path = Path(os.path.abspath(path))  # noqa: PTH100  # without .. as well
    made: list[Path] = []
    alone: Alone = lambda: nullcontext(True)  # noqa: E731
    with ExitStack() as stack:
        try:
            made = [folder for folder in (path, *path.parents) if not folder.exists()]
            path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path).close()  # permissions don't tell: root has them on a read-only disk too
            if together:
                alone = stack.enter_context(attended(path))
            else:
                stack.enter_context(locked(path, again=again))
        except BlockingIOError:  # what was made is the other one's by now
            raise InputError(f"{name} is at work in another process: wait for it, stop it, or {remedy}") from None
        except OSError as error:
            for folder in made:
                _remove(folder)
            raise InputError(f"{name} can't be written ({error.strerror}): {remedy}") from None
        mine = Reserved(path, frozenset(path.rglob("*")), alone)
        try:
            yield mine
        finally:
            with alone() as last:
                if last:
                    mine.tidy(path)
                    for folder in made:  # those that are empty
                        _remove(folder)


def refuse_remote(path: str, name: str) -> None:
    """Raise `InputError` for an address such as s3://bucket/folder, which would become a folder called `s3:`."""
    if scheme := re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", path):
        raise InputError(f"{name}: {scheme[0]}/ is on no disk of this machine: name a folder here, and copy it later")


def _comes_before_work(path: Path) -> bool:
    in_hydras = path.parent.name == ".hydra" or path.name == "multirun.yaml"
    return in_hydras or path.suffix == ".log" or (path.is_dir() and not path.is_symlink())


def _remove(path: Path) -> None:
    """Remove a file or an empty folder; leave a folder with something of another process in it."""
    with suppress(OSError):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
