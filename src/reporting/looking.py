"""Does the better network look at better places? How much of the Grad-CAMs lies on objects whose places are known."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np

from .. import figures
from ..analysis.intervals import Interval, between, mean_interval, seeds_interval
from ..analysis.significance import p_of_order
from ..figures.epochs import by_epoch
from ..figures.object_energy import Line
from ..frames import pd
from ..runs.contents import UnusableError
from ..runs.kept_energy import KeptEnergy, read_energy
from .class_pictures import Drawing
from .document import Section, Table
from .finished import Replicate, Run
from .groups import Group
from .result import Result

QUESTION = "Does the better network look at better places?"

NOT_SHOWN = "That isn't shown"

FEWEST = 5
"""Networks below which no order can be told from chance: 2 of the 24 orders of four agree wholly with any other one,
or turn it round, which is p = 0.083."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One run's figures at its best epoch (at the last where that has no maps): of n images, by path."""

    kept: KeptEnergy
    at: int

    @property
    def energy(self) -> float:
        return float(self.kept.means[self.at])

    @property
    def lead(self) -> float:
        return float(self.kept.leads[self.at])

    @property
    def by_image(self) -> dict[str, float]:
        row = self.kept.energy[self.at]
        return {path: float(value) for path, value in zip(self.kept.paths, row, strict=True) if np.isfinite(value)}


@dataclass(frozen=True)
class Lead:
    """By how much more of the first network's evidence lies on the objects, image by image and training by training."""

    difference: float
    interval: Interval
    images: int
    by_pair: Sequence[float]

    def __str__(self) -> str:
        pairs = len(self.by_pair)
        spread = f" ± {stdev(self.by_pair):.3f}" if pairs > 1 else ""
        more = sum(one > 0 for one in self.by_pair)
        of = f"more in {more} of {pairs} pairs of trainings" if pairs > 1 else "one training each"
        return _minus(f"{self.difference:+.3f}{spread} {between(*self.interval, '+.3f')} on {self.images} images, {of}")


def looking_section(result: Result, draw: Drawing) -> list[Section]:
    """Return the section with sentence, table and chart; none where no run has measured it."""
    seen, damaged = dict[str, dict[Replicate, Seen]](), []
    for group in result.test_set.groups:
        found, lost = _read(group)
        damaged += lost
        if found:
            seen[group.label] = found
    lacking = [f"Can't be read: {'; '.join(damaged)}."] if damaged else []
    if not seen:
        return [Section("On the objects?", lacking)] if damaged else []
    groups = [group for group in result.test_set.groups if group.label in seen]
    every = [one.kept for found in seen.values() for one in found.values()]
    covered, blob = (fmean(float(getattr(kept, name).mean()) for kept in every) for name in ("covered", "blob"))
    caption = (
        "Share of the Grad-CAMs' positive evidence that lies on the object, in validation images whose places are "
        "known, at each run's best epoch: mean ± sd over the runs; how much more that is than of a map that is the "
        "same everywhere (before training, too), and Student's 95 % interval of it for other seeds"
    )
    columns = ["model", "runs × images", "on the object", "beyond an even map", "other seeds", "before", "map"]
    rows = [_row(group.label, seen[group.label]) for group in groups]
    chart = figures.object_energy_of_groups(
        {group.label: _lines(group, seen[group.label]) for group in groups},
        blob - covered,
        f"Validation {result.task.score.title}",
    )
    pictured = "Mean over the runs, with a band from the lowest to the highest. Epoch 0: untrained"
    beside = (
        f"Of a map that is the same everywhere {covered:.3f} would lie there, of a centre blob {blob:.3f}. Each map is "
        f"of {_explained(groups)}."
    )
    said = [*answer(groups, seen, result), beside, *_coarse(seen), *lacking]
    return [Section("On the objects?", said, [Table(caption, columns, rows)], draw(chart, "object_energy", pictured))]


def on_objects(result: Result) -> str:
    """Return how much of the maps of two groups lies on the objects, as a sentence that follows others, or nothing."""
    seen = {group.label: found for group in result.test_set.groups if (found := _read(group)[0])}
    if len(seen) != 2:
        return ""
    (one, ours), (other, theirs) = seen.items()
    lead = leads_by(ours, theirs)
    if lead is None:
        return ""
    beyond = {label: fmean(run.lead for run in found.values()) for label, found in seen.items()}
    low, high = lead.interval
    shown = f"{'no ' if not low <= high or low <= 0 <= high else 'a '}difference shown"
    coarse = " ".join(["", *_coarse(seen)])
    return (
        f" Of the maps' positive evidence {_mean(ours):.3f} lies on the object with {one} "
        f"({_minus(f'{beyond[one]:+.3f}')} beyond an even map) and {_mean(theirs):.3f} with {other} "
        f"({_minus(f'{beyond[other]:+.3f}')}), {lead}: {shown}.{coarse}"
    )


def _read(group: Group) -> tuple[dict[Replicate, Seen], list[str]]:
    found, lost = {}, []
    for run in group.runs:
        try:
            kept = read_energy(run.folder.path)
        except UnusableError as error:
            lost.append(f"run {run.name}, {error}")
            continue
        if kept is not None:
            one = Seen(kept, kept.at(int(run.metrics["best_epoch"])))
            if np.isfinite(one.energy):
                found[run.replicate] = one
    return found, lost


