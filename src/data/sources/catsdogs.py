"""Microsoft's 25,000 cats and dogs: `root/PetImages`, else the zip in `root`, else from the network."""

from pathlib import Path

from ..collection import ImageCollection
from ..folders import collect, list_classes
from ..published import PublishedZip, provide

CATSDOGS = PublishedZip(
    name="cats and dogs",
    url="https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/kagglecatsanddogs_5340.zip",
    folder="PetImages",
    digest="sha256:b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
    size=824_887_076,
    most_bytes=2_000_000_000,  # the real one has under 1 GB
)


def find(root: Path, *, download: bool) -> ImageCollection:
    return collect(list_classes(provide(CATSDOGS, root, download=download), {"train": "."}))
