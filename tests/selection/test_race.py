"""How the time of a search is divided."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from src.errors import InputError, RunError
from src.selection.candidates import HEAD, SCRATCH, WHOLE
from src.selection.outcome import _equals
from src.selection.page import search_page
from src.selection.race import Race
from src.selection.record import Measured, Record
from src.selection.session import _check_trainer, _interrupted
from src.settings.trust import without_hydra
from src.training.assemble import to_dict
from tests.support.composed import check_overrides


def race(tmp_path: Path, trained: dict[str, float], minutes: float = 10.0, heads: str = "") -> Race:
    """A race at its beginning, whose candidates have been trained for so many seconds; an image costs nothing.

    Those that `heads` names learn on kept features.
    """
    images = {"train": 100, "val": 10, "test": 10}
    content: dict[str, Any] = {
        "data": {"images": images, "steps_an_epoch": 38},
        "candidates": {name: {} for name in trained},
        "rounds": {},
        "loaded": 10,
    }
    candidates: Any = {
        name: SimpleNamespace(how=HEAD if name in heads else SCRATCH, network="resnet18", macs=100) for name in trained
    }
    figures = {
        name: Measured(10, seconds, np.ones(10, bool), np.ones(10, np.float32), seconds + 2, 2.0, 0.1, 0.0)
        for name, seconds in trained.items()
    }
    anything: Any = None
    record = Record(tmp_path, content)
    return Race(record, candidates, anything, [], anything, minutes, None, figures=figures)


def test_the_first_round_gets_its_share_of_the_time(tmp_path: Path) -> None:
    """Of 600 s 240 are kept; of the two rounds that four candidates take the first gets 180, 8 of them around them."""
    four = race(tmp_path, dict.fromkeys("abcd", 0.0))
    assert four._level(list("abcd")) == pytest.approx((180 - 8) / 4, abs=0.5)


def test_who_was_dear_to_price_waits_for_the_others(tmp_path: Path) -> None:
    found = race(tmp_path, {"a": 0.0, "b": 10.0, "c": 500.0, "d": 0.0})
    assert found._level(list("abcd")) == pytest.approx((180 - 8 + 10) / 3, abs=0.5)


@pytest.mark.parametrize(
    ("trained", "step_seconds", "minutes", "enough", "leaves"),
    [
        ("", 0.4, 5, True, ""),
        ("ab", 0.4, 20, True, ""),
        ("ab", 0.4, 5, False, "c"),
        ("ab", 0.4, 2, False, "c"),
        ("ab", 20, 2, False, "a"),
    ],
)
def test_the_first_round_has_an_epoch_for_all_and_scratch_makes_room(
    trained: str, step_seconds: float, minutes: float, enough: bool, leaves: str, tmp_path: Path
) -> None:
    """In 5 minutes each gets 20 s more than its ten steps: an epoch of `a`. Beside what has weights it takes ten.

    In 2 minutes it is 3 s; no room helps where a step takes 20 s.
    """
    found = race(tmp_path, dict.fromkeys("abcd", 4.0), minutes=minutes)
    for name, slow in (("a", step_seconds), ("b", 0.4), ("c", 0.2), ("d", 0.1)):
        found.figures[name] = replace(found.figures[name], step_seconds=slow)
    for name in trained:
        found.candidates[name].how = WHOLE  # type: ignore[misc]
    names = list("abcd")
    assert found._suffices(found._level(names), names) is enough
    if leaves:
        assert found._dearest(names) == leaves


@pytest.mark.parametrize(
    ("network", "macs", "how", "slow"),
    [
        ("resnet18", 9000, SCRATCH, 9.0),
        ("resnet18", 900, SCRATCH, None),
        ("vgg", 9000, SCRATCH, None),
        ("vgg", 900, WHOLE, 0.9),
        ("vgg", 90, WHOLE, None),
    ],
)
def test_what_others_show_to_be_too_slow_is_not_priced(
    network: str, macs: int, how: str, slow: float | None, tmp_path: Path
) -> None:
    """`a` takes 0.1 s a step of 100 multiply-accumulates, and 74 s are left for an epoch of `b`.

    It is ten epochs where `a` has weights, and then any network tells.
    """
    found = race(tmp_path, {"a": 4.0, "b": 0.0}, minutes=2)
    del found.figures["b"]
    found.candidates["a"].__dict__.update(how=how)
    found.candidates["b"].__dict__.update(network=network, macs=macs)
    assert found._foreseen("b") == (None if slow is None else pytest.approx(slow))


def test_as_much_is_kept_for_the_end_as_the_images_need(tmp_path: Path) -> None:
    quick = race(tmp_path, {"a": 1.0}, minutes=1)
    assert quick._race_ends() == pytest.approx(60 - 24, abs=0.1)
    slow = race(tmp_path, {"a": 1.0}, minutes=1)
    slow.figures["a"] = Measured(10, 1.0, np.ones(10, bool), np.ones(10, np.float32), 3.0, 2.0, 0.1, 0.2)
    assert slow._race_ends() == pytest.approx(60 - (20 + 10 + 100) * 0.2 - 3 * 2 - 3 - 2, abs=0.1)


def test_a_head_takes_no_place_in_the_rounds(tmp_path: Path) -> None:
    found = race(tmp_path, dict.fromkeys("abcd", 1.0), heads="cd")
    assert (found.entrants, found.probes) == (["a", "b"], ["c", "d"])
    only = race(tmp_path, dict.fromkeys("cd", 1.0), heads="cd")
    assert (only.entrants, only.probes) == (["c", "d"], []), "with nothing else to race, heads do"


@pytest.mark.parametrize(
    ("right", "last", "finalists"),
    [(30, ["a", "c", "b"], ["c", "a"]), (60, ["a", "c", "b"], ["c", "a"]), (10, ["a", "b"], ["a"])],
)
def test_the_best_head_meets_the_winner_unless_shown_to_be_worse(
    right: int, last: list[str], finalists: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 60 validation images the winner has 35 right; of the heads `c` has so many, and `d` none."""
    found = race(tmp_path, dict.fromkeys("abcd", 1.0), heads="cd")
    for name, count in (("a", 35), ("b", 5), ("c", right), ("d", 0)):
        found.figures[name] = Measured(10, 1.0, np.arange(60) < count, np.ones(60, np.float32), 3.0, 2.0, 0.1, 0.0)
    monkeypatch.setattr(Race, "_rounds", lambda _: ["a", "b"])
    assert found.hold() == last
    assert found.finalists(last) == finalists


