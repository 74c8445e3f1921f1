"""What is remembered of a data folder's files, so that the next start need not decode them again."""

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import PIL

from .cache import cache_file, write_cache
from .depth import Extent

log = logging.getLogger(__name__)

VERSION = 3


class Verdict(NamedTuple):
    """What decoding a file has shown: what is wrong with it (None: nothing), and what it holds (see `Contents`)."""

    reason: str | None
    mode: str = ""
    bands: int = 0
    extent: Extent | None = None
    every: Extent | None = None


class Entry(NamedTuple):
    """A file as it was when it was decoded: bytes, time of change in ns, and what was found."""

    size: int
    mtime_ns: int
    verdict: Verdict


def read_manifest(root: Path) -> dict[str, Entry]:
    """Return path relative to `root` → Entry, empty where there is no manifest, or none that can be trusted."""
    path = cache_file(root, "manifest.json")
    if path is None or not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
        if content["made_by"] != made_by():
            return {}
        files = content["files"].items()
        return {name: Entry(int(size), int(mtime), _verdict(*found)) for name, (size, mtime, found) in files}
    except Exception as error:  # JSON raises nearly anything on what was never JSON
        log.info("the manifest %s is broken (%s): reading the files again", path, type(error).__name__)
        return {}


def _verdict(reason: Any, mode: Any, bands: Any, *extents: Any) -> Verdict:
    if not (reason is None or isinstance(reason, str)) or not isinstance(mode, str):
        raise TypeError
    return Verdict(reason, mode, int(bands), *map(_extent, extents))


def _extent(found: Any) -> Extent | None:
    if found is None:
        return None
    low, high, whole = found
    return Extent(float(low), float(high), bool(whole))


def write_manifest(root: Path, entries: dict[str, Entry]) -> None:
    content = json.dumps({"made_by": made_by(), "root": str(root), "files": entries}).encode("ascii")
    write_cache(cache_file(root, "manifest.json"), lambda file: file.write(content))


def made_by() -> list[int | str]:
    """Return what the verdicts depend on: another Pillow may read what this one can't."""
    return [VERSION, PIL.__version__]
