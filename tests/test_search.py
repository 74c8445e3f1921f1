"""`python -m src.search` as a user meets it: a pick, what it rests on, and going on after any interruption."""

import csv
import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from src.networks import build_network
from src.runs.folder import RunFolder
from tests.support.command_line import run_here, start

SMALL = (
    "data=digits", "data.max_images=120", "data.batch_size=16", "data.num_workers=0", "trainer=cpu", "steps=3",
    "model=simple_cnn,cifar_resnet20,cifar_plain20,mini_resnet_basic_post", "output=found",
)  # fmt: skip
"""Two rounds: of four, two go on."""


def content(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "search.json").read_text())
    return found


def digest(folder: Path) -> dict[str, Any]:
    """Steps and weights of all candidates, and what decided."""
    found: dict[str, Any] = {}
    for run in sorted((folder / "runs").iterdir()):
        checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
        total = sum(value.double().sum().item() for value in checkpoint["state_dict"].values())
        found[run.name] = (checkpoint["global_step"], total)
    rounds = content(folder)["rounds"]
    figures = {n: {name: (row["steps"], row["accuracy"]) for name, row in rows.items()} for n, rows in rounds.items()}
    return found | {"rounds": figures, "pick": content(folder)["pick"], "look": content(folder)["look"]["test"]}


def searched(here: Path, *words: str) -> Path:
    """The folder of a search; what it said lies beside it."""
    result = run_here(*words, cwd=here, verb="search")
    assert result.returncode == 0, result.stderr
    (here / "said.txt").write_text(result.stdout)
    return here / "found"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search. Don't write."""
    return searched(tmp_path_factory.mktemp("search"), *SMALL)


def test_it_ends_in_a_pick_with_an_interval_and_its_cost(undisturbed: Path) -> None:
    found = content(undisturbed)
    assert found["status"] == "finished"
    assert found["pick"] in found["last"]
    assert len(found["last"]) == 2
    test = found["look"]["test"]
    assert test["accuracy_interval"][0] <= test["accuracy"] <= test["accuracy_interval"][1]
    assert found["look"]["runner_up"]["name"] == found["last"][1]
    assert found["cheapest"] in found["look"]["alike"]
    said = (undisturbed.parent / "said.txt").read_text()
    assert "test images right" in said
    assert "all from scratch: weights=imagenet, a file or a run adds" in said


def test_nothing_is_trained_twice(undisturbed: Path) -> None:
    """The steps in the history of each run are those of its rounds, each once."""
    found = content(undisturbed)
    for name in found["candidates"]:
        last = max((rows[name]["steps"], int(number)) for number, rows in found["rounds"].items() if name in rows)
        assert last == (3, 1) if name not in found["last"] else (9, 2)
        history = RunFolder(undisturbed / "runs" / name).history()
        assert history["step"].is_monotonic_increasing
        assert history["step"].iloc[-1] == (11 if name == found["pick"] else last[0])


def test_the_test_images_are_looked_at_by_the_pick_alone(undisturbed: Path) -> None:
    found = content(undisturbed)
    tested = [run.name for run in (undisturbed / "runs").iterdir() if (run / "predictions.csv").exists()]
    assert tested == [found["pick"]]
    assert found["data"]["digests"]["test"].startswith(f"{found['data']['images']['test']} images ")


def test_table_and_page(undisturbed: Path) -> None:
    rows = list(csv.DictReader((undisturbed / "table.csv").read_text().splitlines()))
    assert len(rows) == 4 + 2
    assert {row["round"] for row in rows} == {"1", "2"}
    page = (undisturbed / "search.html").read_text()
    assert content(undisturbed)["answer"][0][:40] in page
    assert page.count("<figure>") == 2
    assert "with 3 steps in the first round?" in page
    assert "trained for equally many steps" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_the_folder_stands_for_the_pick(undisturbed: Path) -> None:
    result = run_here("checkpoint=found", "output=said", cwd=undisturbed.parent, verb="evaluate")
    assert result.returncode == 0, result.stderr
    record = json.loads((undisturbed.parent / "said" / "evaluate.json").read_text())
    assert record["test/accuracy"] == pytest.approx(content(undisturbed)["look"]["test"]["accuracy"])


def test_its_runs_are_ordinary_runs(undisturbed: Path) -> None:
    pick = undisturbed / "runs" / content(undisturbed)["pick"]
    assert RunFolder(pick).is_whole
    assert "scheduler=trapezoid" in (RunFolder(pick).overrides() or ())
    assert (pick / "report.html").exists()
    result = run_here(f"resume={pick}", cwd=undisturbed.parent)
    assert (result.returncode, result.stderr) == (0, "")
    assert "is finished" in result.stdout
    assert f"resume=found/runs/{pick.name} trainer.max_steps=N" in " ".join(content(undisturbed)["advice"])


# Stopped, and gone on ------------------------------------------------------------------------------------------------


