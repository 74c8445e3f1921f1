"""search.html of a search among settings: the answer, what each value gave, the trials, how to train with the best."""

import math
import shlex
from pathlib import Path

from .. import figures
from ..command.next_steps import how_to_start
from ..reporting.document import Page, Picture, Section, Table
from ..tables import duration
from .page_parts import budget_of, facts_of, how_sure, how_to_use, title_of, within
from .space import SHORT, Trial
from .tuning import WHOLE, Tuning

PANELS = "settings.png"
TITLES = {name: "Learning rate" if name == "lr" else short.capitalize() for name, short in SHORT.items()}


def tuning_page(race: Tuning, folder: Path) -> Page:
    """Return the page; its picture is drawn into the folder."""
    content, budget = race.record.content, budget_of(race, "a trial")
    assert race.base is not None
    classes = len(content["data"]["classes"])
    _draw(race, folder)
    failed = [trial for trial in trials_of(race) if trial.name not in race.figures]
    return Page(
        title=title_of(race),
        facts=facts_of(race, budget),
        question=f"Which settings for {race.base.network} on these {classes} classes, {within(race, budget)}?",
        earlier=None,
        answer=content["answer"],
        sections=[
            Section(
                "What varied, and what it gave",
                [
                    "Optuna (TPE) proposed the settings of each trial from what those before it had given; the first "
                    "has the usual ones. A trial that was below the median of the others after a quarter of its "
                    "training was ended there.",
                ],
                [_table(race)],
                [Picture(PANELS, "Validation accuracy over each setting, and the best so far by trial.")],
            ),
            how_sure(race),
            Section("What more time would try", content["advice"]),
            how_to_use(race, _command(race)),
        ],
        problems=[(trial.shown, str(content["candidates"][trial.name].get("out", ""))) for trial in failed],
    )


def trials_of(race: Tuning) -> list[Trial]:
    return [trial for trial in race.candidates.values() if isinstance(trial, Trial)]


def _whole(race: Tuning, trial: Trial) -> bool:
    return trial.name in race.record.content["rounds"].get(str(WHOLE), {})


def _draw(race: Tuning, folder: Path) -> None:
    """Draw the trials that have figures."""
    trials = [trial for trial in trials_of(race) if trial.name in race.figures]
    names = [trial.name for trial in trials]
    values = {name: [dict(trial.values)[name] for trial in trials] for name in race.spans}
    usual = race.trial(1).name
    chart = figures.tuning_panels(
        {TITLES[name]: (values[name], span.log) for name, span in race.spans.items()},
        [race.figures[name].accuracy for name in names],
        [_whole(race, trial) for trial in trials],
        names.index(race.record.content["pick"]),
        names.index(usual) if usual in names else 0,
    )
    figures.save(chart, folder / PANELS)


def _table(race: Tuning) -> Table:
    """Return a row a trial: the pick, then the whole ones, the best first."""

    def place(trial: Trial) -> tuple[bool, bool, float]:
        accuracy = race.figures[trial.name].accuracy if trial.name in race.figures else -math.inf
        return trial.name != race.record.content["pick"], not _whole(race, trial), -accuracy

    rows = []
    for trial in sorted(trials_of(race), key=place):
        one = race.figures.get(trial.name)
        came = ["–"] * 4 if one is None else [
            f"{one.accuracy:.3f}", f"{one.loss:.3f}", f"{one.steps:,}", duration(one.seconds),
        ]  # fmt: skip
        name = f"trial {trial.number}{' (usual settings)' if trial.number == 1 else ''}"
        rows.append([name, *(f"{value:g}" for _, value in trial.values), *came, "yes" if _whole(race, trial) else "no"])
    columns = ["trial", *(SHORT[name] for name in race.spans), "val accuracy", "val loss", "steps", "trained", "whole"]
    return Table("Trials, where they were ended", columns, rows, best_first=True)


def _command(race: Tuning) -> str:
    """Return how to train with the settings of the pick, for longer."""
    pick = race.candidates[race.record.content["pick"]]
    assert isinstance(pick, Trial)
    data = [word for word in race.words if word.startswith("data")]
    return " ".join([how_to_start("train"), *map(shlex.quote, [*data, *pick.words])])
