"""The command line as a user meets it: its exit codes, its one line, and what it leaves behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from PIL import Image

from src.runs.folder import RunFolder
from src.settings.composing import quote_paths
from src.training import session
from tests.support.command_line import run_here, start
from tests.support.launched import Launched
from tests.support.screen import left

ROOT = Path(__file__).parents[2]


def fails(result: subprocess.CompletedProcess[str], *words: str, code: int = 2) -> None:
    """One line on stderr with these words, this exit code, and no traceback."""
    assert result.returncode == code, result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


def photos(folder: Path, **classes: int) -> Path:
    """A folder of class folders with so many grey images each."""
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (16, 16), (index, 100, 50)).save(folder / name / f"{index}.png")
    return folder


def test_help_lists_groups_and_settings_without_importing_torch(tmp_path: Path) -> None:
    code = (
        "import sys, runpy; sys.argv = ['train', '--help']\n"
        "try: runpy.run_module('src.train', run_name='__main__')\n"
        "except SystemExit as end: code = end.code\n"
        "print('exit', code, 'heavy', [m for m in ('torch', 'lightning', 'pandas', 'numpy') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    assert re.search(r"^  resnet18 +ResNet-18: 11.7 M parameters", result.stdout, re.MULTILINE)
    assert "data.batch_size=64 " in result.stdout
    assert result.stdout.splitlines()[-1] == "exit 0 heavy []"


def test_a_config_error_does_not_import_torch(tmp_path: Path) -> None:
    code = (
        "import sys, runpy; sys.argv = ['train', 'trainer.max_epochs=0']\n"
        "try: runpy.run_module('src.train', run_name='__main__')\n"
        "except SystemExit as end: code = end.code\n"
        "print('exit', code, 'torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    assert result.stdout == "exit 2 False\n"
    assert result.stderr.startswith("error: trainer.max_epochs=0 is not possible")
    assert result.stderr.count("\n") == 1


def test_cfg_job_shows_the_composed_configuration(tmp_path: Path) -> None:
    result = run_here("--cfg", "job", "model=resnet50", "data=catsdogs", cwd=tmp_path)
    assert result.returncode == 0
    assert "name: resnet50" in result.stdout
    assert "name: catsdogs" in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model=resnet51"], ["model=resnet51 is unknown; nearest: resnet50"]),
        (["data=catdogs"], ["data=catdogs is unknown; nearest: catsdogs"]),
        (["trainer.max_epoch=3"], ["'trainer.max_epoch' is not a setting; nearest: trainer.max_epochs"]),
        (["learning_rate=0.1"], ["'learning_rate' is not a setting", "optimizer.lr"]),
        (["lr=-1"], ["optimizer.lr=-1 is not possible"]),
        (["modle=resnet18"], ["'modle' is not a setting; nearest: mode, model"]),
        (["resnet50"], ["'resnet50' is not understood: settings are written as name=value"]),
        (["--model", "resnet18"], ["--model is not understood", "without dashes, model=resnet18"]),
        (["-model=resnet50"], ["without dashes, model=resnet50"]),
        (["--epochs", "3"], ["without dashes, epochs=3"]),
        (["--lr=0.1"], ["without dashes, lr=0.1"]),
        (["--resnet18"], ["without dashes, model=resnet18"]),
        (["--multirun=3"], ["--multirun/-m: ignored explicit argument", "--hydra-help lists all flags"]),
        (["--cfg", "jbo"], ["invalid choice: 'jbo'"]),
        (["seed=1,2"], ["seed=1,2 names several values: put -m before it"]),
        (["data.batch_size=0"], ["data.batch_size=0 is not possible"]),
        (["optimizer.lr=-1"], ["optimizer.lr=-1 is not possible"]),
        (["-m", "model=resnet18,resnet51", "seed=1,2"], ["model=resnet51 is unknown"]),
        (["-m", "optimizer.lr=0.1,-1"], ["optimizer.lr=-1 is not possible"]),
        (["data=folder"], ["data.root=null names no folder: say data.root=FOLDER"]),
        (["data.root="], ["names no folder"]),
        (["model=[resnet18,resnet50]"], ["names several options"]),
        (["-m", "model=glob(resnet*)", "data.image_size=2"], ["data.image_size=2 is not possible"]),
        (["~model"], ["~model: the configuration needs it"]),
        (["model=simple_cnn", "model.stem=small"], ["model=simple_cnn has no setting stem: leave model.stem out"]),
        (["model=simple_cnn", "model.widht=8"], ["'model.widht' is not a setting; nearest: model.width"]),
        (["+seed=3"], ["'seed' is a setting already: say seed=3 without +"]),
        (["+model=resnet50"], ["model is chosen already: say model=OPTION, once and without +"]),
        (["~sed"], ["'sed' is not a setting; nearest: seed"]),
        (["-m", "seed=1,2", "sweep="], ["sweep= names no folder"]),
        (["-m", "seed=1,1"], ["seed=1 would be run twice"]),
        (["-m", "sweep=a,b"], ["sweep=a,b names several sweeps"]),
        (["-m", "seed=1,2", "sweep=.."], ["sweep=.. is no name"]),
        (["-m", "seed=1,2", "sweep=a/b"], ["sweep=a/b is no name", "without /"]),
        (["-m", "seed=1,2", "sweep=report"], ["sweep=report is no name"]),
        (["study=3"], ["study=3 is not possible"]),
        (["experiment=digits", "study.answer=levles"], ["study.answer=levles is not possible: take best or", "levels"]),
        (["-m", "seed=1,2", "hydra.sweep.subdir=x"], ["hydra.sweep.subdir can't be set"]),
        (["-m", "+search=lr"], ["+search=lr is a search of its own now: python -m src.search space=lr model=NAME"]),
        (["-m", "hydra/sweeper=optuna", "seed=1,2"], ["hydra/sweeper=optuna is a search of its own now: python -m"]),
        (["data.folds=5"], ["data.folds=5 data.fold=null is not possible"]),
        (["-m", "data.folds=5", "data.fold=0,7"], ["data.fold=7 is not possible"]),
        (["hydra.run.dir="], ["hydra.run.dir= names no folder"]),
        (["hydra.run.dir=${nowhere}"], ["hydra.run.dir", "nowhere"]),
        ([f"hydra.run.dir={'x' * 300}"], ["can't be written (File name too long)"]),
        (["hydra.run.dir=/proc/run"], ["/proc/run can't be written"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_wrong_configuration_takes_one_line_and_leaves_nothing(
    arguments: list[str], words: list[str], tmp_path: Path
) -> None:
    fails(run_here(*arguments, cwd=tmp_path), *words)
    assert list(tmp_path.iterdir()) == []


def test_wrong_data_take_one_line_and_leave_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    single = photos(tmp_path / "ä (single) = [1, 2]", cat=5)
    fails(run_here("data=folder", f"data.root={single}", cwd=home), "cat", str(single))
    assert list(home.iterdir()) == []


def test_the_traceback_comes_back_on_request(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "src.train", "trainer.max_epochs=0"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT), "HYDRA_FULL_ERROR": "1"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: trainer.max_epochs=0")


def test_wrong_input_of_some_runs_of_a_sweep_gives_1_and_of_all_2(tmp_path: Path) -> None:
    sweep = ("-m", "model=simple_cnn", "trainer=debug", "callbacks=none", "logger=none", "cost=false")
    result = run_here(*sweep, "model.num_classes=10,7", "sweep=mixed", cwd=tmp_path)
    fails(result, "1 run failed: model.num_classes=7", code=1)
    folder = tmp_path / "outputs" / "sweeps" / "mixed"
    assert [RunFolder(folder / name).status for name in ("0_num_classes=10", "1_num_classes=7")] == [
        "finished", "refused",
    ]  # fmt: skip
    result = run_here(*sweep, "model.num_classes=7,8", "sweep=wrong", cwd=tmp_path)
    fails(result, "2 runs failed: model.num_classes=7", "model.num_classes=8")
    assert not (folder.parent / "wrong").exists()


def test_a_sweep_leaves_folders_of_the_users_own_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    mine = tmp_path / "outputs" / "sweeps" / "s"
    (mine / "0").mkdir(parents=True)
    fails(run_here("-m", "seed=1,2", "sweep=s", "trainer=gpu", cwd=tmp_path), "torch finds no GPU")
    assert (mine / "0").is_dir()
    assert not (mine / "1").exists()


@pytest.mark.parametrize("taken", ["run.json", ".hydra", "train.log"])
def test_what_a_run_would_write_over_is_left_alone(tmp_path: Path, taken: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / taken).write_text("{}")
    fails(run_here("hydra.run.dir=run", cwd=tmp_path), "holds a run already")
    assert [path.read_text() for path in (tmp_path / "run").iterdir()] == ["{}"]


def test_a_sweep_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "outputs" / "sweeps" / "s" / "0").mkdir(parents=True)
    (tmp_path / "outputs" / "sweeps" / "s" / "0" / "run.json").write_text("{}")
    fails(run_here("-m", "seed=8,9", "sweep=s", cwd=tmp_path), "holds a sweep already, which can't be resumed")
    assert [path.name for path in (tmp_path / "outputs" / "sweeps" / "s").rglob("*")] == ["0", "run.json"]


@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_interrupted_says_so(tmp_path: Path, signal_number: int, code: int) -> None:
    """In the middle of training, on a terminal that knows ASCII only."""
    process = subprocess.Popen(
        [sys.executable, "-m", "src.train", "model=simple_cnn", "trainer=cpu", "trainer.max_epochs=1000",
         "callbacks=none", "logger=none", "baseline=false", "hydra.run.dir=run"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background have it ignored
    )  # fmt: skip
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("epoch    2/1000"):
                break
        process.send_signal(signal_number)
        _, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == code
    assert "Traceback" not in errors
    assert RunFolder(tmp_path / "run").record()["status"] == "interrupted"


IMPORTED = """
import time
from pathlib import Path

