"""What the pages of all searches have."""

import shlex

from ..command.next_steps import how_to_start
from ..reporting.document import Section
from ..reporting.facts import made_by
from ..tables import counted
from .race import Race


def title_of(race: Race) -> str:
    return f"Search on {race.record.content['data']['name']} · {race.record.folder.resolve().name}"


def budget_of(race: Race, each: str) -> str:
    """Return the minutes, or the steps of `each`: the first round, or a trial."""
    content = race.record.content
    if (minutes := content["minutes"]) is not None:
        return f"{minutes:g} minute{'s' * (minutes != 1)}"
    return f"{counted(content['steps'], 'step')} {each}"


def within(race: Race, budget: str) -> str:
    """Return the budget as a question has it: `in 10 minutes`, `with 5 steps a trial`."""
    return f"{'with' if race.minutes is None else 'in'} {budget}"


def facts_of(race: Race, budget: str) -> list[tuple[str, str]]:
    content, sizes = race.record.content, race.record.content["data"]["images"]
    return [
        ("Search", race.record.shown),
        ("Budget", budget),
        ("Images", f"{sizes['train']:,} train, {sizes['val']:,} validation, {sizes['test']:,} test"),
        *made_by([content | {"start": ""}]),
    ]


def how_sure(race: Race, sooner: str = "") -> Section:
    """Return what the answer rests on; `sooner` says what comes before log-loss."""
    said = (
        "The test images were set apart before anything was trained, and looked at once, when the pick was made. "
        "Intervals are about other images of the same kind; another seed may rank close candidates otherwise."
        if race.record.content["look"].get("test")
        else "There were no test images: what is said of the pick comes from the images that chose it."
    )
    rule = (
        "Of those about as accurate on the validation images, behind the most accurate by no more than a standard "
        f"error of the paired difference, {sooner}the one with the least log-loss is the best."
    )
    return Section("How sure this is", [said, rule])


def how_to_use(race: Race, *more: str) -> Section:
    """Return what to do with the pick; `more` commands come last."""
    folder = shlex.quote(race.record.shown)
    return Section(
        "Use it",
        commands=[
            f"{how_to_start('predict')} checkpoint={folder} images=PHOTOS",
            f"{how_to_start('explain')} checkpoint={folder}",
            f"{how_to_start('evaluate')} checkpoint={folder} calibrate=true",
            f"{how_to_start('export')} checkpoint={folder}",
            *more,
        ],
    )
