"""Which arm is best with how many images to train on, and between which numbers the order changes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from statistics import fmean, stdev

import numpy as np

from .. import figures
from ..analysis.significance import holm
from ..analysis.tasks import Task
from ..figures import Points
from ..names import natural
from .arms import without
from .class_pictures import Drawing
from .difference_shown import Comparison, compare
from .document import Section, Table
from .groups import Group, TestSet
from .result import Result

SETTINGS = ("data.train_fraction", "data.max_images")
"""What says how many images there are to train on."""

FEWEST = 3
"""Numbers of images that make a curve."""

TESTED = "The tests tell what other test images would change, not what other seeds would."

ALIKE = 1e-9
"""A lead below this is rounding: both are equally good."""

Curve = Mapping[float, Group]
"""An arm's group by its number of training images, from few to many."""


@dataclass(frozen=True)
class Change:
    """Where `behind`, worse with `before` images, is better with `after`.

    Attributes:
        at: where straight lines on a logarithmic axis cross.
        shown: on how many of the two sides a difference between the two is shown.
    """

    behind: str
    ahead: str
    before: float
    after: float
    at: float
    shown: tuple[bool, bool]

    def __str__(self) -> str:
        sides = {(True, True): "both sides", (True, False): "the left only", (False, True): "the right only"}
        side = sides.get(self.shown)
        shown = f"a difference shown on {side}" if side else "no difference shown"
        return (
            f"{self.behind} passes {self.ahead} between {self.before:,.0f} and {self.after:,.0f} images, at about "
            f"{float(f'{self.at:.2g}'):,.0f} ({shown})"
        )


def curves_of(test_set: TestSet) -> dict[str, Curve]:
    """Return a curve for each arm by label; none where groups don't differ in the number of images by three values.

    Of values that mean as many images, 2,500 and all where there are no more, the one with most runs counts.
    """
    for key in SETTINGS:
        values = {group.differs[key] for group in test_set.groups if key in group.differs}
        if len(values) < FEWEST:
            continue
        of_value = {value: [g for g in test_set.groups if g.differs[key] == value] for value in values}
        sizes = {value: _images(groups) for value, groups in of_value.items()}
        kept: dict[float, str] = {}
        for value in sorted(sizes, key=lambda value: (-_runs(of_value[value]), natural(value))):
            kept.setdefault(sizes[value], value)
        if len(kept) < FEWEST or 0 in kept:
            continue
        arms = without(test_set, key).items()
        curves = {
            label: {size: g for size in sorted(kept) for g in groups if g.differs[key] == kept[size]}
            for label, groups in arms
        }
        return {label: curves[label] for label in sorted(curves, key=natural)}
    return {}


def _runs(groups: Sequence[Group]) -> int:
    return sum(len(group.runs) for group in groups)


def _images(groups: Sequence[Group]) -> float:
    """Return how many images the runs of these groups trained on, in the mean; 0 where none says."""
    counts = [count for group in groups for run in group.runs if (count := run.folder.train_images[0])]
    return round(fmean(counts)) if counts else 0


# The answer -----------------------------------------------------------------------------------------------------------


def crossing(result: Result) -> str | None:
    """Say which arm is best with how many images, and where the order changes; None without a curve."""
    curves = curves_of(result.test_set)
    if not curves:
        return None
    told = _best_of(curves, result.test_set)
    best = ", ".join(f"on {size:,.0f} {said}" for size, said in told.items())
    if len(curves) == 1:
        return f"By training images: {best}."
    changes = list(changes_of(curves, result.test_set))
    order = f"The order changes: {'; '.join(map(str, changes))}" if changes else "The order doesn't change"
    return f"Best by training images: {best}. {order}. {TESTED}"


def _best_of(curves: Mapping[str, Curve], test_set: TestSet) -> dict[float, str]:
    """Return what is said of each number of images; p-values are corrected for all arms at all numbers."""
    sizes = sorted({size for curve in curves.values() for size in curve})
    ranked = {
        size: sorted(
            ((curve[size], label) for label, curve in curves.items() if size in curve), key=lambda pair: -pair[0].score
        )
        for size in sizes
    }
    found = {size: compare(replace(test_set, groups=[group for group, _ in ranked[size]]))[0] for size in sizes}
    corrected = iter(holm([lead.p for leads in found.values() for lead in leads]))
    found = {size: [replace(lead, p_holm=next(corrected)) for lead in leads] for size, leads in found.items()}
    return {size: _best(ranked[size], found[size], alone=len(curves) == 1) for size in sizes}


