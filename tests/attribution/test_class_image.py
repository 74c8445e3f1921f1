"""Class images: recognised by a network that had no part in them, natural by figures worked out by hand, repeatable."""

import copy
import random
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from src.attribution.ascent import SMALLEST_IMAGE, mixed
from src.attribution.class_image import ClassImageSettings, at_once, class_images, pixel_ascent
from src.attribution.colour import measure_colour, plain_colour
from src.attribution.fourier import random_views, random_waves, to_pixels, wave_scale
from src.attribution.maco import PUBLISHED, Phases, measure_magnitude
from src.attribution.naturalness import StatisticsLoss, total_variation
from src.attribution.randomised import randomised
from src.errors import InputError
from src.networks import build_network

MEAN, STD, TINTS = 0.305, 0.376, (1.0, 0.8, 0.5)
QUICK = ClassImageSettings(steps=60)


@lru_cache
def digits(channels: int = 1) -> tuple[Tensor, Tensor]:
    """The 8×8 digits, uint8 (1797, channels, 8, 8); three channels are the same digit in orange."""
    images, targets = load_digits(return_X_y=True)
    pixels = torch.tensor(images).view(-1, 1, 8, 8) * 255 / 16
    tints = torch.tensor(TINTS if channels == 3 else (1.0,)).view(1, -1, 1, 1)
    return (pixels * tints).round().to(torch.uint8), torch.tensor(targets)


def settings_of(channels: int) -> dict:
    tints = TINTS if channels == 3 else (1.0,)
    return {"image_size": 8, "mean": [MEAN * tint for tint in tints], "std": [STD * tint for tint in tints]}


def normalised(images: Tensor, channels: int = 1) -> Tensor:
    mean, std = (torch.tensor(settings_of(channels)[name]).view(1, -1, 1, 1) for name in ("mean", "std"))
    return (images.float() / 255 - mean) / std


