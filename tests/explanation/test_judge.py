"""Judges of class images: trained on the run's data as another network with another seed, asked in their own size."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from omegaconf import DictConfig, OmegaConf

from src.attribution.naturalness import StatisticsLoss
from src.errors import InputError
from src.explanation import controls
from src.explanation.judge import (
    Judgement,
    Verdict,
    judge_settings,
    judged,
    read_judge,
    statistics_distance,
    train_judge,
    unseen_images,
    weakness,
)
from src.runs.folder import RunFolder
from src.tables import as_text
from src.training.classifier import ImageClassifier

Config = Callable[..., DictConfig]

QUICK = ("data.max_images=200", "trainer.max_epochs=3", "trainer=cpu", "callbacks=none", "logger=none", "cost=false")


def written(path: Path, cfg: DictConfig) -> RunFolder:
    """The settings of a run, without the run."""
    run = RunFolder(path)
    run.keep_settings(OmegaConf.to_yaml(cfg))
    return run


def classifier(size: int = 8, channels: int = 1, classes: int = 3) -> ImageClassifier:
    torch.manual_seed(0)
    return ImageClassifier(
        architecture={"name": "simple_cnn", "num_classes": classes, "in_channels": channels, "image_size": size},
        class_names=[str(i) for i in range(classes)],
        preprocessing={"image_size": size, "in_channels": channels, "mean": [0.4] * channels, "std": [0.2] * channels},
        optimizer={"name": "sgd", "lr": 0.1, "weight_decay": 0.0},
        scheduler={"name": "constant"},
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ResNet's rival on digits with its judge in `judge`: the one training of these tests."""
    from hydra import compose, initialize_config_dir

    from src.settings.composing import CONF

    folder = tmp_path_factory.mktemp("run")
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=["model=mini_resnet_basic_post", "seed=4", *QUICK])
    train_judge(written(folder, cfg), folder / "judge", images=1000, epochs=3)
    return folder


