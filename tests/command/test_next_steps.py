"""What a verb proposes at its end can be typed as it stands."""

import logging
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from src.command import next_steps
from src.command.next_steps import STEPS, say_next
from src.settings.composing import quote_paths
from src.settings.schema.verbs import VERBS
from tests.support.command_line import run_here
from tests.support.composed import check_overrides

FILLED: dict[str, Sequence[str]] = {
    "run": "outputs/my run", "tested": "outputs/my run",
    "checkpoint": "outputs/my run", "folder": "outputs/it's", "model": "simple_cnn",
    "chosen": ["runs=outputs/it's"], "data": ["data=folder", "data.root=my photos"],
}  # fmt: skip


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage()[13:] for record in caplog.records if record.name == next_steps.__name__]


@pytest.mark.parametrize("verb", STEPS)
def test_every_step_is_understood_with_blanks_in_it(
    verb: str, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", f"src.{verb}"])
    caplog.set_level(logging.INFO)
    say_next(verb, **FILLED)
    assert 1 <= len(said(caplog)) == len(STEPS[verb]) <= 3
    for step in said(caplog):
        words = shlex.split(step)
        if verb != "export":
            assert words[:2] == ["python", "-m"]
            assert words[2].removeprefix("src.") in VERBS
            assert check_overrides(words[2].removeprefix("src."), quote_paths(words[3:]))


def test_several_labels_and_no_run_leave_out_what_is_not_possible(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    say_next("train", run="r", tested="r", multilabel=True)
    assert [re.findall(r"(\w+) checkpoint", step)[0] for step in said(caplog)] == ["evaluate", "explain"]
    caplog.clear()
    say_next("evaluate", checkpoint="adopted.ckpt")
    assert [re.findall(r"(\w+) checkpoint", step)[0] for step in said(caplog)] == ["predict"]
    caplog.clear()
    say_next("train", run="r")  # of test=false
    assert [re.findall(r"(\w+) checkpoint", step)[0] for step in said(caplog)] == ["explain", "app"]
    caplog.clear()
    say_next("audit", leave_out=["fix"], data=[])
    assert [step.split()[-1].rpartition(".")[2] for step in said(caplog)] == ["train"]


@pytest.mark.parametrize(
    ("typed", "starts"),
    [
        ([".venv/bin/python", "-m", "src.train", "seed=2"], ".venv/bin/python -m src.train"),
        (["/my envs/a/bin/python3", "-m", "src", "train"], "'/my envs/a/bin/python3' -m src.train"),
        (["/usr/bin/python", "/usr/bin/reslens", "train"], "reslens train"),
        (["python", "mine.py"], "python -m src.train"),
    ],
)
def test_it_is_started_as_this_one_was(typed: list[str], starts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", typed)
    assert next_steps.how_to_start("train") == starts


def test_a_training_ends_with_them_and_a_sweeps_runs_do_not(tmp_path: Path) -> None:
    quick = ("model=simple_cnn", "model.width=4", "trainer=cpu", "data.max_images=200", "baseline=false", "cost=false",
             "callbacks=none", "logger=none", "data.num_workers=0", "epochs=1")  # fmt: skip
    alone = run_here(*quick, "name=one", cwd=tmp_path)
    lines = alone.stdout.splitlines()[-3:]
    run = "checkpoint=outputs/digits/simple_cnn/one"
    assert lines[0].startswith("next         ")
    assert [line[13:] for line in lines] == [
        f"{sys.executable} -m src.{verb} {run}" for verb in ("evaluate", "explain", "app")
    ]
    swept = run_here("-m", *quick, "seed=1,2", cwd=tmp_path)
    assert swept.returncode == 0, swept.stderr
    assert not re.search(r"^next  ", swept.stdout, re.MULTILINE)