def fit(network: nn.Module, channels: int, seed: int) -> nn.Module:
    """Four epochs of the digits: more than 95 % of them right."""
    images, targets = digits(channels)
    inputs, order = normalised(images, channels), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(4):
        for batch in torch.randperm(len(inputs), generator=order).split(32):
            loss = F.cross_entropy(network(inputs[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


@lru_cache
def trained(channels: int = 1) -> nn.Module:
    torch.manual_seed(0)
    return fit(
        build_network("simple_cnn", num_classes=10, in_channels=channels, image_size=8, width=8), channels, seed=0
    )


@lru_cache
def judge(channels: int = 1) -> nn.Module:
    """Of another kind altogether, so that the two can hardly share a weakness: no convolution, no norm."""
    torch.manual_seed(5)
    layers = (nn.Flatten(), nn.Linear(64 * channels, 96), nn.ReLU(), nn.Linear(96, 10))
    return fit(nn.Sequential(*layers), channels, seed=5)


@torch.no_grad()
def share(network: nn.Module, images: np.ndarray, targets: np.ndarray, channels: int = 1) -> float:
    """How many of the images the network names as their class."""
    return float((network(normalised(torch.tensor(images), channels)).argmax(dim=1).numpy() == targets).mean())


@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_of_another_kind_recognises_them(channels: int) -> None:
    images, _ = digits(channels)
    real = share(judge(channels), images.numpy(), digits()[1].numpy(), channels)
    assert real > 0.95, "or the judge is none"
    settings = settings_of(channels) | {"colour": measure_colour(images[:300]), "settings": QUICK}
    targets = list(range(10)) * 3
    made = class_images(trained(channels), targets, seed=1, **settings)
    control = randomised(trained(channels), seed=1, images=normalised(images[:300], channels))
    untrained = class_images(control, targets, seed=1, **settings)
    assert share(judge(channels), made.images, made.targets, channels) >= 0.8
    assert share(judge(channels), untrained.images, untrained.targets, channels) <= 0.4
    assert made.confidences.mean() > 0.9
    assert (made.images.dtype, made.images.shape) == (np.uint8, (30, channels, 8, 8))
    assert made.images.max() > 150 > 60 > made.images.min()
    one_class = made.images[0::10].astype(float)
    assert np.abs(one_class[0] - one_class[1]).max() > 20, "several of a class are different images"


def test_plain_ascent_convinces_its_own_network_alone() -> None:
    targets = np.arange(10).repeat(3)
    plain = pixel_ascent(trained(), targets, settings=QUICK, seed=1, **settings_of(1))
    assert plain.confidences.mean() > 0.95
    made = class_images(
        trained(), targets, settings=QUICK, seed=1, colour=measure_colour(digits()[0]), **settings_of(1)
    )
    rough, smooth = (total_variation(torch.tensor(found.images / 255)) for found in (plain, made))
    assert rough > 1.5 * smooth, "it is noise"


def test_maco_is_recognised_with_the_magnitudes_of_the_digits() -> None:
    colour = measure_colour(digits()[0][:300])
    canvas = partial(Phases, magnitude=measure_magnitude(digits()[0][:300], colour))
    arguments = settings_of(1) | {"colour": colour, "canvas": canvas, "seed": 1}
    made = class_images(trained(), list(range(10)) * 3, settings=replace(PUBLISHED, steps=60), **arguments)
    assert made.confidences.mean() > 0.9
    assert share(judge(), made.images, made.targets) >= 0.5
    again = class_images(trained(), list(range(10)) * 3, settings=replace(PUBLISHED, steps=60), **arguments)
    np.testing.assert_array_equal(made.images, again.images)


def test_confidence_is_the_networks_own_for_the_image_as_it_is() -> None:
    made = class_images(trained(), [3, 8], settings=replace(QUICK, steps=10), **settings_of(1))
    with torch.no_grad():
        expected = trained()(normalised(torch.tensor(made.images))).softmax(dim=1)[[0, 1], [3, 8]]
    np.testing.assert_allclose(made.confidences, expected, atol=1e-5)


@pytest.mark.parametrize("make", [class_images, pixel_ascent])
def test_snapshots_are_in_order_and_end_with_the_result(make) -> None:
    targets = [4, 4, 7]
    quick = replace(QUICK, steps=8)
    calls: list[tuple[int, int]] = []
    watched = {"snapshots": (5, 0, 5), "progress": lambda *call: calls.append(call)}
    found = make(trained(), targets, settings=quick, **watched, **settings_of(1))
    assert found.steps == (0, 5, 8)
    assert found.snapshots.shape == (3, 3, 1, 8, 8)
    np.testing.assert_array_equal(found.snapshots[-1], found.images)
    assert not np.array_equal(found.snapshots[0], found.snapshots[1])
    assert calls == [(step, 8) for step in range(1, 9)]
    with torch.no_grad():
        logits = [trained()(normalised(torch.tensor(images)))[range(3), targets].mean() for images in found.snapshots]
    assert logits[0] < logits[1] < logits[2], "the class's logit rises"
    without = make(trained(), targets, settings=quick, **settings_of(1))
    np.testing.assert_array_equal(without.images, found.images)


@pytest.mark.parametrize("make", [class_images, pixel_ascent])
def test_a_seed_gives_the_same_images_and_nothing_else_changes(make) -> None:
    network = copy.deepcopy(trained()).train()
    network.block1.eval()
    network(torch.randn(4, 1, 8, 8)).sum().backward()
    heard: list[str] = []
    network.block2.register_forward_hook(lambda *_: heard.append("forward"))
    state, modes = copy.deepcopy(network.state_dict()), [module.training for module in network.modules()]
    gradients = [parameter.grad.clone() for parameter in network.parameters()]
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    arguments = settings_of(1) | {"settings": replace(QUICK, steps=4)}

    first = make(network, [1, 2], seed=3, **arguments)

    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert heard == []
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert all(torch.equal(p.grad, old) for p, old in zip(network.parameters(), gradients, strict=True))
    assert [module.training for module in network.modules()] == modes
    torch.manual_seed(99)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        again = make(network, torch.tensor([1, 2]), seed=3, **arguments)
        class_images(network, [1], **arguments | {"colour": measure_colour(digits()[0][:9] * 1)})
    np.testing.assert_array_equal(again.images, first.images)
    assert not np.array_equal(make(network, [1, 2], seed=4, **arguments).images, first.images)


def test_slices_hold_as_many_classes_as_they_can_and_keep_the_order() -> None:
    seen: list[Tensor] = []
    targets = [0, 1, 2, 3] * 3
    found = class_images(
        trained(), targets, batch_size=6, settings=QUICK, **settings_of(1),
        progress=lambda done, steps: seen.append(torch.tensor([done, steps])),
    )  # fmt: skip
    assert [len(seen), *seen[-1].tolist()] == [120, 120, 120]
    assert found.targets.tolist() == targets
    assert share(trained(), found.images, found.targets) >= 0.9
    halves = mixed(torch.tensor(targets), 6)
    assert [sorted(torch.tensor(targets)[half].unique().tolist()) for half in halves] == [[0, 1, 2, 3]] * 2
    assert sorted(torch.cat(halves).tolist()) == list(range(12))
    assert (at_once(28), at_once(112), at_once(224), at_once(1000)) == (64, 64, 16, 8)


def test_a_network_without_batch_norms() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()
    quick = replace(QUICK, steps=5)
    found = class_images(network, [0, 1], settings=quick, **settings_of(1))
    other = class_images(network, [0, 1], settings=replace(quick, bn=99.0), **settings_of(1))
    np.testing.assert_array_equal(found.images, other.images)


# The parts, worked out by hand ---------------------------------------------------------------------------------------


def test_total_variation_by_hand() -> None:
    edge = torch.zeros(1, 1, 10, 10)
    edge[..., 4:] = 1  # one edge of contrast 1, one side long
    assert total_variation(edge).item() == pytest.approx(10 / 9)
    square = torch.zeros(1, 1, 4, 4)
    square[..., 1:3, 1:3] = 0.5  # of 12 differences down and 12 across, 4 and 4 are 0.5
    assert total_variation(square).item() == pytest.approx(4 * (4 * 0.5 / 12 + 4 * 0.5 / 12))
    assert total_variation(square.transpose(2, 3)) == total_variation(square)


def test_statistics_loss_by_hand() -> None:
    network = nn.Sequential(nn.BatchNorm2d(2, eps=0.0), nn.Conv2d(2, 1, 1), nn.BatchNorm2d(1, eps=0.0)).eval()
    with torch.no_grad():
        network[0].running_mean.copy_(torch.tensor([1.0, 0.0]))
        network[0].running_var.copy_(torch.tensor([4.0, 1.0]))
        network[1].weight.copy_(torch.tensor([1.0, 1.0]).view(1, 2, 1, 1))
        network[1].bias.zero_()
    images = torch.tensor([[[[3.0, -3.0]], [[0.0, 2.0]]]], requires_grad=True)  # (1, 2, 1, 2)
    statistics = StatisticsLoss(network)
    network(images)
    # Channel 0: mean 0, standard deviation 3; 1: 1 and 1. Normalised: (1, -2) and (0, 2), their sum (1, 0): 0.5, 0.5.
    first = [(0 - 1) ** 2 / 4 + (3 / 2 - 1) ** 2, (1 - 0) ** 2 / 1 + 0]
    second = [0.5**2 + (0.5 - 1) ** 2]
    expected = (np.mean(first) + np.mean(second)) / 2
    loss = statistics.take()
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    assert images.grad.abs().sum() > 0
    assert statistics.take() == 0, "each pass counts once"


def test_statistics_of_training_images_are_close() -> None:
    network = copy.deepcopy(trained())
    statistics = StatisticsLoss(network)
    network(normalised(digits()[0][:400]))
    real = statistics.take()
    network(torch.randn(400, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert real < 0.1 * statistics.take()


@pytest.mark.parametrize("size", [8, 9, 28])
@pytest.mark.parametrize("decay", [0.0, 1.0, 1.5])
def test_waves_have_the_variance_and_the_spectrum_asked_for(size: int, decay: float) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = to_pixels(random_waves(800, 1, size, 0.5, generator), wave_scale(size, decay))
    assert pixels.std().item() == pytest.approx(0.5, rel=0.08)
    power = torch.fft.fft2(pixels, norm="ortho").abs().square().mean(dim=(0, 1))
    assert (power[0, 2] / power[0, 3]).item() == pytest.approx((3 / 2) ** (2 * decay), rel=0.2)
    assert (power[2, 0] / power[0, 2]).item() == pytest.approx(1, rel=0.2), "in all directions"


def test_views_move_turn_and_enlarge_within_their_bounds() -> None:
    images = torch.rand(6, 2, 11, 11, generator=torch.Generator().manual_seed(0))
    still = {"jitter": 0.0, "scale": 0.0, "rotation": 0.0}

    def views(**changes: float) -> Tensor:
        return random_views(images, generator=torch.Generator().manual_seed(1), **(still | changes))

    torch.testing.assert_close(views(), images)
    for change in ({"jitter": 2.0}, {"scale": 0.2}, {"rotation": 10.0}):
        assert (views(**change) - images).abs().amax(dim=(1, 2, 3)).min() > 0.01, "each image"
    column = torch.zeros(200, 1, 21, 21)
    column[..., 10] = 1
    moved = random_views(column, generator=torch.Generator().manual_seed(2), **(still | {"jitter": 3.0}))
    centres = (moved[:, 0, 10] * torch.arange(21.0)).sum(dim=1) - 10
    assert 2.5 < centres.abs().max() <= 3.001
    turned = random_views(column, generator=torch.Generator().manual_seed(2), **(still | {"rotation": 30.0}))
    slopes = (turned[:, 0, 6:15] * torch.arange(21.0)).sum(dim=2) / turned[:, 0, 6:15].sum(dim=2)
    angles = torch.rad2deg(torch.atan((slopes[:, -1] - slopes[:, 0]) / 8))
    assert 27 < angles.abs().max() <= 30.5
    assert angles.min() < -20 < 20 < angles.max()


def test_colours_go_together_as_in_the_data() -> None:
    generator = torch.Generator().manual_seed(0)
    common, own = torch.randn(400, 1, 8, 8, generator=generator), torch.randn(400, 3, 8, 8, generator=generator)
    mean, weights = torch.tensor([[0.5, 0.4, 0.6], [1, 0.8, -0.5]]).view(2, 1, 3, 1, 1)
    pixels = mean + 0.05 * (weights * common + 0.4 * own)
    images = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
    colour = measure_colour(images)
    flat = images.double().div(255).transpose(0, 1).flatten(1)
    covariance = (colour.root @ colour.root.T).numpy()
    np.testing.assert_allclose(covariance, np.cov(flat), rtol=0.02, atol=1e-5)
    waves = random_waves(300, 3, 8, 1.0, generator)
    painted = colour.paint(to_pixels(waves, wave_scale(8, 1.0)))
    found = np.corrcoef(painted.transpose(0, 1).flatten(1))
    np.testing.assert_allclose(found, np.corrcoef(flat), atol=0.03)
    assert found[0, 1] > 0.8
    assert found[0, 2] < -0.6


def test_colour_knows_where_images_are_always_black() -> None:
    images = torch.zeros(50, 1, 28, 28, dtype=torch.uint8)
    images[:, :, 10:18, 10:18] = torch.randint(256, (50, 1, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
    values = 2 * torch.randn(20, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    painted = measure_colour(images).paint(values)
    assert painted[..., :6, :].max() < 0.05
    assert painted[..., 11:17, 11:17].std() > 0.25
    assert painted.min() > 0
    assert painted.max() < 1
    plain = plain_colour(torch.tensor([0.3]), torch.tensor([0.2]))
    faint = plain.paint(0.1 * values)
    assert faint.mean().item() == pytest.approx(0.3, abs=0.01)
    assert faint.std().item() == pytest.approx(0.1 * 2 * 0.2, rel=0.05)


# What is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "changes", "words"),
    [
        ([10], {}, "no class 10; the network has classes 0 to 9"),
        ([-1], {}, "no class -1"),
        ([], {}, "list of classes"),
        ([1], {"image_size": SMALLEST_IMAGE - 1}, "image_size=7 is too small: take at least 8"),
        ([1], {"image_size": 0}, "image_size=0 is too small"),
        ([1], {"image_size": 64}, "takes no images of 1×64×64"),
        ([1], {"mean": [0.5] * 3, "std": [0.2] * 3}, "takes no images of 3×8×8"),
        ([1], {"snapshots": (3, 7)}, r"snapshots=[3, 7] are not all steps from 0 to 5"),
    ],
)
@pytest.mark.parametrize("make", [class_images, pixel_ascent])
def test_what_is_not_possible(make, targets: list[int], changes: dict, words: str) -> None:
    arguments = settings_of(1) | {"settings": replace(QUICK, steps=5)} | changes
    with pytest.raises(InputError) as error:
        make(trained(), targets, **arguments)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_settings_and_colours_that_are_not_possible() -> None:
    for wrong in ({"steps": 0}, {"tv": -1.0}, {"lr": float("nan")}):
        with pytest.raises(InputError, match=f"{next(iter(wrong))}="):
            ClassImageSettings(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="colours of 3 channels"):
        class_images(trained(), [1], colour=measure_colour(digits(3)[0][:9]), **settings_of(1))
    with pytest.raises(InputError, match="uint8 images"):
        measure_colour(torch.rand(3, 1, 8, 8))
