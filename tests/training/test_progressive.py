import pytest
import torch

from src.errors import InputError
from src.training.progressive import check_sides, resized, side_at, sides


@pytest.mark.parametrize(
    ("full", "start", "expected"),
    [
        (32, 0.5, [16, 24, 32]),
        (64, 0.5, [32, 40, 48, 56, 64]),
        (128, 0.5, [64, 80, 96, 112, 128]),
        (224, 0.5, [128, 160, 192, 224]),
        (8, 0.5, [4, 8]),
        (224, 1.0, [224]),
    ],
)
def test_sides_rise_to_the_full_one(full: int, start: float, expected: list[int]) -> None:
    assert sides(full, start) == expected
    risen = [side_at(step / 100, full, start) for step in range(101)]
    assert risen == sorted(risen)
    assert set(risen[80:]) == {full}  # the last fifth
    assert set(risen[:50]) == {expected[0]}  # the first half


def test_images_become_smaller_and_not_aliased() -> None:
    stripes = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    stripes[..., ::2] = 200
    small = resized(stripes, 16)
    assert small.dtype == torch.uint8
    assert small.shape == (2, 3, 16, 16)
    assert int(small.min()) > 60
    assert int(small.max()) < 140
    assert resized(stripes, 32) is stripes


def test_a_network_whose_head_is_made_for_one_size_is_refused_before_anything_is_read() -> None:
    architecture = {"name": "simple_cnn", "num_classes": None, "in_channels": 3}
    with pytest.raises(InputError, match="and simple_cnn for 32 takes none of 16: say progressive_size=1"):
        check_sides(architecture | {"image_size": 32}, 3, 32, 0.5)
    check_sides(architecture | {"image_size": 32}, 3, 32, 1.0)
    check_sides(architecture | {"name": "resnet18", "image_size": 8}, 3, 8, 0.5)
