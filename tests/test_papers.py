"""What the papers say (every *.md): commands are understood, links lead somewhere, paragraphs are short."""

import ast
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from src.command.console import list_verbs
from src.command.only import take_only
from src.networks import NETWORKS
from src.settings.composing import quote_paths
from tests.support.composed import check_overrides

ROOT = Path(__file__).parent.parent
PAPERS = sorted(
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()
)  # fmt: skip
TEXTS = {paper.relative_to(ROOT).as_posix(): paper.read_text() for paper in PAPERS}
BLOCKS = {name: re.findall(r"^ {4}(.*)$", text, re.MULTILINE) for name, text in TEXTS.items()}
SHOWN = re.compile(r"python -m src\.(\w+)([^\n`]*)")


def commands() -> list[tuple[str, str]]:
    """Each command that a paper shows, in a block or between backticks, without what is said behind it."""
    found = set()
    for name, text in TEXTS.items():
        lines = [re.split(r" {2,}", line.split("| ")[-1] if " | python" in line else line)[0] for line in BLOCKS[name]]
        for span in [*lines, *re.findall(r"`(python -m src\.[^`]+)`", text)]:
            match = SHOWN.fullmatch(span.strip())
            if match and "…" not in span and match[1] in list_verbs():
                found.add((match[1], match[2].strip()))
    return sorted(found)


COMMANDS = commands()


def test_commands_were_found() -> None:
    assert len(COMMANDS) >= 30
    assert {verb for verb, _ in COMMANDS} == set(list_verbs())


@pytest.mark.parametrize(("verb", "command"), COMMANDS)
def test_a_command_is_understood(verb: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("resnet18.pth", "FILE"):
        (tmp_path / file).touch()
    arguments = [word for word in quote_paths(shlex.split(command)) if not word.startswith("--") and word != "job"]
    _, overrides = take_only([argument for argument in arguments if argument != "-m"])
    assert check_overrides(verb, overrides, multirun="-m" in arguments)


@pytest.mark.parametrize("name", TEXTS)
def test_links_and_pictures_are_there(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)(#[^)]*)?\)", TEXTS[name])
    folder = (ROOT / name).parent
    assert [link for link, _ in links if not link.startswith("http") and not (folder / link).exists()] == []


def test_every_guide_is_reached_from_the_first_page() -> None:
    reached, waiting = set(), ["README.md"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        for link in re.findall(r"\]\(([^)#:]+\.md)", TEXTS[name]):
            target = ((ROOT / name).parent / link).resolve().relative_to(ROOT).as_posix()
            if target not in reached:
                waiting.append(target)
    assert set(TEXTS) - reached <= {".github/CHANGELOG.md"} | {
        name for name in TEXTS if name.startswith("tests/support")
    }


def test_the_first_page_is_short() -> None:
    assert len(TEXTS["README.md"].splitlines()) <= 200


@pytest.mark.parametrize("name", TEXTS)
def test_paragraphs_are_short(name: str) -> None:
    prose = [part for part in re.split(r"\n\s*\n", TEXTS[name]) if not re.match(r" {4}|\||#|!\[|\s*[-\d]", part)]
    assert [part for part in prose if len(part.split()) > 80] == []


def test_nothing_stands_twice() -> None:
    """Sentences and table rows of some length; commands may be shown again, beside other ones."""
    seen: dict[str, str] = {}
    twice = []
    for name, text in TEXTS.items():
        prose = re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE)
        for part in re.split(r"\n\s*\n", prose):
            rows = part.splitlines() if part.startswith("|") else re.split(r"(?<=[.:;])\s+", " ".join(part.split()))
            for row in rows:
                if len(row.split()) >= 10 and seen.setdefault(row, name) != name:
                    twice.append((seen[row], name, row))
    assert twice == []


def test_nothing_was_left_to_be_filled_in() -> None:
    environment = {"HYDRA_FULL_ERROR", "RESLENS_CACHE", "OMP_NUM_THREADS", "GLIBC_TUNABLES", "LD_PRELOAD"}
    environment |= {"RAY_AUTH_MODE", "SLURM_ARRAY_TASK_ID"}
    environment |= {"AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"}
    words = set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", "\n".join(TEXTS.values())))
    constants = {
        target.id
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    assert words - constants <= environment


def test_the_index_of_behaviours_leads_to_code() -> None:
    rows = re.findall(
        r"^\| [^|]+ \| `([\w/]+)(\.py|/)` \| `(?:(\w+\.py): )?(\w+)` \|$", TEXTS["src/README.md"], re.MULTILINE
    )
    assert len(rows) >= 20
    for place, suffix, file, name in rows:
        path = ROOT / "src" / (f"{place}.py" if suffix == ".py" else f"{place}/{file}")
        defined = {getattr(node, "name", None) for node in ast.parse(path.read_text()).body}
        assert name in defined, f"{path} has no {name}"


def test_every_network_and_data_set_is_named() -> None:
    names = [*NETWORKS, *(path.stem for path in (ROOT / "conf" / "data").glob("*.yaml") if path.stem != "base")]
    text = "\n".join(TEXTS.values())
    assert [name for name in names if f"`{name}`" not in text] == []
