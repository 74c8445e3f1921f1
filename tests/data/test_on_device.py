"""Images that live on the device: the same bits as from the host, in every batch of every loader."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from src.data import ImageDataModule
from src.data.on_device import DeviceDataset
from src.errors import InputError

CPU, PLENTY = torch.device("cpu"), 1 << 40

AUGMENTS = {
    "nothing": None,
    "flip": {"flip": True},
    "shift": {"shift": 3},
    "both": {"flip": True, "shift": 2},
    "reflect": {"flip": True, "shift": 7, "padding": "reflect"},
    "in turn": {"flip": "alternate", "shift": 1},
    "further than the image": {"flip": True, "shift": 11},
}


@pytest.fixture
def make(
    make_module: Callable[..., ImageDataModule], make_folder: Callable[..., Path]
) -> Callable[..., ImageDataModule]:
    """A module of a data set in memory, or of files whose pictures are kept."""

    def build(name: str, *, on_device: bool | str = True, **options: object) -> ImageDataModule:
        root = make_folder({"ant": 30, "bee": 9})
        more = {"root": root, "cache": "memory"} if name == "folder" else {"in_channels": 1}
        data = make_module(name, **more, on_device=on_device, **options)
        data.setup()
        data.use_kept(data.keep_pictures(PLENTY))
        return data

    return build


def same(ours: tuple[torch.Tensor, torch.Tensor], theirs: tuple[torch.Tensor, torch.Tensor]) -> bool:
    return all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("augment", AUGMENTS.values(), ids=AUGMENTS)
@pytest.mark.parametrize("name", ["digits", "folder"])
def test_training_sees_the_same_bits(name, augment, make):
    options = {"augment": augment, "balance": "sampler", "batch_size": 16, "image_size": 8}
    host, device = make(name, on_device=False, **options), make(name, **options)
    for data in (host, device):
        data.put_on_device(CPU, lambda _: PLENTY)
    theirs, ours = host.train_dataloader(), device.train_dataloader()
    assert isinstance(ours.dataset, DeviceDataset)
    assert not isinstance(theirs.dataset, DeviceDataset)
    for epoch in (0, 3):
        ours.batch_sampler.set_epoch(epoch)
        theirs.batch_sampler.set_epoch(epoch)
        assert all(same(*batches) for batches in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("change", [{}, {"image_size": 11}, {"in_channels": 1}, {"in_channels": 3, "max_images": 20}])
@pytest.mark.parametrize("name", ["digits", "folder"])
def test_evaluation_sees_the_same_bits(name, change, make_module, make_folder):
    data = make_module(name, root=make_folder({"ant": 30, "bee": 9}), cache="memory", on_device=True, **change)
    data.setup()
    data.use_kept(data.keep_pictures(PLENTY))
    for split, limit in (("train", 7), ("val", None), ("test", None)):
        data.resident = None
        theirs = list(data.evaluation_dataloader(split, limit))
        data.put_on_device(CPU, lambda _: PLENTY)
        loader = data.evaluation_dataloader(split, limit)
        assert isinstance(loader.dataset, DeviceDataset)
        assert all(same(*batches) for batches in zip(loader, theirs, strict=True))


@pytest.mark.parametrize(("wanted", "room", "there"), [("auto", PLENTY, False), (False, PLENTY, False)])
def test_unasked_nothing_lives_on_a_cpu(wanted, room, there, make):
    data = make("digits", on_device=wanted)
    data.put_on_device(CPU, lambda _: room)
    assert (data.resident is not None) == there


def test_unasked_images_take_a_quarter_of_what_is_free(make):
    """The meta device stands in for a GPU: it is none of the host's, and has room for everything."""
    data, meta = make("digits", on_device="auto"), torch.device("meta")
    size = 1797 * 8 * 8
    data.put_on_device(meta, lambda _: 4 * size - 4)
    assert data.resident is None
    data.put_on_device(meta, lambda _: 4 * size)
    assert data.resident.pixels.shape == (1797, 1, 8, 8)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("digits", {"augment": {"policy": "randaugment"}}, "say data.augment.policy=none, or"),
        ("folder", {"augment": {"scale": 0.5, "erase": 0.1}}, "say data.augment.scale=1 data.augment.erase=0, or"),
        ("folder", {"cache": "none"}, "say data.cache=memory"),
    ],
)
def test_what_cant_live_there_is_refused_where_it_was_wanted(name, change, said, make_module, make_folder):
    root = {"root": make_folder({"ant": 30, "bee": 9})} if name == "folder" else {"in_channels": 1}
    for wanted, device in ((True, CPU), ("auto", torch.device("meta"))):
        data = make_module(name, **root, on_device=wanted, **change)
        data.setup()
        data.use_kept(data.keep_pictures(PLENTY))
        if wanted is True:
            with pytest.raises(InputError, match="data.on_device=true is not possible: .*" + said):
                data.put_on_device(device, lambda _: PLENTY)
        else:
            data.put_on_device(device, lambda _: PLENTY)
            assert data.resident is None


def test_too_little_memory_is_said(make):
    with pytest.raises(InputError, match="images would take .* of .*: take fewer or smaller ones"):
        make("digits").put_on_device(CPU, lambda _: 1797 * 64 - 1)


def test_a_flip_in_turn_shows_every_image_both_ways_in_two_epochs(make_module):
    """Whichever epoch it is, and half of the images each way."""
    data = make_module("digits", in_channels=1, batch_size=2000, augment={"flip": "alternate"})
    data.setup()
    pixels = data.found.images[data.indices("train")].numpy()
    ways = []
    for epoch in (0, 1, 2):
        loader = data.train_dataloader()
        loader.batch_sampler.set_epoch(epoch)
        ((images, _),) = loader
        order = np.argsort(loader.batch_sampler.order())
        found = images.numpy()[order]
        plain = (found == pixels).all(axis=(1, 2, 3))
        turned = (found == pixels[..., ::-1]).all(axis=(1, 2, 3))
        assert (plain | turned).all()
        ways.append(np.where(plain & turned, -1, turned))  # -1: an image that is its own mirror image
    clear = ways[0] >= 0
    assert (ways[0] + ways[1])[clear].tolist() == [1] * clear.sum()
    np.testing.assert_array_equal(ways[0], ways[2])
    assert 0.4 < ways[0][clear].mean() < 0.6
