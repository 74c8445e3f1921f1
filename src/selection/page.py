"""search.html: the answer, the race, what each candidate costs, what more time would try; one file."""

import logging
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .. import figures
from ..cost.cost_table import short
from ..errors import first_line
from ..files import write_text
from ..frames import pd
from ..reporting.document import Page, Picture, Section, Table, render_html
from ..runs.contents import UnusableError
from ..tables import duration
from .page_parts import budget_of, facts_of, how_sure, how_to_use, title_of, within
from .race import Race
from .record import PAGE
from .tuning import Tuning
from .tuning_page import tuning_page

log = logging.getLogger(__name__)

RACE, COSTS = "race.png", "costs.png"


def write_page(race: Race) -> None:
    """Write search.html. Whatever goes wrong with it, the search is done."""
    try:
        with tempfile.TemporaryDirectory() as path:
            folder = Path(path)
            page = tuning_page(race, folder) if isinstance(race, Tuning) else search_page(race, draw(race, folder))
            write_text(race.record.folder / PAGE, render_html(page, folder))
    except Exception as error:
        log.warning("no %s: %s", PAGE, first_line(error))


def order_of(race: Race) -> list[str]:
    """Return all candidates: the pick, the others of the end, then those that came furthest, the best first."""
    content = race.record.content
    rounds = {
        name: max((int(n) for n, rows in content["rounds"].items() if name in rows), default=-1)
        for name in race.candidates
    }

    def place(name: str) -> tuple[bool, bool, int, float]:
        accuracy = race.figures[name].accuracy if name in race.figures else -1.0
        return name != content["pick"], name not in content["order"], -rounds[name], -accuracy

    return sorted(race.candidates, key=place)


def draw(race: Race, folder: Path) -> list[Picture]:
    """Draw the race and the costs into a folder."""
    content, order = race.record.content, [name for name in order_of(race) if name in race.figures]
    ends = content.get("ends", {})
    lines = {
        race.candidates[name].shown: [
            (row["at"], row["accuracy"])
            for row in (*(rows.get(name) for rows in content["rounds"].values()), ends.get(name))
            if row is not None
        ]
        for name in order
    }
    figures.save(figures.race_curves(lines), folder / RACE)
    points = pd.DataFrame(
        {
            "label": [race.candidates[name].shown for name in order],
            "score": [race.figures[name].accuracy for name in order],
            "macs": [race.candidates[name].macs for name in order],
            "parameters": [race.candidates[name].parameters for name in order],
        }
    )
    if (chart := figures.cost_charts(points, split="Validation")) is not None:
        figures.save(chart, folder / COSTS)
    return [
        Picture(
            RACE,
            "Each point is the end of a round, the last one of a finalist that of its cool-down. In a round all are "
            f"trained for equally many {_unit(race)}; a third goes on.",
        ),
        Picture(COSTS, "Validation accuracy where each candidate was stopped: those that went on had more training."),
    ]


def _unit(race: Race) -> str:
    return "steps" if race.minutes is None else "seconds"


def search_page(race: Race, pictures: Sequence[Picture]) -> Page:
    content = race.record.content
    data = content["data"]
    budget = budget_of(race, "in the first round")
    others = (row for name, row in content["candidates"].items() if name != content["pick"])
    problems = [(row["shown"], str(row["out"])) for row in others if "out" in row]
    return Page(
        title=title_of(race),
        facts=facts_of(race, budget),
        question=f"Which network for these {len(data['classes'])} classes, {within(race, budget)}?",
        earlier=None,
        answer=content["answer"],
        sections=[
            Section(
                "The race",
                [
                    f"Successive halving: all candidates are trained for equally many {_unit(race)}, and a third of "
                    "them goes on from where it stands, until one is left. It is cooled down: its rate falls to 0. A "
                    "head alone learns in seconds what it can and stays out of the rounds; the best one is cooled "
                    "down, too, unless it is shown to be worse.",
                ],
                [_table(race)],
                pictures[:1],
            ),
            Section("What they cost", [_cost(race)], pictures=pictures[1:]),
            how_sure(race, "a round prefers whoever has made clearly fewer steps; otherwise "),
            Section("What more time would try", content["advice"]),
            how_to_use(race),
        ],
        problems=problems,
    )


def _cost(race: Race) -> str:
    name = race.record.content["pick"]
    pick, run = race.candidates[name], race.record.run(name)
    said = (
        f"The pick has {short(pick.parameters)} parameters and takes {short(pick.macs)} multiply-accumulates an image"
    )
    with suppress(UnusableError, OSError):
        cost = run.cost()
        one, many = cost["latency_ms_median"], cost["inference_images_per_second"]
        return f"{said}: here {one:.1f} ms for one alone, and {many:,.0f} a second in batches."
    return f"{said}."


def took(race: Race, name: str) -> float:
    """Return the seconds of all pieces of a candidate's training: features, validation and loading, too."""
    seconds, steps = 0.0, -1
    for rows in race.record.content["rounds"].values():
        if name in rows and rows[name]["steps"] != steps:  # else it waited for others, with what it had
            seconds, steps = seconds + rows[name]["wall"], rows[name]["steps"]
    return seconds


def _table(race: Race) -> Table:
    content, rows = race.record.content, []
    for name in order_of(race):
        if name not in race.figures:
            continue
        one, candidate = race.figures[name], race.candidates[name]
        reached = max(int(number) for number, found in content["rounds"].items() if name in found)
        rows.append(
            [
                candidate.shown,
                f"{one.accuracy:.3f}",
                f"{one.loss:.3f}",
                str(reached) if reached else "priced",
                f"{one.steps:,}",
                duration(one.seconds),
                duration(took(race, name)),
                short(candidate.parameters),
                short(candidate.macs),
            ]
        )
    columns = [
        "candidate",
        "val accuracy",
        "val loss",
        "last round",
        "steps",
        "trained",
        "with all",
        "parameters",
        "MACs an image",
    ]
    return Table("Where each candidate came to in the race, before the cool-down", columns, rows, best_first=True)
