"""Policies and erasing: each image by its own draw, which disturbs nobody."""

import numpy as np
import pytest
import torch

from src.data import ImageDataModule
from src.data.augmentation import augment_batch
from src.data.augmented import Augmentation, load_augmented
from src.data.policies import changed
from src.data.transforms import Geometry
from src.errors import InputError
from tests.support.photographs import make_photos

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 3, 16, 16), dtype=np.uint8)
KINDS = [Augmentation(policy="trivialaugment"), Augmentation(policy="randaugment"), Augmentation(erase=1.0)]


@pytest.mark.parametrize("augmentation", KINDS, ids=["trivialaugment", "randaugment", "erase"])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_is_changed_by_its_own_draw(augmentation: Augmentation, channels: int) -> None:
    images = np.repeat(IMAGES[:1, :channels], 12, axis=0)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one = augment_batch(images, augmentation, np.random.default_rng(5))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(10)
    np.testing.assert_array_equal(one, augment_batch(images, augmentation, np.random.default_rng(5)))
    assert one.dtype == np.uint8
    assert one.shape == images.shape
    assert len({image.tobytes() for image in one}) > 6


def test_what_is_erased_has_the_images_own_colour() -> None:
    image = torch.from_numpy(IMAGES[0])
    (erased,) = changed([image], Augmentation(erase=1.0), np.random.default_rng(0))
    differs = (erased != image).any(dim=0)
    assert 0.01 < differs.float().mean() < 0.4
    colour = image.float().mean(dim=(1, 2)).round()
    assert (erased.float()[:, differs] == colour[:, None]).float().mean() > 0.99
    half = changed([image] * 50, Augmentation(erase=0.5), np.random.default_rng(1))
    assert 10 < sum(torch.equal(one, image) for one in half) < 40


def test_files_are_changed_too_and_without_a_policy_as_ever(tmp_path) -> None:
    photo = next(make_photos(tmp_path).rglob("*.png"))
    geometry = Geometry(image_size=16, in_channels=3)

    def load(**settings: object) -> torch.Tensor:
        return load_augmented(photo, geometry, Augmentation(flip=True, scale=0.5, **settings), np.random.default_rng(4))

    assert torch.equal(load(), load(policy="none", erase=0.0))
    changes = load(policy="trivialaugment", erase=1.0)
    assert not torch.equal(load(), changes)
    assert torch.equal(load(policy="trivialaugment", erase=1.0), changes)


def test_a_policy_needs_grey_or_colour() -> None:
    with pytest.raises(InputError, match="data.augment.policy=randaugment needs 1 or 3 channels, not 4"):
        ImageDataModule(name="folder", root=".", in_channels=4, augment={"policy": "randaugment"})
