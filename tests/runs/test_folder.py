"""The folder of a run: kept for one process, and its record true however the run ends."""

import errno
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
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


NAMES = ["=1+1", "-dog", "@x", "a,b", "a\nb", "a\rb", 'a "b"', "01", "NA"]


def test_names_and_numbers_in_tables_come_back(tmp_path: Path) -> None:
    """Also those that a spreadsheet would calculate, and numbers below zero stay numbers."""
    run, count = RunFolder(tmp_path), len(NAMES)
    shares = np.eye(count) * 0.75
    run.write_predictions([f"{name}.png" for name in NAMES], np.arange(count), shares, NAMES)
    run.write_per_class(pd.DataFrame({"class": NAMES, "support": range(count), "f1": np.linspace(-0.5, 1 / 3, count)}))
    run.write_skipped([(name, "broken") for name in NAMES])
    read = partial(pd.read_csv, dtype={"class": str}, keep_default_na=False)
    for table in (run.predictions(), read(run.predictions_file)):
        assert table["path"].tolist() == [f"{name}.png" for name in NAMES]
        assert table["target"].tolist() == table["predicted"].tolist() == NAMES
        assert table["confidence"].tolist() == [0.75] * count
    table = read(run.per_class_file)
    assert table["class"].tolist() == NAMES
    assert table["f1"].tolist() == np.linspace(-0.5, 1 / 3, count).tolist()
    assert read(run.skipped_file)["path"].tolist() == NAMES


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
