"""Every YAML file composes, is checked and builds what it names."""

import inspect
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from torch import nn

from src.data import ImageDataModule
from src.errors import InputError
from src.networks import NETWORKS, architecture, build_network
from src.reporting.answers import ANSWERS
from src.settings.check import check_config, keys, nearest, problem, schema_of
from src.settings.composing import LISTS
from src.settings.schema.data import Data, channel_values
from src.settings.schema.kinds import Settings, group_of, kinds, takes
from src.settings.schema.training import ANSWERS as SCHEMA_ANSWERS
from src.settings.schema.verbs import VERBS
from src.training.assemble import to_dict
from src.training.configured import build
from src.training.optimizers import build_optimizer, build_schedule
from tests.support.composed import compose_overrides

CONF = Path(__file__).parents[2] / "conf"
Config = Callable[..., DictConfig]
STUDY = {"question", "earlier", "cost", "command", "answer"}


@pytest.fixture(scope="module")
def usual() -> DictConfig:
    """The configuration without overrides, to be copied: composing it takes 0.1 s."""
    cfg = compose_overrides("train", [])
    return OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml") if path.stem != "base")


def test_the_model_group_is_the_table_of_networks() -> None:
    assert options("model") == sorted(NETWORKS)


@pytest.mark.parametrize("name", options("model"))
def test_every_model_builds(config: Config, name: str) -> None:
    cfg = config(f"model={name}")
    check_config(cfg)
    with torch.device("meta"):
        network = build_network(**architecture(to_dict(cfg)["model"]), image_size=cfg.data.image_size)
    with torch.inference_mode():  # whatever the weights are; on meta tensors it would take four times as long
        logits = network.to_empty(device="cpu").eval()(torch.zeros(2, cfg.data.in_channels, 8, 8))
    assert logits.shape == (2, 10)


@pytest.mark.parametrize("name", options("data"))
def test_every_data_option_builds_and_names_its_keys(config: Config, name: str) -> None:
    own = {"folder": ["data.root=photos"], "table": ["data.table=photos/labels.csv"]}
    cfg = config(f"data={name}", *own.get(name, []))
    check_config(cfg)
    assert cfg.data.name == {"mnist8": "mnist", "animals": "tinyimagenet"}.get(name, name)
    module = ImageDataModule(**to_dict(cfg)["data"], seed=cfg.seed)
    assert module.preprocessing["image_size"] == cfg.data.image_size
    wanted = {"root", "image_size", "in_channels", "num_classes", "mean", "std", "batch_size", "num_workers", "augment"}
    assert wanted <= set(cfg.data)


@pytest.mark.parametrize("name", options("trainer"))
def test_a_trainer_option_has_all_of_lightnings_arguments_and_no_others(config: Config, name: str) -> None:
    cfg = config(f"trainer={name}")
    check_config(cfg)
    own = {"self", "logger", "callbacks", "default_root_dir"}
    assert set(cfg.trainer) == set(inspect.signature(L.Trainer.__init__).parameters) - own


@pytest.mark.parametrize("name", options("optimizer"))
@pytest.mark.parametrize("schedule", options("scheduler"))
def test_every_optimizer_and_schedule_takes_steps(config: Config, name: str, schedule: str) -> None:
    cfg = config(f"optimizer={name}", f"scheduler={schedule}")
    check_config(cfg)
    optimizer = build_optimizer(nn.Sequential(nn.Linear(2, 2)), **to_dict(cfg)["optimizer"])
    scheduler = build_schedule(optimizer, steps=20, steps_per_epoch=5, **to_dict(cfg)["scheduler"])
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    assert max(rates) == pytest.approx(cfg.optimizer.lr, rel=0.2)
    assert min(rates) > 0


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in LISTS for name in options(group)])
def test_every_callback_and_logger_can_be_made(config: Config, group: str, name: str, tmp_path: Path) -> None:
    if name in ("wandb", "mlflow"):
        pytest.importorskip(name)
    cfg = config(f"{group}={name}")
    check_config(cfg)
    arguments = {"save_dir": str(tmp_path)} if group == "logger" else {}
    for node in cfg[group].values():
        assert build(node, group, **arguments) is not None
    assert not list(tmp_path.iterdir()), "nothing is written before the run begins"


