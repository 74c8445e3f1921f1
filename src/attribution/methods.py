"""The table of attribution methods: everything the rest of ResLens knows about a method stands in its row.

The command line, `--help`, the page and the overlays of predictions read it, without torch. A method that the
`grad-cam` package has is a row; one of our own is a row and the file that its `function` names.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from omegaconf import OmegaConf

from ..errors import InputError
from ..settings.check import nearest

Kind = Literal["map", "pixels", "channels", "class_image"]
Rule = Literal["deconvnet", "guided"]

KINDS: dict[Kind, str] = {
    "map": "a map over each image",
    "pixels": "the pixels that count",
    "channels": "what excites a layer's channels",
    "class_image": "pictures of a class",
}


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        title: Its name, as written over a picture.
        kind: What it draws, one of `KINDS`. With `channels=null` methods for channels draw pixels.
        function: `module:name` of what computes it, imported by `load`. For a map, a class of the grad-cam package or a
            function like `channel_scores.score_cam`; for pixels and channels, one like `guided.guided_backprop`; for
            pictures of a class, one like `class_image.class_images`.
        paper: Where it was published.
        gradients: Whether a map needs the gradient of the logit at the layer.
        per_channel: Whether a map takes a forward pass for every channel: too slow for the page.
        at_layer: Whether pixels depend on a layer, which `layer=` names.
        rule: How channels send their signal back through a ReLU.
    """

    title: str
    kind: Kind
    function: str
    paper: str
    gradients: bool = True
    per_channel: bool = False
    at_layer: bool = True
    rule: Rule | None = None

    def load(self) -> Callable[..., Any]:
        """Import `function`, and with it torch."""
        module, _, name = self.function.partition(":")
        function: Callable[..., Any] = getattr(import_module(module, __package__), name)
        return function


METHODS = {
    "gradcam": Method(
        "Grad-CAM", "map", "pytorch_grad_cam:GradCAM", "Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391"
    ),
    "gradcam++": Method(
        "Grad-CAM++", "map", "pytorch_grad_cam:GradCAMPlusPlus",
        "Chattopadhay et al. 2018, https://arxiv.org/abs/1710.11063",
    ),
    "layercam": Method(
        "LayerCAM", "map", "pytorch_grad_cam:LayerCAM", "Jiang et al. 2021, https://doi.org/10.1109/TIP.2021.3089943"
    ),
    "hirescam": Method(
        "HiResCAM", "map", "pytorch_grad_cam:HiResCAM", "Draelos & Carin 2020, https://arxiv.org/abs/2011.08891"
    ),
    "xgradcam": Method(
        "XGrad-CAM", "map", "pytorch_grad_cam:XGradCAM", "Fu et al. 2020, https://arxiv.org/abs/2008.02312"
    ),
    "scorecam": Method(
        "Score-CAM", "map", ".channel_scores:score_cam", "Wang et al. 2020, https://arxiv.org/abs/1910.01279",
        gradients=False, per_channel=True,
    ),
    "ablationcam": Method(
        "Ablation-CAM", "map", ".channel_scores:ablation_cam", 'Desai & Ramaswamy 2020, "Ablation-CAM", WACV',
        gradients=False, per_channel=True,
    ),
    "eigencam": Method(
        "Eigen-CAM", "map", "pytorch_grad_cam:EigenCAM", "Muhammad & Yeasin 2020, https://arxiv.org/abs/2008.00299",
        gradients=False,
    ),
    "eigengradcam": Method(
        "Eigen-Grad-CAM", "map", "pytorch_grad_cam:EigenGradCAM",
        "pytorch-grad-cam, after Muhammad & Yeasin 2020, https://github.com/jacobgil/pytorch-grad-cam",
    ),
    "guided_gradcam": Method(
        "Guided Grad-CAM", "pixels", ".guided:guided_gradcam",
        "Selvaraju et al. 2017, section 3.2, https://arxiv.org/abs/1610.02391",
    ),
    "guided_backprop": Method(
        "Guided backpropagation", "channels", ".guided:guided_backprop",
        "Springenberg et al. 2015, https://arxiv.org/abs/1412.6806", at_layer=False, rule="guided",
    ),
    "deconvnet": Method(
        "Deconvnet", "channels", ".guided:deconvnet", "Zeiler & Fergus 2014, https://arxiv.org/abs/1311.2901",
        at_layer=False, rule="deconvnet",
    ),
    "class_image": Method(
        "Class images", "class_image", ".class_image:class_images",
        "Olah et al. 2017, https://distill.pub/2017/feature-visualization",
    ),
}  # fmt: skip


def methods_of(*kinds: Kind) -> list[str]:
    """Return the names of the methods of these kinds, of all of them without any, in the table's order."""
    return [name for name, method in METHODS.items() if method.kind in (kinds or KINDS)]


def find_map_method(name: str) -> str:
    """Return the name in the table of a method that draws maps; its paper's spelling, such as `Grad-CAM++`, will do."""
    key = name.lower().replace("-", "")
    if key not in methods_of("map"):
        raise InputError(f"method={name} is unknown; nearest: {nearest(key, methods_of('map'))}")
    return key


def list_methods(*kinds: Kind) -> str:
    """Return what the methods of each kind draw, and a line for each with its title."""
    lines = []
    for kind in kinds or KINDS:
        lines += [f"  {KINDS[kind]}", *(f"    {name:<17} {METHODS[name].title}" for name in methods_of(kind)), ""]
    return "\n".join(lines[:-1])


OmegaConf.register_new_resolver("methods", list_methods, replace=True)  # for --help
