"""What is written in short means the same as in full, and a run's name its folder."""

import shutil
from pathlib import Path

import pytest

from src.command.shorthand import spell_out, with_folders
from src.errors import InputError
from src.runs.folder import RunFolder
from tests.support.command_line import run_here
from tests.support.composed import compose_overrides

RUN = Path("outputs/digits/simple_cnn/mycats")
QUICK = ("model=simple_cnn", "model.width=4", "trainer=cpu", "data.max_images=200", "baseline=false", "cost=false",
         "callbacks=none", "logger=none", "data.num_workers=0")  # fmt: skip


@pytest.fixture
def here(digits_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one run, of the name `mycats`."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(digits_run, RUN)
    return tmp_path


@pytest.mark.parametrize(
    ("verb", "typed", "full"),
    [
        ("train", ["epochs=5", "lr=0.1,0.01"], ["trainer.max_epochs=5", "optimizer.lr=0.1,0.01"]),
        ("train", ["batch_size=auto", "image_size=64"], ["data.batch_size=auto", "data.image_size=64"]),
        ("predict", ["batch_size=8", "image_size=64"], ["batch_size=8", "image_size=64"]),  # its own, and unknown
        ("benchmark", ["batch_size=8", "lr=1"], ["batch_size=8", "optimizer.lr=1"]),
        ("evaluate", ["checkpoint=mycats"], [f"checkpoint={RUN}"]),
        ("evaluate", ["checkpoint='last'"], [f"checkpoint={RUN}"]),
        ("evaluate", ["checkpoint=nobody"], ["checkpoint=nobody"]),
        ("train", ["resume=last"], [f"resume={RUN}"]),
        ("train", ["resume=auto", "weights=imagenet"], ["resume=auto", "weights=imagenet"]),
        ("train", ["-m", "weights=null,last"], ["-m", f"weights=null,{RUN}"]),
        ("report", ["runs=mycats"], [f"runs={RUN}"]),
        ("explain", ["judge=train", "shuffled=mycats"], ["judge=train", f"shuffled={RUN}"]),
        ("app", ["checkpoint=[mycats,last]"], [f"checkpoint=[{RUN},{RUN}]"]),
    ],
)
def test_it_is_spelt_out(here: Path, verb: str, typed: list[str], full: list[str]) -> None:
    assert spell_out(verb, typed) == full


def test_runs_are_found_from_python_too(here: Path) -> None:
    cfg = compose_overrides("train", ["weights=last"])
    spelt = with_folders(cfg)
    assert (spelt.weights, spelt.model.weights, spelt.resume) == (str(RUN), str(RUN), None)
    assert cfg.weights == "last", "the caller's own stays as it is"
    assert with_folders(compose_overrides("report", ["runs=mycats"])).runs == str(RUN)
    untouched = compose_overrides("train", ["weights=imagenet", "resume=auto"])
    assert with_folders(untouched) is untouched
    search = compose_overrides("search", ["resume=last"])
    assert with_folders(search) is search, "the last search, not the last run"


def test_a_setting_has_one_name_at_a_time() -> None:
    with pytest.raises(InputError, match=r"lr=0.1 is short for optimizer.lr, and optimizer.lr=1 is there too: leave"):
        spell_out("train", ["optimizer.lr=1", "lr=0.1"])


def test_verbs_find_a_run_by_its_name(here: Path) -> None:
    for words in (["predict", "images=test", "output=out"], ["evaluate", "output=measured"]):
        result = run_here("checkpoint=mycats", *words[1:], cwd=here, verb=words[0])
        assert (result.returncode, result.stderr) == (0, "")
    result = run_here("checkpoint=last", "images=nowhere", cwd=here, verb="predict")
    assert result.stderr.startswith("error: images=nowhere does not exist")


def test_a_run_with_a_name(tmp_path: Path) -> None:
    words = ("name=mycats", "epochs=1", "lr=0.02", *QUICK)
    first = run_here(*words, cwd=tmp_path)
    assert (first.returncode, first.stderr) == (0, "")
    assert "run folder   outputs/digits/simple_cnn/mycats" in first.stdout
    run = RunFolder(tmp_path / RUN)
    assert "name: mycats" in (run.hydra / "config.yaml").read_text()
    assert {"name='mycats'", "optimizer.lr=0.02"} <= set(run.overrides() or [])
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = run_here(*words, cwd=tmp_path)
    assert again.returncode == 2
    assert again.stderr.endswith("mycats holds a run already: take another name, or go on with resume=auto\n")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == files
    assert "is finished, with 1 epochs" in run_here(*words, "resume=auto", cwd=tmp_path).stdout
    more = run_here(*words, "resume=auto", "epochs=2", cwd=tmp_path)
    assert (more.returncode, more.stderr) == (0, "")
    assert run.metrics()["epochs"] == 2
    assert "is finished, with 2 epochs" in run_here("resume=mycats", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["name=a/b"], "name=a/b is no name of a run: take letters"),
        (["name=../x", "resume=auto"], "name=../x is no name of a run"),
        (["name=.x"], "name=.x is no name of a run"),
        (["name=a b"], "name=a b is no name of a run"),
        (["name=a,b"], "name=a,b is no name of a run"),
        (["name="], "name= is no name of a run"),
        (["name=7"], "name=7 is no name of a run"),
        (["name=last"], "name=last means something else where runs are named"),
        (["name=a", "hydra.run.dir=b"], "name=a and hydra.run.dir both say where the run goes: leave one of them out"),
        (["-m", "name=a", "seed=1,2"], "name= is for one run: name a sweep with sweep=NAME"),
        (["-m", "name=a,b"], "name= is for one run: name a sweep with sweep=NAME"),
        (["resume=last"], "resume=last: there is no run below outputs/ yet"),
        (["resume=auto"], "resume=auto needs to know where: say name=NAME, or hydra.run.dir=FOLDER"),
    ],
)
def test_what_is_no_name_gets_its_line_and_leaves_nothing(words: list[str], said: str, tmp_path: Path) -> None:
    result = run_here(*words, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {said}"), result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
