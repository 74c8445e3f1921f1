"""Data sets of image files, read from the disk as they are needed."""

from pathlib import Path

import numpy as np

from ..errors import InputError
from .collection import ImageCollection, Skipped
from .download import download_with_torchvision
from .folders import collect, find_splits, list_classes
from .published import PublishedZip, provide
from .scan import FoundFile, scan

CATSDOGS = PublishedZip(
    name="cats and dogs",
    url="https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/kagglecatsanddogs_5340.zip",
    folder="PetImages",
    digest="sha256:b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
    size=824_887_076,
    most_bytes=2_000_000_000,  # the real one has under 1 GB
)

IMAGENETTE = "imagenette2-320"  # the shorter side has 320 pixels: enough for 224, and a quarter of the full download
IMAGENETTE_CLASSES = {
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

PETS = "oxford-iiit-pet"


def folder(root: Path, *, download: bool) -> ImageCollection:  # noqa: ARG001
    """Any folder of class folders, with or without train, val and test above them."""
    return collect(list_classes(root, find_splits(root)))


def catsdogs(root: Path, *, download: bool) -> ImageCollection:
    """Microsoft's 25,000 cats and dogs: `root/PetImages`, else the zip in `root`, else from the network."""
    return collect(list_classes(provide(CATSDOGS, root, download=download), {"train": "."}))


def imagenette(root: Path, *, download: bool) -> ImageCollection:
    """Ten easy classes of ImageNet: `root/imagenette2-320`, or the full or 160-pixel version. Its val is our test."""
    from torchvision.datasets import Imagenette

    def fetch(folder: Path) -> None:
        Imagenette(str(folder), size="320px", download=True)

    found = [root / name for name in (IMAGENETTE, "imagenette2", "imagenette2-160") if (root / name).is_dir()]
    if not found:
        if not download:
            raise InputError(f"no {IMAGENETTE} in {root}: set data.root to the folder that holds it.")
        download_with_torchvision(root, IMAGENETTE, [f"{IMAGENETTE}.tgz"], fetch)
        return imagenette(root, download=False)
    return collect(list_classes(found[0], {"train": "train", "test": "val"}), names=IMAGENETTE_CLASSES)


def pets(root: Path, *, download: bool, target: str = "breed") -> ImageCollection:
    """Oxford-IIIT pets in `root/oxford-iiit-pet`: `target` breed (37 classes) or species (cat, dog)."""
    from torchvision.datasets import OxfordIIITPet

    def fetch(folder: Path) -> None:
        OxfordIIITPet(str(folder), download=True)

    base = root / PETS
    if not ((base / "images").is_dir() and (base / "annotations").is_dir()):
        if not download:
            raise InputError(f"no {PETS} in {root}: set data.root to the folder that holds it.")
        download_with_torchvision(root, PETS, [f"{PETS}/images.tar.gz", f"{PETS}/annotations.tar.gz"], fetch)
    names: list[str] = []
    splits: list[str] = []
    files: list[FoundFile] = []
    skipped: list[Skipped] = []
    for split, listed in (("train", "trainval.txt"), ("test", "test.txt")):
        for image, name in read_pets(base / "annotations" / listed, target):
            path = f"images/{image}.jpg"
            try:
                status = (base / path).stat()
            except OSError:
                skipped.append(Skipped(path, "missing"))
                continue
            files.append(FoundFile(path, status.st_size, status.st_mtime_ns))
            names.append(name)
            splits.append(split)
    reasons = scan(base, files)
    good = [i for i, reason in enumerate(reasons) if reason is None]
    class_names = sorted(set(names))
    published = np.array(splits)[good]
    return ImageCollection(
        root=base,
        class_names=class_names,
        targets=np.array([class_names.index(names[i]) for i in good], dtype=np.int64),
        paths=[files[i].path for i in good],
        published={split: np.flatnonzero(published == split) for split in ("train", "test")},
        skipped=skipped + [Skipped(f.path, why) for f, why in zip(files, reasons, strict=True) if why is not None],
    )


def read_pets(annotations: Path, target: str) -> list[tuple[str, str]]:
    """(image, class name) from lines such as `Abyssinian_100 1 1 1`: name, breed, species (1 cat, 2 dog), …"""
    try:
        rows = [line.split() for line in annotations.read_text(encoding="ascii").splitlines() if line[:1] != "#"]
        if target == "species":
            return [(row[0], ("cat", "dog")[int(row[2]) - 1]) for row in rows if row]
        return [(row[0], row[0].rsplit("_", 1)[0].replace("_", " ").title()) for row in rows if row]
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{annotations} is missing or damaged: remove its folder to download it again.") from error