Path({begun!r}).touch()
try:
    time.sleep(1)
except BaseException:
    raise ImportError("what a C extension makes of it")
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_import_is_not_what_is_interrupted(
    number: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While torch is imported, above all; at a terminal."""
    home, begun = tmp_path / "home", tmp_path / "begun"
    home.mkdir()
    (tmp_path / "an_extension.py").write_text(IMPORTED.format(begun=str(begun)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("src.train.train", lambda *_, **__: (import_module("an_extension"), time.sleep(60)))
    with Launched(cwd=home, terminal=True) as command:
        while not begun.exists():
            assert command.is_alive(), command.said
            time.sleep(0.01)
        if number == signal.SIGINT:
            command.key(b"\x03")
        else:
            os.kill(command.pid, number)
        assert command.code(60) == code
        assert "loading" in command.said
        assert "".join(left(command.said)) == ("interrupted" if number == signal.SIGINT else "")
    assert not list(home.iterdir())


def told(number: int) -> Callable[..., Any]:
    """Something that takes its time, in the midst of which this process gets a signal."""

    def wait(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), number)
        time.sleep(60)

    return wait


@pytest.mark.parametrize("phase", ["_introduce", "_measure"])
def test_slurms_notice_stops_a_run_before_and_after_its_training(
    phase: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, phase, told(signal.SIGUSR1))
    words = ("trainer=debug", "model=simple_cnn", "callbacks=none", "logger=none", "cost=false", "hydra.run.dir=run")
    process = start(*words, cwd=tmp_path, log=tmp_path / "log")
    process.join(60)
    assert process.exitcode == 143
    said = (tmp_path / "log").read_text().splitlines()
    assert said[-1].startswith("interrupted: python -m src.train resume=run ")
    assert RunFolder(tmp_path / "run").status == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_any_verb_ends_with_143(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("src.audit.audit", told(number))
    process = start("data=digits", cwd=tmp_path, log=tmp_path / "log", verb="audit")
    process.join(60)
    assert process.exitcode == 143
    assert (tmp_path / "log").read_text() == ""
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_an_error_leaves_a_folder_of_the_users_own_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    fails(run_here("hydra.run.dir=mine", "trainer=gpu", cwd=tmp_path), "torch finds no GPU")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    "path", ["a b", "ä(1)[2]", "x=y,z", "it's", "back\\slash", "end\\", "~tilde", "{a: b}", "'half", "a'\\'b"]
)
def test_paths_are_taken_raw(path: str) -> None:
    (quoted,) = quote_paths([f"data.root=/data/{path}"])
    (override,) = OverridesParser.create().parse_overrides([quoted])
    assert override.value() == f"/data/{path}"


def test_the_home_folder_is_found_and_other_settings_are_left_alone() -> None:
    assert quote_paths(["data.root=~/x"]) == [f"data.root='{Path.home()}/x'"]
    untouched = ["seed=1,2", "data.root='quoted'", "resume=null", "--help", "model=resnet18"]
    assert quote_paths(untouched) == untouched


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optimizer=null"], "optimizer=null is no option: choose one, or leave it out"),
        (["=3"], "=3 names no setting: write name=value"),
        (["~seed"], "~seed: the configuration needs it"),
        (["--cfg", "hydra", "--resolve"], "--resolve goes with --cfg job: say so too, or leave it out"),
        (["-m", "seed=1,2", "--help"], "--help shows the configuration of one run: leave -m out"),
    ],
    ids=" ".join,
)
def test_odd_words_get_one_line(words: list[str], said: str, tmp_path: Path) -> None:
    result = run_here(*words, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (2, f"error: {said}\n")
    assert not list(tmp_path.iterdir())
