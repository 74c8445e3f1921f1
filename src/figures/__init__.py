"""Pictures: arrays and tables in, matplotlib Figures out.

Pure: no pyplot, so that no backend, no global list of figures and no open window is involved. Class names are shown as
they are, without matplotlib's mathematics between dollar signs.
"""

from .batches import batch_sheet as batch_sheet
from .binary_curves import binary_curves as binary_curves
from .channel_sheets import deconvnet_sheet as deconvnet_sheet
from .class_by_class import class_heat_map as class_heat_map
from .class_by_class import confusion_matrices as confusion_matrices
from .class_image_sheets import JudgedImages as JudgedImages
from .class_image_sheets import class_image_pages as class_image_pages
from .class_image_sheets import class_image_steps as class_image_steps
from .confusion import confusion_matrix as confusion_matrix
from .cooccurrence import cooccurrence as cooccurrence
from .costs import cost_charts as cost_charts
from .costs import pareto_front as pareto_front
from .curves import curves as curves
from .disagreements import disagreements as disagreements
from .epochs import gradcam_movement as gradcam_movement
from .epochs import learning_curves as learning_curves
from .faithfulness_charts import faithfulness_chart as faithfulness_chart
from .heat_maps import gradcam_grid as gradcam_grid
from .heat_maps import scale_maps as scale_maps
from .heat_maps import upsample as upsample
from .lines import Points as Points
from .lines import line_charts as line_charts
from .map_comparison import gradcam_comparison as gradcam_comparison
from .map_comparison import gradcam_epochs as gradcam_epochs
from .map_movement import map_movement as map_movement
from .object_energy import object_energy as object_energy
from .object_energy import object_energy_of_groups as object_energy_of_groups
from .race import race_curves as race_curves
from .rate_curve import rate_curve as rate_curve
from .reliability import ReliabilityBins as ReliabilityBins
from .reliability import reliability_diagram as reliability_diagram
from .style import save as save
from .style import save_image as save_image
from .style import shorten as shorten
from .style import to_image as to_image
from .trick_sheets import trick_pages as trick_pages
from .tuning import tuning_panels as tuning_panels
from .variance_components import variance_chart as variance_chart
