"""Options, folders and words of a stranger's: nothing of theirs runs, leads elsewhere, or grows without limit."""

import shutil
from pathlib import Path

import pytest

from src.errors import InputError
from src.settings import composing
from src.settings.composing import quote_paths
from tests.support.command_line import run_here
from tests.support.composed import check_overrides, compose_overrides

COPY = "{_target_: shutil.copy, src: /etc/hostname, dst: canary}"
JOBLIB = "_target_: hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher\n"
BASIC = "_target_: hydra._internal.core_plugins.basic_sweeper.BasicSweeper\nparams: {seed: '1,2'}\n"
OPTUNA = BASIC.replace("hydra._internal.core_plugins.basic_sweeper.Basic", "hydra_plugins.x.optuna_sweeper.Optuna")
HANDLER = "# @package _global_\nhydra: {hydra_logging: {handlers: {x: {'()': shutil.copy, src: a, dst: canary}}}}"

OPTIONS = {
    "a launcher's argument": ("hydra/launcher/x", JOBLIB + f"n_jobs: [{COPY}]", "Integer"),
    "a launcher's expression": (
        "hydra/launcher/x",
        JOBLIB + "pre_dispatch: __import__(1)",
        "pre_dispatch can't be set",
    ),
    "a sweeper's code": ("hydra/sweeper/x", BASIC + "custom_search_space: planted.f", "'custom_search_space' not in"),
    "a sweeper's list": ("hydra/sweeper/x", BASIC + f"max_batch_size: [{COPY}]", "converted to Integer"),
    "another sweeper": ("hydra/sweeper/x", OPTUNA, "not allowed"),
    "the name of Hydra's launcher": ("hydra/launcher/basic", f"x: {COPY}", "the name of one of Hydra's own"),
    "the name of Hydra's schema": ("hydra/config", "mode: null", "the name of one of Hydra's own"),
}
"""Files in conf/ and what is said of each."""


