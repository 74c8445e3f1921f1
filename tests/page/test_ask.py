"""What the page asks a network: the same answers as everywhere else, remembered, and one visitor after another."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src.attribution.cam import class_activation_maps
from src.errors import InputError
from src.page import ask as answers
from src.page.ask import OFFERED, Question, ask, digest
from src.page.exhibits import Exhibit, open_exhibition
from src.trained.logits import predict, probabilities


@pytest.fixture(scope="module")
def exhibit(digits_run: Path) -> Exhibit:
    return open_exhibition(str(digits_run), torch.device("cpu")).exhibits[0]


@pytest.fixture(scope="module")
def images(exhibit: Exhibit, digits_run: Path) -> torch.Tensor:
    exhibition = open_exhibition(str(digits_run), torch.device("cpu"))
    assert not isinstance(exhibition.examples, str)
    return exhibition.examples.pictures.take(range(16))


def question(exhibit: Exhibit, image: torch.Tensor, method: str = "gradcam", target: int | None = None) -> Question:
    return Question(exhibit, image, digest(image), method, exhibit.layer, target)


@pytest.mark.parametrize("method", OFFERED)
def test_confidences_and_class_are_the_networks_own(exhibit: Exhibit, images: torch.Tensor, method: str) -> None:
    logits = predict(exhibit.trained, [images[:1]])
    said = ask(question(exhibit, images[0], method))
    np.testing.assert_allclose(said.probabilities, probabilities(logits)[0], atol=1e-6)
    assert said.target == logits.argmax()
    assert ask(question(exhibit, images[0], method, target=3)).target == 3


def test_confidences_are_calibrated_where_the_temperature_is_known(exhibit: Exhibit, images: torch.Tensor) -> None:
    logits = predict(exhibit.trained, [images[:1]])
    said = ask(question(dataclasses.replace(exhibit, temperature=2.5), images[0]))
    np.testing.assert_allclose(said.probabilities, probabilities(logits, 2.5)[0], atol=1e-6)


def test_the_picture_is_the_input_beside_its_map_and_opacity_lays_it_bare(
    exhibit: Exhibit, images: torch.Tensor
) -> None:
    asked = question(exhibit, images[0])

    def halves(opacity: float) -> tuple[np.ndarray, np.ndarray]:
        pixels = np.asarray(Image.open(BytesIO(ask(asked, opacity).picture)).convert("RGB")).astype(int)
        side = pixels.shape[0]
        return pixels[:, :side], pixels[:, -side:]

    enlarged = np.kron(images[0][0].numpy(), np.ones((21, 21)))
    left, right = halves(1.0)
    assert left.shape == (336, 336, 3)
    assert abs(left.mean(axis=2) - enlarged).mean() < 3  # a JPEG
    assert abs(right - left).mean() > 20
    left, right = halves(0.0)
    assert abs(right - left).mean() < 1


def test_a_map_without_evidence_is_said_to_be_dark(
    exhibit: Exhibit, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = class_activation_maps(exhibit.trained.module.network, exhibit.trained.module.normalise(images[:1]))
    nothing = dataclasses.replace(raw, maps=np.full_like(raw.maps, -1))
    assert not ask(question(exhibit, images[1])).dark
    monkeypatch.setattr(answers, "_explain", lambda _: nothing)
    assert ask(question(exhibit, images[2])).dark


def test_a_picture_is_explained_once_and_few_are_remembered(
    exhibit: Exhibit, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def explain(*arguments: object) -> object:
        asked.append("")
        return class_activation_maps(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(answers, "class_activation_maps", explain)
    answers._answer.cache_clear()
    answers._explain.cache_clear()
    first = ask(question(exhibit, images[3]))
    assert ask(question(exhibit, images[3].clone())) is first
    ask(question(exhibit, images[3]), opacity=0.5)
    assert len(asked) == 1
    for shade in range(answers.KEPT):
        ask(question(exhibit, torch.full_like(images[0], shade)))
    ask(question(exhibit, images[3]))
    assert len(asked) == answers.KEPT + 2


def test_visitors_at_once_get_their_own_answers(exhibit: Exhibit, images: torch.Tensor) -> None:
    expected = probabilities(predict(exhibit.trained, [images]))
    with ThreadPoolExecutor(8) as visitors:
        said = list(visitors.map(lambda i: ask(question(exhibit, images[i % 16], OFFERED[i % 3])), range(96)))
    for i, answer in enumerate(said):
        np.testing.assert_allclose(answer.probabilities, expected[i % 16], atol=1e-5)


def test_a_layer_without_a_map_is_an_input_error(exhibit: Exhibit, images: torch.Tensor) -> None:
    with pytest.raises(InputError, match="no feature map"):
        ask(dataclasses.replace(question(exhibit, images[0]), layer="fc1"))
