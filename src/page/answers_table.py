"""All pictures of a visitor in one table, and as a CSV file to keep."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from ..files import csv_line
from ..prediction.rows import FORMULA
from . import markup
from .ask import say
from .exhibits import Exhibit
from .pictures import Picture


def show_table(pictures: Sequence[Picture], exhibits: Sequence[Exhibit]) -> None:
    """Offer what each network says of each picture, in the order of the page."""
    with st.expander(f"All {len(pictures)} pictures in a table"):
        said = [[say(exhibit, picture) for exhibit in exhibits] for picture in pictures]
        words = [[_said(one, exhibit) for one, exhibit in zip(row, exhibits, strict=True)] for row in said]
        columns = [_of(exhibit, word) for exhibit in exhibits for word in ("predicted", "confidence")]
        truths = ["true"] * any(picture.true is not None for picture in pictures)
        rows = [
            (picture.name, [*((picture.true or "",) * len(truths)), *(cell for pair in row for cell in pair)])
            for picture, row in zip(pictures, words, strict=True)
        ]
        st.html(markup.wide_table(rows, [*truths, *columns]))
        lines = [csv_line(["picture", *truths, *columns]), *(csv_line([_safe(name), *cells]) for name, cells in rows)]
        st.download_button("Download as CSV", "".join(lines), "predictions.csv", "text/csv", on_click="ignore")


def _said(shares: "np.ndarray", exhibit: Exhibit) -> tuple[str, str]:
    """Return the class and its confidence, or the decided labels and their probabilities."""
    names = exhibit.trained.class_names
    if exhibit.thresholds is None:
        best = int(shares.argmax())
        return names[best], f"{shares[best]:.6f}"
    decided = np.flatnonzero(shares >= exhibit.thresholds)
    return " | ".join(names[k] for k in decided), " | ".join(f"{shares[k]:.6f}" for k in decided)


def _of(exhibit: Exhibit, word: str) -> str:
    return f"{exhibit.letter}: {word}" if exhibit.letter else word


def _safe(name: str) -> str:
    """Return the name so that a spreadsheet shows and doesn't calculate it."""
    return f"./{name}" if name.startswith(FORMULA) else name
