"""A configuration from elsewhere can't name code: every attempt is refused in one line, and nothing has run."""

import re
import shutil
from pathlib import Path

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from src.errors import InputError
from src.settings import composing as overrides
from src.settings.trust import COMPUTED, HYDRAS, flat, read_own
from tests.support.command_line import run_here
from tests.support.composed import check_overrides

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


LISTS = "[1,1,1,1,1,1,1,1,1,1]"
LAUGHS = [f"a0: &a0 {LISTS}", *(f"a{n}: &a{n} {LISTS.replace('1', f'*a{n - 1}')}" for n in range(1, 9))]
"""A billion laughs: nine lines that stand for 10⁹ numbers."""

DOUBLED = ["a0: xxxxxxxxxx", *(f"a{n}: ${{a{n - 1}}}${{a{n - 1}}}" for n in range(1, 30))]

OPTUNA = "defaults: [override /hydra/sweeper: optuna]\nhydra: {mode: MULTIRUN, sweeper: {n_trials: 1}}"
SWEEPER = "hydra: {mode: MULTIRUN, sweeper: {"
RAY = "defaults: [override /hydra/launcher: ray]\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '1,2'}}, "
JOBLIB = "defaults: [override /hydra/launcher: joblib]\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '1,2'}}, "
SWEPT_OVER = "hydra: {mode: MULTIRUN, sweeper: {params: "
TIMER = "callbacks: {x: {_target_: lightning.pytorch.callbacks.Timer, "

