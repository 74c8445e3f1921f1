"""What a data set hands out for a batch of no images: a process's share of fewer images than there are processes."""

import numpy as np
import pytest
import torch

from src.data.batches import Batch, EpochBatchSampler
from src.data.datasets import FeatureDataset, ImageLoader
from src.data.transforms import Geometry

NONE = Batch(0, 0, np.array([], dtype=np.int64), np.array([], dtype=np.int64))


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("name", ["digits", "folder"])
def test_no_images_have_the_shape_of_some(make_module, make_folder, name, in_channels):
    """Of files and from memory, whose pixels are resized and converted."""
    data = make_module(name, root=make_folder({"ant": 20, "bee": 30}), in_channels=in_channels, image_size=17)
    data.setup()
    images, targets = data.dataset("test", None).__getitems__(NONE)
    assert images.shape == (0, in_channels, 17, 17)
    assert targets.shape == (0,)
    some, classes = next(iter(data.evaluation_dataloader("test")))
    assert (images.dtype, targets.dtype) == (some.dtype, classes.dtype) == (torch.uint8, torch.int64)


def test_no_features_have_the_shape_of_some():
    dataset = FeatureDataset(torch.ones(5, 7), np.arange(5), Geometry(8, 1, "bilinear"), 0)
    images, targets = dataset.__getitems__(NONE)
    assert (images.shape, targets.shape) == ((0, 7), (0,))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_hands_out_an_empty_share(make_module, make_folder, workers):
    data = make_module("folder", root=make_folder({"ant": 20, "bee": 30}), image_size=17)
    data.setup()
    dataset = data.dataset("test", None, np.arange(3))
    shares = [
        list(ImageLoader(dataset, EpochBatchSampler(3, 1, shuffle=False, rank=rank, world_size=2), workers))
        for rank in range(2)
    ]
    assert [[len(targets) for _, targets in share] for share in shares] == [[1, 1], [1, 0]]
    assert shares[1][1][0].shape == (0, 3, 17, 17)
