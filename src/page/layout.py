"""What the page consists of: its heading, a tab for pictures, and one for each run."""

import streamlit as st

from . import markup
from .chooser import choose_networks
from .exhibits import Exhibition
from .pictures_tab import show_pictures
from .run_tab import show_run


def draw(shown: Exhibition) -> None:
    """Draw the whole page for one visitor."""
    st.set_page_config(page_title="ResLens", layout="wide")
    st.html(markup.STYLE)
    with st.container(horizontal=True):
        st.html('<h1 class="rl-title">ResLens</h1>')
        shown = choose_networks(shown)
    st.html("".join(markup.facts(exhibit.letter, exhibit.facts) for exhibit in shown.exhibits))
    runs = [
        (f"Run {exhibit.letter if exhibit.ensemble is None else number}".strip(), one.run, one.module.task)
        for exhibit in shown.exhibits
        for number, one in enumerate(exhibit.networks, 1)
        if one.run is not None
    ]
    first, *others = st.tabs(["Pictures", *(name for name, _, _ in runs)], on_change="rerun")
    with first:  # always drawn: Streamlit forgets the uploads of a page without them
        show_pictures(shown)
    for tab, (_, run, task) in zip(others, runs, strict=True):
        if tab.open:
            with tab:
                show_run(run, task)