REFUSED = {
    # references: what they give later isn't what they give now, or nobody's business, or too much
    "environment": ("study: {question: '${oc.env:HOME}'}", "oc.env"),
    "environment in a key of a list": ("trainer: {plugins: [{a: '${oc.env:HOME}'}]}", "oc.env"),
    "environment within an argument": ("seed: \"${full_or_quick:'${oc.env:HOME}',1}\"", "oc.env"),
    "environment in the defaults list": ("defaults: [{override /model: '${oc.env:HOME}'}]", "oc.env"),
    "made of text": ("seed: \"${oc.create:'{a: 1}'}\"", "oc.create"),
    "decoded": ("seed: ${oc.decode:'1'}", "oc.decode"),
    "chosen by a key": ("a: {None: 1}\nseed: ${a.${hydra.output_subdir}}", "not a plain reference"),
    "chosen by select": ("a: {None: 1}\nseed: ${oc.select:a.None}", "oc.select"),
    "resolver by another name": ("n: oc.env\nseed: '${${n}:HOME}'", "refers to"),
    "put together": ("d: $\ne: '{oc.env:HOME}'\nstudy: {question: '${d}${e}'}", "write the value itself"),
    "escaped": ("study: {question: '\\${oc.env:HOME}'}", "write the value itself"),
    "circle": ("a: ${b}\nb: ${a}", "refers to itself"),
    "through another": ("a: ${b}\nb: {c: 1}\nseed: ${a.c}", "leads through another reference"),
    "doubled": ("\n".join(DOUBLED), "stands for more than"),
    "aliases": ("\n".join(LAUGHS), "stands for more than"),
    "an alias of itself": ("a: &a [*a]", "evil.yaml"),
    "deep": ("a: " + "[" * 60 + "]" * 60, "too many levels"),
    "no YAML": ("a: ][", "evil.yaml can't be read"),
    # files outside of the run
    "out of conf": ("defaults: [/../secret]", "is not in conf/"),
    "absolute": ("defaults: [//etc/hosts]", ""),
    "record": ("hydra: {output_subdir: ../x}", "hydra.output_subdir can't be set"),
    "log": ("hydra: {job: {name: ../x}}", "hydra.job.name can't be set"),
    "run folder": ("hydra: {run: {dir: /x}}", "is not below outputs/"),
    "sweep folder": ("hydra: {mode: MULTIRUN, sweep: {dir: ../x}}", "is not below outputs/"),
    "run folder by name": ("data: {name: ../../x}", "is not below outputs/"),
    "folder of a run of a sweep": ("hydra: {sweep: {subdir: ../x}}", "hydra.sweep.subdir can't be set"),
    "output folder": ("hydra: {runtime: {output_dir: /x}}", "hydra.runtime.output_dir can't be set"),
    "number": ("hydra: {job: {num: 7}}", "hydra.job.num can't be set"),
    "checkpoint": (
        "callbacks: {x: {_target_: lightning.pytorch.callbacks.ModelCheckpoint, dirpath: /x}}",
        "not allowed",
    ),
    "on exception": (
        "callbacks: {x: {_target_: lightning.pytorch.callbacks.OnExceptionCheckpoint, dirpath: /x}}",
        "not",
    ),
    "CSV logger": ("logger: {x: {_target_: lightning.pytorch.loggers.CSVLogger, name: /x}}", "name can't be set"),
    "save_dir": (
        "logger: {x: {_target_: lightning.pytorch.loggers.CSVLogger, save_dir: /x}}",
        "x.save_dir can't be set",
    ),
    "TensorBoard": (
        "logger: {x: {_target_: lightning.pytorch.loggers.TensorBoardLogger, sub_dir: x}}",
        "sub_dir can't",
    ),
    "prefix": ("logger: {x: {_target_: lightning.pytorch.loggers.CSVLogger, prefix: /x}}", "prefix can't be set"),
    # code and commands by other keys
    "arguments by place": (TIMER + "_args_: [1]}}", "_args_ can't be set"),
    "partial": (TIMER + "duration: {_partial_: true}}}", "without a leading _"),
    "two lines": (TIMER + 'interval: "a\\nb"}}', "in one line"),
    "overrides": ("hydra: {overrides: {task: [+x=1]}}", "hydra.overrides can't be set"),
    "Optuna's sweeper": (OPTUNA, "optuna is a search of its own now: python -m src.search space=lr"),
    "storage": (SWEEPER + "storage: 'sqlite:///x.db'}}", "evil"),
    "sampler": (SWEEPER + "sampler: {_target_: optuna.samplers.PartialFixedSampler}}}", ""),
    "code of a sampler": (SWEEPER + "params: {+hydra.sweeper.sampler.gamma._target_: os.system}}}", ""),
    "params": ("hydra: {mode: MULTIRUN, sweeper: {params: {+callbacks.x._target_: os.system}}}", "not allowed"),
    "params of a group": ("hydra: {mode: MULTIRUN, sweeper: {params: {+hydra: '{sweep: {subdir: x}},{}'}}}", ""),
    "joblib's expression": (JOBLIB + "launcher: {pre_dispatch: '__import__(1)'}}", "pre_dispatch can't be set"),
    "Ray's cluster": (RAY + "launcher: {address: 'evil:6379'}}", "address=evil:6379 is not taken from a file"),
    "Ray's environment": (RAY + "launcher: {runtime_env: {pip: [evil]}}}", ""),
    "joblib's folder": (JOBLIB + "launcher: {temp_folder: /x}}", "temp_folder can't be set"),
    "a mode": ("hydra: {mode: '${hydra.output_subdir}'}", "hydra.mode"),
    "a launcher from elsewhere": ("p: {_target_: os.system}\nhydra: {launcher: '${p}'}", ""),
    "code in a list": (
        SWEEPER + "max_batch_size: [{_target_: shutil.copy, src: a, dst: b}]}}",
        "evil",
    ),
    "a handler behind a name with dots": (
        "hydra: {job_logging: {handlers: {file: {class: logging.FileHandler, filename: x}, "
        "file.class: '${package:logs.LogFile}', "
        "file.filename: '${hydra.runtime.output_dir}/${hydra.job.name}.log'}}}",
        "is there twice",
    ),
    "another run": ("resume: x", "resume is not taken from a file"),
    # small, and stand for much
    "a long range": (SWEPT_OVER + "{seed: 'range(0,1000000000)'}}}", "more than 1,000,000 values"),
    "a product": (SWEPT_OVER + "{seed: 'range(0,99)', data.batch_size: 'range(2,99)'}}}", "more than 1,000 runs"),
    "brackets": (SWEPT_OVER + f"{{seed: '{'[' * 300}{']' * 300}'}}}}}}", ""),
    "a long list": (SWEPT_OVER + f"{{seed: '{','.join(map(str, range(9999)))}'}}}}}}", "characters"),
    "jobs at once": (JOBLIB + "launcher: {n_jobs: 1000000000}}", "take at most 256"),
    "itself twice": ("defaults: [evil@a, evil@b]", ""),
    "all settings": ("a: '${settings:}'", "${settings:…}"),
    "many references": (f"a: '{'${seed}' * 1000}'", "references in a text of 7,000"),
    "a long number": (f"seed: 0x{'f' * 5000}", "a number of 5,002 digits"),
    "many values": (f"a: [{'1,' * 5000}]", "more than 5,000 values"),
    "a key twice": ("seed: 1\nseed: 2", "duplicate key"),
    "a tag": ("seed: !!python/object/apply:os.system [x]", "line 2"),
    "a list as a key": ("? [a, b]\n: 1", "unhashable key"),
    # other machines
    "W&B": ("logger: {x: {_target_: lightning.pytorch.loggers.WandbLogger, project: x}}", "on the command line"),
    "MLflow": (
        "logger: {x: {_target_: lightning.pytorch.loggers.MLFlowLogger, tracking_uri: x}}",
        "on the command line",
    ),
    "a registry": ("trainer: {model_registry: x}", "on the command line"),
}
"""Experiment files that nothing may come of, and what is said of each."""