class TestVerdict:
    def test_shares_by_hand(self) -> None:
        verdict = Verdict(np.array([0, 0, 2, 2, 2]), np.array([0, 1, 2, 2, 0]), np.full(5, 0.5, np.float32))
        assert verdict.share == pytest.approx(3 / 5)
        assert verdict.per_class == {0: 0.5, 2: pytest.approx(2 / 3)}

    def test_is_the_networks_answer_to_normalised_images(self) -> None:
        module = classifier().train()
        images = torch.randint(256, (70, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
        before = {name: value.clone() for name, value in module.state_dict().items()}
        verdict = judged(module, images.numpy(), [1] * 70)
        assert module.network.training
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
        with torch.no_grad():
            probabilities = module.eval().network((images / 255 - 0.4) / 0.2).softmax(dim=1)
        np.testing.assert_array_equal(verdict.predicted, probabilities.argmax(dim=1))
        np.testing.assert_allclose(verdict.confidences, probabilities.amax(dim=1), atol=1e-5)
        assert verdict.share == float((probabilities.argmax(dim=1) == 1).float().mean())

    def test_images_of_another_size_are_resized_to_the_judges(self) -> None:
        module = classifier(size=8)
        images = torch.randint(256, (5, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
        large = images.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
        flat = torch.full((5, 1, 24, 24), 77, dtype=torch.uint8)
        assert judged(module, large, [0] * 5).confidences.shape == (5,)
        expected = judged(module, torch.full((5, 1, 8, 8), 77, dtype=torch.uint8), [0] * 5)
        np.testing.assert_allclose(judged(module, flat, [0] * 5).confidences, expected.confidences, atol=1e-6)

    @pytest.mark.parametrize(
        ("images", "targets", "words"),
        [
            (np.zeros((2, 3, 8, 8), np.uint8), [0, 1], "the judge sees 1 channels and the images have 3"),
            (np.zeros((2, 1, 8, 8), np.uint8), [0, 3], "the judge knows 3 classes, not class 3"),
            (np.zeros((2, 1, 8, 8), np.float32), [0, 1], "uint8"),
            (np.zeros((2, 1, 8, 8), np.uint8), [0], "uint8"),
            (np.zeros((0, 1, 8, 8), np.uint8), [], "uint8"),
        ],
    )
    def test_what_it_cannot_judge(self, images: np.ndarray, targets: list[int], words: str) -> None:
        with pytest.raises(InputError, match=words):
            judged(classifier(), images, targets)

    def test_distance_is_that_of_its_batch_norms(self) -> None:
        module = classifier().eval()
        images = torch.randint(256, (5, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
        network = copy.deepcopy(module.network)
        statistics = StatisticsLoss(network)
        network((images / 255 - 0.4) / 0.2)
        assert statistics.norms > 1
        expected = statistics.take().item()
        assert statistics_distance(module, images.numpy(), [0, 1, 2, 0, 1]) == pytest.approx(expected, rel=1e-5)
        with torch.no_grad():
            twice = statistics_distance(module, images.repeat(26, 1, 1, 1), [0, 1, 2, 0, 1] * 26)
        assert twice == pytest.approx(expected, rel=0.1), "the mean over batches"
        module.network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
        assert np.isnan(statistics_distance(module, images, [0] * 5))

    def test_five_figures_in_a_table(self) -> None:
        one, none = (Verdict(np.zeros(4, int), np.full(4, i), np.full(4, 0.25, np.float32)) for i in (0, 1))
        judgement = Judgement(class_images=one, pixel_ascent=none, ascent_from_mean=none, random_weights=none, real=one)
        assert list(judgement.figures.items()) == [
            ("class_images", 1), ("pixel_ascent", 0), ("ascent_from_mean", 0), ("random_weights", 0), ("real", 1)
        ]  # fmt: skip
        lines = [line.split() for line in as_text(judgement.table()).splitlines()]
        assert lines[1] == ["class", "images", "1.000", "0.25", "4"]
        assert lines[2] == ["pixel", "ascent", "0.000", "0.25", "4"]

    @pytest.mark.parametrize(
        ("accuracy", "classes", "weak"), [(0.75, 2, False), (0.74, 2, True), (0.55, 10, False), (0.54, 10, True)]
    )
    def test_one_that_is_right_too_seldom_is_said_to_be_weak(self, accuracy: float, classes: int, weak: bool) -> None:
        said = weakness(accuracy, classes)
        assert (said is not None) == weak
        assert said is None or said.startswith(f"the judge is too weak to judge: it names {accuracy} of real images")


class TestTraining:
    def test_a_network_of_another_kind_and_seed_that_has_learned(self, trained: Path) -> None:
        judge = read_judge(trained / "judge")
        assert judge.name == "simple_cnn"
        assert judge.accuracy > 0.7
        assert not judge.module.training
        images, targets = unseen_images(trained / "judge", 100)
        assert images.dtype == torch.uint8
        assert judged(judge.module, images, targets).share > 0.7
        own = yaml.safe_load((trained / "judge" / ".hydra" / "config.yaml").read_text())
        assert (own["seed"], own["model"]["name"], own["data"]["name"]) == (5, "simple_cnn", "digits")

    def test_one_that_is_there_is_taken(self, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(controls, "run_training", None)
        again = train_judge(RunFolder(trained), trained / "judge")
        assert again.checkpoint == trained / "judge" / "checkpoints" / "best.ckpt"

    def test_one_that_was_interrupted_is_gone_on_with(
        self, tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[bool] = []
        monkeypatch.setattr(controls, "run_training", lambda *_, **options: asked.append(options["resume"]))
        run = written(tmp_path, config(*QUICK))
        RunFolder(tmp_path / "judge").start(command="train", seed=2, hardware={})
        for folder in ("judge", "another"):
            with pytest.raises(InputError, match="no trained judge"):
                train_judge(run, tmp_path / folder)
        assert asked == [True, False]

    def test_one_of_other_data_is_refused(self, trained: Path, tmp_path: Path, config: Config) -> None:
        other = written(tmp_path, config("data=mnist", *QUICK))
        with pytest.raises(InputError, match="holds a judge for digits, not mnist"):
            train_judge(other, trained / "judge")

    def test_none_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no trained judge"):
            read_judge(tmp_path)
        with pytest.raises(InputError, match="config.yaml is missing"):
            train_judge(RunFolder(tmp_path), tmp_path / "judge")


class TestSettings:
    def test_of_a_run_with_everything(self, tmp_path: Path, config: Config) -> None:
        cfg = config("model=resnet50", "seed=7", "trainer.max_epochs=90", "freeze=backbone", "compile=true",
                     "optimizer.layer_decay=0.5", "data.train_fraction=0.5", "weights=imagenet")  # fmt: skip
        run = written(tmp_path, cfg)
        own = OmegaConf.to_container(judge_settings(run, model=None, epochs=6, images=500), resolve=True)
        assert own["model"]["name"] == "simple_cnn"
        assert (own["model"]["weights"], own["model"]["freeze"], own["compile"]) == (None, "none", False)
        assert (own["seed"], own["trainer"]["max_epochs"], own["data"]["max_images"]) == (8, 6, 500)
        assert (own["callbacks"], own["logger"], own["baseline"], own["cost"], own["test"]) == (
            {},
            {},
            False,
            False,
            True,
        )
        assert own["optimizer"]["layer_decay"] == 1
        assert own["data"]["train_fraction"] == 0.5, "all else is the run's"

    def test_never_longer_than_the_run_nor_on_more_images(self, tmp_path: Path, config: Config) -> None:
        run = written(tmp_path, config("model=simple_cnn", "trainer.max_epochs=2", "data.max_images=50"))
        own = judge_settings(run, model=None, epochs=6, images=500)
        assert (own.model.name, own.trainer.max_epochs, own.data.max_images) == ("resnet18", 2, 50)

    def test_a_study_with_all_that_only_hydra_can_resolve(self, tmp_path: Path, config: Config) -> None:
        run = written(tmp_path, config("experiment=digits", "quick=true"))
        own = OmegaConf.to_container(judge_settings(run, model="cifar_resnet20", epochs=6, images=500), resolve=True)
        assert own["model"]["name"] == "cifar_resnet20"
        with pytest.raises(InputError, match="judge 'resnet19' is unknown"):
            judge_settings(run, model="resnet19", epochs=6, images=500)


def test_the_run_itself_is_left_alone(trained: Path) -> None:
    assert sorted(path.name for path in trained.iterdir()) == [".hydra", "judge"]