@pytest.fixture
def conf(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("theirs") / "conf"
    shutil.copytree(composing.CONF, folder)
    monkeypatch.setattr(composing, "CONF", folder)
    return folder


def add(conf: Path, name: str, text: str) -> None:
    file = conf / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def refuse(tmp_path: Path, *words: str, verb: str = "train") -> str:
    result = run_here(*words, cwd=tmp_path, verb=verb)
    assert result.returncode == 2, result.stdout + result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
    return result.stderr


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_of_hydras_groups_is_checked_as_what_its_class_takes(name: str, conf: Path, tmp_path: Path) -> None:
    option, text, said = OPTIONS[name]
    add(conf, option, text)
    group, _, chosen = option.rpartition("/")
    words = [f"{group}={chosen}"] if chosen == "x" else []
    assert said in refuse(tmp_path, "-m", *words, "seed=1,2")


def test_an_option_of_ones_own_may_set_what_its_class_takes(conf: Path) -> None:
    add(conf, "hydra/launcher/mine", "defaults: [joblib]\nn_jobs: 3\n")
    cfg = check_overrides("train", ["hydra/launcher=mine", "seed=1,2"], multirun=True)
    assert cfg.hydra.launcher.n_jobs == 3


@pytest.mark.parametrize("flags", [["--help"], ["--info", "all"], ["--cfg", "all"]], ids=" ".join)
def test_flags_refuse_what_a_run_refuses(flags: list[str], conf: Path, tmp_path: Path) -> None:
    add(conf, "experiment/evil", HANDLER)
    assert "can't be set" in refuse(tmp_path, *flags, "experiment=evil")


def test_hydras_own_help_composes_nothing_of_a_strangers(conf: Path, tmp_path: Path) -> None:
    add(conf, "experiment/evil", HANDLER)
    assert run_here("--hydra-help", "+experiment=evil", cwd=tmp_path).returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flags", [[], ["--info", "searchpath"]], ids=["run", "info"])
def test_a_search_path_is_refused_before_its_package_is_imported(
    flags: list[str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path_factory.mktemp("packages") / "planted_by_a_stranger"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit(7)")
    monkeypatch.syspath_prepend(package.parent)
    assert "hydra.searchpath can't be set" in refuse(tmp_path, *flags, f"hydra.searchpath=[pkg://{package.name}]")


@pytest.mark.parametrize("verb", ["audit", "benchmark", "evaluate", "report"])
def test_a_file_does_not_say_where_a_verb_writes(verb: str, conf: Path) -> None:
    add(conf, "experiment/evil", "# @package _global_\noutput: ../x\n")
    needed = {"evaluate": ["checkpoint=x"], "report": ["runs=x"]}.get(verb, [])
    with pytest.raises(InputError, match="output is not taken from a file"):
        check_overrides(verb, ["+experiment=evil", *needed])
    check_overrides(verb, ["+experiment=evil", "output=mine", *needed])


def test_a_link_that_leads_out_of_conf_is_refused(conf: Path, tmp_path: Path) -> None:
    secret = conf.parent / "secret.yaml"
    secret.write_text("token: x")
    (conf / "experiment" / "evil.yaml").symlink_to(secret)
    assert "is a link" in refuse(tmp_path, "experiment=evil")


def test_links_of_a_package_manager_are_followed(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = conf.with_name("installed")
    shutil.copytree(conf, installed, copy_function=lambda file, at: Path(at).symlink_to(file))
    monkeypatch.setattr(composing, "CONF", installed)
    assert check_overrides("train", ["experiment=digits"]).study.answer == "levels"


def test_files_that_name_each_other_count_as_often_as_they_are_named(conf: Path, tmp_path: Path) -> None:
    add(conf, "experiment/e0", "a: 1\n")
    for level in range(1, 8):
        names = ", ".join(f"e{level - 1}@p{number}" for number in range(10))
        add(conf, f"experiment/e{level}", f"defaults: [{names}]\n")
    assert "more than 20,000 values" in refuse(tmp_path, "+experiment@x=e7")


def test_an_experiment_for_a_verb_without_experiments_takes_one_line(tmp_path: Path) -> None:
    assert "experiment" in refuse(tmp_path, "experiment=digits", verb="audit")


@pytest.mark.parametrize(
    "word",
    ["trainer.detect_anomaly=x", "trainer.num_sanity_val_steps=x", "trainer.profiler={a:1}", f"seed={'9' * 5000}"],
)
def test_a_value_of_another_kind_takes_one_line(word: str, tmp_path: Path) -> None:
    refuse(tmp_path, word)


@pytest.mark.parametrize(
    ("typed", "quoted"),
    [
        ("data.classes=[cat,Größe 2,10]", "data.classes=['cat','Größe 2','10']"),
        ("data.exclude=[猫/*, it's]", "data.exclude=[猫/*, it's]"),
        ("data.exclude=[猫/*,**/a b.png]", "data.exclude=['猫/*','**/a b.png']"),
        ("data.exclude=bad files (1).csv", "data.exclude='bad files (1).csv'"),
        ("data.classes=animals", "data.classes=animals"),
        ("data.classes=['a','b']", "data.classes=['a','b']"),
    ],
)
def test_lists_of_names_are_taken_as_they_are_typed(typed: str, quoted: str) -> None:
    assert quote_paths([typed]) == [quoted]


def test_two_sweeps_of_the_same_second_have_two_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hydra.core.utils.strftime", lambda *_: "now", raising=False)
    folders = set()
    for _ in range(2):
        with composing.composing("train") as composer:
            cfg = composer.compose(["seed=1,2", "sweep=${now:at}_${hex:4}"], multirun=True)
            runs = [composer.load_sweep_config(cfg, job) for job in composer.check(cfg) or []]
            assert [run.sweep for run in runs] == [cfg.sweep] * 2
            folders.add(cfg.hydra.sweep.dir)
    assert len(folders) == 2
    assert compose_overrides("train", []).sweep != compose_overrides("train", []).sweep


@pytest.mark.parametrize(("model", "width"), [("mini_resnet_bottleneck_pre", 114), ("mini_resnet_basic_pre", 32)])
def test_a_setting_may_follow_the_networks_name(model: str, width: int) -> None:
    """Of the study `mini_resnet_blocks`, whose networks have as many parameters as each other."""
    words = ["experiment=mini_resnet_blocks", f"model={model}"]
    assert check_overrides("train", words).model.width == width
    assert check_overrides("train", [*words, "model.width=48"]).model.width == 48


def test_weights_may_follow_the_networks_name_in_a_sweep(tmp_path: Path) -> None:
    """`weights='null,FOLDER/${model.name}_mine.pth'`: a file for each network, or none."""
    for model in ("resnet18", "resnet50"):
        (tmp_path / f"{model}_mine.pth").touch()
    words = quote_paths(["-m", f"weights=null,{tmp_path}/${{model.name}}_mine.pth", "model=resnet18,resnet50"])[1:]
    with composing.composing("train") as composer:
        cfg = composer.compose(words, multirun=True)
        runs = [composer.load_sweep_config(cfg, job) for job in composer.check(cfg) or []]
    files = [None if run.model.weights is None else (run.model.name, Path(run.weights).name) for run in runs]
    assert files == [None, None, ("resnet18", "resnet18_mine.pth"), ("resnet50", "resnet50_mine.pth")]


@pytest.mark.parametrize(
    ("words", "epochs"),
    [
        ([], 10),
        (["trainer.max_steps=50"], -1),
        (["trainer.max_time=00:01:00:00", "scheduler=step"], -1),
        (["trainer.max_time=00:01:00:00", "scheduler=onecycle"], -1),
        (["trainer.max_time=00:01:00:00", "trainer.max_steps=50"], -1),
        (["trainer.max_time=00:01:00:00", "trainer.max_epochs=4"], 4),
        (["trainer.max_steps=50", "trainer.max_epochs=4"], 4),
        (["trainer=cpu", "trainer.max_steps=50"], -1),
        (["trainer=debug", "trainer.max_steps=50"], 1),
        (["trainer.max_steps=-1"], 10),
    ],
)
def test_steps_or_a_time_take_the_place_of_the_usual_epochs(words: list[str], epochs: int) -> None:
    assert check_overrides("train", words).trainer.max_epochs == epochs


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trainer.max_epochs=-1"], "trainer.max_epochs=-1 has no end: say trainer.max_time=DD:HH:MM:SS, "),
        (["trainer.max_time=90min"], "trainer.max_time=90min is not possible: take DD:HH:MM:SS, such as 00:01:30:00"),
        (["trainer.max_time=3600"], "trainer.max_time=3600 is not possible: take DD:HH:MM:SS"),
        (["trainer.max_steps=0"], "trainer.max_steps=0 is not possible: take a whole number between 1 and"),
    ],
)
def test_a_training_without_an_end_or_a_length_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(InputError) as error:
        check_overrides("train", words)
    assert said in str(error.value)
