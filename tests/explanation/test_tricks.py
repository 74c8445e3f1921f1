"""The ways to make class images: each adds one trick to the one before, and the seventh is what is made by default."""

from dataclasses import asdict
from itertools import pairwise

import torch

from src.attribution.canvas import ClassImageSettings, Pixels, PixelsNearMean, Waves
from src.explanation.tricks import ways

SAMPLE = torch.randint(256, (20, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_each_way_adds_one_trick() -> None:
    climbing = ways(SAMPLE)[:7]
    assert [way.canvas for way in climbing] == [Pixels, PixelsNearMean, *[Waves] * 5]
    assert [way.colour is not None for way in climbing] == [False, False, False, True, True, True, True]
    changed = [
        {name for name, value in asdict(after.settings).items() if value != asdict(before.settings)[name]}
        for before, after in pairwise(climbing)
    ]
    assert changed == [set(), set(), set(), {"jitter", "scale", "rotation", "noise"}, {"tv"}, {"bn"}]
    assert climbing[-1].settings == ClassImageSettings()
    assert [way.name[0] for way in climbing] == ["p", *"++++++"]


def test_steps_are_those_of_all() -> None:
    assert {way.settings.steps for way in ways(SAMPLE, 7)} == {7}
    assert [way.settings.bn for way in ways(SAMPLE)[7:]] == [0.0, ClassImageSettings().bn], "MaCo without and with it"
