"""Words that were typed by others are shown, never read."""

import re

import numpy as np

from src.page.markup import answer, bars, card, escaped, label_bars, refusal, table


def test_nothing_that_was_typed_becomes_markup() -> None:
    evil = '<img src=x onerror="alert(1)">'
    shown = [
        escaped(evil),
        refusal(evil, evil),
        card(evil, evil, []),
        table([(evil, [evil])], [evil]),
        answer(evil[:0], b"", evil, bars(np.array([0.7, 0.3]), [evil, evil], 1), dark=False),
        label_bars(np.array([0.7, 0.3]), np.array([0.5, 0.5]), [evil, evil], 1),
    ]
    for html in shown:
        assert "<img src=x" not in html
        assert "&lt;img src=x" in html


def test_names_stay_on_one_line_and_turn_nothing_around() -> None:
    assert escaped("a\n\x1b[2Jb") == "<bdi>a \ufffd[2Jb</bdi>"
    assert escaped("a\u202egpj.exe\u2066b\u2069") == "<bdi>a\ufffdgpj.exe\ufffdb\ufffd</bdi>"
    assert escaped("שלום 👩\u200d🔬") == "<bdi>שלום 👩\u200d🔬</bdi>"  # joined signs
    assert len(escaped("x" * 5000)) < 100


def test_a_table_has_its_names_above_and_beside_it() -> None:
    shown = (
        table([("train", ["1", "2"]), ("test", ["3", "4"])], ["Loss", "F1"]).replace("<bdi>", "").replace("</bdi>", "")
    )
    assert re.findall(">([^<>]+)<", shown) == ["Loss", "F1", "train", "1", "2", "test", "3", "4"]
    assert "<thead>" not in table([("Device", ["a CPU"])])


def test_the_explained_class_is_among_the_bars_however_improbable_it_is() -> None:
    shares = np.array([0.4, 0.2, 0.15, 0.1, 0.08, 0.05, 0.015, 0.005])
    names = list("abcdefgh")
    assert [name for name in names if f"<bdi>{name}<" in bars(shares, names, 0)] == list("abcdef")
    assert [name for name in names if f"<bdi>{name}<" in bars(shares, names, 7)] == list("abcdeh")
    assert "and 2 other classes" in bars(shares, names, 7)
    assert "other classes" not in bars(shares[:2], names[:2], 1)
    assert bars(shares, names, 7).count("rl-first") == 1
    assert "40.0 %" in bars(shares, names, 7)


def test_labels_that_reach_their_thresholds_come_first_and_are_marked() -> None:
    shares, thresholds = np.array([0.9, 0.45, 0.4, 0.1]), np.array([0.95, 0.5, 0.3, 0.5])
    shown = label_bars(shares, thresholds, list("abcd"), 0)
    assert re.findall(r"<bdi>(.)<", shown) == list("cabd")
    assert [part.split("<")[0] for part in shown.split("<span>✓ <bdi>")[1:]] == ["c"]
    assert shown.count("rl-first") == 1
    assert [float(place) for place in re.findall(r"left: ([0-9.]+)%", shown)] == [30, 95, 50, 50]


def test_all_labels_that_reach_their_thresholds_are_shown_up_to_a_number() -> None:
    names, many = [f"n{k}" for k in range(30)], np.linspace(0.9, 0.6, 30)
    shown = label_bars(many, np.full(30, 0.5), names, 29)
    assert shown.count("rl-first") == 20
    assert "<bdi>n29<" in shown
    assert "and 10 other labels, 10 of which reach their thresholds" in shown
    assert label_bars(many, np.full(30, 0.99), names, 0).count('class="rl-bar rl-label"') == 6
