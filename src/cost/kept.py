"""What a network cost today it costs again: the figures are kept in the user's cache folder."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from ..data.cache import cache_folder, write_cache

SECONDS = 24 * 3600.0
"""For so long figures are kept: a sweep of a day measures a network once, and next week's machine may be another."""

START = "cost_"


def kept(depends_on: Mapping[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what `measure` returned before, for figures with the same dependencies, or now; and when that was.

    Args:
        depends_on: plain values: all that the figures depend on.

    Returns:
        The figures, and `measured`, the time in ISO 8601.
    """
    content = json.dumps(depends_on, sort_keys=True)
    folder = cache_folder()
    file = None if folder is None else folder / f"{START}{hashlib.sha256(content.encode()).hexdigest()[:32]}.json"
    known = _read(file)
    if known is None:
        known = measure() | {"measured": datetime.now().astimezone().isoformat(timespec="seconds")}
        write_cache(file, lambda stream: stream.write(json.dumps(known).encode()))
        _tidy(folder)
    return known


def _read(file: Path | None) -> dict[str, Any] | None:
    """Return the figures of a file that is young enough; None where there is none, or it is damaged."""
    if file is None:
        return None
    try:
        if not 0 <= time.time() - file.stat().st_mtime < SECONDS:
            return None
        figures = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    whole = isinstance(figures, dict) and isinstance(figures.get("measured"), str) and len(figures) > 1
    return cast("dict[str, Any]", figures) if whole and all(map(_is_plain, figures.values())) else None


def _is_plain(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value) and value >= 0)


def _tidy(folder: Path | None) -> None:
    """Remove figures that are too old to be used again."""
    for file in () if folder is None else folder.glob(f"{START}*.json"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > SECONDS:
                file.unlink()
