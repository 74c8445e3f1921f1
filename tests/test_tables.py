"""Tables and lines that fit a terminal, whatever its width: no number is broken."""

import io
import re

import pytest
import rich
from rich.console import Console
from rich.table import Table

from src.tables import WIDTH, as_text, screen_width, wrapped

METRICS = ("accuracy", "precision", "recall", "f1", "mcc", "loss")


def table(columns: int = 6, name: str = "validation") -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    made.add_column("")
    for number in range(columns):
        made.add_column(METRICS[number % 6], justify="right")
    made.add_row(name, *(f"{number / 7:.4f} [0.0000, 1.0000]" for number in range(columns)))
    return made


@pytest.mark.parametrize("width", [200, 120, 100, 80, 60, 40])
@pytest.mark.parametrize("name", ["validation", "two of 10 classes, without copies of training images"])
def test_all_cells_stay_whole_at_any_width(width: int, name: str) -> None:
    text = as_text(table(name=name), width)
    assert max(map(len, text.splitlines())) <= width
    assert re.findall(r"0\.\d{4} \[0\.0000, 1\.0000\]", text) == [f"{n / 7:.4f} [0.0000, 1.0000]" for n in range(6)]
    assert all(metric in text for metric in METRICS)


def test_what_does_not_fit_stands_below_beside_the_first_column_again() -> None:
    first, second = as_text(table(4), 70).split("\n\n")
    assert first.split()[:2] == ["accuracy", "precision"]
    assert second.split()[:2] == ["recall", "f1"]
    assert [part.splitlines()[1].split()[0] for part in (first, second)] == ["validation", "validation"]


def test_a_table_with_room_is_as_it_was() -> None:
    assert as_text(table(2), 120).splitlines()[1] == "validation   0.0000 [0.0000, 1.0000]   0.1429 [0.0000, 1.0000]"


def test_a_terminal_has_its_own_width_and_a_log_has_another(monkeypatch: pytest.MonkeyPatch) -> None:
    for width, terminal, expected in ((80, True, 80), (300, True, WIDTH), (80, False, WIDTH)):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=width, _environ={})
        monkeypatch.setattr(rich, "_console", console)
        assert screen_width() == expected


@pytest.mark.parametrize(
    ("line", "width", "expected"),
    [
        ("short", 80, ["short"]),
        ("one two three", 9, ["one two", "three"]),
        (
            "test images  29 of 30 right: 0.967",
            24,
            ["test images  29 of 30", "             right:", "             0.967"],
        ),
        (
            "epoch  3/10  train loss 0.123 accuracy 0.950  val loss 0.200 accuracy 0.900  1,234 images/s",
            80,
            ["epoch  3/10  train loss 0.123 accuracy 0.950  val loss 0.200 accuracy 0.900", "       1,234 images/s"],
        ),
        ("written: /a/long/path/that/is/one/word", 12, ["written:", "/a/long/path/that/is/one/word"]),
        ("数 数 数", 5, ["数 数", "数"]),
        ("a\n\nb c", 2, ["a", "", "b", "c"]),
    ],
)
def test_lines_break_between_words_and_columns(line: str, width: int, expected: list[str]) -> None:
    assert wrapped(line, width).splitlines() == expected
