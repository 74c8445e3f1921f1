"""With which code and packages a run is made."""

import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("reslens", "torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "grad-cam", "numpy", "pillow")


def provenance() -> dict[str, Any]:
    """Return what `run.json` says of this program."""
    versions = {"python": platform.python_version(), **{name: find_version(name) for name in PACKAGES}}
    return {"versions": versions, "git_commit": _git_commit()}


def describe_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what two records say differently of them: `torch went from 2.10 to 2.11`."""
    versions = before.get("versions", {})  # a stranger may have put anything there
    pairs = {name: (versions.get(name, version), version) for name, version in now["versions"].items()}
    pairs["the commit"] = (before.get("git_commit", now["git_commit"]), now["git_commit"])
    return [f"{name} went from {str(old)[:60]} to {new}" for name, (old, new) in pairs.items() if old != new]


def find_version(package: str) -> str | None:
    """Return the version of an installed package; None where it isn't installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """Return the commit of this source tree, with `-dirty` behind it where files have changed; None outside git."""
    command, here = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"], Path(__file__).parents[2]
    if not (here / ".git").exists():  # installed: the commit would be that of whatever surrounds the environment
        return None
    try:
        return subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
