"""Grad-CAM where the truth is known: the evidence for a class lies in a box that the test has planted.

The images are 32×32 px of random black and white pixels, one channel. A glyph is a 10×10 box of hatching in one of four
directions (rows, columns, the two diagonals), as black as white. An image of the test holds the glyph of its class in a
box at a random place, and opposite (turned by 180° about the centre, so on the other side) the glyph of another class,
dimmer: a quarter of its pixels have traded places, about one in eight differs. Noise of 0.3 lies over all of it.

Three choices make the problem a fair one:

- *No pixel statistic tells a box from the ground*: both are half black, half white. An edge detector, or a network that
  answers to contrast as such, has no reason to look there. So chance is what it should be: a box has its share of the
  area (100 of 1024 px) of a map's energy and of its peaks. With bright glyphs on a quiet ground random weights would
  be far above it.
- *A fifth of the training images hold no glyph and are a class of their own.* Without it a network learns one class
  less: it tells the last one by the absence of the others, and no map can point at an absence.
- *Two fifths hold one glyph alone, a dim one*, and show that this is evidence, too. Otherwise the dim glyph opposite is
  never the answer, and a network may well learn to take no notice of it.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from src.attribution.cam import gradcam
from src.attribution.randomised import randomised
from src.figures import upsample
from src.networks import build_network

SIDE, BOX = 32, 10
AREA = BOX**2 / SIDE**2
NOTHING = 4  # the class without a glyph
DIM = BOX**2 // 4  # pixels that trade places
LAYER = "layer3"  # 8×8 cells

ROWS, COLUMNS = np.indices((BOX, BOX))
GLYPHS = np.stack([(n + 1) // 2 % 2 for n in (ROWS, COLUMNS, ROWS + COLUMNS, ROWS - COLUMNS + BOX)])


@dataclass(frozen=True)
class Planted:
    """`images` (N, 1, 32, 32); `targets` (N,) classes, `others` (N,) those of the glyph opposite.

    `boxes` (N, 2, 2): top and left of the box of the class, then of the one opposite.
    """

    images: Tensor
    targets: Tensor
    others: Tensor
    boxes: NDArray[np.int64]


def plant(count: int, seed: int, *, training: bool) -> Planted:
    random = np.random.default_rng((seed, training))
    pixels = random.integers(0, 2, (count, SIDE, SIDE))
    targets = random.integers(0, len(GLYPHS), count)
    others = (targets + random.integers(1, len(GLYPHS), count)) % len(GLYPHS)
    top = random.integers(0, SIDE - BOX + 1, count)
    left = random.integers(0, SIDE // 2 - BOX + 1, count) + SIDE // 2 * random.integers(0, 2, count)
    own = np.stack([top, left], axis=1)
    boxes = np.stack([own, SIDE - BOX - own], axis=1)
    kinds = random.choice(("nothing", "alone", "both"), count, p=(0.2, 0.4, 0.4) if training else (0, 0, 1))
    for image, kind, target, other, (box, opposite) in zip(pixels, kinds, targets, others, boxes, strict=True):
        if kind == "both":
            draw(image, GLYPHS[target], box)
            draw(image, dim(GLYPHS[other], random), opposite)
        elif kind == "alone":
            draw(image, dim(GLYPHS[target], random), box)
    targets[kinds == "nothing"] = NOTHING
    images = torch.from_numpy(2 * pixels - 1 + 0.3 * random.standard_normal(pixels.shape)).float()[:, None]
    # A third faster to train on.
    images = images.to(memory_format=torch.channels_last)
    return Planted(images, torch.from_numpy(targets), torch.from_numpy(others), boxes)


def draw(image: NDArray[np.int64], glyph: NDArray[np.int64], box: NDArray[np.int64]) -> None:
    image[box[0] : box[0] + BOX, box[1] : box[1] + BOX] = glyph


def dim(glyph: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """The glyph with some of its pixels in each other's places: it keeps its black and its white."""
    pixels = glyph.flatten()
    places = random.choice(pixels.size, DIM, replace=False)
    pixels[places] = pixels[random.permutation(places)]
    return pixels.reshape(glyph.shape)


def shuffle(targets: Tensor, seed: int) -> Tensor:
    """Labels (N,) that are independent of `targets` to within one image: each class gets all labels equally often.

    A plain permutation of 256 labels is not: it leaves a class up to some 6 more of its own images than chance would,
    and that is something which can be learned.
    """
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))
    order = order[targets[order].argsort(stable=True)]
    labels = torch.empty_like(targets)
    labels[order] = torch.arange(len(targets)) % (NOTHING + 1)
    return labels


