"""Imports point only upwards in `LAYERS`, from the leaves to the verbs."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src"

LAYERS = [
    {"activity", "errors", "frames", "heap", "lean", "names", "tables"},
    {"files", "lists", "ranks", "urls"},
    {"logs"},
    {"figures"},
    {"analysis"},
    {"settings"},
    {"data", "networks"},
    {"runs"},
    {"attribution", "cost"},
    {"resuming"},
    {"callbacks"},
    {"training"},
    {"trained"},
    {"command"},
    {"adopting", "packing", "prediction", "exporting", "auditing", "explanation", "reporting"},
    {"evaluation", "interactive", "listing", "selection"},
    {"page"},
    {
        "train",
        "evaluate",
        "predict",
        "explain",
        "audit",
        "benchmark",
        "report",
        "export",
        "app",
        "adopt",
        "search",
        "pack",
        "run",
        "__main__",
    },
]


def part(path: Path) -> str:
    """The part of `src` that a file belongs to; what makes a package a verb is one, whatever the package is."""
    return "__main__" if path.stem == "__main__" else path.relative_to(SRC).parts[0].removesuffix(".py")


def layer(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name in names)


def imported_parts(path: Path) -> set[str]:
    """The parts of `src` that a file imports, inside functions too; those for type checkers alone count as well."""
    parts, package = set(), ("src", *path.relative_to(SRC).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = [*above, *(node.module or "").split(".")] if node.module else [*above]
            if module == ["src"]:
                parts |= {alias.name for alias in node.names}
            elif module[0] == "src":
                parts.add(module[1])
        elif isinstance(node, ast.Import):
            parts |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("src.")}
    return parts


def test_imports_are_found() -> None:
    assert {"command", "runs", "errors"} <= imported_parts(SRC / "train.py")
    assert "figures" in imported_parts(SRC / "training" / "results.py")


FILES = sorted(path for path in SRC.rglob("*.py") if path != SRC / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_imports_point_to_the_ground(path: Path) -> None:
    own = part(path)
    for other in imported_parts(path) - {own}:
        assert layer(other) < layer(own), f"{own} imports {other}"


def test_no_file_hides_a_module_of_the_standard_library() -> None:
    assert not [path for path in FILES if path.stem in sys.stdlib_module_names and path.stem != "__init__"]


def test_all_packages_are_installed() -> None:
    named = tomllib.loads((SRC.parent / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    packages = {".".join(("reslens", *path.parent.relative_to(SRC).parts)) for path in SRC.rglob("__init__.py")}
    assert set(named) == packages | {"reslens.conf"}


def test_the_tests_mirror_the_packages() -> None:
    tests = {path.name for path in (SRC.parent / "tests").iterdir() if path.is_dir() and any(path.glob("test_*.py"))}
    assert tests <= {path.parent.name for path in SRC.glob("*/__init__.py")}
