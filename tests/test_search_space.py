"""`python -m src.search space=lr` as a user meets it: trials, a pick beside the usual settings, and going on."""

import csv
import os
import signal
from pathlib import Path

import pytest

from src.runs.folder import RunFolder
from tests.support.command_line import run_here, start
from tests.test_search import content, digest, searched, wait_for

SMALL = (
    "data=digits", "data.max_images=120", "data.batch_size=16", "data.num_workers=0", "trainer=cpu", "steps=8",
    "model=simple_cnn", "space=lr", "space.trials=5", "output=found",
)  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search. Don't write."""
    return searched(tmp_path_factory.mktemp("space"), *SMALL)


def test_it_ends_in_a_pick_beside_the_usual_settings(undisturbed: Path) -> None:
    found = content(undisturbed)
    assert found["status"] == "finished"
    assert len(found["trials"]) == 5
    assert found["trials"][0]["values"] == {"lr": 0.05, "weight_decay": 0.0005, "mixup": 0, "label_smoothing": 0}
    whole = found["rounds"]["2"]
    assert found["pick"] in whole
    best = max(row["accuracy"] for row in whole.values())
    assert whole[found["pick"]]["accuracy"] == best
    others = {name for name in whole if name != found["pick"]}
    assert found["look"]["runner_up"]["name"] in ({"trial_01"} if "trial_01" in others else others)
    said = (undisturbed.parent / "said.txt").read_text()
    assert "trial 4 of 5; best so far 0." in said
    assert " left\n" in said
    assert "test images right" in said


def test_each_trial_is_trained_once_whole_or_to_a_quarter(undisturbed: Path) -> None:
    found = content(undisturbed)
    for name in found["candidates"]:
        steps = RunFolder(undisturbed / "runs" / name).history()["step"]
        assert steps.iloc[-1] == (8 if name in found["rounds"]["2"] else 2)
        assert steps.is_monotonic_increasing
        assert ("out" in found["candidates"][name]) == (name not in found["rounds"]["2"])


def test_the_pick_is_an_ordinary_run_that_the_folder_stands_for(undisturbed: Path) -> None:
    pick = RunFolder(undisturbed / "runs" / content(undisturbed)["pick"])
    assert pick.is_whole
    values = content(undisturbed)["trials"][int(pick.path.name.rpartition("_")[2]) - 1]["values"]
    assert f"optimizer.lr={values['lr']:g}" in (pick.overrides() or ())
    tested = [run.name for run in (undisturbed / "runs").iterdir() if (run / "predictions.csv").exists()]
    assert tested == [pick.path.name]
    result = run_here("checkpoint=found", "output=said", cwd=undisturbed.parent, verb="evaluate")
    assert result.returncode == 0, result.stderr


def test_table_and_page(undisturbed: Path) -> None:
    rows = list(csv.DictReader((undisturbed / "table.csv").read_text().splitlines()))
    assert {row["candidate"] for row in rows} == {f"trial_0{number}" for number in range(1, 6)}
    for row in rows:
        values = content(undisturbed)["trials"][int(row["candidate"][-2:]) - 1]["values"]
        assert float(row["optimizer.lr"]) == values["lr"]
        assert float(row["mixup"]) == values["mixup"]
    page = (undisturbed / "search.html").read_text()
    assert content(undisturbed)["answer"][0][:30] in page
    assert "What varied, and what it gave" in page
    assert page.count("<figure>") == 1
    assert "with 8 steps a trial?" in page
    assert "model=simple_cnn data.image_size=8 optimizer=sgd optimizer.lr=" in page


@pytest.mark.parametrize(
    ("number", "file", "text"),
    [
        (signal.SIGKILL, "search.json", '"trial_03"'),
        pytest.param(signal.SIGTERM, "runs/trial_02/run.json", '"running"', marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, "search.json", '"finish"', marks=pytest.mark.slow),
    ],
)
def test_it_goes_on_where_it_was_stopped(number: int, file: str, text: str, undisturbed: Path, tmp_path: Path) -> None:
    process = start(*SMALL, cwd=tmp_path, log=tmp_path / "log", verb="search")
    wait_for(tmp_path / "found" / file, text)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join()
    if number == signal.SIGTERM:
        assert "search resume=found goes on" in (tmp_path / "log").read_text()
    result = run_here("resume=found", cwd=tmp_path, verb="search")
    assert result.returncode == 0, result.stderr
    assert digest(tmp_path / "found") == digest(undisturbed)
    assert content(tmp_path / "found")["trials"] == content(undisturbed)["trials"]


@pytest.mark.slow
def test_it_keeps_its_minutes(tmp_path: Path) -> None:
    words = [word for word in SMALL if not word.startswith("steps=")]
    result = run_here(*words, "minutes=1", "space.optimizer=adamw", cwd=tmp_path, verb="search")
    assert result.returncode == 0, result.stderr
    found = content(tmp_path / "found")
    assert found["seconds"] < 66
    assert len(found["trials"]) >= 2
    assert found["trials"][0]["values"]["lr"] == 0.001


REFUSED = {
    "no network": (["space=lr"], "space= tries settings around one network"),
    "two networks": (["space=lr", "model=resnet18,resnet34"], "space= tries settings around one network"),
    "two sizes": (["space=lr", "model=resnet18", "sizes=8,16"], "space= tries settings around one network"),
    "a range without a space": (["space.trials=3"], "say space=lr space.trials=3"),
    "no space": (["space=rl", "model=resnet18"], "space=rl is unknown; nearest: lr"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_one_line_says_what_is_wrong(name: str, tmp_path: Path) -> None:
    words, said = REFUSED[name]
    result = run_here("data=digits", *words, cwd=tmp_path, verb="search")
    assert result.returncode == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
