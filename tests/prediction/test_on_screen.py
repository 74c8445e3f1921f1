"""What `src.predict` says on screen."""

import logging

import pytest

from src.errors import RunError
from src.prediction.on_screen import Summary, best


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.fixture(autouse=True)
def _all_of_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "src.prediction.on_screen")


def test_numbers_of_many_classes_add_up(caplog: pytest.LogCaptureFixture) -> None:
    summary = Summary(91, shown=False)
    for number in range(1, 13):
        for _ in range(number):
            summary.add("a.jpg", [f"c{number}"], "")
    for _ in range(13):
        summary.add_unreadable("b.jpg", "empty file")
    summary.end(2.0, "predictions.csv")
    assert said(caplog) == [
        "predicted    91 files in 2.0 s: c12 12, c11 11, c10 10, c9 9, c8 8, c7 7, c6 6, c5 5, c4 4, c3 3, "
        "2 more classes 3, unreadable 13",
        "unreadable   13 of 91, see `error` in predictions.csv; the first: b.jpg (empty file)",
    ]


def test_images_without_a_label_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    summary = Summary(3, nothing="no label")
    summary.add("a.jpg", ["sea", "sky"], "sea 0.90 · sky 0.80")
    summary.add("b.jpg", ["sea"], "sea 0.70")
    summary.add("c.jpg", [], "no label (sky 0.20)")
    summary.end(0.5, "predictions.csv")
    assert said(caplog) == [
        "sea 0.90 · sky 0.80   a.jpg",
        "sea 0.70              b.jpg",
        "no label (sky 0.20)   c.jpg",
        "predicted    3 files in 0.5 s: sea 2, sky 1, no label 1",
    ]


def test_wide_letters_take_two_columns_and_no_name_turns_the_screen(caplog: pytest.LogCaptureFixture) -> None:
    summary = Summary(2)
    summary.add("a\x1b[2J.jpg", ["猫"], best(["猫"], [1.0]))
    summary.add("b.jpg", ["c"], best(["c"], [1.0]))
    assert said(caplog) == ["猫 1.00   a\ufffd[2J.jpg", "c 1.00    b.jpg"]


def test_no_answer_at_all_is_an_error() -> None:
    summary = Summary(1)
    summary.add_unreadable("a.jpg", "missing")
    with pytest.raises(RunError, match=r"the only file, a.jpg \(missing\), can't be read: see predictions.csv"):
        summary.end(0.1, "predictions.csv")