def train(data: Planted, targets: Tensor, seed: int, epochs: int = 1) -> tuple[nn.Module, float]:
    """A ResNet-20 in eval mode, and its accuracy on the last epoch's batches of 32 as it went through them."""
    torch.manual_seed(seed)
    network = build_network("cifar_resnet20", num_classes=NOTHING + 1, in_channels=1, image_size=SIDE)
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    batches = len(targets) // 32
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=epochs * batches)
    right = 0.0
    for _ in range(epochs):
        right = 0.0
        for chosen in torch.randperm(len(targets)).chunk(batches):
            logits = network(data.images[chosen])
            optimizer.zero_grad()
            cross_entropy(logits, targets[chosen]).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            right += float((logits.argmax(dim=1) == targets[chosen]).sum())
    return network.eval(), right / len(targets)


@dataclass(frozen=True)
class Found:
    """Of the maps for one asked class: of each box, class glyph's and opposite, (2,).

    `energy`: its share of the positive energy over its share of the area, the mean over the images; 1 is chance.
    `peaks`: for which share of the images the map's maximum lies in it; `AREA`, 0.098, is chance.
    """

    energy: NDArray[np.float64]
    peaks: NDArray[np.float64]

    def __str__(self) -> str:
        return f"energy {self.energy.round(2)}, peaks {self.peaks.round(3)}"


def look(network: nn.Module, data: Planted, asked: Tensor) -> Found:
    maps = upsample(gradcam(network, data.images, asked, layer=LAYER).maps.astype(np.float64), (SIDE, SIDE))
    heat = np.maximum(maps, 0)
    heat /= np.maximum(heat.sum(axis=(1, 2), keepdims=True), 1e-12)
    peaks = np.stack(np.unravel_index(maps.reshape(len(maps), -1).argmax(axis=1), (SIDE, SIDE)), axis=1)
    offsets = peaks[:, None] - data.boxes  # (N, 2, 2)
    inside = ((offsets >= 0) & (offsets < BOX)).all(axis=2)
    pixel = np.arange(SIDE)
    within = (pixel >= data.boxes[..., None]) & (pixel < data.boxes[..., None] + BOX)  # (N, 2, 2, S)
    energy = np.einsum("nij,nbi,nbj->nb", heat, within[:, :, 0], within[:, :, 1])
    return Found(energy.mean(axis=0) / AREA, inside.mean(axis=0))


def ask(network: nn.Module, data: Planted) -> tuple[Found, Found]:
    """Maps for the images' own class, and for that of the glyph opposite."""
    return look(network, data, data.targets), look(network, data, data.others)


def assert_finds_the_evidence(network: nn.Module, data: Planted) -> None:
    own, other = ask(network, data)
    print(f"trained          own {own} | other {other}")
    assert own.energy[0] >= 3, own
    assert own.peaks[0] >= 0.9, own
    assert other.peaks[1] >= 0.9, other
    assert other.energy[1] >= 3, other


def assert_at_chance(name: str, network: nn.Module, data: Planted) -> None:
    own, other = ask(network, data)
    print(f"{name:16} own {own} | other {other}")
    for found in (own, other):
        assert (np.abs(found.energy - 1) < 0.35).all(), found
        assert (found.peaks < 0.25).all(), found
        assert abs(found.peaks[0] - found.peaks[1]) < 0.15, found


def test_a_trained_network_shows_its_evidence_and_a_random_one_none() -> None:
    data, images = plant(6144, seed=0, training=True), plant(100, seed=0, training=False)
    network, _ = train(data, data.targets, seed=0)
    assert_finds_the_evidence(network, images)
    assert_at_chance("random weights", randomised(network, seed=0, images=images.images), images)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_five_seeds_with_shuffled_labels(seed: int) -> None:
    data, images = plant(6144, seed, training=True), plant(200, seed, training=False)
    network, _ = train(data, data.targets, seed)
    with torch.no_grad():
        accuracy = (network(images.images).argmax(dim=1) == images.targets).float().mean()
    print(f"\nseed {seed}: test accuracy {accuracy:.3f}")
    assert_finds_the_evidence(network, images)
    assert_at_chance("random weights", randomised(network, seed=seed, images=images.images), images)
    few = plant(256, seed, training=True)
    network, learned = train(few, shuffle(few.targets, seed), seed, epochs=16)
    print(f"shuffled labels: training accuracy {learned:.3f}")
    assert_at_chance("shuffled labels", network, images)


def test_no_pixel_statistic_tells_the_boxes_from_the_ground() -> None:
    assert (np.abs(GLYPHS.mean(axis=(1, 2)) - 0.5) < 0.011).all()
    data = plant(200, seed=1, training=False)
    assert (data.targets != data.others).all()
    for one, two in data.boxes:
        assert abs(one[1] - two[1]) >= BOX
        assert (one + two == SIDE - BOX).all()
    boxes = np.stack(
        [
            [image[0, a : a + BOX, b : b + BOX].numpy() for a, b in both]
            for image, both in zip(data.images, data.boxes, strict=True)
        ]
    )
    whole = data.images.numpy()
    np.testing.assert_allclose(boxes.mean(axis=(0, 2, 3)), whole.mean(), atol=0.02)
    np.testing.assert_allclose(boxes.std(axis=(0, 2, 3)), whole.std(), atol=0.02)
