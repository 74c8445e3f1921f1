"""What is remembered of a data folder's files, so that the next start need not decode them again."""

import json
import logging
from pathlib import Path
from typing import NamedTuple

import PIL

from .cache import cache_file, write_cache

log = logging.getLogger(__name__)

VERSION = 2


class Entry(NamedTuple):
    """A file as it was when it was decoded: bytes, time of change in ns, and what is wrong with it (None: nothing)."""

    size: int
    mtime_ns: int
    reason: str | None


def read_manifest(root: Path) -> dict[str, Entry]:
    """Return path relative to `root` → Entry, empty where there is no manifest, or none that can be trusted."""
    path = cache_file(root, "manifest.json")
    if path is None or not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
        if content["made_by"] != made_by():
            return {}
        files = {name: Entry(int(size), int(mtime), why) for name, (size, mtime, why) in content["files"].items()}
        if not all(entry.reason is None or isinstance(entry.reason, str) for entry in files.values()):
            raise TypeError
        return files
    except Exception as error:  # JSON raises nearly anything on what was never JSON
        log.info("the manifest %s is broken (%s): reading the files again", path, type(error).__name__)
        return {}


def write_manifest(root: Path, entries: dict[str, Entry]) -> None:
    content = json.dumps({"made_by": made_by(), "root": str(root), "files": entries}).encode("ascii")
    write_cache(cache_file(root, "manifest.json"), lambda file: file.write(content))


def made_by() -> list[int | str]:
    """Return what the verdicts depend on: another Pillow may read what this one can't."""
    return [VERSION, PIL.__version__]
