"""Pictures: arrays and tables in, matplotlib Figures out.

Pure: no pyplot, so that no backend, no global list of figures and no open window is involved. Class names are shown as
they are, without matplotlib's mathematics between dollar signs.
"""

from .channel_sheets import deconvnet_sheet
from .class_by_class import class_heat_map, confusion_matrices
from .class_image_sheets import JudgedImages, class_image_pages, class_image_steps
from .confusion import confusion_matrix
from .costs import cost_charts, pareto_front
from .curves import curves
from .disagreements import disagreements
from .epochs import gradcam_movement, learning_curves
from .faithfulness_charts import faithfulness_chart
from .heat_maps import gradcam_grid, scale_maps, upsample
from .map_comparison import gradcam_comparison, gradcam_epochs
from .map_movement import map_movement
from .reliability import ReliabilityBins, reliability_diagram
from .style import printable, save, save_image, shorten, to_image

__all__ = [
    "JudgedImages",
    "ReliabilityBins",
    "class_heat_map",
    "class_image_pages",
    "class_image_steps",
    "confusion_matrices",
    "confusion_matrix",
    "cost_charts",
    "curves",
    "deconvnet_sheet",
    "disagreements",
    "faithfulness_chart",
    "gradcam_comparison",
    "gradcam_epochs",
    "gradcam_grid",
    "gradcam_movement",
    "learning_curves",
    "map_movement",
    "pareto_front",
    "printable",
    "reliability_diagram",
    "save",
    "save_image",
    "scale_maps",
    "shorten",
    "to_image",
    "upsample",
]
