"""How a learning rate was found: the loss over the rates that were tried, and the one that was taken."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .style import BLUE, DPI, GREY, INK, VERMILLION, add_legend, plain_axes


def rate_curve(rates: Sequence[float], losses: Sequence[float], found: float | None, usual: float) -> Figure:
    """Draw the training loss over the learning rate, from small to large; mark the rate `found` and the `usual` one.

    Losses that are not finite, or far above the first one, are left out.
    """
    known = np.asarray(losses, float)
    shown = np.isfinite(known) & (known <= 1.5 * known[:1])
    figure = Figure(figsize=(8, 3.8), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title("Loss while the learning rate rises", loc="left", size=11, weight="bold", color=INK)
    axes.plot(np.asarray(rates)[shown], known[shown], color=BLUE, linewidth=2, label="training loss, smoothed")
    axes.set_xscale("log")
    if found is not None:
        loss = float(np.interp(np.log(found), np.log(rates), known))
        axes.plot([found], [loss], color=VERMILLION, marker="o", markersize=9, linestyle="none",
                  label=f"taken: {found:g}")  # fmt: skip
        axes.axvline(found, color=VERMILLION, linewidth=1, zorder=0)
    axes.axvline(usual, color=GREY, linewidth=1, linestyle=(0, (2, 3)), zorder=0, label=f"usual: {usual:g}")
    axes.set_xlabel("learning rate", color=INK)
    axes.margins(x=0.02, y=0.1)
    plain_axes(axes)
    add_legend(figure, loc="outside lower left", ncols=3, fontsize=9)
    return figure
