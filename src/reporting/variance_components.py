"""Where differences come from, and how many runs are enough: in words, as tables and as a chart."""

from collections.abc import Sequence

from .. import figures
from ..analysis.intervals import NONE
from ..analysis.variance_components import MOST_RUNS
from .class_pictures import Drawing
from .crossed_runs import NAMES, Sources
from .difference_shown import points
from .document import Section, Table

POINTS = (0.01, 0.02)
"""Differences for which the number of runs is told."""

LUCK = {
    "images": "of the test images",
    "split": "of the split (which images train and validate)",
    "seed": "of the seed",
    "rest": "of seed × split (what a seed does on one split only)",
}
PANELS = 6
"""The most of the chart; half of them networks."""


def variance_section(found: Sequence[Sources], draw: Drawing) -> list[Section]:
    """Return the section, or none where splits and seeds aren't crossed."""
    if not found:
        return []
    leads = [sources for sources in found if sources.minus]
    words = [summed_up(leads[0]), *filter(None, [how_many(leads[0])])] if leads else [summed_up(found[0])]
    shown = found if len(found) <= PANELS else [*found[: PANELS // 2], *leads[: PANELS // 2]]
    caption = "By how much a run varies from one to another, and by what (dots; lines: 95 % intervals)"
    pictures = draw(
        figures.variance_chart({sources.title: _spreads(sources) for sources in shown}), "variance_components", caption
    )
    varying = [lead for lead in leads if any(lead.shares.values())]
    tables = [_parts_table(found), *([_numbers_table(varying)] if varying else [])]
    return [Section("Where differences come from", [*words, _method(found[0])], tables, pictures)]


def _spreads(sources: Sources) -> dict[str, tuple[float, float, float]]:
    """Return standard deviations with their intervals, in points; without one where all of it is below 0."""
    found = {}
    for name, part in sources.parts.items():
        low, high = part.sd_interval if part.high > 0 else NONE
        found[NAMES[name]] = (100 * part.sd, 100 * low, 100 * high)
    return found


def summed_up(sources: Sources) -> str:
    """Say how much varies from run to run, and which part of the variance is of what, the largest first."""
    mean = f"{points(abs(sources.mean))} points" if sources.minus else f"{100 * sources.mean:.1f} %"
    shares = sorted(sources.shares.items(), key=lambda item: -item[1])
    known = ", ".join(f"{100 * share:.0f} % {LUCK[name]}" for name, share in shares)
    does = "leads" if sources.mean >= 0 else "is, on the splits and seeds that both have, behind"
    what = f"{sources.label} {does} {sources.minus} by" if sources.minus else f"{sources.label} reaches"
    if not any(sources.shares.values()):
        return f"{what} {mean}, and nothing varies: these runs don't tell what luck does."
    return f"{what} {mean} ± {100 * sources.sd:.1f} (sd, another run of each): this variance is {known}."


def how_many(sources: Sources) -> str:
    """Answer what n a student needs; "" where nothing varies."""
    if not any(sources.shares.values()):
        return ""
    said, alone = [], []
    for difference in POINTS:
        number, *ends = map(_number, sources.pairs(difference))
        said.append(f"{number} runs of each network ({' to '.join(ends)}) for {_points(difference)}")
        seeds, images = map(_number, (sources.seeds_on_one_split(difference), sources.images_needed(difference)))
        alone.append(f"{seeds} seeds for {_points(difference)} (none below {images} test images)")
    return (
        f"To show a true difference with 80 % power (paired t-test over the runs, at 5 %): {', '.join(said)}, each run "
        "with another seed and another split, as seed=1,2,3 does by itself. On one split alone, with "
        f"{sources.images:,.0f} test images: {', '.join(alone)}; what is shown then may be of that split only."
    )


def _method(sources: Sources) -> str:
    tested = (
        "All runs have the same published test images, so the split's part holds none of them; theirs is what another "
        "test set would change."
        if sources.published
        else "The test images follow the split: their part is taken off the split's. The splits of one data set share "
        "most images: fresh images would vary more."
    )
    return (
        f"{sources.seeds} seeds (initialisation, order, augmentation) were trained on each of {sources.splits} splits "
        "(data.split_seed: which images train, validate, test): a two-way random-effects analysis of variance by the "
        "method of moments. An estimate below 0 is shown as 0; components.csv keeps it. Intervals: Burdick and "
        f"Graybill 1992; of the test images, a bootstrap. Their part is what would vanish with many of them, "
        f"by what the runs answer to each. {tested}"
    )


def _parts_table(found: Sequence[Sources]) -> Table:
    rows = []
    for sources in found:
        shares = {NAMES[name]: 100 * share for name, share in sources.shares.items()}
        for name, (sd, low, high) in _spreads(sources).items():
            between = f"{low:.2f} to {high:.2f}" if low <= high else "–"
            rows.append([sources.title, name, f"{sd:.2f}", between, f"{shares[name]:.0f} %"])
    caption = (
        "Standard deviation from run to run, in points, by what it comes from, and its share in the variance; –: even "
        "the upper end of the interval is below 0"
    )
    return Table(caption, ["accuracy of", "by", "sd", "95 % interval", "share"], rows, text_columns=2)


def _numbers_table(leads: Sequence[Sources]) -> Table:
    rows = []
    for sources in leads:
        for difference in POINTS:
            number, *ends = map(_number, sources.pairs(difference))
            one = map(_number, (sources.seeds_on_one_split(difference), sources.images_needed(difference)))
            rows.append([sources.title, _points(difference), number, " to ".join(ends), *one])
    caption = (
        "How many runs of each network show a true difference with 80 % power: each on a split of its own, with the "
        "range; on one split with these test images; test images without which no number of seeds is enough there"
    )
    columns = ["networks", "difference", "runs", "range", "seeds on one split", "test images"]
    return Table(caption, columns, rows, text_columns=2)


def _points(difference: float) -> str:
    return f"{100 * difference:.0f} point{'s' * (difference > 0.01)}"


def _number(number: int | None) -> str:
    return f"over {MOST_RUNS:,}" if number is None else f"{number:,}"
