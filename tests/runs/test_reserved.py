"""What a command has made goes again where nothing came of it, and nothing else does."""

import logging
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from src.errors import InputError
from src.runs.reserved import reserved

ROOT = Path(__file__).parents[2]


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def write(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_what_comes_before_any_work_goes_again(tmp_path: Path) -> None:
    run = tmp_path / "a" / "b" / "run"
    with reserved(run, "run"):
        write(run / ".hydra" / "config.yaml", run / "train.log", run / "multirun.yaml")
        (run / "figures" / "empty").mkdir(parents=True)
    assert listing(tmp_path) == []


@pytest.mark.parametrize("name", ["run.json", "audit.json", "0/run.json", ".hydra.yaml", "checkpoints/last.ckpt"])
def test_where_something_came_all_of_it_stays(name: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with suppress(RuntimeError), reserved(run, "run"):
        write(run / ".hydra" / "config.yaml", run / "train.log", run / name)
        raise RuntimeError
    assert {name, ".hydra/config.yaml", "train.log"} <= set(listing(run))


def test_what_was_there_stays(tmp_path: Path) -> None:
    mine = [tmp_path / name for name in ("notes.log", "0/.hydra/mine.yaml", "1/train.log")]
    write(*mine)
    (tmp_path / "empty").mkdir()
    before = listing(tmp_path)
    with reserved(tmp_path, "run"):
        write(tmp_path / "0/.hydra/config.yaml", tmp_path / "0/train.log", tmp_path / "2/train.log")
    assert listing(tmp_path) == before


def test_a_run_of_a_sweep_goes_alone(tmp_path: Path) -> None:
    with reserved(tmp_path / "s", "s") as mine:
        write(tmp_path / "s/0/run.json", tmp_path / "s/0/.hydra/config.yaml", tmp_path / "s/1/.hydra/config.yaml")
        for number in ("0", "1"):
            mine.tidy(mine.path / number)
    assert listing(tmp_path / "s") == ["0", "0/.hydra", "0/.hydra/config.yaml", "0/run.json"]


def test_a_log_is_closed_only_where_it_goes(tmp_path: Path) -> None:
    def handler(run: Path) -> logging.FileHandler:
        return logging.FileHandler(run / "train.log")

    (tmp_path / "old").mkdir()
    old = handler(tmp_path / "old")
    try:
        logging.root.addHandler(old)
        with reserved(tmp_path / "old", "old"), reserved(tmp_path / "new", "new"):
            logging.root.addHandler(handler(tmp_path / "new"))
        assert listing(tmp_path) == ["old", "old/train.log"]
        files = [one.baseFilename for one in logging.root.handlers if isinstance(one, logging.FileHandler)]
        assert [file for file in files if file.startswith(str(tmp_path))] == [old.baseFilename]
    finally:
        logging.root.removeHandler(old)
        old.close()


def test_another_process_is_refused_and_takes_nothing_away(tmp_path: Path) -> None:
    run = tmp_path / "a" / "run"
    code = (
        "from pathlib import Path\nfrom src.runs.reserved import reserved\n"
        f"with reserved(Path({str(run)!r}), 'run'): pass"
    )
    with reserved(run, "run"):
        other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        assert run.is_dir()
    assert other.returncode == 1
    assert "InputError: run is at work in another process: wait for it" in other.stderr
    assert listing(tmp_path) == []


@pytest.mark.parametrize("path", ["file/run", f"new/{'x' * 300}"])
def test_what_can_not_be_written_is_refused_and_leaves_nothing(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="run can't be written"), reserved(tmp_path / path, "run"):
        pass
    assert listing(tmp_path) == ["file"]
