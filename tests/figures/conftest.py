"""What is measured on a drawn figure: whether its texts can be read."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


@pytest.fixture
def legible() -> Callable[[Figure], list[str]]:
    """Asserts that no text leaves the figure, covers another or is small; gives back all texts."""

    def measured(figure: Figure) -> list[str]:
        width, height = FigureCanvasAgg(figure).get_width_height()
        figure.draw_without_rendering()  # all is put into its place, as in a picture, in half of the time
        assert width <= 1000
        inside = {text for axes in figure.axes for text in axes.findobj(Text)}
        shown = [text for text in figure.findobj(Text) if text not in inside]
        shown += [text for axes in figure.axes if axes.get_visible() for text in drawn(axes)]
        shown = [text for text in shown if text.get_text().strip() and text.get_visible()]
        boxes = [(text.get_text(), Text.get_window_extent(text)) for text in shown]  # without an annotation's arrow
        for name, box in boxes:
            within = min(box.x0, box.y0) >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
            assert within, f"{name!r} is cut off: {box} of {width} × {height}"
        x0, y0, x1, y1 = np.array([box.extents for _, box in boxes]).T
        wide, high = (np.minimum.outer(b, b) - np.maximum.outer(a, a) for a, b in ((x0, x1), (y0, y1)))
        covered = np.argwhere(np.triu((wide > 1.5) & (high > 1.5), k=1))
        assert not len(covered), [(boxes[one][0], boxes[two][0]) for one, two in covered]
        assert all(text.get_fontsize() >= 9 for text in shown)
        return [name for name, _ in boxes]

    return measured


def drawn(axes: Axes) -> list[Text]:
    """The texts of axes without the labels of ticks that lie beyond its limits."""
    beyond = []
    for axis, (low, high) in ((axes.xaxis, axes.bbox.intervalx), (axes.yaxis, axes.bbox.intervaly)):
        for tick in axis.get_major_ticks():
            place = axes.transData.transform([tick.get_loc()] * 2)[0 if axis is axes.xaxis else 1]
            beyond += [] if low - 1 <= place <= high + 1 else [tick.label1, tick.label2]
    return [text for text in axes.findobj(Text) if text not in beyond]
