"""Pictures: arrays and tables in, matplotlib Figures out.

Pure: no pyplot, so that no backend, no global list of figures and no open window is involved. Class names are shown as
they are, without matplotlib's mathematics between dollar signs.
"""

from src.figures.confusion import confusion_matrix
from src.figures.curves import curves
from src.figures.gradcam import gradcam_grid, scale_maps
from src.figures.style import printable, save, save_image, shorten, to_image

__all__ = [
    "confusion_matrix",
    "curves",
    "gradcam_grid",
    "printable",
    "save",
    "save_image",
    "scale_maps",
    "shorten",
    "to_image",
]
