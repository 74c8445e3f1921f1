"""The folder of a run: kept for one process, and its record true however the run ends."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from src.errors import InputError
from src.runs.folder import RunFolder
from tests.support.command_line import run_here

RUN = (
    "trainer=debug", "model=simple_cnn", "baseline=false", "cost=false", "callbacks=none", "logger=none",
    "hydra.run.dir=run",
)  # fmt: skip


def test_a_folder_that_is_not_there_yet_is_kept_for_one_process(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "a" / "b")
    with run.locked():
        with pytest.raises(InputError, match="is at work in another process"), RunFolder(run.path).locked():
            pass
        assert run.path.is_dir(), "it is not the second one's to take away"
    assert not list(tmp_path.iterdir()), "nothing came of it"


def test_what_was_there_or_has_come_in_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(RuntimeError), RunFolder(tmp_path / "mine").locked():
        raise RuntimeError
    with RunFolder(tmp_path / "new" / "run").locked():
        (tmp_path / "new" / "run" / "run.json").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["mine", "new", "run", "run.json"]


def test_a_folder_that_cannot_be_made_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, why in (("file/run", "Not a directory"), (f"new/{'x' * 300}", "File name too long")):
        run = RunFolder(tmp_path / path)
        with pytest.raises(InputError, match=f"can't be written .{why}.: choose another"), run.locked():
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(143)])
def test_an_interruption_on_a_full_disk_is_one(
    end: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunFolder, "end", full)
    with pytest.raises(type(end)), RunFolder(tmp_path).recorded():
        raise end


def test_a_disk_that_is_full_at_the_end_takes_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "end", full)
        result = run_here(*RUN, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (1, "error: [Errno 28] No space left on device\n")
    run = RunFolder(tmp_path / "run")
    assert not run.is_whole
    assert run_here("resume=run", cwd=tmp_path).returncode == 0
    assert run.is_whole
