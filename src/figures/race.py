"""A race of trainings: how good each was, over the seconds of all of it."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from .style import (
    DPI,
    GREY,
    GROUP_COLOURS,
    GROUP_LINES,
    GROUP_MARKERS,
    INK,
    add_legend,
    end_at_one,
    plain_axes,
    shorten,
)

MOST_NAMED = len(GROUP_COLOURS)


def race_curves(
    lines: Mapping[str, Sequence[tuple[float, float]]], unit: str = "seconds since the beginning"
) -> Figure:
    """Draw each candidate's validation accuracy in [0, 1] over the seconds at which it was measured.

    `lines` come with the winner first; the first few have colours and names, the others are grey.
    """
    figure = Figure(figsize=(8, 4.2), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title("Validation accuracy of each candidate", loc="left", size=11, weight="bold", color=INK)
    for place, (name, points) in reversed(list(enumerate(lines.items()))):
        seconds, values = [at for at, _ in points], [value for _, value in points]
        if place < MOST_NAMED:
            axes.plot(
                seconds,
                values,
                color=GROUP_COLOURS[place],
                linestyle=GROUP_LINES[place],
                marker=GROUP_MARKERS[place],
                markersize=5,
                linewidth=2.4 if place == 0 else 1.4,
                label=shorten(name, 44),
                zorder=3 - place / MOST_NAMED,
            )
        else:
            axes.plot(seconds, values, color=GREY, linewidth=0.8, marker=".", markersize=5, alpha=0.6, zorder=1)
    axes.set_xlabel(unit, color=INK)
    axes.margins(x=0.03, y=0.08)
    end_at_one(axes, [value for points in lines.values() for _, value in points])
    plain_axes(axes)
    handles, labels = axes.get_legend_handles_labels()
    add_legend(figure, handles[::-1], labels[::-1], loc="outside lower left", ncols=2, fontsize=9)
    return figure
