"""Oxford-IIIT pets in `root/oxford-iiit-pet`: 37 breeds, or two species."""

from pathlib import Path

from ...errors import InputError
from ..collection import ImageCollection
from ..download import download_with_torchvision
from ..folders import Listing, collect, find_file

PETS = "oxford-iiit-pet"


def find(root: Path, *, download: bool, target: str = "breed") -> ImageCollection:
    """Return the images labelled by `target`: breed, or species (cat, dog)."""
    from torchvision.datasets import OxfordIIITPet

    def fetch(folder: Path) -> None:
        OxfordIIITPet(str(folder), download=True)

    base = root / PETS
    if not ((base / "images").is_dir() and (base / "annotations").is_dir()):
        if not download:
            raise InputError(f"no {PETS} in {root}: set data.root to the folder that holds it.")
        download_with_torchvision(root, PETS, [f"{PETS}/images.tar.gz", f"{PETS}/annotations.tar.gz"], fetch)
    rows = [
        (split, name, *find_file(base, f"images/{image}.jpg"))
        for split, listed in (("train", "trainval.txt"), ("test", "test.txt"))
        for image, name in read_annotations(base / "annotations" / listed, target)
    ]
    class_names = sorted({name for _, name, files, _ in rows if files})
    listing = Listing(base, class_names, ["train", "test"])
    for split, name, files, skipped in rows:
        listing.add(split, class_names.index(name) if files else 0, files, skipped)
    return collect(listing)


def read_annotations(path: Path, target: str) -> list[tuple[str, str]]:
    """Return (image, class name) from lines such as `Abyssinian_100 1 1 1`: name, breed, species (1 cat, 2 dog), …"""
    try:
        rows = [line.split() for line in path.read_text(encoding="ascii").splitlines() if line[:1] != "#"]
        if target == "species":
            return [(row[0], ("cat", "dog")[int(row[2]) - 1]) for row in rows if row]
        return [(row[0], row[0].rsplit("_", 1)[0].replace("_", " ").title()) for row in rows if row]
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{path} is missing or damaged: remove its folder to download it again.") from error