TINY = ("data.max_images=20", "model=simple_cnn", "trainer.max_epochs=1")
SWEPT = (
    "environment",
    "put together",
    "checkpoint",
    "W&B",
    "a registry",
    "record",
    "log",
    "overrides",
    "output folder",
)
EVERY_VERB = ("environment", "put together", "doubled", "aliases", "record", "log", "joblib's folder", "overrides")


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


def evil(name: str, conf: Path) -> Path:
    """Return a copy of conf/ with an experiment of a stranger's."""
    shutil.copytree(overrides.CONF, conf)
    conf.with_name("secret.yaml").write_text("secret: word")
    (conf / "experiment" / "evil.yaml").write_text(f"# @package _global_\n{REFUSED[name][0]}\n")
    return conf


@pytest.mark.parametrize("name", REFUSED)
def test_an_experiment_from_elsewhere_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overrides, "CONF", evil(name, tmp_path / "conf"))
    monkeypatch.chdir(tmp_path)
    result = run_here("experiment=evil", *TINY, cwd=tmp_path)
    assert result.returncode == 2, result.stdout + result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert REFUSED[name][1] in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"conf", "secret.yaml"}


@pytest.mark.parametrize("name", SWEPT)
def test_one_that_is_swept_over_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overrides, "CONF", evil(name, tmp_path / "conf"))
    with pytest.raises(InputError, match=re.escape(REFUSED[name][1])):
        check_overrides("train", ["experiment=digits,evil", *TINY], multirun=True)


ADOPTION = ["weights=x", "data.image_size=8", "data.mean=[0.5]", "data.std=[0.5]"]


@pytest.mark.parametrize("name", EVERY_VERB)
@pytest.mark.parametrize("verb", sorted(path.stem for path in overrides.CONF.glob("*.yaml") if path.stem != "train"))
def test_every_verb_refuses_it(verb: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overrides, "CONF", evil(name, tmp_path / "conf"))
    needed = {
        "report": ["runs=x"],
        "runs": [],
        "predict": ["checkpoint=x", "images=x"],
        "audit": [],
        "benchmark": [],
        "adopt": ADOPTION,
        "search": [],
        "pack": ["data.root=x"],
    }
    with pytest.raises(InputError, match=re.escape(REFUSED[name][1])):
        check_overrides(verb, ["+experiment=evil", *needed.get(verb, ["checkpoint=x"])])


TYPED = ["+logger.w={_target_:lightning.pytorch.loggers.WandbLogger,project:mine}", "+trainer.max_steps=5"]


def test_a_logger_that_talks_to_a_network_is_taken_from_the_command_line_alone(tmp_path: Path) -> None:
    word = TYPED[0]
    with overrides.composing("train") as composer:
        composer.check(composer.compose([word, "seed=1"]))
        cfg = composer.compose([word, "seed=2"], typed=["seed=2"])  # as of a run that is resumed
        with pytest.raises(InputError, match=r"logger\.w\._target_=.*say all of logger\.w on the command line"):
            composer.check(cfg)
        cfg = composer.compose([word, "+logger.w.entity=theirs"], typed=[word])
        with pytest.raises(InputError, match=r"logger\.w\.entity=theirs is not taken from a file"):
            composer.check(cfg)


def test_what_was_checked_is_what_is_used() -> None:
    """Nothing in a checked configuration refers to anything, so that no later state can change what it gives."""
    with overrides.composing("train") as composer:
        cfg = composer.compose(["experiment=digits"])
        assert "${" in str(OmegaConf.to_container(overrides.without_hydra(cfg), resolve=False))
        composer.check(cfg)
    parts = (overrides.without_hydra(cfg), cfg.hydra.sweeper, cfg.hydra.launcher)
    assert "${" not in str([OmegaConf.to_container(part, resolve=False) for part in parts])


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
