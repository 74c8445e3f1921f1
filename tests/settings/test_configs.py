"""Every YAML file composes, is checked and builds what it names."""

import inspect
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

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
from src.settings import rules
from src.settings.check import RULES, check_config, keys, nearest
from src.settings.composing import compose_overrides
from src.training.assemble import to_dict
from src.training.configured import build
from src.training.optimizers import build_optimizer, build_schedule

CONF = Path(__file__).parents[2] / "conf"
Config = Callable[..., DictConfig]


@pytest.fixture(scope="module")
def usual() -> DictConfig:
    """The configuration without overrides, to be copied: composing it takes 0.1 s."""
    cfg = compose_overrides("train", [])
    return OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


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
    cfg = config(f"data={name}", *(["data.root=photos"] if name == "folder" else []))
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


@pytest.mark.parametrize("group", ["callbacks", "logger"])
def test_every_callback_and_logger_can_be_made(config: Config, group: str, tmp_path: Path) -> None:
    for name in options(group):
        cfg = config(f"{group}={name}")
        check_config(cfg)
        arguments = {"save_dir": str(tmp_path)} if group == "logger" else {}
        for node in cfg[group].values():
            assert build(node, group, **arguments) is not None


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
    assert set(cfg.study) == {"question", "earlier", "cost", "command", "answer"}
    assert cfg.study.command == f"python -m src.train -m experiment={name}"
    assert cfg.study.answer in ANSWERS
    assert "quick=true" in cfg.study.cost


def test_a_configuration_cannot_name_code_from_elsewhere() -> None:
    node = OmegaConf.create({"_target_": "os.system", "command": "touch canary"})
    with pytest.raises(InputError, match="_target_=os.system is not allowed"):
        build(node, "callbacks")


def test_every_answer_has_its_words() -> None:
    assert set(ANSWERS) == set(rules.ANSWERS)


def test_every_rule_is_for_a_setting_that_exists() -> None:
    known = {key for verb in CONF.glob("*.yaml") for key in keys(compose_overrides(verb.stem, []))}
    for group in ("model", "data", "scheduler", "optimizer"):
        for name in options(group):
            known |= {f"{group}.{key}" for key in keys(OmegaConf.load(CONF / group / f"{name}.yaml"))}
    assert set(RULES) <= known


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
        ("data.std=[0]", "data.std=[0] is not possible: all standard deviations are above 0"),
        ("model.stem=big", "model.stem=big is not possible: take auto or imagenet or small"),
        (
            "freeze=head",
            "model.freeze=head is not possible: take a whole number between 1 and 1000000, or none, or back",
        ),
        ("freeze=0", "model.freeze=0"),
        ("weights=7", "weights=7 is not possible: take imagenet, a FILE, or null"),
        ("optimizer.layer_decay=0", "optimizer.layer_decay=0 is not possible"),
        ("data.cache_features=maybe", "data.cache_features=maybe is not possible: take auto or true or false"),
        ("data.root=???", "data.root has no default: say data.root=…"),
        ("data.root=${nowhere}", "nowhere"),
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
