"""What decoded pictures and copies of buckets take in the cache folder, one by one, and taking them away."""

import json
import logging
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich import get_console
from rich.table import Table
from rich.text import Text

from ..command.next_steps import how_to_start
from ..data.bucket_copies import ADDRESS, copies, present, remove_copy
from ..data.bucket_copies import FOLDER as BUCKETS
from ..data.cache import cache_folder
from ..data.kept_media import FOLDER, Disk, bytes_of, last_used, remove
from ..data.picture_store import Store
from ..files import locked
from ..logs import escaped, while_read
from ..tables import WIDTH, as_text, on_disk

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pictures:
    """The decoded pictures of a data set. `used`: when a training last did, in seconds since 1970."""

    folder: Path
    stores: Sequence[Store]

    @property
    def size(self) -> int:
        return sum(bytes_of(store) for store in self.stores)

    @property
    def used(self) -> float:
        return max(last_used(store.index) for store in self.stores)

    @property
    def root(self) -> str:
        """The data set's folder, as the manifest beside it says; where there is none, its own name."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            manifest = self.folder.with_name(self.folder.name.replace(f"_{FOLDER}", "_manifest.json"))
            return str(json.loads(manifest.read_bytes())["root"])
        return self.folder.name

    def remove(self) -> bool:
        """Take the pictures away, unless another process is adding to them; return whether they have gone.

        Trainings that have them open go on with them.
        """
        with suppress(BlockingIOError), locked(self.folder):
            for store in self.stores:
                remove(store)
            with suppress(OSError):
                self.folder.rmdir()
            return True
        return False


@dataclass(frozen=True)
class Copy:
    """What was copied from a bucket."""

    folder: Path

    @property
    def size(self) -> int:
        return sum(size for size, _ in present(self.folder).values())

    @property
    def used(self) -> float:
        return last_used(self.folder)

    @property
    def root(self) -> str:
        with suppress(OSError):
            return (self.folder.parent / ADDRESS).read_text("utf-8").strip()
        return self.folder.name

    def remove(self) -> bool:
        """Take it away, unless a process uses it; return whether it has gone."""
        return remove_copy(self.folder)


def find_pictures(folder: Path) -> list[Pictures]:
    """Return the pictures in a cache folder, those of the data set that was used last first."""
    stores: dict[Path, list[Store]] = {}
    for store in reversed(Disk(folder / FOLDER).stores()):
        stores.setdefault(store.index.parent, []).append(store)
    return [Pictures(*item) for item in stores.items()]


def show_cache(*, delete: bool) -> list[Pictures | Copy]:
    """Print what pictures and copies take, and with `delete` take them away."""
    folder = cache_folder()
    pictures = find_pictures(folder) if folder else []
    copied = [Copy(path) for path in reversed(copies(folder / BUCKETS))] if folder else []
    found: list[Pictures | Copy] = [*pictures, *copied]
    if not found:
        log.info("no decoded pictures in %s", folder or "the cache folder, for there is none")
        return []
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("data set", overflow="fold")
    for heading in ("last used", "disk"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        used = time.strftime("%Y-%m-%d", time.localtime(one.used))
        table.add_row(Text(escaped(one.root)), used, on_disk(one.size))
    with while_read():
        text = as_text(table, shutil.get_terminal_size((WIDTH, 24)).columns)
        get_console().print(text, markup=False, highlight=False, soft_wrap=True)
    total = sum(one.size for one in found)
    count = f"{len(pictures):,} data set{'s' * (len(pictures) != 1)}"
    if copied:
        count += f" and copies of {len(copied):,} bucket{'s' * (len(copied) != 1)}"
    if not delete:
        log.info("\ndecoded pictures of %s in %s, %s; nothing has been deleted", count, folder, on_disk(total))
        log.info("%s%s", "next".ljust(13), f"{how_to_start('runs')} cache delete=true")
        return found
    sizes = {one.folder: one.size for one in found}
    stay = [one for one in found if not one.remove()]
    for one in stay:
        log.info("stays as it is: %s: another process is at work there", escaped(one.root))
    freed = total - sum(sizes[one.folder] for one in stay)
    log.info(
        "\nfreed %s of %s; the next training decodes again%s",
        on_disk(freed),
        on_disk(total),
        " and fetches" if copied else "",
    )
    return found
