"""What the loggers of other makers have in common: a package that may be missing, and a title for the run."""

from importlib.util import find_spec
from pathlib import Path

from ..errors import InputError


def need(package: str, setting: str, extra: str) -> None:
    """Raise `InputError` where a package is not installed that a setting needs."""
    found = find_spec(package)
    if found is None or found.origin is None:  # or a folder of that name is here, as W&B makes them
        raise InputError(f"{setting} needs {package}, which isn't installed: pip install 'reslens[{extra}]'")


def title_of(folder: str) -> str:
    """Return what a run is called where runs are compared: `digits/resnet18/mycats`, or its folder's own name."""
    path, outputs = Path(folder).absolute(), Path.cwd() / "outputs"
    return str(path.relative_to(outputs)) if path.is_relative_to(outputs) else path.name
