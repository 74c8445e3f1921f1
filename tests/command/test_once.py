"""A configuration is composed once and checked once, and what was checked is what is run."""

import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import DictConfig, OmegaConf

from src.command import main
from src.errors import InputError
from src.runs.folder import RunFolder
from src.settings import composing
from src.train import train
from tests.support.command_line import run_here

QUICK = ("trainer=debug", "model=simple_cnn", "callbacks=none", "logger=none", "cost=false", "baseline=false")


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often Hydra has composed, by anybody's request, and how often we have checked."""
    counter: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            counter[name] += 1
            return function(*args, **kwargs)

        return call

    compose = ConfigLoaderImpl._load_configuration_impl  # below all of Hydra's ways to a configuration
    monkeypatch.setattr(ConfigLoaderImpl, "_load_configuration_impl", counted("composed", compose))
    for module in (composing, main):
        monkeypatch.setattr(module, "check_config", counted("checked", module.check_config))
    return counter


def test_a_run_is_composed_and_checked_once_and_a_resumed_one_composed_twice(
    count: Counter[str], tmp_path: Path
) -> None:
    assert run_here(*QUICK, "hydra.run.dir=run", cwd=tmp_path).returncode == 0
    assert count == {"composed": 1, "checked": 1}
    count.clear()
    resumed = run_here("resume=run", "trainer.max_epochs=2", cwd=tmp_path)
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert count == {"composed": 2, "checked": 1}  # with what is typed now, and as the run was begun
    assert len(RunFolder(tmp_path / "run").history()) == 2


@pytest.mark.parametrize("verb", ["train", "audit"])
def test_a_sweep_composes_its_own_and_each_runs(count: Counter[str], tmp_path: Path, verb: str) -> None:
    words = (*QUICK, "sweep=s") if verb == "train" else ("data=digits", "output=s")
    assert run_here("-m", *words, "seed=1,2,3", cwd=tmp_path, verb=verb).returncode == 0
    assert count == {"composed": 4, "checked": 3}


def test_a_process_of_a_launcher_gets_what_was_checked(count: Counter[str]) -> None:
    with composing.composing("train") as composer:
        cfg = composer.compose(["seed=1,2"], multirun=True)
        assert cfg.sweep, "by the time of day"
        cfg._metadata.resolver_cache["now"] = dict.fromkeys(OmegaConf.get_cache(cfg)["now"], "the sweep's time")
        jobs = composer.check(cfg)
        assert jobs == [["seed=1"], ["seed=2"]]
        there, config = pickle.loads(pickle.dumps((composer, cfg)))
        runs = [there.load_sweep_config(config, job) for job in jobs]
    assert [run.seed for run in runs] == [1, 2]
    assert [run.sweep for run in runs] == [cfg.sweep] * 2
    assert cfg.sweep.startswith("the sweep's time")
    assert count == {"composed": 3, "checked": 2}


def test_from_python_a_configuration_is_checked_too(
    count: Counter[str], config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    train(config(*QUICK), tmp_path / "run")
    assert count["checked"] == 1
    with pytest.raises(InputError, match=r"optimizer.lr=-1 is not possible"):
        train(config(*QUICK, "optimizer.lr=-1"), tmp_path / "other")
    assert not (tmp_path / "other").exists()
