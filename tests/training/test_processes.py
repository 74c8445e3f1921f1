"""What the processes that are there make of the settings of the Trainer and of a resumed run."""

import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from lightning.fabric.strategies.launchers.subprocess_script import _hydra_subprocess_cmd
from omegaconf import OmegaConf

from src.errors import InputError
from src.ranks.place import Place
from src.runs.folder import RunFolder
from src.training import processes
from src.training.processes import as_command, keep_global_batch, settle_processes

USUAL = {"devices": "auto", "num_nodes": 1, "strategy": "auto", "plugins": None}


def started(monkeypatch: pytest.MonkeyPatch, size: int, machines: int = 1) -> None:
    place = Place(size=size, environment=TorchElasticEnvironment())
    crew = SimpleNamespace(place=place, machines=machines, share=lambda _name, make: make())
    monkeypatch.setattr(processes, "crew", lambda: crew)


@pytest.mark.parametrize(
    ("size", "machines", "settings", "expected"),
    [
        (2, 1, {}, (2, 1, "ddp")),
        (8, 2, {}, (4, 2, "ddp")),
        (2, 2, {"devices": 1}, (1, 2, "ddp")),
        (4, 2, {"devices": 2, "num_nodes": 2, "strategy": "ddp_find_unused_parameters_true"}, (2, 2, None)),
        (2, 1, {"devices": [2, 3]}, ([2, 3], 1, "ddp")),
        (1, 1, {}, (1, 1, "auto")),
    ],
)
def test_devices_are_those_that_were_started(size, machines, settings, expected, monkeypatch) -> None:
    started(monkeypatch, size, machines)
    settled = settle_processes(USUAL | settings)
    devices, nodes, strategy = expected
    assert (settled["devices"], settled["num_nodes"]) == (devices, nodes)
    assert settled["strategy"] == (strategy or settings["strategy"])
    assert isinstance(settled["plugins"][0], TorchElasticEnvironment)


@pytest.mark.parametrize(
    ("size", "machines", "settings", "words"),
    [
        (2, 1, {"devices": 4}, "trainer.devices=4, but 2 processes on 1 machine were started"),
        (2, 1, {"devices": [0, 1, 2]}, "but 2 processes on 1 machine"),
        (4, 2, {"num_nodes": 4}, "trainer.num_nodes=4, but 4 processes on 2 machines"),
        (3, 2, {}, "3 processes on 2 machines: start as many on each"),
    ],
)
def test_other_numbers_are_refused(size, machines, settings, words, monkeypatch) -> None:
    started(monkeypatch, size, machines)
    with pytest.raises(InputError, match=words):
        settle_processes(USUAL | settings)


def test_a_process_that_nobody_has_started_as_one_of_several_looks_for_no_scheduler(monkeypatch) -> None:
    for name, value in {"SLURM_NTASKS": "4", "SLURM_JOB_ID": "1", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "x"}.items():
        monkeypatch.setenv(name, value)
    assert isinstance(settle_processes(USUAL)["plugins"][0], LightningEnvironment)
    with pytest.raises(InputError, match="start them with torchrun or srun"):
        settle_processes(USUAL | {"num_nodes": 2})


def began(folder: Path, **record: Any) -> RunFolder:
    (folder / "run.json").write_text(json.dumps({"status": "interrupted", **record}))
    return RunFolder(folder)


@pytest.mark.parametrize(("before", "now", "size"), [(2, 1, 64), (1, 2, 16), (4, 3, None), (2, 2, 32), (None, 3, 32)])
def test_a_run_keeps_its_global_batch(before, now, size, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of a version that didn't note its processes nothing is known, and nothing is changed."""
    run = began(tmp_path, **({} if before is None else {"processes": before}))
    data: Any = SimpleNamespace(batch_size=32)
    if size is None:
        with pytest.raises(InputError, match=r"batches of 128 images \(4 × 32\), which 3 processes can't share evenly"):
            keep_global_batch(data, run, now)
        return
    keep_global_batch(data, run, now)
    assert data.batch_size == size
    assert ("weights will differ" in caplog.text) == (before not in (None, now))


def test_a_launchers_process_starts_the_others_as_the_command_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """`__main__` is joblib's, submitit's or Ray's there; in a process of ours it is the verb."""
    hydra = {"mode": RunMode.MULTIRUN, "job": {"name": "train"}, "run": {"dir": "runs/0"}, "runtime": {"cwd": "/here"}}
    monkeypatch.setattr(HydraConfig.instance(), "cfg", OmegaConf.create({"hydra": hydra}))
    monkeypatch.setattr(sys, "argv", ["worker.py", "seed=1"])
    main = sys.modules["__main__"]
    for spec, module in ((ModuleSpec("joblib.worker", None), "src.train"), (ModuleSpec("src.search", None), None)):
        monkeypatch.setattr(main, "__spec__", spec)
        with as_command():
            command, folder = _hydra_subprocess_cmd(1)
        assert main.__spec__ is spec
        assert command[:4] == [sys.executable, "-m", module or "src.search", "seed=1"]
        assert (folder, command[4]) == ("/here", 'hydra.run.dir="runs/0"')
