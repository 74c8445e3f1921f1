"""Ten easy classes of ImageNet: `root/imagenette2-320`, or the full or 160-pixel version. Its val is our test."""

from pathlib import Path

from ...errors import InputError
from ..collection import ImageCollection
from ..download import download_with_torchvision
from ..folders import collect, list_classes

IMAGENETTE = "imagenette2-320"  # the shorter side has 320 pixels: enough for 224, and a quarter of the full download
CLASSES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}


def find(root: Path, *, download: bool) -> ImageCollection:
    from torchvision.datasets import Imagenette

    def fetch(folder: Path) -> None:
        Imagenette(str(folder), size="320px", download=True)

    found = [root / name for name in (IMAGENETTE, "imagenette2", "imagenette2-160") if (root / name).is_dir()]
    if not found:
        if not download:
            raise InputError(f"no {IMAGENETTE} in {root}: set data.root to the folder that holds it.")
        download_with_torchvision(root, IMAGENETTE, [f"{IMAGENETTE}.tgz"], fetch)
        return find(root, download=False)
    return collect(list_classes(found[0], {"train": "train", "test": "val"}), names=CLASSES)
