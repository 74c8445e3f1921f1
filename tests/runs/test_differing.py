"""A sweep's runs are called by what differs, in names that file systems, shells and TensorBoard take."""

import shlex
from pathlib import Path

import pytest
import yaml

from src.runs.differing import differing, folder_name, in_short, name_of, names_in, number_of
from src.runs.folder import RunFolder
from src.runs.named import find_named


def test_what_all_runs_have_is_left_out() -> None:
    jobs = {"0": ["sweep=s", "seed=1", "model=a", "lr=1"], "1": ["sweep=s", "seed=2", "model=a", "lr=1"]}
    assert differing(jobs) == {"0": ["seed=1"], "1": ["seed=2"]}
    assert differing({"0": ["seed=1"]}) == {"0": []}
    assert differing({}) == {}


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["model=resnet18", "seed=1"], "3_model=resnet18_seed=1"),
        ([], "3"),
        (["optimizer.lr=0.05", "+model.width=8"], "3_lr=0.05_width=8"),
        (["optimizer.name=x", "scheduler.name=y"], "3_optimizer=x_scheduler=y"),
        (["optimizer.lr=0.012345678901"], "3_lr=0.01235"),
        (["optimizer.lr=1.2345678e-05"], "3_lr=1.235e-05"),
        (["data.root='/photos/Über uns, 2'", "weights=null"], "3_root=Über-uns-2_weights=null"),
        (["data.mean=[0.5,-0.25]", "data.augment={flip:true}"], "3_mean=0.5--0.25_augment=flip-true"),
        (["weights='/my weights/${model.name}_tiny.pth'"], "3_weights=_tiny.pth"),
        (["~callbacks"], "3_callbacks"),
        (["data.group=../../etc", "name=\x1b[2J\u202e"], "3_group=etc_name=-2J"),
    ],
)
def test_a_name_is_short_and_safe(words: list[str], name: str) -> None:
    assert folder_name(3, words) == name
    assert "/" not in name
    assert number_of(Path("outputs") / name) == 3


def test_a_long_name_is_cut_and_needs_no_quotes() -> None:
    name = folder_name(12, [f"data.root=/{'ü' * 300}/{'x' * 300}", *(f"trainer.setting_{i}={i}" for i in range(50))])
    assert len(name.encode()) <= 103
    assert name.startswith("12_root=" + "x" * 23)
    ascii_name = folder_name(1, ["model=resnet18", "data.fold=0", "trainer.precision=bf16-mixed"])
    assert shlex.quote(ascii_name) == ascii_name
    assert "," not in ascii_name  # it would be one between two checkpoints, behind -m


def test_settings_of_one_ending_keep_their_groups() -> None:
    assert in_short(["optimizer.decay=1", "scheduler.decay=2", "seed=3"]) == [
        "optimizer.decay=1", "scheduler.decay=2", "seed=3",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["report", "2026-11-28_19-03", "01", "1234567", "-1", "multirun.yaml", "a_0"])
def test_other_folders_have_no_number(name: str) -> None:
    assert number_of(Path(name)) is None


def old_run(path: Path, *words: str) -> RunFolder:
    (path / ".hydra").mkdir(parents=True)
    (path / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(words)))
    (path / "run.json").write_text("{}")
    return RunFolder(path)


def test_runs_of_earlier_versions_are_called_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = tmp_path / "outputs" / "sweeps" / "s"
    first = old_run(sweep / "0", "model=a", "seed=1")
    old_run(sweep / "1", "model=a", "seed=2")
    (sweep / "2").mkdir()  # nothing is known of it
    (sweep / "report").mkdir()
    assert names_in(sweep) == {"0": "0_seed=1", "1": "1_seed=2", "2": "2"}
    assert name_of(first) == "0_seed=1"
    monkeypatch.chdir(sweep / "0")
    assert name_of(RunFolder(".")) == "0_seed=1"


def test_a_name_that_is_a_number_stays(tmp_path: Path) -> None:
    mine = old_run(tmp_path / "outputs" / "digits" / "a" / "0", "seed=1")
    old_run(tmp_path / "outputs" / "digits" / "a" / "1", "seed=2")
    assert name_of(mine) == "0"


def test_a_verb_finds_a_run_by_sweep_and_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = Path("outputs/sweeps/first")
    old_run(sweep / "0_seed=1", "seed=1")
    old_run(sweep / "10", "seed=2")
    assert find_named("first/0", "checkpoint") == find_named("first/0_seed=1", "resume") == sweep / "0_seed=1"
    assert find_named("first/10_seed=2", "checkpoint") == sweep / "10"  # as a list shows it
    assert find_named("first/1", "checkpoint") is None
    assert find_named("first/report", "checkpoint") is None
    assert find_named("../first/0", "checkpoint") is None
    (tmp_path / "first" / "0").mkdir(parents=True)  # what is there as it was typed is meant
    assert find_named("first/0", "checkpoint") is None
