"""Grad-CAM maps/s of `class_activation_maps` beside the `grad-cam` package called image by image, in one process.

    python -m tests.benchmarks.bench_cam [--images 500] [--turn 50] [--sizes 64 128]

ResNet-18 with random weights on images of noise: neither changes the speed. Both explain the same images, in turns of
`--turn`, because these machines are shared and their speed changes within seconds: only the ratios of a turn mean
something. The package is called as its documentation does: one `GradCAM` for all, then `cam(image[None], [target])`.
Threads are those of `OMP_NUM_THREADS`.
"""

import argparse
import time

import numpy as np
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from src.attribution.cam import class_activation_maps
from src.attribution.layers import default_layer
from src.figures import scale_maps
from src.networks import build_network
from tests.benchmarks.ratios import show


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--images", type=int, default=500)
    options.add_argument("--turn", type=int, default=50, help="images in a turn")
    options.add_argument("--sizes", type=int, nargs="+", default=[64, 128], help="side in pixels")
    options.add_argument("--layer", help="default: the deepest with a map of 4×4")
    options.add_argument("--batch-size", type=int, default=64)
    arguments = options.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, ResNet-18, turns of {arguments.turn} images")
    for size in arguments.sizes:
        torch.manual_seed(0)
        network = build_network("resnet18", num_classes=10, image_size=size, stem="imagenet").eval()
        compare(network, torch.randn(arguments.images, 3, size, size), arguments)


def compare(network: nn.Module, images: torch.Tensor, arguments: argparse.Namespace) -> None:
    size, targets = images.shape[-1], torch.arange(len(images)) % 10
    layer = arguments.layer or default_layer(network, images)
    theirs = pytorch_grad_cam.GradCAM(network, [network.get_submodule(layer)])
    theirs(images[:1], [ClassifierOutputTarget(0)])  # both warm
    class_activation_maps(network, images[: arguments.batch_size], layer=layer)
    rates: dict[str, list[float]] = {"reslens": [], "package": []}
    furthest = 0.0
    for start in range(0, len(images), arguments.turn):
        batch, classes = images[start : start + arguments.turn], targets[start : start + arguments.turn]
        began = time.perf_counter()
        found = class_activation_maps(network, batch, targets=classes, layer=layer, batch_size=arguments.batch_size)
        between = time.perf_counter()
        expected = [
            theirs(image[None], [ClassifierOutputTarget(int(target))])
            for image, target in zip(batch, classes, strict=True)
        ]
        ended = time.perf_counter()
        rates["reslens"].append(len(batch) / (between - began))
        rates["package"].append(len(batch) / (ended - between))
        furthest = max(furthest, float(np.abs(scale_maps(found.maps, (size, size)) - np.concatenate(expected)).max()))
    for name, values in rates.items():
        show(f"{size} px, {layer}, {name}, images/s", values)
    show(
        f"{size} px, {layer}, reslens / package",
        [a / b for a, b in zip(rates["reslens"], rates["package"], strict=True)],
    )
    print(f"{size} px, largest difference of the scaled maps: {furthest:.1e}")


if __name__ == "__main__":
    main()
