"""One table of all methods: what each is called, and what kind of picture it gives."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["map", "pixels", "channels", "class_image"]


@dataclass(frozen=True)
class Method:
    """Attributes:
    title: as it is written over a picture.
    kind: a map over the image, signed pixels of the image, channels of a layer, or pictures of a class.
    """

    title: str
    kind: Kind


METHODS = {
    "gradcam": Method("Grad-CAM", "map"),
    "gradcam++": Method("Grad-CAM++", "map"),
    "layercam": Method("LayerCAM", "map"),
    "hirescam": Method("HiResCAM", "map"),
    "xgradcam": Method("XGrad-CAM", "map"),
    "scorecam": Method("Score-CAM", "map"),
    "ablationcam": Method("Ablation-CAM", "map"),
    "eigencam": Method("Eigen-CAM", "map"),
    "guided_gradcam": Method("Guided Grad-CAM", "pixels"),
    "guided_backprop": Method("Guided backpropagation", "channels"),
    "deconvnet": Method("Deconvnet", "channels"),
    "class_image": Method("Class images", "class_image"),
}
