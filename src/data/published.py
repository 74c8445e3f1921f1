"""Zips that are offered for download: fetched, known by their digest, unpacked once."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .archives import extract_zip
from .download import digest_of, download_file


@dataclass(frozen=True)
class PublishedZip:
    """A data set in one zip.

    Attributes:
        name: as people call it: "cats and dogs".
        url: where it is offered; the last part is the name under which it is looked for and kept in `data.root`.
        folder: which of its folders is unpacked, into a folder of the same name.
        digest, size: of the zip, as `download_file` wants them.
        most_bytes: what it may unpack to.
    """

    name: str
    url: str
    folder: str
    digest: str
    size: int
    most_bytes: int


def provide(published: PublishedZip, root: Path, *, download: bool) -> Path:
    """`root / folder`: as it is there, else from the zip in `root`, else from the network.

    Raises:
        InputError: it is not there and `download` is False, the zip is not the published one, or it can't be had.
    """
    folder, archive = root / published.folder, root / published.url.rsplit("/", 1)[1]
    if folder.is_dir():
        return folder
    if not download:
        raise InputError(f"no {published.name} in {root}: put there {folder} (the folder) or {archive}.")
    algorithm = published.digest.partition(":")[0]
    if not archive.is_file():
        remedy = f"Put there by hand: {folder} (the folder) or {archive}"
        download_file(published.url, archive, digest=published.digest, size=published.size, remedy=remedy)
    elif archive.stat().st_size != published.size or digest_of(archive, algorithm) != published.digest:
        raise InputError(
            f"{archive} is not the published file (its {algorithm} differs): remove it to download it again."
        )
    extract_zip(archive, published.folder, folder, most_bytes=published.most_bytes)
    return folder
