"""What a training says at its end."""

import logging

import pytest

from src.training.results import say_interval


@pytest.mark.parametrize(
    ("images", "accuracy", "said"),
    [
        (30, 29 / 30, ["29 of 30 right: 0.967 (95 % interval 0.833 to 0.994)", "tests all images"]),
        (180, 1.0, ["180 of 180 right: 1.000 (95 % interval 0.979 to 1.000)"]),
    ],
)
def test_the_accuracy_has_its_interval(
    images: int, accuracy: float, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="src.training.results")
    say_interval(accuracy, [1] * images)
    assert len(caplog.messages) == len(said)
    assert all(words in line for words, line in zip(said, caplog.messages, strict=True))


def test_only_the_runs_own_test_images_get_the_hint_at_folds(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="src.training.results")
    say_interval(0.9, [10, 10, 10], "val")
    say_interval(0.9, [10, 10, 10], "test", own=False)
    assert caplog.messages == [f"{split}27 of 30 right: 0.900 (95 % interval 0.744 to 0.965)"
                               for split in ("val images   ", "test images  ")]  # fmt: skip
