"""Locks on folders, and files that are written beside links and opened through none."""

import ast
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.errors import InputError
from src.files import (
    append_text,
    attended,
    claimed,
    is_claimed,
    locked,
    open_inside,
    read_inside,
    refuse_links,
    remove_partial,
    replacing,
    write_text,
)

SRC = Path(__file__).parent.parent / "src"


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_grandchild_keeps_the_file_that_has_the_number_of_the_lock(tmp_path: Path) -> None:
    with locked(tmp_path):
        child = os.fork()
        if child == 0:
            null = os.open(os.devnull, os.O_RDONLY)
            grandchild = os.fork()
            if grandchild == 0:
                try:
                    os.read(null, 1)
                except OSError:
                    os._exit(1)
                os._exit(0)
            os._exit(exit_code(grandchild))
        assert exit_code(child) == 0


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A file elsewhere, of which nothing may change."""
    file = tmp_path / "elsewhere" / "mine.txt"
    file.parent.mkdir()
    file.write_text("mine")
    return file


CLAIM = "from pathlib import Path; import sys, time\nfrom src.files import claimed\n"


def test_a_claim_is_one_processs_and_dies_with_it(tmp_path: Path) -> None:
    claim = tmp_path / "claim"
    code = f"{CLAIM}with claimed(Path({str(claim)!r})): print('mine', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        assert is_claimed(claim)
        with pytest.raises(BlockingIOError), claimed(claim, 0.1):
            pass
    finally:
        other.kill()
        other.communicate()
    assert claim.exists()
    assert not is_claimed(claim)
    with claimed(claim):
        assert is_claimed(claim)
    assert not claim.exists()


def test_many_take_turns_with_a_claim(tmp_path: Path) -> None:
    """Each removes the file that others are waiting for."""
    claim, inside = tmp_path / "claim", tmp_path / "inside"
    code = (
        f"{CLAIM}inside = Path({str(inside)!r})\nfor _ in range(100):\n  with claimed(Path({str(claim)!r}), 30):\n"
        "    inside.touch(exist_ok=False)\n    inside.unlink()"
    )
    others = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [other.wait(60) for other in others] == [0, 0, 0]
    assert not list(tmp_path.iterdir())


def test_who_attends_a_folder_knows_whether_others_do(tmp_path: Path) -> None:
    with attended(tmp_path) as alone:
        with attended(tmp_path) as other, alone() as last, other() as too:
            assert (last, too) == (False, False)
        with alone() as last:
            assert last
            with pytest.raises(BlockingIOError), locked(tmp_path):
                pass
        with pytest.raises(BlockingIOError), locked(tmp_path):
            pass
    with locked(tmp_path):
        pass


def test_a_link_is_replaced_and_not_written_through(mine: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").symlink_to(mine)
    write_text(tmp_path / "run.json", "ours")
    assert not (tmp_path / "run.json").is_symlink()
    assert (mine.read_text(), (tmp_path / "run.json").read_text()) == ("mine", "ours")


def test_a_temporary_name_can_not_be_guessed_and_has_the_usual_rights(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        with replacing(tmp_path / "a.json") as temporary:
            assert temporary.exists(), "nobody can put a link there any more"
            names.add(temporary.name)
    assert len(names) == 3
    assert not any(str(os.getpid()) in name for name in names)
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o666 & ~mask
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_what_a_killed_process_left_goes_and_links_go_as_links(mine: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (mine.parent / ".other.partial").touch()
    (run / "checkpoints" / ".last.1234.partial.ckpt").touch()
    (run / ".gone.partial").symlink_to(run / "nowhere")
    (run / ".file.partial").symlink_to(mine)
    (run / ".folder.partial").symlink_to(mine.parent)
    (run / "linked").symlink_to(mine.parent)
    remove_partial(run)
    assert sorted(path.name for path in run.iterdir()) == ["checkpoints", "linked"]
    assert not list((run / "checkpoints").iterdir())
    assert sorted(path.name for path in mine.parent.iterdir()) == [".other.partial", "mine.txt"]


def test_a_line_goes_behind_no_other_file(mine: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(mine)
    (tmp_path / "gone").symlink_to(mine.parent / "new")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "gone", "pipe"):
        with pytest.raises(OSError, match=name):
            append_text(tmp_path / name, "ours")
    (tmp_path / "hard").hardlink_to(mine)
    append_text(tmp_path / "hard", " and ours")
    append_text(tmp_path / "new", "ours")
    assert (tmp_path / "hard").read_text() == "mine and ours"
    assert mine.read_text() == "mine"
    assert [path.name for path in mine.parent.iterdir()] == ["mine.txt"]


def test_nothing_is_read_through_a_link_below_the_folder(mine: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "inner").mkdir(parents=True)
    (run / "inner" / "a").write_text("a")
    (run / "link").symlink_to(mine)
    (run / "folder").symlink_to(mine.parent)
    os.mkfifo(run / "pipe")
    (tmp_path / "to run").symlink_to(run)
    assert read_inside(tmp_path / "to run", "inner/a", 1) == b"a"
    for name in ("link", "folder/mine.txt", "pipe", "inner", "link/a"):
        with pytest.raises(OSError, match="link|regular|directory"):
            open_inside(run, name)
    with pytest.raises(OSError, match="larger"):
        read_inside(run, "inner/a", 0)
    refuse_links(tmp_path / "to run", tmp_path / "to run" / "inner" / "a")
    with pytest.raises(InputError, match="folder is a link"):
        refuse_links(run, run / "folder" / "new")


WRITERS = {
    "write_text", "write_bytes", "to_csv", "to_json", "savez", "savez_compressed", "savefig", "copyfile",
    "copytree", "symlink_to", "hardlink_to", "mkstemp", "NamedTemporaryFile", "touch", "SummaryWriter", "FileHandler",
}  # fmt: skip
"""What writes a file by its name, whatever it belongs to."""

SAFE = {
    "data/download.py": "copies into a folder that it has made under a random name",
    "data/in_memory.py": "writes to an open file that `write_cache` gives it",
    "explanation/shortcuts.py": "writes to a folder that `filled` has made under a random name",
    "explanation/truth.py": "writes to a folder that `filled` has made under a random name",
    "resuming/checkpoint_files.py": "copies to the file that `replacing` gives it",
    "reporting/report.py": "writes to a folder that it has made under a random name",
}
"""Files that write by name, and why no link can be in their way."""


def writes(node: ast.Call, function: ast.AST) -> bool:
    """Whether a call opens a file for writing, and not the one that `replacing` gives."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in ("open", "fdopen"):
        words = [
            word.value for word in (*node.args, *(key.value for key in node.keywords)) if isinstance(word, ast.Constant)
        ]
        modes = [word for word in words if isinstance(word, str) and set(word) <= set("rwabtx+U")]
        found = any(set(mode) & set("wa+") for mode in modes)
    elif name == "write_text":
        found = isinstance(node.func, ast.Attribute)  # files.write_text is called by its name alone
    elif name == "save":
        found = getattr(getattr(node.func, "value", None), "id", "") in ("OmegaConf", "torch", "np", "Image")
    else:
        found = name in WRITERS
    calls = (call.func for call in ast.walk(function) if isinstance(call, ast.Call))
    return found and not any(getattr(call, "id", "") in ("replacing", "open_to_append") for call in calls)


def writing_files() -> Iterator[str]:
    for path in sorted(SRC.rglob("*.py")):
        tree = ast.parse(path.read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        calls = [
            (call, function) for function in functions for call in ast.walk(function) if isinstance(call, ast.Call)
        ]
        if any(writes(call, function) for call, function in calls):
            yield str(path.relative_to(SRC))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("path.open('w')", True),
        ("open(path, mode='ab')", True),
        ("path.write_text('')", True),
        ("torch.save({}, path)", True),
        ("table.to_csv(path)", True),
        ("path.open('rb')", False),
        ("write_text(path, '')", False),
        ("with replacing(path) as own: own.write_text('')", False),
    ],
)
def test_what_writes_is_found(line: str, found: bool) -> None:
    function = ast.parse(f"def f(): {line}" if not line.startswith("with") else f"def f():\n {line}")
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    assert any(writes(call, function) for call in calls) is found


def test_no_other_place_opens_a_file_for_writing() -> None:
    """`replacing`, `write_text` and `append_text` of `src/files.py` are the ways to write."""
    assert set(writing_files()) == set(SAFE)
