"""How the time of a search is divided."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from src.selection.race import Race
from src.selection.record import Measured, Record


def race(tmp_path: Path, trained: dict[str, float], minutes: float = 10.0) -> Race:
    """A race at its beginning, whose candidates have been trained for so many seconds; an image costs nothing."""
    images = {"train": 100, "val": 10, "test": 10}
    content: dict[str, Any] = {
        "data": {"images": images},
        "candidates": {name: {} for name in trained},
        "rounds": {},
        "loaded": 10,
    }
    nobody: Any = SimpleNamespace(how="from scratch")
    figures = {
        name: Measured(10, seconds, np.ones(10, bool), np.ones(10, np.float32), seconds + 2, 2.0, 0.1, 0.0)
        for name, seconds in trained.items()
    }
    anything: Any = None
    record = Record(tmp_path, content)
    return Race(record, dict.fromkeys(trained, nobody), anything, [], anything, minutes, None, figures=figures)


def test_the_first_round_gets_its_share_of_the_time(tmp_path: Path) -> None:
    """Of 600 s 120 are kept; of the two rounds that four candidates take the first gets 240, 8 of them around them."""
    four = race(tmp_path, dict.fromkeys("abcd", 0.0))
    assert four._level(list("abcd")) == pytest.approx((240 - 8) / 4, abs=0.5)


def test_who_was_dear_to_price_waits_for_the_others(tmp_path: Path) -> None:
    found = race(tmp_path, {"a": 0.0, "b": 10.0, "c": 500.0, "d": 0.0})
    assert found._level(list("abcd")) == pytest.approx((240 - 8 + 10) / 3, abs=0.5)


def test_as_much_is_kept_for_the_end_as_the_images_need(tmp_path: Path) -> None:
    quick = race(tmp_path, {"a": 1.0}, minutes=1)
    assert quick._race_ends() == pytest.approx(60 - 12, abs=0.1)
    slow = race(tmp_path, {"a": 1.0}, minutes=1)
    slow.figures["a"] = Measured(10, 1.0, np.ones(10, bool), np.ones(10, np.float32), 3.0, 2.0, 0.1, 0.2)
    assert slow._race_ends() == pytest.approx(60 - (20 + 10 + 100) * 0.2 - 3 * 2 - 3 - 2, abs=0.1)