def _row(label: str, found: Mapping[Replicate, Seen]) -> list[str]:
    energies, before = [one.energy for one in found.values()], []
    for one in found.values():
        if one.kept.epochs[0] == 0 and np.isfinite(first := float(one.kept.leads[0])):
            before.append(first)
    images = sorted({len(one.by_image) for one in found.values()})
    leads = [one.lead for one in found.values()]
    return [
        label,
        f"{len(found)} × {'–'.join(map(str, dict.fromkeys((images[0], images[-1]))))}",
        _mean_and_sd(energies, ".3f"),
        _mean_and_sd(leads, "+.3f"),
        between(*seeds_interval(leads), "+.3f") if len(leads) > 1 else "–",
        f"{fmean(before):+.3f}" if before else "–",
        ", ".join(sorted({_size(one.kept) for one in found.values()})),
    ]


def _mean_and_sd(values: Sequence[float], digits: str) -> str:
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{fmean(values):{digits}}{spread}"


def _size(kept: KeptEnergy) -> str:
    return f"{kept.cells[0]}×{kept.cells[1]}"


# The answer -----------------------------------------------------------------------------------------------------------


def answer(groups: Sequence[Group], seen: Mapping[str, Mapping[Replicate, Seen]], result: Result) -> list[str]:
    """Answer `QUESTION`: of two networks by a paired difference, of more by a rank correlation, too."""
    best, *others = groups
    leads = {other.label: lead for other in others if (lead := leads_by(seen[best.label], seen[other.label]))}
    if not leads:
        return []
    shown = {lead.other for lead in result.comparisons if lead.shown and lead.best == best.label}
    if len(groups) > 2:
        said = [_by_rank(groups, seen, result)]
        return [*said, *(f"{best.label} against {label}: {lead}." for label, lead in leads.items())]
    (label, lead), other = next(iter(leads.items())), others[0]
    low, high = lead.interval
    verdict = "Yes, of these networks" if low > 0 else "No, these show the opposite" if high < 0 else NOT_SHOWN
    verdict = verdict if label in shown else NOT_SHOWN  # neither where it isn't shown which one is better
    score = result.task.score.title
    better = "is better" if label in shown else "is ahead, though no difference is shown,"
    return [
        f"{QUESTION} {verdict}: {best.label} {better} in {score} ({best.score:.3f} against {other.score:.3f}), and the "
        f"share of its evidence on the objects is {_mean(seen[best.label]):.3f} against {_mean(seen[label]):.3f} "
        f"({lead})."
    ]


def leads_by(one: Mapping[Replicate, Seen], other: Mapping[Replicate, Seen]) -> Lead | None:
    """Compare two groups, paired by image and run; an image of several runs counts once. None without a common one."""
    differences, by_pair = defaultdict[str, list[float]](list), []
    for replicate in sorted(one.keys() & other.keys(), key=str):
        ours, theirs = one[replicate].by_image, other[replicate].by_image
        shared = sorted(ours.keys() & theirs.keys())
        for path in shared:
            differences[path].append(ours[path] - theirs[path])
        if shared:
            by_pair.append(fmean(ours[path] - theirs[path] for path in shared))
    if not differences:
        return None
    values = np.array([fmean(differences[path]) for path in sorted(differences)])
    return Lead(float(values.mean()), mean_interval(values), len(values), by_pair)


def _by_rank(groups: Sequence[Group], seen: Mapping[str, Mapping[Replicate, Seen]], result: Result) -> str:
    scores = np.array([group.score for group in groups])
    leads = np.array([fmean(one.lead for one in seen[group.label].values()) for group in groups])
    (rho, p), n = p_of_order(scores, leads), len(groups)
    if not np.isfinite(rho):
        return f"{QUESTION} That can't be told: the figures don't differ."
    score = result.task.score.title
    told = f"rank correlation {_minus(f'{rho:+.2f}')} between {score} and the share on the objects, {n} networks"
    if n < FEWEST:
        return f"{QUESTION} So few networks can't show it: {told}."
    verdict = NOT_SHOWN if p >= 0.05 else "Yes, of these networks" if rho > 0 else "No, these show the opposite"
    return f"{QUESTION} {verdict}: {told}, p = {p:.3f}."


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _mean(found: Mapping[Replicate, Seen]) -> float:
    return fmean(one.energy for one in found.values())


def _coarse(seen: Mapping[str, Mapping[Replicate, Seen]]) -> list[str]:
    """Warn where maps of several sizes are compared."""
    sizes = {_size(one.kept) for found in seen.values() for one in found.values()}
    if len(sizes) < 2:
        return []
    return ["The maps have cells of different sizes, and coarse ones spill over an object's edge whatever they show."]


def _explained(groups: Sequence[Group]) -> str:
    targets = {_target(run) for group in groups for run in group.runs}
    if targets == {"true"}:
        return "the true class"
    return "the class that the network predicts" if targets == {"predicted"} else "the class that its run explains"


def _target(run: Run) -> str:
    callback = (run.config.get("callbacks") or {}).get("gradcam") or {}
    return str(callback.get("target", "predicted"))


# By epoch -------------------------------------------------------------------------------------------------------------


def _lines(group: Group, found: Mapping[Replicate, Seen]) -> tuple[Line, Line]:
    energy = [pd.DataFrame({"epoch": one.kept.epochs, "value": one.kept.leads}) for one in found.values()]
    name = f"val/{group.task.first}"
    accuracy = [run.history[["epoch", name]].rename(columns={name: "value"}) for run in group.runs]
    return _line(energy), _line(accuracy)


def _line(tables: Sequence[pd.DataFrame]) -> Line:
    """Return the means over the seeds, from the lowest to the highest, as learning curves show them."""
    rows = by_epoch(tables, "value")
    several = rows["count"] > 1
    low, high = (rows[end].where(several).to_numpy() for end in ("min", "max"))
    return Line([int(epoch) for epoch in rows.index], rows["mean"].to_numpy(), low, high)
