"""The folder that a verb writes its answer to: filled as a whole, or left as it was."""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import move_files, refuse_links, write_text
from .contents import UnusableError, read_json
from .folder import RunFolder
from .reserved import reserved

TIMED = r"\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2}"
"""How the name of a folder begins that is called by the time."""


@contextmanager
def filled(output: Path, verb: str) -> Iterator[Path]:
    """Let the block fill a temporary folder, and move its files into `output` when it ends well.

    `output` is new or empty, or holds what the same verb, such as `explain`, wrote earlier: the files that its record,
    explain.json, names are replaced, and no others. The block writes a record too (`write_record`). Raises `InputError`
    for any other folder.
    """
    earlier = _files_of(output, verb)
    with (
        reserved(output, f"output={output}"),
        tempfile.TemporaryDirectory(dir=output, prefix=f".{verb}.") as path,
    ):
        folder = Path(path)
        yield folder
        for name in set(earlier) - move_files(folder, output):
            (output / name).unlink(missing_ok=True)


@contextmanager
def grown(output: Path) -> Iterator[None]:
    """Let the block write to a new or empty folder as it goes: what is in it stays, however the block ends.

    Raises `InputError` where it holds anything or can't be written.
    """
    with reserved(output, f"output={output}") as mine:
        if mine.before:
            there = min(path.name for path in mine.before if path.parent == mine.path)
            raise InputError(f"output={output} holds {there}: name a new folder, or an empty one")
        yield


def write_record(folder: Path, verb: str, record: dict[str, Any]) -> None:
    """Write the verb's record, such as explain.json, with the names of all files beside it."""
    files = sorted(path.name for path in folder.iterdir())
    text = json.dumps(record | {"files": [*files, f"{verb}.json"]}, indent=2, ensure_ascii=False)
    write_text(folder / f"{verb}.json", text + "\n")


def picture_name(number: int, name: str) -> str:
    """Return a file name for a picture: its number, and what a file system takes of its own name."""
    stem = re.sub(r"[^\w.-]+", "_", name)[:60]
    return f"{number:04d}_{stem}.png"


def output_folder(
    output: str | None, run: RunFolder | None, verb: str, name: str | None = None, *, replaced: bool = False
) -> Path:
    """Return `output`, or without it a new folder below the run or `outputs`, called by the time and `name`.

    With `replaced` a run has one folder for all that is made of that name.
    """
    if output is not None:
        return Path(output).expanduser()
    now = "_".join([f"{datetime.now():%Y-%m-%d_%H-%M-%S}", *([name] if name else [])])
    if run is None:
        return _unused(Path("outputs") / verb / now)
    folder = run.path / verb / name if name and replaced else _unused(run.path / verb / now)
    refuse_links(run.path, folder)
    return folder


def made(run: Path, verb: str) -> list[str]:
    """Return the names of the folders in which a run keeps what a verb made, the newest last.

    Those of earlier versions, which are called by what is in them, such as `gradcam`, come before those with a time.
    """
    found = [file.parent.name for file in run.glob(f"{verb}/*/{verb}.json")]
    return sorted(found, key=lambda name: (re.match(TIMED, name) is not None, name))


def _unused(folder: Path) -> Path:
    """Return the folder, or where another one was made in the same second, one beside it."""
    others = (folder.with_name(f"{folder.name}_{number}") for number in range(2, 1000))
    return next((path for path in (folder, *others) if not os.path.lexists(path)), folder)


def _files_of(output: Path, verb: str) -> list[str]:
    """Return what the verb wrote to `output` earlier; nothing where it is new or empty."""
    try:
        there = [path.name for path in output.iterdir() if not path.name.startswith(f".{verb}.")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"output={output} is no folder ({(error.strerror or '').lower()}): name another one") from None
    if not there:
        return []
    try:
        files = read_json(output, f"{verb}.json")["files"]
        return [name for name in there if name in files and not (output / name).is_dir()]
    except (UnusableError, KeyError, TypeError):
        raise InputError(f"output={output} holds {min(there)} and nothing of src.{verb}: name another folder") from None
