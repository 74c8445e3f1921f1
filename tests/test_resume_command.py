"""`resume=` on the command line: which runs it takes, and what it refuses."""

from pathlib import Path

import pytest

from src.errors import InputError
from src.resume import find_run, merge_words
from src.run import RunFolder
from tests.command_line import run_here
from tests.short_run import RUN, curves, epochs


def test_a_finished_run_goes_on_only_with_more_epochs(photos: Path, tmp_path: Path) -> None:
    words = [*RUN, f"data.root={photos}", "trainer.max_epochs=2"]
    assert run_here(*words, cwd=tmp_path).returncode == 0
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    again = run_here("resume=run", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (
        0,
        "run is finished, with 2 epochs: trainer.max_epochs=N gives it more\n",
    )
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == files
    for word, now in (("model=simple_cnn", "simple_cnn"), ("seed=5", "5"), ("data.image_size=20", "20")):
        other = run_here("resume=run", word, cwd=tmp_path)
        assert other.returncode == 2
        assert f"now it is {now}" in other.stderr
    more = run_here("resume=run", "trainer.max_epochs=3", cwd=tmp_path)
    assert (more.returncode, more.stderr) == (0, "")
    assert epochs(tmp_path / "run") == [1, 2, 3]
    assert RunFolder(tmp_path / "run").metrics()["epochs"] == 3
    assert run_here("resume=run", cwd=tmp_path).stdout.startswith("run is finished, with 3 epochs")
    points = curves(tmp_path / "run")
    assert [step for step, _ in points["test/accuracy"]] == [18]
    assert [step for step, _ in points["val/accuracy"]] == [5, 11, 17]
    assert [step for step, _ in points["baseline/accuracy"]] == [0, 18]  # again beside the hyper-parameters


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("resume=nowhere", "is no folder"),
        ("resume=.", "holds no run of src.train (no run.json in it)"),
        ("resume=file", "is no folder"),
    ],
)
def test_what_is_no_run_gets_its_line(word: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run_here(word, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_run_that_was_killed_before_its_record_is_known(tmp_path: Path) -> None:
    """Between Hydra's files and ours torch is imported and the data are read. A job of another verb is none."""
    (tmp_path / ".hydra").mkdir()
    files = {"config": "seed: 1\n", "overrides": "- seed=1\n", "hydra": "hydra: {job: {name: train}}"}
    for name, text in files.items():
        (tmp_path / ".hydra" / f"{name}.yaml").write_text(text)
    run = find_run(str(tmp_path))
    assert merge_words(run, ["resume=run"]) == ["seed=1", "resume=run"]
    for other in ("hydra: {job: {name: evaluate}}", "hydra: [", "- 1", ""):
        (tmp_path / ".hydra" / "hydra.yaml").write_text(other)
        with pytest.raises(InputError, match="no run.json"):
            find_run(str(tmp_path))
