"""`reslens VERB …`: the verbs as one console command, each exactly as `python -m src.VERB`."""

import ast
import runpy
import sys
from difflib import get_close_matches
from pathlib import Path

from ..logs import while_read
from ..runs.provenance import find_version
from ..settings.defaults import PACKAGE


def main() -> None:
    """Run the verb that the first word names, with the words behind it, and exit with its code."""
    word, *rest = sys.argv[1:] or ["--help"]
    verbs = list_verbs()
    if word in ("--version", "-V"):
        with while_read():
            print(describe_version())
    elif word in ("--help", "-h", "help"):
        with while_read():
            print(describe_verbs(verbs))
    elif word in verbs:
        sys.argv = [sys.argv[0], *rest]
        # As __main__, so that the processes of a distributed run are started the same way.
        runpy.run_module(f"{PACKAGE}.{word}", run_name="__main__", alter_sys=True)
    else:
        nearest = get_close_matches(word, verbs, n=2, cutoff=0.5) or list(verbs)
        print(f"error: {word!r} is no verb; nearest: {', '.join(nearest)}", file=sys.stderr)
        sys.exit(2)


def list_verbs() -> dict[str, str]:
    """Map each verb to what it does: files and packages beside this one that run as a command, by the first line."""
    verbs, beside = {}, Path(__file__).parents[1]
    found = {path.stem: path for path in beside.glob("[a-z]*.py")}
    found |= {path.parent.name: path for path in beside.glob("[a-z]*/__main__.py")}
    for name, path in sorted(found.items()):
        source = path.read_text(encoding="utf-8")
        if '__name__ == "__main__"' in source:
            line = (ast.get_docstring(ast.parse(source)) or "").splitlines()[0]
            verbs[name] = line.partition(": ")[2]
    return verbs


def describe_verbs(verbs: dict[str, str]) -> str:
    """List the verbs, one a line."""
    width = max(map(len, verbs))
    lines = [f"  {name:<{width}}  {does}" for name, does in verbs.items()]
    return "\n".join(
        [
            "ResLens trains, compares and explains residual networks for image classification.",
            "",
            *lines,
            "",
            "reslens VERB --help shows a verb's settings, reslens --version the versions.",
        ]
    )


def describe_version() -> str:
    """Name the versions that decide figures: ours, and those of the libraries behind it."""
    names = ("reslens", "torch", "torchvision", "lightning", "hydra-core")
    return " · ".join(f"{name} {find_version(name) or '(not installed)'}" for name in names)
