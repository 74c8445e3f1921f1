"""`python -m src.benchmark` as a user meets it: cost.json, one table, one line for what can't be meant."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from rich.console import Console

from src import benchmark
from src.cost.network import count_macs
from src.errors import InputError
from src.networks import build_network

ROOT = Path(__file__).parent.parent

SMALL = ("model=simple_cnn", "trainer=cpu", "budget=0.2")

KEYS = {
    "model", "data", "parameters", "macs", "latency_ms_mean", "latency_ms_median", "latency_ms_p95", "latency_passes",
    "batch_size", "batch_latency_ms_mean", "batch_latency_ms_median", "batch_latency_ms_p95", "batch_latency_passes",
    "inference_images_per_second", "inference_peak_memory_mib", "training_batch_size", "training_images_per_second",
    "training_peak_memory_mib", "image_size", "in_channels", "num_classes", "device", "threads", "precision",
    "memory_format", "convolutions", "torch",
}  # fmt: skip


def measured(folder: Path, *overrides: str) -> dict[str, object]:
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("benchmark", overrides=[*SMALL, *overrides])
    return benchmark.benchmark(cfg, folder)


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "src.benchmark", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_figures_land_in_cost_json(tmp_path: Path) -> None:
    cost = measured(tmp_path, "batch_size=3", "data.batch_size=5", "trainer.precision=bf16-mixed")
    assert json.loads((tmp_path / "cost.json").read_text()) == cost
    assert set(cost) == KEYS
    wanted = {"model": "simple_cnn", "data": "digits", "image_size": 8, "num_classes": 10, "batch_size": 3,
              "training_batch_size": 5, "precision": "bf16-mixed", "parameters": 110_698}  # fmt: skip
    assert {key: cost[key] for key in wanted} == wanted
    assert [path.name for path in tmp_path.iterdir()] == ["cost.json"]


def test_data_are_not_needed_where_the_number_of_classes_is_given(tmp_path: Path) -> None:
    chosen = ("data=folder", f"data.root={tmp_path}/nothing", "data.image_size=16")
    assert measured(tmp_path, *chosen, "data.num_classes=7")["num_classes"] == 7
    with pytest.raises(InputError, match=r"data.num_classes can't be counted: .*nothing.*; or say data.num_classes="):
        measured(tmp_path, *chosen)


def test_the_stem_is_that_of_the_weights_as_in_training(tmp_path: Path) -> None:
    other = build_network("resnet18", num_classes=5, in_channels=3, image_size=64, stem="imagenet")
    torch.save(other.state_dict(), tmp_path / "seven.pth")
    chosen = ("model=resnet18", "data.image_size=64", "data.num_classes=10", "batch_size=1", "data.batch_size=2")
    cost = measured(tmp_path, *chosen, f"weights={tmp_path}/seven.pth")
    same = build_network("resnet18", num_classes=10, in_channels=1, image_size=64, stem="imagenet")
    assert cost["macs"] == count_macs(same, 1, 64)
    with pytest.raises(InputError, match="they are another network's: say model=resnet18"):
        measured(tmp_path, *chosen, f"weights={tmp_path}/seven.pth", "model=resnet34")
    with pytest.raises(InputError, match=r"weights=nosuch is no file"):
        measured(tmp_path, *chosen, "weights=nosuch")


@pytest.mark.parametrize("mode", [[], ["-m"]], ids=["single", "sweep"])
@pytest.mark.parametrize("word", ["output", "folder"])
def test_a_folder_that_is_not_empty_is_refused(mode: list[str], word: str, tmp_path: Path) -> None:
    key = {"output": "output", "folder": "hydra.sweep.dir" if mode else "hydra.run.dir"}[word]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "cost.json").write_text("keep")
    result = run(*mode, *SMALL, f"{key}=mine", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == f"error: {key}=mine is not empty: name another folder\n"
    assert [(path.name, path.read_text()) for path in (tmp_path / "mine").iterdir()] == [("cost.json", "keep")]


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("", "output= names no folder"),
        ("null", "output=null names no folder"),
        ("/proc/x", "name another folder with output=FOLDER"),
    ],
)
def test_an_output_that_is_no_folder_is_refused(output: str, words: str, tmp_path: Path) -> None:
    result = run(*SMALL, f"output={output}", cwd=tmp_path)
    assert result.returncode == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_of_the_users_is_taken_and_stays_empty_where_all_runs_fail(tmp_path: Path) -> None:
    (tmp_path / "a,b").mkdir()
    result = run("-m", *SMALL, "model.in_channels=3", "output=a,b", cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["a,b"]


@pytest.mark.parametrize(
    ("verb", "groups"), [("audit", ["data"]), ("benchmark", ["data", "model", "optimizer", "trainer"])]
)
def test_help_lists_the_groups_of_the_verb(verb: str, groups: list[str], tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", f"src.{verb}", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = result.stdout.split("Groups: ")[1].split("Settings: ")[0].split("\n\n")[1:-1]
    assert [lines.split(": ")[0] for lines in listed] == groups


def test_a_sweep_prints_one_table(tmp_path: Path) -> None:
    result = run("-m", "model=simple_cnn", "model.width=8,16", *SMALL[1:], "output=ä cost", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    costs = [json.loads((tmp_path / "ä cost" / job / "cost.json").read_text()) for job in "01"]
    table = result.stdout[result.stdout.index("model  ") :].split("\n")
    rows = [line.split() for line in table if line.startswith("simple_cnn")]
    assert [row[1] for row in rows] == [f"{cost['parameters']:,}" for cost in costs]
    assert result.stdout.count("parameters") == 1
    assert f"device {costs[0]['device']}" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model=resnet19"], "model=resnet19 is unknown; nearest: resnet18"),
        (["data.batch_size=0"], "data.batch_size=0 is not possible"),
        (["trainer.precision=int8", *SMALL[:2]], "trainer.precision=int8 is not possible here"),
        (["optimizer.momentum=2"], "optimizer.momentum=2 is not possible"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_meant_takes_one_line_and_leaves_nothing(
    arguments: list[str], words: str, tmp_path: Path
) -> None:
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.in_channels=3", "model.in_channels=3 and data.in_channels=1 differ"),
        ("trainer.accelerator=gpu", "torch finds no GPU"),
        ("data.image_size=4", "data.image_size=4 is too small for simple_cnn"),
    ],
)
def test_what_only_the_network_or_the_machine_tells_is_an_input_error(
    override: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(InputError, match=words):
        measured(tmp_path, override)
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_shows_what_is_being_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(benchmark, "get_console", lambda: Console(file=screen, force_terminal=True))
    measured(tmp_path)
    assert "simple_cnn: one image" in screen.getvalue()
    monkeypatch.setattr(benchmark, "get_console", lambda: Console(file=screen))
    screen.truncate(0)
    measured(tmp_path)
    assert screen.getvalue() == ""
