"""mixup and CutMix: shares of targets, drawn from the batch's place alone."""

import pytest
import torch
import torch.nn.functional as F

from src.training.mixing import Mixing
from tests.training.test_classifier import batches, module
from tests.training.test_multilabel import module as label_module

IMAGES = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
CLASSES = torch.tensor([0, 1, 2, 3, 0, 1])
KINDS = {"mixup": (0.5, 0.0), "cutmix": (0.0, 1.0), "both": (0.5, 1.0)}


def mixing(kind: str = "both", seed: int = 1, classes: int = 4) -> Mixing:
    mixup, cutmix = KINDS[kind]
    return Mixing(mixup=mixup, cutmix=cutmix, num_classes=classes, seed=seed)


@pytest.mark.parametrize("kind", KINDS)
def test_shares_are_those_of_two_images(kind: str) -> None:
    mixed, shares = mixing(kind)(IMAGES, CLASSES, 0, 0, 0)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(6))
    own = shares[torch.arange(6), CLASSES]
    share = float(own[0])
    assert 0 <= share <= 1
    if kind == "mixup":
        torch.testing.assert_close(mixed, share * IMAGES + (1 - share) * IMAGES.roll(1, 0))
    elif kind == "cutmix":
        taken = (mixed == IMAGES.roll(1, 0)).all(dim=1).float().mean(dim=(1, 2))
        torch.testing.assert_close(taken, torch.full((6,), 1 - share))


def test_draws_depend_on_the_place_alone_and_disturb_nobody() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one = mixing()(IMAGES, CLASSES, 2, 5, 0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(100)
    again = mixing()(IMAGES, CLASSES, 2, 5, 0)
    assert torch.equal(one[0], again[0])
    for place in ((3, 5, 0), (2, 6, 0), (2, 5, 1)):  # another epoch, batch, process
        assert not torch.equal(one[0], mixing()(IMAGES, CLASSES, *place)[0])
    assert not torch.equal(one[0], mixing(seed=2)(IMAGES, CLASSES, 2, 5, 0)[0])


def test_a_label_that_is_unknown_in_one_of_two_images_is_unknown_in_both_mixtures() -> None:
    labels = torch.tensor([[1.0, 0.0], [torch.nan, 1.0], [0.0, 0.0]])
    _, shares = mixing("mixup", classes=2)(IMAGES[:3], labels, 0, 0, 0)
    assert shares.isnan().tolist() == [[False, False], [True, False], [True, False]]
    own = label_module()
    assert own.likeliest(torch.tensor([[0.7, 0.2], [torch.nan, 0.5]])).nan_to_num(9).tolist() == [[1, 0], [9, 0]]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 3.0]])
def test_the_loss_of_whole_shares_is_that_of_classes(smoothing: float, weights: list[float] | None) -> None:
    own = module()
    own.hparams["label_smoothing"] = smoothing
    own.class_weights = None if weights is None else torch.tensor(weights)
    logits, targets = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 2, 0])
    shares = F.one_hot(targets, 3).float()
    torch.testing.assert_close(own.training_loss(logits, shares), own.training_loss(logits, targets))


def test_an_answer_is_that_of_both_mirror_images() -> None:
    own = module()
    ((images, _),) = batches(4)
    own.eval()
    alone, mirrored = own(images), own(images.flip(-1))
    own.hparams["test_flip"] = True
    torch.testing.assert_close(own(images), (alone + mirrored) / 2)
    torch.testing.assert_close(own(images), own(images.flip(-1)))
    own.train()
    assert not torch.allclose(own(images), own(images.flip(-1)))  # training sees each image once
