"""Files from the network: under a temporary name, checked, then renamed; a failure leaves nothing behind.

By hand rather than with pooch 1.9, which writes whatever a server sends (400 MB where 1 MB is expected; here it ends at
1 MB), trusts its own list of certificates only (a company's in SSL_CERT_FILE is refused), replaces a file that is not
the expected one, though a person may have put it there, and takes 1.2 to 1.4 times as long.
"""

import contextlib
import hashlib
import http.client
import io
import logging
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

from ..activity import cleared
from ..errors import InputError
from ..files import replacing

log = logging.getLogger(__name__)

BLOCK = 1 << 20  # bytes
TIMEOUT = 30  # seconds without a byte


def download_file(url: str, target: Path, *, digest: str, size: int, remedy: str | None = None) -> None:
    """Put the file at `url` at `target`, with a progress bar on a terminal.

    Args:
        digest: of the file that is expected, "sha256:…" or, where a publisher gives no better, "md5:…", in hexadecimal.
        size: bytes; more are not read, fewer are an error.
        remedy: what a user can do instead; None: put the file at `target` by hand.

    Raises:
        InputError: no network, no space, no permission, or not the file that was expected.
    """
    remedy = remedy or f"Download it elsewhere and put it at {target}"
    try:
        with new_folder(target.parent), replacing(target) as temporary:
            if shutil.disk_usage(target.parent).free < size:
                raise InputError(
                    f"{target.parent} has less than the {size / 1e6:.0f} MB free that {url} needs: free some."
                )
            arrived = fetch(url, temporary, size, digest.partition(":")[0])
            if arrived != digest:
                raise InputError(f"{url} gave another file than expected ({arrived[:20]}…). {remedy}.")
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it still holds the connection
        raise InputError(f"cannot download {url} ({describe(error)}). {remedy}.") from error


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Make the folder and its parents, and in the end remove those of them that are still empty."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        with contextlib.suppress(OSError):
            for path in made:
                path.rmdir()


def fetch(url: str, target: Path, size: int, algorithm: str) -> str:
    """Write at most `size` bytes (and one, to notice a longer file) to `target`. Return their digest."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    log.info("Downloading %s (%.0f MB)", url, size / 1e6)
    columns = (TextColumn("Downloading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with (
        urllib.request.urlopen(url, timeout=TIMEOUT) as response,
        target.open("wb") as file,
        cleared(),
        Progress(*columns, console=get_console(), transient=True, disable=not sys.stdout.isatty()) as progress,
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
    """Return a file's digest, such as "sha256:…"."""
    with path.open("rb") as file:
        # some hardened machines refuse MD5 unless they hear that it guards no secret
        digest = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))
    return f"{algorithm}:{digest.hexdigest()}"


def describe(error: BaseException) -> str:
    """Return an error in a few words on one line."""
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return " ".join(str(reason).split())[:200] or type(error).__name__


def download_with_torchvision(
    root: Path, folder: str, archives: Sequence[str], download: Callable[[Path], object]
) -> None:
    """Let torchvision download and unpack a data set beside `root / folder`, and move it there when it is complete.

    Args:
        archives: what it downloads, relative to `root`. Those that are there already are used; none is kept.
        download: torchvision's own, given the folder to put it in.

    Raises:
        InputError: it failed. The message names the archives and where to put them. Nothing is left behind.
    """
    try:
        with new_folder(root), tempfile.TemporaryDirectory(dir=root, prefix=".downloading-") as name:
            staging = Path(name)
            for archive in archives:
                if (root / archive).is_file():
                    (staging / archive).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(root / archive, staging / archive)
            log.info("Downloading %s to %s", folder, root)
            with patience(), bars_on_stdout():
                download(staging)
            for archive in archives:
                (staging / archive).unlink(missing_ok=True)
            move_into(staging / folder, root / folder)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException) as error:
        wanted = ", ".join(str(root / archive) for archive in archives)
        raise InputError(f"cannot download {folder} ({describe(error)}). Put there by hand: {wanted}.") from error


def move_into(source: Path, target: Path) -> None:
    """Rename `source` to `target`; where that is a folder already, its contents, one by one."""
    if source.is_dir() and target.is_dir():
        for child in sorted(source.iterdir()):
            move_into(child, target / child.name)
    else:
        source.replace(target)


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """Set a time limit, which torchvision does not: a dead network would hold a run forever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def bars_on_stdout() -> Iterator[None]:
    """Send torchvision's progress bars to stdout if that is a terminal, else nowhere: stderr is for the error alone."""
    with contextlib.redirect_stderr(sys.stdout if sys.stdout.isatty() else io.StringIO()):
        yield
