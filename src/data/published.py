"""A data set in one published zip: looked for, downloaded, known by its digest, and unpacked once, without trust."""

import stat
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from ..errors import InputError
from .download import digest_of, download_file


@dataclass(frozen=True)
class PublishedZip:
    """Where a data set is published, and what its zip must be.

    Attributes:
        name: as people call it: "cats and dogs".
        url: the last part is the name under which the zip is looked for and kept in `data.root`.
        folder: which of its folders is unpacked, into a folder of the same name.
        digest, size: of the zip; see `download_file`.
        most_bytes: what it may unpack to.
    """

    name: str
    url: str
    folder: str
    digest: str
    size: int
    most_bytes: int


def provide(published: PublishedZip, root: Path, *, download: bool) -> Path:
    """Return `root / folder`: as it is there, else from the zip in `root`, else from the network.

    Raises:
        InputError: it is not there and `download` is False, the zip is not the published one, or the download failed.
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


def extract_zip(archive: Path, folder: str, target: Path, *, most_bytes: int, most_files: int = 1_000_000) -> None:
    """Unpack `folder` of the archive as `target`, which appears complete or not at all.

    Raises:
        InputError: not a zip, damaged, without `folder`, bigger than `most_bytes` unpacked, with more than `most_files`
            files, or with a name that leads out of the archive (absolute, "..", a link). Nothing is left behind.
    """
    if target.exists():
        raise InputError(f"{target} is there already: move it away to unpack {archive} again.")
    try:
        with zipfile.ZipFile(archive) as content:
            files = [member for member in content.infolist() if not member.is_dir()]
            check_members(archive, content.infolist(), most_bytes, most_files)
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unpacking-") as staging:
                content.extractall(staging, files)  # of each file no more bytes than its header says
                if not Path(staging, folder).is_dir():
                    raise InputError(f"{archive} holds no folder {folder!r}: it is another archive than expected.")
                Path(staging, folder).rename(target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{archive} is damaged ({error}): remove it and try again.") from error
    except OSError as error:
        raise InputError(
            f"cannot unpack {archive} to {target}: {error.strerror}. Free or choose another place."
        ) from error


def check_members(archive: Path, members: list[zipfile.ZipInfo], most_bytes: int, most_files: int) -> None:
    for member in members:
        kind = stat.S_IFMT(member.external_attr >> 16)
        if is_unsafe(member.filename) or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InputError(
                f"{archive} holds {member.filename!r}, which leads out of its folder: do not use this archive."
            )
    if len(members) > most_files or sum(member.file_size for member in members) > most_bytes:
        raise InputError(
            f"{archive} would unpack to over {most_bytes} bytes or {most_files} files: do not use this archive."
        )


def is_unsafe(name: str) -> bool:
    """Return whether a member's name is absolute or climbs, read as Unix or as Windows would."""
    windows = PureWindowsPath(name)
    return PurePosixPath(name).is_absolute() or bool(windows.anchor) or ".." in windows.parts or "\0" in name
