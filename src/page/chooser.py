"""Which networks a visitor sees: those that the page was started with, or one or two runs of a folder."""

import logging
import threading
from functools import lru_cache
from pathlib import Path

import streamlit as st
import torch

from ..errors import InputError, RunError
from ..figures.style import shorten
from ..listing.entry import Entry
from ..listing.found import chosen, read_entries
from . import markup
from .exhibits import Doubt, Exhibition, open_networks

log = logging.getLogger(__name__)

MOST = 200
"""Runs that are offered, the newest: the browser gets the whole list again and again."""

OPEN = 4
"""Pairs of networks that stay loaded."""

_lock = threading.Lock()


def choose_networks(shown: Exhibition) -> Exhibition:
    """Offer the runs of the folder that the page was given; return what this visitor has chosen."""
    if "offered" not in st.session_state:
        st.session_state["offered"] = {} if shown.runs is None else _offered(shown.runs)
    offered: dict[str, str] = st.session_state["offered"]
    if not offered:
        return shown
    with st.popover("Other networks"):
        paths = st.multiselect(
            "A run, or two side by side",
            list(offered),
            format_func=offered.__getitem__,
            max_selections=2,
            placeholder="those that the page was started with",
        )
    if not paths:
        return shown
    try:
        with st.spinner("Loading …"), _lock:
            return _open(tuple(paths), shown.exhibits[0].trained.device, shown.runs, shown.doubt)
    except (InputError, RunError) as error:
        log.warning("a run can't be shown: %s", error)  # paths are not for visitors
        st.html(markup.refusal("These networks", "They can't be shown together: the terminal says why."))
        return shown


@lru_cache(maxsize=OPEN)
def _open(paths: tuple[str, ...], device: torch.device, runs: Path | None, doubt: Doubt) -> Exhibition:
    return open_networks(paths, device, runs=runs, doubt=doubt)


def _offered(runs: Path) -> dict[str, str]:
    """Return what the runs with a checkpoint are called, by their folders, the newest first."""
    try:
        entries = chosen(read_entries(runs), [], None, "time")
    except InputError:  # nothing was trained here yet
        return {}
    there = [entry for entry in entries if entry.run.best_checkpoint.is_file()]
    return {str(entry.path): shorten(_called(entry), 120) for entry in there[:MOST]}


def _called(entry: Entry) -> str:
    score = "" if entry.value is None else f"test {entry.task.score.title} {entry.value:.3f}"
    return " · ".join(word for word in (entry.name, entry.model, entry.data, entry.typed, score) if word)
