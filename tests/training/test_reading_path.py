"""From the command to `training_step` a stranger reads three files: those that src/README.md lists."""

import ast
import re
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
SECTION = re.search(
    r"^## From the command to `training_step`\n(.*?)^## ", (SRC / "README.md").read_text(), re.DOTALL | re.MULTILINE
)
STEPS = re.findall(r"^\d+\. `([\w/]+\.py)`: `([\w.]+)`", SECTION[1] if SECTION else "", re.MULTILINE)


def functions(file: str) -> dict[str, ast.FunctionDef]:
    """Return a file's functions and methods by their dotted names."""
    tree = ast.parse((SRC / file).read_text())
    owners = [("", tree), *((f"{node.name}.", node) for node in tree.body if isinstance(node, ast.ClassDef))]
    return {
        f"{prefix}{node.name}": node
        for prefix, owner in owners
        for node in owner.body
        if isinstance(node, ast.FunctionDef)
    }


def imported(file: str, other: str) -> set[str]:
    """Return the names that `file` imports from `other`, by a relative import at any depth."""
    package = list(Path(file).parent.parts)
    names = set()
    for node in ast.walk(ast.parse((SRC / file).read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            module = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            if Path(*module) == Path(other).with_suffix(""):
                names |= {alias.name for alias in node.names}
    return names


def reached(file: str, name: str) -> list[ast.AST]:
    """Return what stands in a function and in the functions of its file that it calls, at any depth."""
    own, seen, waiting = functions(file), set[str](), [name]
    nodes: list[ast.AST] = []
    while waiting:
        seen.add(waiting[-1])
        here = list(ast.walk(own[waiting.pop()]))
        nodes += here
        waiting += [node.id for node in here if isinstance(node, ast.Name) and node.id in own.keys() - seen]
    return nodes


def test_the_path_has_at_most_three_files() -> None:
    files = [file for file, _ in STEPS]
    assert files[0] == "train.py"
    assert len(files) == len(set(files)) <= 3


@pytest.mark.parametrize("number", range(len(STEPS) - 1))
def test_each_file_leads_to_the_next(number: int) -> None:
    (file, name), (other, target) = STEPS[number : number + 2]
    first = target.partition(".")[0]
    assert first in imported(file, other)
    assert first in {node.id for node in reached(file, name) if isinstance(node, ast.Name)}


def test_training_step_is_at_the_end_and_the_trainer_gets_it_in_the_file_before() -> None:
    file, name = STEPS[-1]
    assert name.endswith(".training_step")
    assert name in functions(file)
    assert "fit" in {node.attr for node in reached(*STEPS[-2]) if isinstance(node, ast.Attribute)}
