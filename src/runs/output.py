"""The folder that a verb writes its answer to: filled as a whole, or left as it was."""

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import write_text
from .folder import RunFolder


@contextmanager
def filled(output: Path, verb: str) -> Iterator[Path]:
    """A new folder, whose files come into `output` when the block ends well; otherwise nothing is left behind.

    `output` is new or empty, or holds what the same verb, such as `explain`, wrote earlier: the files that its record,
    explain.json, names are taken away, and nothing else. The block writes a record too (`write_record`). Raises
    `InputError` for any other folder.
    """
    earlier = _files_of(output, verb)
    made = next((path for path in reversed([output, *output.parents]) if not path.exists()), None)
    try:
        output.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=output, prefix=f".{verb}.")
    except OSError as error:
        _remove_empty(output, made)
        raise InputError(f"output={output} can't be written ({error.strerror}): name another folder") from None
    try:
        with temporary as path:
            folder = Path(path)
            yield folder
            written = sorted(folder.iterdir())
            for file in written:
                file.replace(output / file.name)
            for name in set(earlier) - {file.name for file in written}:
                (output / name).unlink(missing_ok=True)
    finally:
        _remove_empty(output, made)


@contextmanager
def grown(output: Path) -> Iterator[None]:
    """A new or empty folder that the block writes to as it goes: what is in it stays, however the block ends.

    One that is still empty then is taken away. Raises `InputError` for one that holds anything or can't be written.
    """
    made = next((path for path in reversed([output, *output.parents]) if not path.exists()), None)
    try:
        output.mkdir(parents=True, exist_ok=True)
        there = min((path.name for path in output.iterdir()), default=None)
        tempfile.TemporaryFile(dir=output).close()
    except OSError as error:
        _remove_empty(output, made)
        raise InputError(f"output={output} can't be written ({error.strerror}): name another folder") from None
    if there is not None:
        raise InputError(f"output={output} holds {there}: name a new folder, or an empty one")
    try:
        yield
    finally:
        _remove_empty(output, made)


def write_record(folder: Path, verb: str, record: dict[str, Any]) -> None:
    """The verb's record, such as explain.json, with the names of all files beside it."""
    files = sorted(path.name for path in folder.iterdir())
    text = json.dumps(record | {"files": [*files, f"{verb}.json"]}, indent=2, ensure_ascii=False)
    write_text(folder / f"{verb}.json", text + "\n")


def picture_name(number: int, name: str) -> str:
    """A file name for a picture: its number, and what of its own name a file system takes."""
    stem = re.sub(r"[^\w.-]+", "_", name)[:60]
    return f"{number:04d}_{stem}.png"


def output_folder(output: str | None, run: RunFolder | None, verb: str, name: str | None = None) -> Path:
    """`output`; where it isn't said, a folder called `name` of the run, or of `outputs`; by default the time of day."""
    if output is not None:
        return Path(output).expanduser()
    now = f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    if run is not None:
        return run.path / verb / (name or now)
    return Path("outputs") / verb / (f"{now}_{name}" if name else now)


def _files_of(output: Path, verb: str) -> list[str]:
    """What the verb has written earlier to `output`; nothing where it is new or empty."""
    try:
        there = [path.name for path in output.iterdir() if not path.name.startswith(f".{verb}.")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"output={output} is no folder ({(error.strerror or '').lower()}): name another one") from None
    if not there:
        return []
    try:
        files = json.loads((output / f"{verb}.json").read_text(encoding="utf-8"))["files"]
        return [name for name in files if Path(name).name == name and name not in ("", "..")]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"output={output} holds {min(there)} and nothing of src.{verb}: name another folder") from None


def _remove_empty(output: Path, made: Path | None) -> None:
    """Take away the folder, and what was made above it, where it is empty."""
    if made is None:
        return
    for path in (output, *output.parents):
        if not path.is_relative_to(made) or not path.is_dir() or any(path.iterdir()):
            return
        path.rmdir()
