"""`python -m src.runs`: all runs in a table, and what of them, and of the cache, may go when the disk is full.

The only file here that is a verb: the rest of the package lies far below it, and imports nothing of it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from .. import activity
from ..command.main import checked, main

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ..listing.entry import Entry


@checked
def runs(cfg: "DictConfig") -> "list[Entry]":
    """List the runs that the composed configuration asks for, or prune them; return their entries.

    With `cache` list the decoded pictures instead, or remove them.

    Raises:
        InputError: There is no such folder, or a setting is wrong.
    """
    from ..listing.found import chosen, read_entries
    from ..listing.on_screen import show, show_pruning  # pandas, only now

    if cfg.cache:
        from ..listing.cached import show_cache

        show_cache(delete=cfg.delete)
        return []
    root = Path(cfg.runs).expanduser()
    activity.show("reading runs")
    known = read_entries(root, losers=cfg.prune)
    entries = chosen(known, list(cfg.where), cfg.status, cfg.sort)
    activity.clear()
    if cfg.prune:
        show_pruning(entries, root, list(cfg.kinds), delete=cfg.delete)
    else:
        show(entries, len(known), root, cfg.output)
    return entries


if __name__ == "__main__":
    main("runs", runs)