@pytest.mark.parametrize("name", options("experiment"))
def test_every_experiment_composes_and_says_what_it_is_for(config: Config, name: str) -> None:
    cfg = config(f"experiment={name}")
    check_config(cfg)
    text = (CONF / "experiment" / f"{name}.yaml").read_text()
    assert text.startswith("# @package _global_")
    assert len(text.splitlines()) <= 50  # a screen
    if cfg.study is None:
        assert all(word in text for word in ("Expected:", "Cost:", "Command:"))
        return
    assert set(cfg.study) == STUDY
    assert cfg.study.command == f"python -m src.train -m experiment={name}"
    assert cfg.study.answer in ANSWERS
    assert "quick=true" in cfg.study.cost


def test_a_configuration_cannot_name_code_from_elsewhere() -> None:
    node = OmegaConf.create({"_target_": "os.system", "command": "touch canary"})
    with pytest.raises(InputError, match="_target_=os.system is not allowed"):
        build(node, "callbacks")


def test_every_answer_has_its_words() -> None:
    assert set(ANSWERS) == set(SCHEMA_ANSWERS)


def schema_keys(settings: type[Settings], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, kind in kinds(settings).items():
        group = group_of(kind)
        found |= {f"{prefix}{name}"} | (schema_keys(group, f"{prefix}{name}.") if group else set())
    return found


def conf_keys(verb: str) -> set[str]:
    """All settings of a verb, whatever options are chosen."""
    cfg = compose_overrides(verb, [])
    found = set(keys(OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])))
    groups = {"model", "data", "trainer", "optimizer", "scheduler", "space", *LISTS}
    for group in set(cfg.hydra.runtime.choices) & groups:
        for file in (CONF / group).glob("*.yaml"):
            found |= {group, *(f"{group}.{key}" for key in keys(OmegaConf.load(file)))}
    if verb == "train":
        found |= {f"study.{name}" for name in STUDY}
    return {key for key in found if not key.endswith(("._target_", ".defaults"))}


@pytest.mark.parametrize("verb", VERBS)
def test_every_setting_of_a_verb_is_in_the_schema_and_the_other_way_round(verb: str) -> None:
    in_schema, in_conf = schema_keys(VERBS[verb]), conf_keys(verb)
    assert in_conf - in_schema == set()
    assert in_schema - in_conf == set()


def test_the_verbs_are_those_of_the_command_line() -> None:
    assert set(VERBS) == {path.stem for path in CONF.glob("*.yaml")}


@pytest.mark.parametrize("verb", VERBS)
def test_every_setting_has_a_meaning_and_says_what_it_takes(verb: str) -> None:
    for name, field in VERBS[verb].model_fields.items():
        assert field.description
        assert takes(kinds(VERBS[verb])[name]) or kinds(VERBS[verb])[name] is Any


@pytest.mark.parametrize(
    "verb",
    [
        "evaluate",
        "predict",
        "explain",
        "audit",
        "benchmark",
        "report",
        "runs",
        "export",
        "app",
        "adopt",
        "search",
        "pack",
    ],
)
def test_the_configuration_of_a_verb_is_checked_by_its_own_schema(verb: str) -> None:
    cfg = compose_overrides(verb, [])
    assert schema_of({str(key): None for key in cfg if key != "hydra"}) is VERBS[verb]


def test_one_setting_alone_can_be_asked_for() -> None:
    assert problem("data.folds", 5) is None  # although a fold is missing
    assert problem("data.batch_size", "auto") is None
    assert problem("data.batch_size", 1) == "take a whole number between 2 and 65536, or auto"
    assert problem("model.dropout", 0.5) is None  # of a network that nobody has told the schema of
    assert problem("data.augment.scale", 2) == "take a number between 0.01 and 1"


def test_what_only_one_data_set_knows_needs_no_line_in_the_schema() -> None:
    assert Data.read({"name": "mine", "root": "photos", "rings": 3}, "data").model_extra == {"rings": 3}


