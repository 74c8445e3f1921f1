"""Which labels occur together."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .confusion import name_cells, square
from .style import INK

MOST = 30  # labels


def cooccurrence(together: NDArray[np.integer], names: Sequence[str]) -> Figure:
    """Draw `together` (K, K), the images that have both labels: the colour is the share of those that have the row's.

    Of more than 30 labels those of most images are shown, in their order. On the diagonal stands how many have a label.
    """
    counts = together.diagonal()
    shown = np.sort(np.argsort(-counts, kind="stable")[:MOST])
    cells = together[np.ix_(shown, shown)]
    shares = np.where(np.eye(len(shown), dtype=bool), np.nan, cells / np.maximum(counts[shown], 1)[:, None])
    figure, axes = square(len(shown))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    size = name_cells(axes, [names[place] for place in shown])
    note = f" ({len(shown)} of {len(names):,} labels: those of most images)" if len(names) > len(shown) else ""
    axes.set_xlabel(f"also have this label{note}", size=11, color=INK)
    axes.set_ylabel("images with this label", size=11, color=INK)
    if len(shown) <= 20:
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 0.6 else INK if cells[row, column] else "#b5b5b5"
            weight = "bold" if row == column else "normal"
            text = f"{cells[row, column]:,}"
            axes.text(column, row, text, ha="center", va="center", size=size, color=colour, weight=weight)
    figure.colorbar(image, ax=axes, label="share of the row's images", shrink=0.8, aspect=30)
    return figure
