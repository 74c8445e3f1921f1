"""What a search leaves to be read: its answer in sentences, and table.csv."""

import shlex
from collections.abc import Mapping
from typing import Any

from ..analysis.intervals import LEVEL
from ..command.next_steps import how_to_start
from ..files import csv_line, write_text
from ..reporting.difference_shown import points
from ..tables import counted, duration
from .page import write_page
from .race import Race
from .record import TABLE
from .space import SETTINGS, SHORT, Trial
from .tuning import Tuning


def write_outcome(race: Race) -> None:
    """Write the answer into search.json, and the table and the page beside it."""
    race.record.write(answer=answer_of(race), advice=advice_of(race))
    write_table(race)
    write_page(race)


def answer_of(race: Race) -> list[str]:
    """Return the answer: which network, how good, how sure, at what cost, and what it rests on."""
    content = race.record.content
    found, pick = content["look"], content["pick"]
    said = [*_tested(race, found, pick), *_beside(race, found), _equals(race, found, pick)]
    if (reason := content.get("not_cooled_down", {}).get(pick)) is not None:
        said.append(f"It could not be cooled down, and is as the race left it: {reason}.")
    if (origin := content.get("weights_of_these_images")) is not None:
        said.append(origin)
    validation, last = found["validation"], race.figures[pick]
    what = "trial" if isinstance(race, Tuning) else "candidate"
    if (optimism := found.get("optimism")) is not None:
        apart = f"{points(abs(optimism))} points {'more' if optimism > 0 else 'less'} than"
        said.append(
            f"The validation images that chose it said {validation['accuracy']:.3f}, "
            f"{'as much as' if points(optimism) == '0.0' else apart} the test images."
        )
    said.append(
        f"It rests on {counted(len(race.figures), what)}, {counted(last.steps, 'step')} of this one in the race, and "
        f"{counted(validation['images'], 'validation image')}; {duration(race.record.spent)} in all."
    )
    return said


def _tested(race: Race, found: Mapping[str, Any], pick: str) -> list[str]:
    shown, test, said = race.candidates[pick].shown, found.get("test"), []
    if test is not None:
        low, high = test["accuracy_interval"]
        right = round(test["accuracy"] * test["images"])
        said.append(
            f"{shown}: {right:,} of {test['images']:,} test images right, {test['accuracy']:.3f} (95 % interval "
            f"{low:.3f} to {high:.3f}), macro F1 {test['f1']:.3f}{_within(test['f1_interval'])}."
        )
    if (corrected := found.get("corrected")) is not None:
        low, high = corrected["interval"]
        few = f"{shown}: there are no test images" if test is None else "So few test images say little"
        said.append(
            f"{few}; the choice was repeated on validation images drawn again (BBC-CV): its picks are right for "
            f"{corrected['accuracy']:.3f} ({low:.3f} to {high:.3f}) of those not drawn."
        )
    elif test is None:
        said.append(f"{shown}: there are no test images, and too few validation images to say how good it is.")
    if guessing := found.get("guessing"):
        said.insert(0, f"{guessing[0].upper()}{guessing[1:]}.")
    return said


def _beside(race: Race, found: Mapping[str, Any]) -> list[str]:
    """Return what the runner-up is worth beside the pick."""
    other = found.get("runner_up")
    if other is None or "reason" in other:
        return []
    low, high = other["difference_interval"]
    shown = "no difference shown" if low <= 0 <= high else "a difference is shown"
    name = race.candidates[other["name"]].shown
    uncooled = "" if other["cooled_down"] else ", without a cool-down"
    beside = f"Beside it {name}" if isinstance(race, Tuning) else f"The runner-up, {name}{uncooled}"
    return [
        f"{beside}: {other['accuracy']:.3f} on the same images. The pick's lead is "
        f"{points(other['difference'], '+')} points (95 % interval {points(low, '+')} to {points(high, '+')}): {shown}."
    ]