def _best(ranked: Sequence[tuple[Group, str]], leads: Sequence[Comparison], *, alone: bool) -> str:
    (first, label), *others = ranked
    reached = f"{_score(first)} %" if alone else f"{label} with {_score(first)} %"
    if not others:
        return reached if alone else f"{reached} (no other)"
    second, name = others[0]
    lead = next((comparison for comparison in leads if comparison.other == second.label), None)
    if lead is None:
        return f"{reached} ({name} {_score(second)} %, without a seed in common)"
    spread = "" if lead.sd is None else f" ± {100 * lead.sd:.1f}"
    side = "below" if lead.difference > 0 else "above"
    apart = f"{abs(100 * lead.difference):.1f}{spread} points {side}"
    if abs(lead.difference) < ALIKE:
        apart = f"equal{spread and f',{spread} points from seed to seed'}"
    fewer = "" if lead.whole else " in the seeds that both have"
    shown = "a difference" if lead.shown else "no difference"
    return f"{reached} ({name} {apart}{fewer}: {shown} shown)"


def _score(group: Group) -> str:
    task = group.task
    scores = [100 * score for score in _scores(group)]
    spread = f" ± {stdev(scores):.1f}" if len(scores) > 1 else ""
    return f"{task.before}{fmean(scores):.1f}{spread}"


def _scores(group: Group) -> list[float]:
    return [run.metrics[f"test/{group.task.first}"] for run in group.runs]


def changes_of(curves: Mapping[str, Curve], test_set: TestSet) -> Iterator[Change]:
    """Yield each change of order between two arms at neighbouring numbers of images that both have.

    Whether a difference is shown is tested for these pairs only, with Holm's correction over all of them.
    """
    found: list[tuple[Change, list[Comparison | None]]] = []
    for (one, ours), (other, theirs) in combinations(curves.items(), 2):
        by_size = {size: ours[size].score - theirs[size].score for size in sorted(ours.keys() & theirs.keys())}
        for before, after in pairwise(size for size, lead in by_size.items() if abs(lead) > ALIKE):
            leads = by_size[before], by_size[after]
            if leads[0] * leads[1] > 0:
                continue
            behind, ahead = (one, other) if leads[0] < 0 else (other, one)
            share = leads[0] / (leads[0] - leads[1])
            at = float(np.exp(np.log(before) + share * np.log(after / before)))
            sides = [compared(test_set, ours[size], theirs[size]) for size in (before, after)]
            found.append((Change(behind, ahead, before, after, at, (False, False)), sides))
    corrected = iter(holm([side.p for _, sides in found for side in sides if side is not None]))
    told = []
    for change, sides in found:
        left, right = (side is not None and _is_so(replace(side, p_holm=next(corrected))) for side in sides)
        told.append(replace(change, shown=(left, right)))
    yield from sorted(told, key=lambda change: (change.before, change.at))


def _is_so(lead: Comparison) -> bool:
    """Return whether the lead is shown, in the seeds that both have, too: there the other one may be ahead."""
    return lead.shown and lead.difference > 0


def compared(test_set: TestSet, one: Group, other: Group) -> Comparison | None:
    """Compare two groups alone; None where they have no seed in common."""
    pair = sorted((one, other), key=lambda group: -group.score)
    found = compare(replace(test_set, groups=pair))[0]
    return found[0] if found else None


# The section ----------------------------------------------------------------------------------------------------------


def images_section(result: Result, draw: Drawing) -> list[Section]:
    """Return the section with sentence, table and chart; none without a curve."""
    curves, said = curves_of(result.test_set), crossing(result)
    if not curves or said is None:
        return []
    sizes = sorted({size for curve in curves.values() for size in curve})
    rows = [
        [label, *(_score(curve[size]) if size in curve else "–" for size in sizes)] for label, curve in curves.items()
    ]
    title = result.task.score.title
    caption = f"Test {title} in percent by the number of training images: mean ± sd over the runs"
    table = Table(caption, ["training images", *(f"{size:,.0f}" for size in sizes)], rows)
    chart = figures.line_charts(_charts(curves, result.task), "training images", [f"Test {title}"])
    pictured = f"Test {title}, and the gap between training and validation images, by training images (bars: ± sd)"
    return [Section("By number of images", [said], [table], draw(chart, "by_images", pictured))]


def _charts(curves: Mapping[str, Curve], task: Task) -> dict[str, dict[str, Points]]:
    title = task.score.title
    charts: dict[str, dict[str, Points]] = {f"Test {title}": {}, f"Train minus validation {title}": {}}
    for label, curve in curves.items():
        gaps = {size: [_gap(group, i) for i in range(len(group.runs))] for size, group in curve.items()}
        for chart, values in zip(
            charts.values(), ({size: _scores(group) for size, group in curve.items()}, gaps), strict=True
        ):
            chart[label] = Points(
                np.array([*values], float),
                np.array([fmean(some) for some in values.values()]),
                np.array([stdev(some) if len(some) > 1 else np.nan for some in values.values()]),
            )
    return charts


def _gap(group: Group, run: int) -> float:
    metrics = group.runs[run].metrics
    return metrics[f"train/{group.task.first}"] - metrics[f"val/{group.task.first}"]