@pytest.mark.parametrize(
    ("values", "channels", "wanted"),
    [
        ([0.5], 3, [0.5, 0.5, 0.5]),
        ([0.1, 0.2, 0.6], 1, [0.3]),
        ([0.25], 1, [0.25]),
        ((0.1, 0.2, 0.3), 3, [0.1, 0.2, 0.3]),
    ],
)
def test_one_value_serves_all_channels_and_three_become_one(
    values: list[float], channels: int, wanted: list[float]
) -> None:
    assert channel_values("mean", values, channels) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.max_epochs=0", "trainer.max_epochs=0 is not possible: take a whole number between 1 and"),
        ("trainer.max_epochs=1.5", "trainer.max_epochs=1.5"),
        ("data.batch_size=-3", "data.batch_size=-3"),
        ("data.image_size=99999", "data.image_size=99999"),
        ("data.val_fraction=1", "data.val_fraction=1 is not possible: take a number strictly between 0 and 1"),
        (
            "data.num_workers=many",
            "data.num_workers=many is not possible: take a whole number between 0 and 256, or auto",
        ),
        ("optimizer.lr=-0.1", "optimizer.lr=-0.1"),
        ("optimizer.lr=nan", "optimizer.lr=nan"),
        ("optimizer.lr=fast", "optimizer.lr=fast"),
        ("seed=-1", "seed=-1"),
        ("seed=true", "seed=true"),
        ("monitor=val/loss", "mode=max would keep the worst checkpoint by val/loss: say mode=min"),
        ("mode=min", "mode=min would keep the worst checkpoint by val/accuracy: say mode=max"),
        ("monitor=val/acuracy", "monitor=val/acuracy is not possible: take val/accuracy or val/precision"),
        ("data.mean=[0.5,0.5]", "data.mean has 2 values for data.in_channels=1"),
        ("data.std=[0]", "data.std=[0] is not possible: take a list of numbers above 0, at most 1"),
        ("model.stem=big", "model.stem=big is not possible: take auto or imagenet or small"),
        (
            "freeze=head",
            "freeze=head is not possible: take a whole number between 1 and 1000000, or none, or back",
        ),
        ("freeze=0", "freeze=0"),
        ("weights=7", "weights=7 is not possible: take imagenet, a FILE, or null"),
        ("optimizer.layer_decay=0", "optimizer.layer_decay=0 is not possible"),
        ("data.cache_features=maybe", "data.cache_features=maybe is not possible: take auto or true or false"),
        ("data.root=???", "data.root has no default: say data.root=…"),
        ("data.root=${nowhere}", "nowhere"),
        ("data.root=5", "data.root=5 names no folder: say data.root=FOLDER"),
        ("data.root=null", "data.root=null names no folder: say data.root=FOLDER"),
        ("data.in_channels=true", "data.in_channels=true is not possible: take a whole number between 1 and 1024"),
        ("data.augment=3", "data.augment=3 is not possible: take null, or settings such as {flip:true,shift:2}"),
        ("data.augment={flop: true}", "data.augment.flop is unknown; nearest: flip"),
        ("data.augment={scale: 0}", "data.augment.scale=0 is not possible: take a number between 0.01 and 1"),
        ("data.folds=5", "data.folds=5 data.fold=null is not possible"),
        ("data.folds=1", "data.folds=1 is not possible: take a whole number between 2 and 1000, or null"),
        ("model=3", "model=3 is not possible: take one of the group's options"),
        ("model.weights=nowhere.pth", "weights=nowhere.pth is no file: name a .pth or .safetensors file, or a run"),
        (
            "model.weights=https://x.org/a.pth",
            "weights=https://x.org/a.pth is an address: download it, and name the file",
        ),
        ("callbacks.gradcam.layer=3", "callbacks.gradcam.layer=3 is not possible: take a name such as layer3, or null"),
        ("callbacks.gradcam.images=0", "callbacks.gradcam.images=0 is not possible"),
        ("study={answer: levles}", "study.answer=levles is not possible: take best or cost"),
        ("sweep=a/b", "sweep=a/b is no name"),
    ],
)
def test_a_value_that_cannot_be_meant_is_named(usual: DictConfig, override: str, message: str) -> None:
    cfg = deepcopy(usual)
    (parsed,) = OverridesParser.create().parse_overrides([override])
    OmegaConf.update(cfg, parsed.key_or_group, parsed.value())
    with pytest.raises(InputError) as error:
        check_config(cfg)
    assert message in str(error.value)


def test_the_nearest_setting_is_found_by_spelling_and_by_place(config: Config) -> None:
    known = keys(config())
    assert nearest("trainer.max_epoch", known).startswith("trainer.max_epochs")
    assert "optimizer.lr" in nearest("lr", known)
