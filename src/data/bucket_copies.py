"""Copies of what lies in buckets, in the cache folder: what comes after them sees files.

Every image is decoded before a training begins, to find what is no whole image: all of its bytes are wanted at once,
and a picture's name, its order and its digest are those of a local folder without another line of code.
"""

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from rich import get_console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from ..activity import cleared, show
from ..errors import InputError
from ..files import is_locked, keep_in_use, locked, replacing, write_text
from ..tables import duration, gibibytes
from ..urls import call_copy, is_url
from .buckets import Bucket, Object
from .cache import cache_folder
from .download import new_folder
from .kept_media import SHARE_OF_DISK

log = logging.getLogger(__name__)

FOLDER = "buckets"

ADDRESS = "address.txt"
"""Says of what a copy is one, beside its folder."""

AT_ONCE = 16
"""Objects that are fetched at the same time."""

Wanted = Callable[[Sequence[str]], Iterable[str]]
"""Chooses among the paths of all objects those whose bytes are needed."""


@contextmanager
def copied(url: str, wanted: Wanted | None, limit: float | None = None) -> Iterator[Path]:
    """Yield the folder of `local_copy`; errors in the block name what lies in the bucket, not its copy."""
    assert wanted is not None  # `check_source` has seen to it
    copy = local_copy(url, wanted, limit)
    try:
        yield copy
    except InputError as error:
        raise InputError(str(error).replace(str(copy), url)) from error


def below(url: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a source's options, with a table in the same bucket as a path below the address."""
    table = options.get("table")
    if not is_url(table):
        return options
    if not table.startswith(f"{url}/"):
        raise InputError(f"data.table={table} doesn't lie below data.root={url}: name a data.root that holds both")
    return {**options, "table": table.removeprefix(f"{url}/")}


def local_copy(url: str, wanted: Wanted, limit: float | None = None) -> Path:
    """Return a folder with what lies at an address now; fetch what is missing or has changed there.

    What isn't wanted is there as an empty file, so that it can be named. A file appears when all of it has come, with
    the time of `Object`: what was fetched once isn't fetched again, also after a kill.

    Args:
        limit: GiB that all copies may take; None: half of the disk's room.

    Raises:
        InputError: it can't be listed or fetched, or there is no room for it.
    """
    bucket = Bucket(url)
    cache = cache_folder()
    if cache is None:
        raise InputError(f"{url} needs a cache folder: set RESLENS_CACHE to a folder with room for it.")
    show(f"listing {url}")
    objects = bucket.objects()
    needed = set(wanted([one.path for one in objects]))
    objects = [one if one.path in needed else one._replace(size=0) for one in objects]
    folder = cache / FOLDER / bucket.key / url.rsplit("/", 1)[-1]
    with opened(folder, url), alone(folder.parent):
        keep_in_use(folder)
        write_text(folder.parent / ADDRESS, f"{url}\n")
        os.utime(folder)
        there = present(folder)
        missing = [one for one in objects if there.get(one.path) != one[1:]]
        size = sum(one.size for one in objects)
        if missing:
            make_room(folder, size, sum(one.size for one in missing), limit, url)
        remove(folder, there.keys() - {one.path for one in objects})
        start = time.perf_counter()
        fetch(bucket, missing, folder, needed)
        took = f"fetched {len(missing):,} in {duration(time.perf_counter() - start)}" if missing else "nothing to fetch"
        call_copy(folder, url)
        log.info("%s: a copy in %s, %s of %s; %s", url, folder, gibibytes(size), f"{len(needed):,} files", took)
    return folder


def is_known(url: str) -> bool:
    """Return whether something has been fetched from an address before, and is here still."""
    cache = cache_folder()
    return cache is not None and (cache / FOLDER / Bucket(url).key / ADDRESS).is_file()


@contextmanager
def opened(folder: Path, url: str) -> Iterator[None]:
    """Make the folder, and take it away where nothing came into it; say in a line why it can't be written to."""
    try:
        with new_folder(folder):
            try:
                yield
            finally:
                if not any(folder.iterdir()):
                    (folder.parent / ADDRESS).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"the copy of {url} in {folder} can't be written ({(error.strerror or str(error)).lower()}): free some "
            "room, or set RESLENS_CACHE to another folder."
        ) from error


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes from writing to this copy, which are waited for."""
    with ExitStack() as stack:
        while True:
            with suppress(BlockingIOError):
                stack.enter_context(locked(folder))
                break
            show("waiting for another run that fetches the same images")
            time.sleep(0.1)
        yield


def present(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the bytes and times of change in ns of all files below, by relative path."""
    found: dict[str, tuple[int, int]] = {}
    pending = [""]
    while pending:
        below = pending.pop()
        with os.scandir(folder / below) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{below}{entry.name}/")
                else:
                    status = entry.stat(follow_symlinks=False)
                    found[f"{below}{entry.name}"] = (status.st_size, status.st_mtime_ns)
    return found


def remove(folder: Path, paths: Iterable[str]) -> None:
    """Remove files that are no longer in the bucket, or half ones of a process that was killed, and empty folders."""
    for path in paths:
        (folder / path).unlink()
    for at, folders, _ in os.walk(folder, topdown=False):
        for name in folders:
            with suppress(OSError):  # not empty
                Path(at, name).rmdir()


def make_room(folder: Path, size: int, missing: int, limit: float | None, url: str) -> None:
    """Remove copies that were used least recently until this one may take so many bytes.

    Raises:
        InputError: there isn't so much room.
    """
    others = copies(folder.parent.parent)
    taken = {other: sum(bytes for bytes, _ in present(other).values()) for other in others if other != folder}
    free = shutil.disk_usage(folder).free
    room = int(limit * 2**30) if limit else int(SHARE_OF_DISK * (free + size - missing + sum(taken.values())))
    if size > room:
        raise InputError(
            f"{url} takes {gibibytes(size)}, and copies of buckets may take {gibibytes(room)} here: set "
            "data.copy_limit to more GiB, free some room, or set RESLENS_CACHE to a folder on a larger disk."
        )
    for other in list(taken):
        if sum(taken.values()) + size <= room:
            return
        if remove_copy(other):
            log.info("the copy of a bucket removed from the cache, for want of room: %s", other)
            del taken[other]


def remove_copy(folder: Path) -> bool:
    """Remove a copy, unless a process uses it; return whether it has gone."""
    if is_locked(folder):
        return False
    shutil.rmtree(folder.parent, ignore_errors=True)
    return True


def copies(folder: Path) -> list[Path]:
    """Return the folders of all copies, the least recently used first."""
    return sorted((path for path in folder.glob("*/*") if path.is_dir()), key=lambda path: path.stat().st_mtime)


def fetch(bucket: Bucket, missing: Sequence[Object], folder: Path, needed: set[str]) -> None:
    """Fetch objects, several at once, with a bar on a terminal. After the first that fails none is begun."""

    def bring(one: Object) -> int:
        target = folder / one.path
        with replacing(target, flush=False) as temporary:
            if one.path in needed:
                bucket.fetch(one, temporary)
            os.utime(temporary, ns=(one.mtime_ns, one.mtime_ns))
        return one.size

    if not missing:
        return
    bucket.system  # noqa: B018  # once, not in each thread
    columns = (TextColumn("Fetching"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    console = get_console()
    with (
        cleared(),
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        bar = progress.add_task("", total=sum(one.size for one in missing))
        waiting = [pool.submit(bring, one) for one in missing]
        try:
            for done in as_completed(waiting):
                progress.advance(bar, done.result())
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    os.sync()  # once for all files, which were not waited for one by one
