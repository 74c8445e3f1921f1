"""MaCo: pictures whose waves are as strong as measured, whatever their phases, and crops of them."""

import math

import pytest
import torch
from torch import Tensor

from src.attribution.canvas import ClassImageSettings
from src.attribution.colour import measure_colour, plain_colour
from src.attribution.fourier import random_crops
from src.attribution.maco import LEAST_CROP, Phases, measure_magnitude, odd
from src.errors import InputError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photographs(n: int, size: int) -> Tensor:
    """Uint8 (n, 3, size, size): smooth, their channels alike, none near black or white."""
    coarse = torch.rand(n, 1, 3, 3, generator=seeded()) + 0.3 * torch.rand(n, 3, 3, 3, generator=seeded(1))
    pixels = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")
    return (40 + 130 * pixels).round().to(torch.uint8)


def canvas(images: Tensor, size: int, seed: int = 0) -> Phases:
    colour = measure_colour(images)
    mean, std = torch.full((3,), 0.5), torch.full((3,), 0.2)
    return Phases(size, mean, std, colour, ClassImageSettings(), seeded(seed), measure_magnitude(images, colour))


@pytest.mark.parametrize("size", [8, 9, 16])
def test_the_magnitude_is_that_measured_at_any_phase(size: int) -> None:
    magnitude = torch.fft.rfft2(torch.randn(2, size, size, generator=seeded()), norm="ortho").abs()
    phases = 20 * torch.randn(3, 2, size, size // 2 + 1, generator=seeded(1))
    pixels = torch.fft.irfft2(torch.polar(magnitude.expand_as(phases), odd(phases)), s=(size, size), norm="ortho")
    found = torch.fft.rfft2(pixels, norm="ortho").abs()
    real = torch.zeros(size, size // 2 + 1, dtype=torch.bool)
    own = [0] if size % 2 else [0, size // 2]
    for row in own:
        real[row, own] = True
    assert real.sum() == (1 if size % 2 else 4)
    torch.testing.assert_close(found[..., ~real], magnitude.expand_as(found)[..., ~real], atol=1e-4, rtol=1e-4)
    expected = (magnitude * phases.cos()).abs()
    torch.testing.assert_close(found[..., real], expected[..., real], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [8, 9])
def test_an_images_own_phases_and_magnitude_give_it_back(size: int) -> None:
    image = photographs(40, size)[:1]
    colour = measure_colour(photographs(40, size))
    waves = torch.fft.rfft2(colour.unpaint(image / 255), norm="ortho")
    painted = Phases(
        size, torch.zeros(3), torch.ones(3), colour, ClassImageSettings(), seeded(), measure_magnitude(image, colour)
    ).paint(waves.angle())
    torch.testing.assert_close(painted, image / 255, atol=1e-4, rtol=0)


def test_unpaint_undoes_paint() -> None:
    for colour in (measure_colour(photographs(40, 8)), plain_colour(torch.tensor([0.3] * 3), torch.tensor([0.2] * 3))):
        values = 0.5 * torch.randn(4, 3, 8, 8, generator=seeded())
        torch.testing.assert_close(colour.unpaint(colour.paint(values)), values, atol=1e-3, rtol=1e-3)
    assert colour.unpaint(torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).expand(1, 3, 1, 2)).isfinite().all()


def test_magnitudes_are_the_mean_over_images() -> None:
    images = photographs(6, 8)
    colour = measure_colour(images)
    each = torch.stack([measure_magnitude(image[None], colour) for image in images])
    torch.testing.assert_close(measure_magnitude(images, colour), each.mean(dim=0))
    assert each.std(dim=0).max() > 0.1


def test_pictures_start_with_random_phases_and_learn_them() -> None:
    painted = canvas(photographs(40, 8), 8)
    picture = painted.start(50, torch.device("cpu"))
    assert -math.pi <= picture.values.min() < -3 < 3 < picture.values.max() <= math.pi
    values = picture.values.requires_grad_()
    images = picture.paint(values)
    assert images.shape == (50, 3, 8, 8)
    images.square().sum().backward()
    assert values.grad is not None
    assert (values.grad != 0).float().mean() > 0.8
    with pytest.raises(InputError, match="a magnitude of 8 pixels, not 16"):
        canvas(photographs(40, 8), 16).start(1, torch.device("cpu"))


def test_views_are_crops_under_noise() -> None:
    painted = canvas(photographs(40, 8), 8)
    images = torch.arange(40.0).view(40, 1, 1, 1).expand(40, 3, 8, 8)
    views = painted.views(images)
    assert views.mean(dim=(1, 2, 3)).round().tolist() == list(range(40)), "in the order of the pictures"
    assert (views - images).std().item() == pytest.approx(0.5 * 0.2, rel=0.1)
    ramp = torch.arange(8.0).view(1, 1, 1, 8).expand(100, 3, 8, 8)
    assert (painted.views(ramp).mean(dim=2).diff(dim=-1).mean() < 0.85).item(), "crops are enlarged"


def test_crops_stay_inside_and_are_as_large_as_said() -> None:
    ramp = torch.arange(40.0).view(1, 1, 1, 40).expand(500, 1, 40, 40)
    crops = random_crops(ramp, LEAST_CROP, seeded())
    first, last = crops[:, 0, 5, 0], crops[:, 0, 5, -1]
    sides = (last - first) / 39
    assert LEAST_CROP - 1e-4 <= sides.min() < LEAST_CROP + 0.05
    assert 0.95 < sides.max() <= 1 + 1e-4
    assert first.min() >= 0
    assert last.max() <= 39
    centres = (first + last) / 2 - 19.5
    assert centres.min() < -5 < 5 < centres.max()
    assert abs(centres.mean()) < 1
    torch.testing.assert_close(random_crops(ramp, 1.0, seeded()), ramp, atol=1e-4, rtol=0)
