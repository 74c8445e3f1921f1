"""Whether the compared networks' maps are true: one row a model, from what `src.explain` has measured."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ..analysis.faithfulness import MEASURES, TITLES
from ..analysis.maps import Agreement
from ..analysis.sanity import Control, controls
from ..runs.contents import UnusableError, read_json
from ..runs.output import made
from .compared_maps import Deleted, OnObjects, Row, agreement, compared
from .document import Section, Table
from .finished import Run
from .groups import Group

SANITY = (
    "Sanity (Adebayo et al. 2018): rank correlation [95 % interval] of the maps with those of the same network with "
    "random weights, and of one trained on shuffled labels. High is bad: such maps don't depend on what was learned. "
    "Beside it: maps of different images by the same network, what its maps have in common anyway"
)

BESIDES = (
    "Whose maps are truer? Deletion, insertion and ROAD compare maps of one network; those of two are compared by "
    "IDSDS (Hesse et al. 2024: the rank correlation of what map and network give each piece of an image, "
    "single_deletion=true), and by their energy and peaks on the objects, where these are known"
)

BASELINES = ("random", "inverted", "centre blob")


@dataclass(frozen=True)
class Measured:
    """The faithfulness of one run's maps: `means` by measure and explanation, `verdicts` by measure and baseline.

    `sanity` has the controls of the sanity check by their names; `objects` and `deleted` what was measured besides.
    """

    method: str
    layer: str
    images: int
    means: dict[tuple[str, str], float]
    verdicts: dict[tuple[str, str], str]
    sanity: Mapping[str, Control]
    objects: OnObjects | None
    deleted: Deleted | None


def faithfulness_section(groups: Sequence[Group]) -> list[Section]:
    """Return a section with a table of one row a model and method; none if no run has been measured."""
    rows, sane, damaged, besides = [], list[tuple[str, str, str, str]](), [], list[Row]()
    for group in groups:
        by_method: dict[tuple[str, str], list[Measured]] = defaultdict(list)
        for run in group.runs:
            found, lost = read_measured(run)
            damaged += lost
            for measured in found:
                by_method[measured.method, measured.layer].append(measured)
        rows += [_row(group.label, found) for found in by_method.values()]
        besides += [_besides(group.label, found) for found in by_method.values()]
        sane += [row for found in by_method.values() for row in _sanity_rows(group.label, found)]
    if not rows and not damaged:
        return []
    caption = (
        "Are the maps true? Areas under the curves of deletion (less is better) and insertion, and ROAD: the map, "
        "then random and centre blob; and in how many of the three the map is better than each (95 % interval of the "
        "paired difference), from python -m src.explain checkpoint=RUN faithfulness=true"
    )
    columns = ["model", "maps", "runs × images", "deletion", "insertion", "ROAD"]
    lacking = [f"Can't be read: {'; '.join(damaged)}."] if damaged else []
    columns.append(f"better than {' / '.join(BASELINES)}")
    tables = [Table(caption, columns, rows, text_columns=2)] if rows else []
    said, agree = agreement(besides)
    lacking += [*compared(besides), *said]
    if truer := [row for row in besides if row.deleted or row.objects]:
        columns = ["model", "maps", "IDSDS", "on objects: energy / peaks / covered"]
        tables.append(Table(BESIDES, columns, [[row.model, row.maps, *row.cells] for row in truer], text_columns=2))
    tables += agree
    if sane:
        tables.append(Table(SANITY, ["model", "maps", "control", "rank correlation"], sane, text_columns=4))
    return [Section("Are the maps true?", lacking, tables)]


def read_measured(run: Run) -> tuple[list[Measured], list[str]]:
    """Return what was last measured of a run's maps by each method, and which records can't be read and why."""
    found, lost = dict[tuple[str, str], Measured](), []
    for name in made(run.folder.path, "explain"):
        try:
            record = read_json(run.folder.path, f"explain/{name}/explain.json")
            if record.get("faithfulness"):  # only maps have one, and only if it was asked for
                measured = _measured(record)
                found[measured.method, measured.layer] = measured
        except UnusableError as error:
            lost.append(f"run {run.name}, {error}")
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            lost.append(f"run {run.name}, explain/{name}/explain.json is damaged ({type(error).__name__})")
    return list(found.values()), lost


def _measured(record: dict[str, Any]) -> Measured:
    figures = record["faithfulness"]
    rows = {(row["measure"], row["explanation"]): row for row in figures["rows"]}
    return Measured(
        method=str(record["method"]),
        layer=str(record["layer"]),
        images=int(figures["images"]),
        means={
            (measure, name): float(rows[measure, name]["mean"]) for measure in MEASURES for name in ("map", *BASELINES)
        },
        verdicts={(measure, name): str(rows[measure, name]["verdict"]) for measure in MEASURES for name in BASELINES},
        sanity=controls([_agreement(row) for row in figures.get("sanity", ())]),
        objects=OnObjects.read(figures),
        deleted=Deleted.read(record),
    )


def _row(label: str, found: Sequence[Measured]) -> list[str]:
    means = {key: fmean(one.means[key] for one in found) for key in found[0].means}
    cells = [
        " / ".join(f"{means[measure, name]:.3f}" for name in ("map", "random", "centre blob")) for measure in MEASURES
    ]
    better = []
    for name in BASELINES:
        count = fmean(sum(one.verdicts[measure, name] == "better" for measure in MEASURES) for one in found)
        better.append(f"{count:.3g}")
    images = sorted({one.images for one in found})
    return [
        label,
        f"{found[0].method}, {found[0].layer}",
        f"{len(found)} × {'–'.join(map(str, images))}",
        *cells,
        f"{' / '.join(better)} of {len(MEASURES)}",
    ]


def _besides(label: str, found: Sequence[Measured]) -> Row:
    leads = {
        TITLES[name]: sign * fmean(one.means[name, "map"] - one.means[name, "random"] for one in found)
        for name, sign in MEASURES.items()
    }
    objects = [one.objects for one in found if one.objects is not None]
    deleted = [one.deleted for one in found if one.deleted is not None]
    return Row(label, f"{found[0].method}, {found[0].layer}", leads, objects, deleted)


def _agreement(row: Mapping[str, Any]) -> Agreement:
    """Return a row of explain.json, where null is what could not be measured."""
    names = ("correlation", "low", "high", "absolute", "absolute_low", "absolute_high")
    figures = {name: float("nan" if row.get(name) is None else row[name]) for name in names}
    return Agreement(str(row["stage"]), **figures, n=int(row.get("n", 0)), draws=())


def _sanity_rows(label: str, found: Sequence[Measured]) -> list[tuple[str, str, str, str]]:
    """Return a row for each run's control; runs of a group count alike, and none hides behind their mean."""
    maps = f"{found[0].method}, {found[0].layer}"
    return [
        (label, maps, name, f"they {control.word}: {control}") for one in found for name, control in one.sanity.items()
    ]
