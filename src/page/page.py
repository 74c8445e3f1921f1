"""The script that Streamlit runs for every visitor, and again after everything that he or she does."""

import streamlit as st

from src.page.markup import STYLE
from src.page.pictures_tab import show_pictures
from src.page.run_tab import show_run
from src.page.server import exhibition

st.set_page_config(page_title="ResLens", layout="wide")
st.html(STYLE)
st.title("ResLens", anchor=False)
st.caption("What a trained network sees in a picture, how sure it is, and where the evidence lies.")

shown = exhibition()
runs = [
    (f"Run {exhibit.letter}".strip(), exhibit.trained.run)
    for exhibit in shown.exhibits
    if exhibit.trained.run is not None
]
first, *others = st.tabs(["Pictures", *(name for name, _ in runs)], on_change="rerun")
with first:  # always drawn: Streamlit forgets the uploads of a page without them
    show_pictures(shown)
for tab, (_, run) in zip(others, runs, strict=True):
    if tab.open:
        with tab:
            show_run(run)
