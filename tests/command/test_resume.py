"""`resume=` on the command line: which runs it takes, and what it refuses."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from src.command.resume import check_same, find_run, merge_words, what_is_done
from src.errors import InputError
from src.resuming.starting_point import check_length
from src.runs.folder import RunFolder
from tests.support.command_line import run_here
from tests.support.short_run import RUN, curves, epochs


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
    best = RunFolder(tmp_path / "run").metrics()["best_epoch"]
    assert [step for step, _ in points["whole_run/test_accuracy"]] == [best]  # once, although the run ended twice
    assert [step for step, _ in points["val/accuracy"]] == [5, 11, 17]
    assert [step for step, _ in points["whole_run/baseline_accuracy"]] == [best]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("resume=nowhere", "is no folder"),
        ("resume=.", "holds no run of src.train (no run.json in it)"),
        ("resume=file", "is no folder"),
        ("resume=", "names no run"),
        ("resume=sweep", "is a sweep: give its command again"),
    ],
)
def test_what_is_no_run_gets_its_line(word: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "multirun.yaml").touch()
    result = run_here(word, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"file", "sweep"}


SMALL = (
    "data=folder", "data.image_size=16", "data.batch_size=8", "data.num_workers=0", "data.augment=null",
    "model=simple_cnn", "trainer=cpu", "trainer.max_epochs=1", "callbacks=none", "logger=none", "baseline=false",
    "cost=false", "hydra.run.dir=run",
)  # fmt: skip


def files_of(run: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != "train.log"}


def test_a_run_goes_on_with_the_images_that_it_began_with(photos: Path, tmp_path: Path) -> None:
    """Others would move between its splits: what it has trained on would be tested."""
    root, run = tmp_path / "photos", tmp_path / "run"
    shutil.copytree(photos, root)
    assert run_here(*SMALL, f"data.root={root}", cwd=tmp_path).returncode == 0
    before = files_of(run)
    names = sorted(path.name for path in root.iterdir())
    image = next(path for path in sorted((root / names[0]).iterdir()))
    changes: list[tuple[Callable[[], Any], Callable[[], Any], str]] = [
        (lambda: image.rename(tmp_path / "away"), lambda: (tmp_path / "away").rename(image), "images"),
        (lambda: (root / names[0]).rename(root / "zz"), lambda: (root / "zz").rename(root / names[0]), "other classes"),
        (lambda: image.rename(image.with_name("zz.png")), lambda: image.with_name("zz.png").rename(image), "images"),
    ]
    for change, undo, said in changes:
        change()
        result = run_here("resume=run", "trainer.max_epochs=2", cwd=tmp_path)
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
        assert said in result.stderr
        assert "put them back, or train a new run" in result.stderr
        assert files_of(run) == before
        undo()
    root.rename(tmp_path / "moved")  # the same images elsewhere are no other ones
    result = run_here("resume=run", "trainer.max_epochs=2", "data.root=moved", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert epochs(run) == [1, 2]


def test_a_run_on_a_table_is_measured_asked_and_goes_on(photos: Path, tmp_path: Path) -> None:
    """Every verb finds the images of the run again, and notices another label in the table."""
    paths = sorted(path.relative_to(photos) for path in photos.glob("*/*.*"))
    rows = [f"{path},{path.parent},{i // 2}" for i, path in enumerate(paths)]
    table = tmp_path / "my labels (1).csv"
    table.write_text("\n".join(["image,class,patient", *rows]))
    words = ("data=table", f"data.table={table}", f"data.root={photos}")
    assert run_here(*SMALL, *words, cwd=tmp_path).returncode == 0
    predicted = pd.read_csv(tmp_path / "run" / "predictions.csv")["path"]
    for verb, *more in (("evaluate",), ("evaluate", *words), ("predict", "images=test", "output=predicted")):
        result = run_here("checkpoint=run", "accelerator=cpu", *more, cwd=tmp_path, verb=verb)
        assert (result.returncode, result.stderr) == (0, "")
        if verb == "evaluate":
            assert "to the last digit" in result.stdout
    assert pd.read_csv(tmp_path / "predicted" / "predictions.csv")["path"].tolist() == predicted.tolist()
    result = run_here("checkpoint=run", *words, "data.multilabel=true", cwd=tmp_path, verb="evaluate")
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert "was trained on one label an image: leave data.multilabel=true out" in result.stderr
    assert "data=folder" not in result.stderr
    whole = table.read_text()
    other = next(path.parent for path in paths if str(path.parent) != str(Path(predicted[0]).parent))
    table.write_text(whole.replace(f"{predicted[0]},{Path(predicted[0]).parent},", f"{predicted[0]},{other},"))
    result = run_here("resume=run", "trainer.max_epochs=2", cwd=tmp_path)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert f"images of {table}" in result.stderr
    table.with_name("moved.csv").write_text(whole)
    result = run_here("resume=run", "trainer.max_epochs=2", "data.table=moved.csv", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


def test_what_does_not_fit_the_run_changes_nothing(photos: Path, tmp_path: Path) -> None:
    early = "{_target_:lightning.pytorch.callbacks.EarlyStopping,monitor:val/loss,patience:1,min_delta:100}"
    words = [*SMALL, f"data.root={photos}", f"+callbacks.early={early}"]
    assert run_here(*words, cwd=tmp_path).returncode == 0
    assert run_here("resume=run", "trainer.max_epochs=9", cwd=tmp_path).returncode == 0
    assert epochs(tmp_path / "run") == [1, 2]
    assert "is finished" in run_here("resume=run", cwd=tmp_path).stdout, "it stopped early, and was asked for nine"
    before = files_of(tmp_path / "run")
    for more, said in (
        (["trainer.max_epochs=1", "trainer.log_every_n_steps=1"], "is finished"),
        (
            ["trainer.max_epochs=10", "data.augment={flip:true}"],
            "begun with data.augment=null, now it is {",
        ),
        (["trainer.max_epochs=10", "~callbacks.early"], "callbacks.early"),
        (
            ["trainer.max_epochs=10", "+callbacks.timer={_target_:lightning.pytorch.callbacks.Timer}"],
            "=not set, now it",
        ),
    ):
        result = run_here("resume=run", *more, cwd=tmp_path)
        assert said in result.stdout + result.stderr
        assert files_of(tmp_path / "run") == before
    RunFolder(tmp_path / "run").metrics_file.unlink()
    result = run_here("resume=run", "trainer.max_epochs=1", cwd=tmp_path)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "trainer.max_epochs=1 is too few, as 2 epochs are done already" in result.stderr
    settings = RunFolder(tmp_path / "run").hydra / "config.yaml"
    for text in ("", "a: [", "- 1\n", "model: ${nowhere}\n", "\0"):
        settings.write_text(text)
        result = run_here("resume=run", cwd=tmp_path)
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
        assert "config.yaml" in result.stderr


def test_what_is_finished_says_what_would_give_it_more(config: Callable[..., DictConfig], tmp_path: Path) -> None:
    run, asked = RunFolder(tmp_path / "run"), "trainer.max_epochs=20"
    run.start(command="", seed=1, hardware={})
    run.write_metrics({"epochs": 2})
    run.end("finished")
    usual, limited = config(asked), config(asked, "trainer.max_steps=30")
    said = what_is_done(run, usual, usual)
    assert said is not None
    assert said.endswith("is finished, with 2 epochs: trainer.max_epochs=N, more than 20, gives it more")
    assert what_is_done(run, config("trainer.max_epochs=4"), usual) == said
    assert what_is_done(run, config("trainer.max_epochs=21"), usual) is None
    said = what_is_done(run, limited, limited)
    assert said is not None
    assert said.endswith("gives it more, and so does another trainer.max_steps than 30")
    assert what_is_done(run, config("trainer.max_epochs=4", "trainer.max_steps=31"), limited) is None
    assert what_is_done(run, usual, limited) is None


def test_the_middle_of_an_epoch_needs_its_batches(tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    torch.save({"epoch": 1, "global_step": 9, "unfinished": {"batches": 3, "of": 6}}, file)
    check_length(file, batches=6, epochs=2)
    with pytest.raises(InputError, match="in the middle of an epoch of 6 batches, which would now have 3"):
        check_length(file, batches=3, epochs=2)
    torch.save({"epoch": 1, "global_step": 12, "unfinished": None}, file)
    check_length(file, batches=3, epochs=2)


def test_a_setting_of_a_later_version_is_no_difference(config: Callable[..., DictConfig], tmp_path: Path) -> None:
    run, now = RunFolder(tmp_path), config()
    older = OmegaConf.masked_copy(now, [key for key in now if key not in ("label_smoothing", "study")])
    run.keep_settings(OmegaConf.to_yaml(older))
    check_same(run, now, now)
    with pytest.raises(InputError, match=r"begun with label_smoothing=0, now it is 0.1"):
        check_same(run, config("label_smoothing=0.1"), now)


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
