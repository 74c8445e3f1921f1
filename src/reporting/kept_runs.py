"""What a report needs of runs in one small file: to mail, or to keep with a study that another machine goes on with."""

import os
import tarfile
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..errors import first_line
from ..files import open_inside, replacing
from ..runs.contents import UnusableError
from ..runs.kept_energy import OBJECTS
from .found import KEPT

FILES = (
    *("run.json", "metrics.json", "metrics.csv", "per_class.csv", "predictions.csv", "cost.json"),
    *(".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml", f"gradcam/{OBJECTS}"),
)
"""Figures and what was typed; no weights, no images. The maps where it is known how much of them lies on the objects,
before training and at the best epoch."""

MOST = 2**28
"""Bytes that an archive may unpack to: 600 runs of 10,000 test images have as many."""


class Packed(NamedTuple):
    """A run that goes into an archive: its name there, its folder, and the epoch of its best checkpoint."""

    name: str
    folder: Path
    best_epoch: int

    @property
    def files(self) -> list[str]:
        """The names of what a report reads of it."""
        maps = sorted(path.name for path in (self.folder / "gradcam").glob("epoch_*.npz"))
        best = f"epoch_{self.best_epoch:03d}.npz"
        kept = (
            {maps[0], best if best in maps else maps[-1]}
            if maps and (self.folder / "gradcam" / OBJECTS).is_file()
            else ()
        )
        names = (*FILES, *(f"gradcam/{name}" for name in sorted(kept)))
        return [name for name in names if (self.folder / name).is_file()]


def pack_runs(runs: Iterable[Packed], file: Path) -> None:
    """Write an archive of these runs. The same runs make the same bytes."""
    entries = [(run, name) for run in runs for name in run.files]
    with replacing(file) as temporary, tarfile.open(temporary, "w:xz", preset=9) as archive:
        for run, name in sorted(entries, key=itemgetter(1)):  # alike beside alike: what they share takes no room
            try:
                content = open_inside(run.folder, name)
            except OSError:  # a link: the report has left it out, too
                continue
            with content:
                entry = tarfile.TarInfo(f"{run.name}/{name}")
                entry.size = content.seek(0, os.SEEK_END)
                content.seek(0)
                archive.addfile(entry, content)


def unpack_runs(file: Path, folder: Path) -> None:
    """Make the run folders of an archive in `folder`.

    Raises:
        UnusableError: it is damaged, too large, or an archive of something else.
    """
    try:
        with open_inside(file.parent, file.name) as content, tarfile.open(fileobj=content, mode="r|xz") as archive:
            for entry in _checked(archive):
                archive.extract(entry, folder, filter="data")
    except UnusableError:
        raise
    except OSError as error:
        raise UnusableError(f"{KEPT} can't be read ({error.strerror or first_line(error)})") from None
    except Exception as error:  # tarfile raises nearly anything on a stranger's headers
        raise UnusableError(f"{KEPT} is damaged ({first_line(error)[:120]})") from None


def _checked(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    left = MOST
    for entry in archive:
        ours = any(PurePosixPath(entry.name).match(f"*/{name}") for name in (*FILES, "gradcam/epoch_*.npz"))
        if not entry.isreg() or not ours:
            raise UnusableError(
                f"{KEPT} holds {entry.name[:80]!r}, which no run has: it is an archive of something else"
            )
        left -= entry.size
        if left < 0:
            raise UnusableError(f"{KEPT} would unpack to more than {MOST >> 20:,} MiB")
        entry.mtime = 0  # may be of any size
        yield entry
