"""Recipes set levers, and give way to what is typed, to an experiment and to an optimizer of one's own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from src.settings.composing import CONF  # which registers what conf refers to
from src.settings.rates import from_scratch

Config = Callable[..., DictConfig]

RECIPES = sorted(path.stem for path in (CONF / "recipe").glob("*.yaml"))


@pytest.fixture
def weights(tmp_path: Path) -> str:
    file = tmp_path / "weights.pth"
    file.touch()
    return f"weights='{file}'"


def test_plain_is_what_there_is_without_a_recipe(config: Config) -> None:
    plain = OmegaConf.load(CONF / "recipe" / "plain.yaml")
    assert plain == {"recipe": "plain"}
    assert config("sweep=a") == config("sweep=a", "recipe=plain")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_bears_its_name_and_its_costs(recipe: str, config: Config) -> None:
    assert config(f"recipe={recipe}").recipe == recipe
    header = (CONF / "recipe" / f"{recipe}.yaml").read_text().partition("recipe:")[0]
    assert recipe == "plain" or ("# Cost: " in header and "https://" in header)


def test_what_is_typed_wins(config: Config) -> None:
    words = ("optimizer.lr=0.3", "scheduler=cosine", "ema=null", "progressive_size=1", "test_flip=false")
    cfg = config("recipe=fast", "data=cifar10", *words)
    assert (cfg.optimizer.lr, cfg.scheduler.name, cfg.ema, cfg.progressive_size, cfg.test_flip) == (
        0.3, "cosine", None, 1, False
    )  # fmt: skip


def test_an_experiment_wins(config: Config) -> None:
    cfg = config("recipe=fast", "experiment=degradation")
    assert (cfg.recipe, cfg.optimizer.lr, cfg.scheduler.name, cfg.ema) == ("fast", 0.1, "onecycle", 0.998)
    assert config("recipe=fast", "experiment=pooling").optimizer.lr == 0.01


def test_another_optimizer_gets_its_own_rate(config: Config) -> None:
    assert [config("recipe=fast", f"optimizer={name}").optimizer.lr for name in ("sgd", "adamw")] == [0.1, 2e-3]


def test_fast_has_smaller_batches_and_shifts_where_images_are_small(config: Config) -> None:
    found = [config(*words, "data=cifar10") for words in (("recipe=fast",), ("recipe=strong",), ())]
    told = [(cfg.data.batch_size, cfg.data.augment.shift, cfg.data.augment.padding) for cfg in found]
    assert told == [(64, 1, "reflect"), (128, 4, "zeros"), (128, 4, "zeros")]
    assert config("recipe=fast", "data=cifar10", "data.batch_size=32").data.batch_size == 32


def test_fast_begins_small_with_large_images_that_are_learned_from_scratch(config: Config) -> None:
    sizes = [("data=cifar10",), ("data=tinyimagenet",), ("data=catsdogs",), ("data=catsdogs", "weights=default")]
    assert [config("recipe=fast", *words).progressive_size for words in sizes] == [1.0, 1.0, 0.5, 1.0]


def test_images_that_nobody_may_mirror_are_not_mirrored(config: Config) -> None:
    found = {data: config("recipe=fast", f"data={data}").test_flip for data in ("cifar10", "digits", "mnist")}
    assert found == {"cifar10": True, "digits": False, "mnist": False}
    assert config("recipe=fast", "data=cifar10", "data.augment=null").test_flip is False


@pytest.mark.parametrize(
    ("words", "rate", "usual"),
    [
        ([], 0.005, 0.05),
        (["optimizer=adamw"], 1e-4, 1e-3),
        (["recipe=fast"], 0.005, 0.05),
        (["recipe=strong", "optimizer=adamw"], 1e-4, 1e-3),
        (["optimizer.lr=0.02"], 0.02, None),
        (["freeze=backbone"], 0.05, None),
        (["freeze=2"], 0.005, 0.05),
        (["experiment=catsdogs_depth"], 0.01, None),
    ],
)
def test_pretrained_weights_learn_at_a_tenth_of_the_rate(
    words: list[str], rate: float, usual: float | None, weights: str, config: Config
) -> None:
    cfg = config(*words, weights)
    assert cfg.optimizer.lr == rate
    assert from_scratch(cfg) == usual


def test_from_scratch_the_rate_is_that_of_ever(config: Config) -> None:
    assert [config(f"optimizer={name}").optimizer.lr for name in ("sgd", "adamw")] == [0.05, 1e-3]
    assert from_scratch(config()) is None
