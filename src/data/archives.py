"""Zip archives from elsewhere, unpacked without trust."""

import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from ..errors import InputError

BLOCK = 1 << 20  # bytes


def extract_zip(archive: Path, folder: str, target: Path, *, most_bytes: int, most_files: int = 1_000_000) -> None:
    """Unpacks `folder` of the archive as `target`, which appears when all of it is there, or not at all.

    Raises:
        InputError: not a zip, damaged, without `folder`, bigger than `most_bytes` unpacked, with more than `most_files`
            files, or with a name that leads out of the archive (absolute, "..", a link). Nothing is left behind.
    """
    if target.exists():
        raise InputError(f"{target} is there already: move it away to unpack {archive} again.")
    staging = None
    try:
        with zipfile.ZipFile(archive) as content:
            members = content.infolist()
            check_members(archive, members, most_bytes, most_files)
            target.parent.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=".unpacking-"))
            room = most_bytes
            for member in members:
                if not member.is_dir():
                    room -= extract_member(content, member, staging, room, archive)
        if not (staging / folder).is_dir():
            raise InputError(f"{archive} holds no folder {folder!r}: it is another archive than expected.")
        (staging / folder).rename(target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{archive} is damaged ({error}): remove it and try again.") from error
    except OSError as error:
        raise InputError(
            f"cannot unpack {archive} to {target}: {error.strerror}. Free or choose another place."
        ) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


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
    """Whether a member's name is absolute or climbs, read as Unix or as Windows would."""
    windows = PureWindowsPath(name)
    return PurePosixPath(name).is_absolute() or bool(windows.anchor) or ".." in windows.parts or "\0" in name


def extract_member(content: zipfile.ZipFile, member: zipfile.ZipInfo, staging: Path, room: int, archive: Path) -> int:
    """Writes one file and returns its bytes, counted: a header may promise fewer than follow."""
    path = staging / member.filename
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with content.open(member) as source, path.open("wb") as file:
        while block := source.read(BLOCK):
            written += len(block)
            if written > room:
                raise InputError(f"{archive} unpacks to more bytes than it says: do not use this archive.")
            file.write(block)
    return written