def test_where_all_others_are_out_the_best_head_is_left(tmp_path: Path) -> None:
    found = race(tmp_path, dict.fromkeys("acd", 1.0), heads="cd")
    found.figures["c"] = Measured(10, 1.0, np.zeros(10, bool), np.ones(10, np.float32), 3.0, 2.0, 0.1, 0.0)
    found.record.content["candidates"]["a"]["out"] = "no time was left to try it"
    assert found.hold() == ["d", "c"]
    assert found.finalists(["d", "c"]) == ["d"]


def test_a_search_that_goes_on_knows_those_that_are_out_in_the_same_order(tmp_path: Path) -> None:
    found = race(tmp_path, dict.fromkeys("bac", 1.0))
    before = found.figures
    for number, name in ((0, "b"), (0, "a"), (0, "c"), (1, "b"), (1, "c")):
        found.record.keep(number, name, before[name])
    found.record.leave_out("a", "a step takes 9 s")
    (tmp_path / "runs" / "c" / "round_1.npz").write_bytes(b"PK\x03\x04 half of it")
    again = race(tmp_path, {})
    again.record.content |= found.record.content
    again.candidates = found.candidates
    again.recall()
    assert list(again.figures) == ["b", "a", "c"]
    assert all(again.figures[name].accuracy == 1 for name in "bac")
    assert again.record.known(1, "c") is None


def stop(error: BaseException, *, hidden: bool) -> None:
    """Raise the error; `hidden` behind that of a `finally`, as Hydra's fails where it was opening a file."""
    try:
        raise error
    finally:
        if hidden:
            raise NameError


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_a_search_that_is_told_to_stop_says_so_whatever_else_fails(
    kind: type[BaseException], hidden: bool, tmp_path: Path
) -> None:
    record = race(tmp_path, {"a": 1.0}).record
    with pytest.raises(kind), _interrupted(record):
        stop(kind(), hidden=hidden)
    assert json.loads((tmp_path / "search.json").read_text())["status"] == "interrupted"


def test_a_search_that_fails_says_so(tmp_path: Path) -> None:
    record = race(tmp_path, {"a": 1.0}).record
    with pytest.raises(RunError), _interrupted(record):
        raise RunError("no room")
    assert json.loads((tmp_path / "search.json").read_text())["status"] == "failed"


def test_what_is_interrupted_before_it_began_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SystemExit), _interrupted(Record(tmp_path, {})):
        raise SystemExit(143)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("names", "said"), [("a", "there was none."), ("ab", "no other candidate came as far.")])
def test_who_was_alone_is_not_said_to_have_lacked_time(names: str, said: str, tmp_path: Path) -> None:
    found = race(tmp_path, dict.fromkeys(names, 1.0))
    found.record.content |= {"last": ["a"], "cheapest": "a"}
    assert _equals(found, {"alike": ["a"]}, "a") == f"It was compared with no other: {said}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, r"search.json is missing\): name its folder"),
        ('{"version": 1, "wo', "damaged .*: restore that file, or search anew"),
        ('{"version": 1, "words": [], "rounds": {}}', "of another hand"),
    ],
)
def test_what_is_no_search_cannot_go_on(text: str | None, said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "search.json").write_text(text)
    with pytest.raises(InputError, match=said):
        Record.read(tmp_path, 0.0)


def test_the_pick_is_no_problem_where_the_time_was_over_before_it_raced(tmp_path: Path) -> None:
    found = race(tmp_path, dict.fromkeys("ab", 1.0))
    found.record.content |= {"pick": "a", "answer": [], "advice": [], "minutes": 1.0, "look": {}, "order": ["a", "b"]}
    found.record.content["data"] |= {"classes": ["x", "y"], "name": "digits"}
    found.record.content["candidates"] = {name: {"shown": name, "out": "the time was over in round 1"} for name in "ab"}
    found.figures.clear()
    found.candidates["a"].parameters = found.candidates["a"].macs = 1
    assert search_page(found, []).problems == [("b", "the time was over in round 1")]


def test_whether_there_can_be_a_trainer_is_looked_at_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    """Lightning would tell stderr by itself which hardware there is."""
    lightning = logging.getLogger("lightning.pytorch")
    own = logging.StreamHandler()
    lightning.addHandler(own)
    try:
        _check_trainer(to_dict(without_hydra(check_overrides("search", ["data=digits", "trainer=cpu"])))["trainer"])
    finally:
        lightning.removeHandler(own)
    assert capfd.readouterr() == ("", "")
