"""`last` and a run's name lead to its folder, or to one clear line."""

import json
import os
from pathlib import Path

import pytest

from src.errors import InputError
from src.runs.named import find_named


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(
    path: str, start: str, *, resumed: str | None = None, checkpoint: bool = True, status: str = "finished"
) -> Path:
    folder = Path("outputs") / path
    (folder / "checkpoints").mkdir(parents=True)
    if checkpoint:
        (folder / "checkpoints/best.ckpt").touch()
    record = {"status": status, "start": f"2026-11-{start}+00:00"}
    if resumed:
        record["resumed"] = [{"time": f"2026-11-{resumed}+00:00"}]  # type: ignore[assignment]
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def test_last_is_the_run_that_was_begun_or_resumed_last_wherever_it_lies() -> None:
    for setting in ("checkpoint", "resume", "runs"):
        with pytest.raises(InputError, match=f"{setting}=last: there is no run .*below outputs/ yet: train one"):
            find_named("last", setting)
    early, late = run("digits/resnet18/a", "02T10:00:00"), run("digits/simple_cnn/b", "03T10:00:00")
    os.utime(early / "run.json")  # written later: such as at the end of a long run
    assert find_named("last", "checkpoint") == late
    night = run("night", "01T10:00:00", resumed="04T10:00:00")
    assert find_named("last", "resume") == night
    in_sweep = run("sweeps/first/0", "05T10:00:00")
    assert find_named("last", "checkpoint") == in_sweep
    (in_sweep.parent / "multirun.yaml").touch()
    assert find_named("last", "runs") == in_sweep.parent
    assert find_named("last", "resume") == in_sweep


def test_last_has_what_it_is_wanted_for() -> None:
    whole = run("digits/resnet18/a", "01T10:00:00")
    killed = run("digits/resnet18/b", "02T10:00:00", checkpoint=False, status="running")
    run("sweeps/s/0", "03T10:00:00", checkpoint=False, status="refused")
    assert find_named("last", "checkpoint") == find_named("last", "weights") == whole
    assert find_named("last", "resume") == killed


def test_the_controls_of_an_explanation_are_no_runs() -> None:
    whole = run("digits/resnet18/a", "01T10:00:00")
    run("digits/resnet18/a/explain/gradcam/control", "02T10:00:00")
    run("explain/2026/control", "03T10:00:00")
    assert find_named("last", "checkpoint") == whole
    assert find_named("control", "checkpoint") is None


def test_a_damaged_record_counts_by_its_file() -> None:
    run("digits/resnet18/a", "01T10:00:00")
    damaged = run("digits/resnet18/b", "01T10:00:00")
    (damaged / "run.json").write_text("{")
    assert find_named("last", "checkpoint") == damaged


def test_a_name_is_found_and_two_of_a_name_are_named() -> None:
    cats = run("digits/resnet18/mycats", "01T10:00:00")
    assert find_named("mycats", "checkpoint") == cats
    assert find_named("yourcats", "checkpoint") is None
    run("digits/resnet50/mycats", "02T10:00:00")
    said = "outputs/digits/resnet18/mycats, outputs/digits/resnet50/mycats: name the folder of one"
    with pytest.raises(InputError, match=f"checkpoint=mycats is the name of 2 runs, {said}"):
        find_named("mycats", "checkpoint")
    Path("mycats").mkdir()  # what is there as it was typed is meant
    assert find_named("mycats", "checkpoint") is None
    assert find_named("./last", "checkpoint") is None


def test_a_sweeps_name_is_one_of_runs_and_its_numbers_are_no_names() -> None:
    run("sweeps/first/0", "01T10:00:00")
    assert find_named("first", "runs") == Path("outputs/sweeps/first")
    assert find_named("first", "checkpoint") is None
    assert find_named("0", "checkpoint") is None
