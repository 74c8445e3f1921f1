"""A configuration from elsewhere can't name code: every attempt is refused in one line, and nothing has run."""

import shutil
from pathlib import Path

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from src.settings import composing as overrides
from src.settings.trust import COMPUTED, HYDRAS, flat, read_own
from tests.support.command_line import run_here

TOUCH = "'touch canary'"
OVERRIDES = [
    ["+callbacks.x._target_=os.system", f"+callbacks.x.command={TOUCH}"],
    [f"+callbacks.x={{_target_:os.system,command:{TOUCH}}}"],
    ["callbacks.gradcam._target_=subprocess.getoutput"],
    [f"callbacks.gradcam.images={{_target_:os.system,command:{TOUCH}}}"],
    [f"+callbacks.gradcam._args_=[{{_target_:os.system,command:{TOUCH}}}]"],
    ["+callbacks.x._target_=lightning.pytorch.loggers.tensorboard.os.system", f"+callbacks.x.command={TOUCH}"],
    ["+callbacks.x._target_=lightning.pytorch.callbacks.model_checkpoint.os.system"],
    ["+callbacks.x._target_=src.training.configured.instantiate"],
    ["+callbacks.x._target_=src.training.configured.DictConfig"],
    ["+callbacks.x._target_=src.callbacks.gradcam.Path"],
    ["+callbacks.x._target_=src.command.main.main"],
    ["+callbacks.x={_target_:lightning.pytorch.callbacks.LambdaCallback,on_fit_start:{_target_:os.system}}"],
    ["+callbacks.x._target_=lightning.pytorch.callbacks.Callback.__init_subclass__"],
    ["+callbacks.x._target_=7"],
    ["logger.tensorboard._target_=builtins.exec"],
    ["+logger.x._target_=builtins.eval"],
    ["+model._target_=os.system"],
    ["+optimizer._target_=os.system"],
    ["+data._target_=os.system"],
    [f"trainer.plugins=[{{_target_:os.system,command:{TOUCH}}}]"],
    [f"+hydra.callbacks.x={{_target_:os.system,command:{TOUCH}}}"],
    ["hydra.callbacks.x._target_=hydra.experimental.callbacks.LogJobReturnCallback"],
    [f"+hydra.job_logging.handlers.x={{(): os.system,command:{TOUCH}}}"],
    ["+hydra.job_logging.handlers.file.class=subprocess.Popen"],
    ["hydra.job_logging.handlers.file.filename=canary"],
    ["hydra/job_logging=default"],
    ["hydra.searchpath=[file:///tmp]"],
    ["hydra.launcher._target_=os.system"],
    ["hydra.sweeper._target_=subprocess.Popen", "-m"],
    ["+hydra.sweeper.sampler._target_=optuna.samplers._base.warnings.warn"],
    ["+hydra.job.env_set.PATH=."],
    ["+hydra.job.env_copy=[HOME]"],
    ["--config-dir=evil"],
    ["--config-name=evil", "--config-dir=evil"],
    ["--config-path=evil"],
]

FILES = {
    "callback": "callbacks:\n  x: {_target_: os.system, command: touch canary}",
    "argument": "callbacks:\n  gradcam: {images: {_target_: os.system, command: touch canary}}",
    "list": "trainer:\n  plugins: [{_target_: os.system, command: touch canary}]",
    "deep": "study: {a: [{b: {_target_: os.system, command: touch canary}}]}",
    "logger": "logger:\n  tensorboard: {_target_: subprocess.getoutput, cmd: touch canary}",
    "hydra callbacks": "hydra:\n  callbacks:\n    x: {_target_: os.system, command: touch canary}",
    "hydra logging": "hydra:\n  job_logging:\n    handlers:\n      x: {'()': os.system, command: touch canary}",
    "hydra search path": "hydra:\n  searchpath: [pkg://evil]",
    "hydra environment": "hydra:\n  job:\n    env_set: {PATH: '.'}",
    "hydra launcher": "hydra:\n  launcher:\n    _target_: os.system",
}


READ_LATER = (
    "+callbacks.x={_target_:lightning.pytorch.callbacks.LambdaCallback,"
    "on_fit_start:'${oc.create:{_target_:shutil.copy,src:/etc/hostname,dst:canary}}'}"
)
"""An interpolation that becomes a node with a `_target_` when it is read."""


READ_BY_HYDRA = "+hydra.sweeper.x='${oc.create:{_target_:shutil.copy,src:/etc/hostname,dst:canary}}'"


def check_refused(result, folder: Path) -> None:  # type: ignore[no-untyped-def]
    assert result.returncode == 2, result.stdout
    assert len(result.stderr.splitlines()) == 1
    assert "Traceback" not in result.stderr
    assert [path.name for path in folder.iterdir()] == []


@pytest.mark.parametrize("words", OVERRIDES, ids=" ".join)
def test_an_override_is_refused(words: list[str], tmp_path: Path) -> None:
    check_refused(run_here(*words, cwd=tmp_path), tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_refused(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path_factory.mktemp("conf") / "conf"
    shutil.copytree(overrides.CONF, conf)
    (conf / "experiment" / "evil.yaml").write_text(f"# @package _global_\n{FILES[name]}\n")
    monkeypatch.setattr(overrides, "CONF", conf)
    for words in (["experiment=evil"], ["-m", "experiment=evil", "seed=1,2"]):
        check_refused(run_here(*words, cwd=tmp_path), tmp_path)


@pytest.mark.parametrize("word", [READ_LATER, READ_LATER.replace("'${", "'\\${")], ids=["at once", "escaped"])
def test_what_becomes_a_target_only_when_it_is_read_is_refused(word: str, tmp_path: Path) -> None:
    result = run_here("data=digits", "model=simple_cnn", "trainer.max_epochs=1", word, cwd=tmp_path)
    assert result.returncode == 2, result.stdout
    assert "callbacks.x.on_fit_start" in result.stderr
    assert "allowed" in result.stderr
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("word", [READ_BY_HYDRA, READ_BY_HYDRA.replace("'${", "'\\${")], ids=["at once", "escaped"])
def test_hydras_own_parts_are_looked_at_as_they_will_be_read(word: str, tmp_path: Path) -> None:
    check_refused(run_here("-m", "seed=1,2", word, cwd=tmp_path), tmp_path)


@pytest.mark.parametrize("verb", sorted(path.stem for path in overrides.CONF.glob("*.yaml")))
def test_hydras_part_is_read_from_its_sources_as_hydra_composes_it(verb: str) -> None:
    """So that a setting which may not be set differs from it exactly where something has set it."""
    with overrides.composing(verb) as composer:
        composed = composer.load_configuration(verb, [], RunMode.RUN).hydra
        own = read_own(verb, composer.repository)
    composed, own = (flat(OmegaConf.to_container(node, resolve=False), "hydra") for node in (composed, own))
    guarded = [key for key in composed.keys() | own.keys() if not key.startswith((*HYDRAS, *COMPUTED))]
    assert {"hydra.job_logging.version", "hydra.hydra_logging.version", "hydra.job.chdir"} <= set(guarded)
    assert {key: own.get(key) for key in guarded} == {key: composed.get(key) for key in guarded}
