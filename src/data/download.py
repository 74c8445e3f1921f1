"""Files from the network: into a temporary name, checked, then renamed; a failure leaves nothing behind."""

import contextlib
import hashlib
import http.client
import io
import logging
import os
import shutil
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich import get_console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from ..errors import InputError

log = logging.getLogger(__name__)

BLOCK = 1 << 20  # bytes
TIMEOUT = 30  # seconds without a byte


def download_file(url: str, target: Path, *, digest: str, size: int, remedy: str | None = None) -> None:
    """Puts the file at `url` at `target`, with a progress bar on a terminal.

    Args:
        digest: of the file that is expected, "sha256:…" or, where a publisher gives no better, "md5:…", in hexadecimal.
        size: bytes; more are not read, fewer are an error.
        remedy: what a user can do instead; None: put the file at `target` by hand.

    Raises:
        InputError: no network, no space, no permission, or not the file that was expected.
    """
    remedy = remedy or f"Download it elsewhere and put it at {target}"
    temporary = None
    made: list[Path] = []
    try:
        made = missing_folders(target.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(target.parent).free < size:
            raise InputError(f"{target.parent} has less than the {size / 1e6:.0f} MB free that {url} needs: free some.")
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(descriptor, "wb") as file:
            arrived = fetch(url, file, size, digest.partition(":")[0])
            file.flush()
            os.fsync(file.fileno())
        if arrived != digest:
            raise InputError(f"{url} gave another file than expected ({arrived[:20]}…). {remedy}.")
        Path(temporary).replace(target)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it still holds the connection
        raise InputError(f"cannot download {url} ({describe(error)}). {remedy}.") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        remove_empty(made)


def missing_folders(folder: Path) -> list[Path]:
    """The folders that `folder.mkdir(parents=True)` will make, the deepest first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def remove_empty(folders: Sequence[Path]) -> None:
    """Removes the folders, the deepest first, up to one that is in use."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def fetch(url: str, file: io.BufferedIOBase, size: int, algorithm: str) -> str:
    """Copies at most `size` bytes (and one, to notice a longer file) into `file`; returns their digest."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    log.info("Downloading %s (%.0f MB)", url, size / 1e6)
    columns = (TextColumn("Downloading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with (
        urllib.request.urlopen(url, timeout=TIMEOUT) as response,
        Progress(*columns, console=get_console(), disable=not sys.stdout.isatty()) as progress,
    ):
        task = progress.add_task("", total=size)
        left = size + 1
        while left > 0 and (block := response.read(min(BLOCK, left))):
            left -= len(block)
            digest.update(block)
            file.write(block)
            progress.advance(task, len(block))
    return f"{algorithm}:{digest.hexdigest()}"


def digest_of(path: Path, algorithm: str) -> str:
    """A file's digest, such as "sha256:…"."""
    with path.open("rb") as file:
        # some hardened machines refuse MD5 unless they hear that it guards no secret
        digest = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))
    return f"{algorithm}:{digest.hexdigest()}"


def describe(error: BaseException) -> str:
    """An error in a few words on one line."""
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return " ".join(str(reason).split())[:200] or type(error).__name__


def download_with_torchvision(
    root: Path, folder: str, archives: Sequence[str], download: Callable[[Path], object]
) -> None:
    """Lets torchvision download and unpack a data set beside `root / folder`, and moves it there when it is complete.

    Args:
        archives: what it downloads, relative to `root`. Those that are there already are used; none is kept.
        download: torchvision's own, given the folder to put it in.

    Raises:
        InputError: it did not work out. It names the archives and where to put them. Nothing is left behind.
    """
    staging = None
    made: list[Path] = []
    try:
        made = missing_folders(root)
        root.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=root, prefix=".downloading-"))
        for name in archives:
            if (root / name).is_file():
                (staging / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / name, staging / name)
        log.info("Downloading %s to %s", folder, root)
        with patience(), bars_on_stdout():
            download(staging)
        for name in archives:
            (staging / name).unlink(missing_ok=True)
        move_into(staging / folder, root / folder)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException) as error:
        wanted = ", ".join(str(root / name) for name in archives)
        raise InputError(f"cannot download {folder} ({describe(error)}). Put there by hand: {wanted}.") from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        remove_empty(made)


def move_into(source: Path, target: Path) -> None:
    """Renames `source` to `target`; where that is a folder already, its contents, one by one."""
    if source.is_dir() and target.is_dir():
        for child in sorted(source.iterdir()):
            move_into(child, target / child.name)
    else:
        source.replace(target)


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """torchvision sets no time limit: without one a dead network holds a run for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def bars_on_stdout() -> Iterator[None]:
    """torchvision's progress bars on stdout if that is a terminal, else none: stderr is for the error alone."""
    with contextlib.redirect_stderr(sys.stdout if sys.stdout.isatty() else io.StringIO()):
        yield
