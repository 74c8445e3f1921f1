"""A list fits its terminal, breaks no number, and shows a stranger's words as they are."""

from pathlib import Path

import pandas as pd
import pytest

from src.analysis.tasks import MULTILABEL
from src.listing.entry import Entry
from src.listing.table import as_csv, figure, runs_table
from src.tables import as_text, on_disk


def entry(name: str = "2026-11-28_19-03-36_8df4", **more: object) -> Entry:
    usual = {
        "path": Path("outputs") / name, "name": name, "status": "finished", "size": 457_000_000, "data": "catsdogs",
        "model": "mini_resnet_bottleneck_post", "typed": "lr=0.05 weights=imagenet batch_size=32 max_epochs=30 seed=12",
        "value": 29 / 30, "low": 0.8333, "high": 0.9941, "images": 30, "begun": 1_764_000_000.0,
    }  # fmt: skip
    return Entry(**(usual | more))  # type: ignore[arg-type]


ENTRIES = [
    entry(),
    entry("first/10_model=wide_resnet50_2_lr=0.05_weights=imagenet_seed=12", size=12_300_000_000),
    entry("labels", task=MULTILABEL, value=0.8321, low=None, high=None),
    entry("broken", status="damaged", value=None, why="run.json is damaged (line 1: Expecting value)", typed=""),
    entry("stopped", status="stopped", value=None),
]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_it_fits_and_breaks_no_number(width: int) -> None:
    text = as_text(runs_table(ENTRIES, width), width)
    assert max(map(len, text.splitlines())) <= width
    for number in ("0.967 [0.833, 0.994]", "mAP 0.832", "457 MB", "12 GB", "damaged", "stopped"):
        assert number in text
    for word in ("lr=0.05", "seed=12", "weights=imagenet"):
        assert word in text
    assert "…" not in text


def test_a_wide_terminal_says_the_status_of_each() -> None:
    lines = [line for line in as_text(runs_table(ENTRIES, 200), 200).splitlines() if line.endswith("B")]
    assert [line.split()[-3] for line in lines] == ["finished"] * 3 + ["damaged", "stopped"]
    assert "Expecting value" in lines[3]


def test_a_strangers_words_are_no_markup_and_no_commands() -> None:
    wild = entry("[red]x[/red]\x1b[2J", data="[link=x]", model="a\nb", typed="\u202e")
    text = as_text(runs_table([wild], 200), 200)
    assert "[red]x[/red]" in text
    assert "[link=x]" in text
    assert len(text.splitlines()) == 2
    assert not {"\x1b", "\u202e"} & set(text)


def test_the_table_for_programs_has_all_of_it() -> None:
    odd = entry('a,"b"\n', why="=cmd")
    table = pd.read_csv(pd.io.common.StringIO(as_csv([*ENTRIES, odd])))
    assert table["run"].tolist() == [one.name for one in [*ENTRIES, odd]]
    assert table["test"][0] == 29 / 30
    assert table["figure"].fillna("").tolist() == ["accuracy", "accuracy", "map", "", "", "accuracy"]
    assert table["bytes"][1] == 12_300_000_000
    assert pd.isna(table["low"][2])


def test_a_figure_without_images_has_no_interval() -> None:
    assert figure(entry(low=None, high=None)) == "0.967"
    assert figure(entry(value=None)) == ""


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 kB"), (940, "0.9 kB"), (94_100, "94 kB"), (100_000, "0.1 MB"), (9_960_000, "10 MB"),
     (457_000_000, "457 MB"), (999_600_000, "1.0 GB"), (1_240_000_000, "1.2 GB")],
)  # fmt: skip
def test_sizes_are_short(size: int, text: str) -> None:
    assert on_disk(size) == text
