"""A square as a network sees it, padded or squashed, shown in the proportions of the photograph that it was."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PAPER = 255


def as_photograph(panel: NDArray[np.uint8], ratio: float, resize: str) -> NDArray[np.uint8]:
    """Return a panel (S, S, 3), with the bars of `pad` left out or `squash` undone, in the middle of white (S, S, 3).

    A picture and the map over it are treated alike, so that the map stays where the object is.

    Args:
        ratio: of the photograph's width to its height.
        resize: as `data.resize`; with `crop` the square is a part of the photograph, and stays as it is.
    """
    side = len(panel)
    width, height = (max(1, round(side * share)) for share in (min(1, ratio), min(1, 1 / ratio)))
    left, top = (side - width) // 2, (side - height) // 2
    if resize == "crop" or width == height:
        return panel
    shown = np.full_like(panel, PAPER)
    place = np.s_[top : top + height, left : left + width]
    if resize == "pad":
        shown[place] = panel[place]
    else:
        shown[place] = np.asarray(Image.fromarray(panel).resize((width, height), Image.Resampling.BOX))
    return shown