def wait_for(file: Path, text: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if file.exists() and text in file.read_text():
            return
        time.sleep(0.02)
    raise AssertionError(f"{file} never said {text}")


STOPS = {
    "first round": (signal.SIGKILL, "runs/simple_cnn_8_scratch/run.json", '"running"'),
    "between rounds": (signal.SIGTERM, "search.json", '"round_2"'),
    "finish": (signal.SIGKILL, "search.json", '"finish"'),
}


@pytest.mark.parametrize(
    "phase",
    [
        "first round",
        pytest.param("between rounds", marks=pytest.mark.slow),
        pytest.param("finish", marks=pytest.mark.slow),
    ],
)
def test_it_goes_on_where_it_was_stopped(phase: str, undisturbed: Path, tmp_path: Path) -> None:
    number, file, text = STOPS[phase]
    process = start(*SMALL, cwd=tmp_path, log=tmp_path / "log", verb="search")
    wait_for(tmp_path / "found" / file, text)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == (143 if number == signal.SIGTERM else -number)
    if number == signal.SIGTERM:
        said = (tmp_path / "log").read_text()
        assert "search resume=found goes on" in said
        assert re.search(r"so far .*validation images right in round [12], after [39] steps .*no test image", said)
    result = run_here("resume=found", cwd=tmp_path, verb="search")
    assert result.returncode == 0, result.stderr
    assert digest(tmp_path / "found") == digest(undisturbed)


def test_a_search_from_before_small_maps_goes_on_without(tmp_path: Path) -> None:
    process = start(*SMALL, cwd=tmp_path, log=tmp_path / "log", verb="search")
    wait_for(tmp_path / "found" / "search.json", '"running"')
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    begun = content(tmp_path / "found")
    assert begun.pop("convolutions") == "auto"
    (tmp_path / "found" / "search.json").write_text(json.dumps(begun))
    result = run_here("resume=found", cwd=tmp_path, verb="search")
    assert result.returncode == 0, result.stderr
    for run in (tmp_path / "found" / "runs").iterdir():
        settings = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["hyper_parameters"]
        assert settings["convolutions"] == "library"


def test_a_search_that_has_ended_is_left_as_it_is(undisturbed: Path) -> None:
    before = content(undisturbed)
    result = run_here("resume=found", cwd=undisturbed.parent, verb="search")
    assert result.returncode == 0
    assert "found is finished already" in result.stdout
    assert content(undisturbed) == before


@pytest.mark.slow
def test_shuffled_labels_end_in_no_better_than_guessing(tmp_path: Path) -> None:
    words = [word for word in SMALL if not word.startswith("model=")]
    result = run_here(*words, "model=simple_cnn", "data.shuffle_labels=true", cwd=tmp_path, verb="search")
    assert result.returncode == 0, result.stderr
    assert "No better than guessing shown" in result.stdout


@pytest.mark.slow
def test_with_weights_there_are_four_ways_and_few_test_images_are_said_to_be_few(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_network("cifar_resnet20", num_classes=7, in_channels=1)
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    words = [word for word in SMALL if not word.startswith("model=")]
    more = ("model=cifar_resnet20", "weights=mine.pth", "data.test_fraction=0.02", "data.val_fraction=0.05")
    result = run_here(*words, *more, cwd=tmp_path, verb="search")
    assert result.returncode == 0, result.stderr
    found = content(tmp_path / "found")
    assert {name.rpartition("_")[2] for name in found["candidates"]} == {"head", "tuned", "whole", "scratch"}
    heads = [name for name in found["candidates"] if name.endswith("_head")]
    assert [list(rows) for number, rows in found["rounds"].items() if number == "0"] == [heads]
    assert not any(name in heads for number, rows in found["rounds"].items() if number != "0" for name in rows)
    finished = {run.name for run in (tmp_path / "found" / "runs").iterdir() if RunFolder(run).is_whole}
    assert finished == {found["last"][0], *(name for name in found["last"] if name in heads)}
    low, high = found["look"]["corrected"]["interval"]
    assert low <= found["look"]["corrected"]["accuracy"] <= high
    assert "BBC-CV" in result.stdout


# Refused -------------------------------------------------------------------------------------------------------------

REFUSED = {
    "two budgets": (["minutes=1", "steps=2"], "minutes=1 and steps=2 both say how long"),
    "no network": (["model=resnet81"], "model=resnet81 is unknown; nearest: "),
    "no name of a network": (["model="], "models= is not possible: take networks as model=A,B"),
    "a rate": (["lr=0.1"], "'lr' is not a setting: say space=lr"),
    "no size": (["sizes=0"], "take at most 3 whole numbers between 4 and 4096"),
    "some images": (["trainer=debug"], "trainer.limit_val_batches=2 leaves images out"),
    "no checkpoints": (["trainer.enable_checkpointing=false"], "a search goes on from checkpoints"),
    "no Trainer": (["trainer.profiler=nonsense"], "trainer: When passing string value for the `profiler`"),
    "no GPU": (["trainer=gpu"], "torch finds no GPU on this machine"),
    "no weights": (["weights=nowhere.pth"], "error: weights=nowhere.pth is no file"),
    "four sizes": (["sizes=8,12,16,20"], "take one to 3 sizes"),
    "its own end": (["trainer.max_epochs=3"], "trainer.max_epochs is what a search decides"),
    "no name of a search": (["resume="], "resume= names no search: name its folder"),
    "no search": (["resume=."], "resume=. is no search that can go on"),
    "no last search": (["resume=last"], "resume=last: there is no search below outputs/search/"),
    "no time": (["minutes=0.001"], "minutes=0.001 leaves no time to train"),
    "several processes": (["trainer.devices=2"], "a search trains in one process"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_one_line_says_what_is_wrong(name: str, tmp_path: Path) -> None:
    if name == "no GPU" and torch.cuda.is_available():
        pytest.skip("there is one")
    words, said = REFUSED[name]
    result = run_here(*([] if "resume" in words[0] else ["data=digits"]), *words, cwd=tmp_path, verb="search")
    assert result.returncode == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_another_search_is_not_written_over(undisturbed: Path) -> None:
    result = run_here(*SMALL, cwd=undisturbed.parent, verb="search")
    assert result.returncode == 2
    assert "output=found holds" in result.stderr