def _equals(race: Race, found: Mapping[str, Any], pick: str) -> str:
    """Return which candidates the validation images can't tell from the pick, and the cheapest of them."""
    others = [name for name in found["alike"] if name != pick]
    cheap = race.record.content["cheapest"]
    if len(race.record.content["last"]) == 1 and not isinstance(race, Tuning):
        return "It was compared with no other: " + (
            "there was none." if len(race.candidates) == 1 else "no other candidate came as far."
        )
    if not others:
        last = "Of the whole trials" if isinstance(race, Tuning) else "In the last round"
        return f"{last} the validation images showed it better than every other."
    if isinstance(race, Tuning):
        return (
            f"The validation images can't tell it from {len(others)} of the other whole trials: other settings may "
            "do as well."
        )
    named = "; ".join(race.candidates[name].shown for name in others[:3]) + ("; …" if len(others) > 3 else "")
    said = f"The validation images of the last round can't tell it from {named}."
    if cheap != pick:
        mine, theirs = race.candidates[pick].macs, race.candidates[cheap].macs
        return (
            f"{said} The cheapest of these is {race.candidates[cheap].shown}, with {theirs / mine:.0%} of its "
            "multiply-accumulates an image."
        )
    return f"{said} None of them is cheaper."


def _within(interval: list[float] | None) -> str:
    return "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"


def advice_of(race: Race) -> list[str]:
    """Return what more time would bring, as far as the race tells."""
    if isinstance(race, Tuning):
        return _advice_on_settings(race)
    content = race.record.content
    late = [name for name, row in content["candidates"].items() if "no time" in row.get("out", "")]
    untried = [race.candidates[name].shown for name in late if name not in content["rounds"].get("0", {})]
    few = [race.candidates[name].shown for name in late if name in content["rounds"].get("0", {})]
    said = []
    if untried:
        said.append(f"Not tried for want of time: {'; '.join(untried)}.")
    if few:
        said.append(f"Tried for a few steps alone: {'; '.join(few)}.")
    other = content["look"].get("runner_up")
    if other is not None and "reason" not in other and other["difference_interval"][0] <= 0:
        said.append(
            f"The runner-up wasn't shown to be worse at {LEVEL:.0%}: train both to their end and compare them with "
            "src.report."
        )
    if content.get("weights") is None:
        said.append(
            "All began from scratch: weights=imagenet, a file or a run adds candidates that know images already."
        )
    more = "steps=N" if race.minutes is None else "time=DD:HH:MM:SS"
    run = shlex.quote(race.record.run(content["pick"]).shown)
    said.append(f"The pick goes on from where it stands: {how_to_start('train')} resume={run} trainer.max_{more}.")
    return said


def _advice_on_settings(race: Tuning) -> list[str]:
    """Return what more trials would bring: whether the best is new, or at the end of a range."""
    pick = race.candidates[race.record.content["pick"]]
    assert isinstance(pick, Trial)
    said = []
    for name, value in pick.values:
        span = race.spans[name]
        if value in (span.low, span.high) and value > 0:
            end = "low" if value == span.low else "high"
            said.append(f"The best {SHORT[name]} is at the end of its range: space.{name}.{end}= goes further.")
    if pick.number > len(race.trials) * 2 / 3:
        said.append(f"The best came late, as trial {pick.number} of {len(race.trials)}: more trials may find a better.")
    said.append(
        "These settings were found for trainings of this length: a longer one often wants a smaller rate, and bears "
        "more augmentation."
    )
    return said


def write_table(race: Race) -> None:
    """Write table.csv, a row for each candidate and round."""
    header = ["candidate", "network", "size", "how", "parameters", "macs", "round", "steps", "seconds", "val/accuracy",
              "val/loss", "step_seconds", "at", "out"]  # fmt: skip
    settings = list(SETTINGS.values()) if isinstance(race, Tuning) else []
    lines = [csv_line([*header, *settings])]
    content = race.record.content
    for name, candidate in race.candidates.items():
        out = content["candidates"][name].get("out", "")
        own = [name, candidate.network, candidate.size, candidate.how, candidate.parameters, candidate.macs]
        values = [dict(candidate.values).get(key, "") for key in SETTINGS] if isinstance(candidate, Trial) else []
        rows = [(number, rows[name]) for number, rows in content["rounds"].items() if name in rows]
        for number, row in rows or [("", {})]:
            lines.append(csv_line([*own, number, *_figures(row), out, *values]))
    write_text(race.record.folder / TABLE, "".join(lines))


def _figures(row: Mapping[str, Any]) -> list[Any]:
    names = ("steps", "seconds", "accuracy", "loss", "step_seconds", "at")
    return [row.get(name, "") for name in names]
