"""From what changes do to the answers to shortcuts: which are found, where, how sure, in sentences."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..analysis.intervals import wilson
from ..analysis.leaks import Leak
from ..analysis.repeats import Repeat
from ..analysis.shortcuts import EVERYWHERE, FOLLOWED, GRID, SHARE, in_the_middle, strongest
from .changed_answers import Asked, Effects


@dataclass(frozen=True)
class Found:
    """A shortcut: what kind, how sure, and the pixels where it lies, if it has a place."""

    kind: str
    said: str
    share: float
    low: float
    high: float
    place: tuple[int, int, int] | str | None = None
    """Row, column and size of the grid; or "frame"."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def findings(
    asked: Asked, effects: Effects, by_file: Leak | None, by_look: Leak | None, pattern: Repeat | None, seed: int
) -> list[Found]:
    """Return the shortcuts, the surest first within each kind; a place is named once, by the test that says most."""
    if not _knows(asked):
        return [*_file(by_file)]
    everywhere = _everywhere(asked, effects, by_look)
    places = [] if everywhere else [*_places(asked, effects, seed)]
    looks = [one for what in ("tint", "sharpness") for one in _followed(effects, what)]
    if any(one.share >= framed.share for one in looks for framed in places if framed.kind == "frame"):
        places = []  # a part of what the whole image has
    return [*everywhere, *places, *looks, *_pattern(pattern, asked), *_file(by_file)]


def _knows(asked: Asked) -> bool:
    return wilson(asked.accuracy, len(asked.classes))[0] > asked.guessing


def _places(asked: Asked, effects: Effects, seed: int) -> Iterator[Found]:
    if len(effects.followed):
        cell = strongest(effects.followed, seed=seed)
        if cell.fixed:
            said = (
                f"the answers follow a fixed place, {cell} of a 4×4 grid: with that piece of an image of another class "
                f"{_percent(cell.share, cell.interval)} become that class, beyond what a piece of their own class's "
                f"does; {max(0.0, cell.moving):.0%} at most if it moved"
            )
            yield Found("fixed place", said, cell.share, *cell.interval, place=(cell.row, cell.column, GRID))
            return
    for (number, fill), drops in effects.covered.items():
        cell = strongest(drops, whole=asked.known, seed=seed)
        if cell.fixed:
            said = (
                f"a fixed place counts, {cell} of a {number}×{number} grid: {'grey' if fill == 'grey' else 'blurred'} "
                f"there, the network loses {_percent(cell.share, cell.interval)} of what it knows beyond guessing; "
                f"{max(0.0, cell.moving):.0%} at most if what counts moved"
            )
            yield Found("fixed place", said, cell.share, *cell.interval, place=(cell.row, cell.column, number))
            return
    yield from _followed(effects, "frame")


OF_OTHER = {
    "frame": "the frame, the outer sixteenth on each side",
    "tint": "light and tint, the mean and the spread of each channel",
    "sharpness": "the degree of detail, as sharpness, resolution and compression change it",
}


def _followed(effects: Effects, what: str) -> Iterator[Found]:
    values = effects.of_other[what]
    share = max(0.0, float(values.mean())) if len(values) else 0.0
    low, high = wilson(share, max(1, len(values)))
    if low >= FOLLOWED:
        said = (
            f"the answers follow {OF_OTHER[what]}: with that of an image of another class "
            f"{_percent(share, (low, high))} become that class, beyond what that of their own class's does"
        )
        yield Found(what, said, share, low, high, place="frame" if what == "frame" else None)


def _everywhere(asked: Asked, effects: Effects, by_look: Leak | None) -> list[Found]:
    middle = in_the_middle(GRID)
    least = min(float(effects.pieces[middle].mean()), float(effects.pieces[~middle].mean()))
    share = (least - asked.guessing) / asked.known
    low, high = ((end - asked.guessing) / asked.known for end in wilson(least, len(asked.classes)))
    if low < EVERYWHERE:
        return []
    clue = (
        f"; {by_look.properties[0]} alone tells {by_look.accuracy:.0%} of the images"
        if by_look and by_look.found
        else ""
    )
    said = (
        "any piece of an image is enough, a corner too: a sixteenth, repeated over the whole image, gives "
        f"{least:.3f} of the accuracy of {asked.accuracy:.3f}, guessing {asked.guessing:.3f}: a tint, a texture behind "
        f"the object, sharpness or compression goes with the class{clue}"
    )
    return [Found("everywhere", said, min(1.0, share), low, min(1.0, high))]


def _pattern(pattern: Repeat | None, asked: Asked) -> Iterator[Found]:
    if pattern is not None and pattern.found:
        said = (
            f"images of {asked.class_names[pattern.index]} share a pattern, pixel by pixel, at changing places: "
            f"{_percent(pattern.share, pattern.interval)} of their pairs fit better than 99% of pairs of two classes"
        )
        yield Found("repeated pattern", said, pattern.share, *pattern.interval)


def _file(by_file: Leak | None) -> Iterator[Found]:
    if by_file is not None and by_file.found:
        said = (
            f"the files give the class away: {' and '.join(by_file.properties[:2])} alone tell "
            f"{_percent(by_file.accuracy, by_file.interval)} of the images, guessing {by_file.guessing:.0%}"
        )
        yield Found("files", said, by_file.accuracy, *by_file.interval)


def _percent(share: float, interval: tuple[float, float]) -> str:
    return f"{share:.0%} (95 % interval {max(0.0, interval[0]):.0%} to {interval[1]:.0%})"


def verdict_of(found: Sequence[Found], asked: Asked, effects: Effects) -> str:
    n = len(asked.classes)
    if found:
        return f"Shortcut found: {'. Also: '.join(one.said for one in found)}."
    if not _knows(asked):
        return f"Nothing to look for: {asked.accuracy:.3f} of {n} images right is no more than guessing."
    most = strongest(effects.covered[GRID, "grey"], whole=asked.known)
    limit = f"from {SHARE:.0%}" if most.share < SHARE else f"above {most.moving:.0%}, as much as if what counts moved,"
    return (
        f"No shortcut found in {n} images: no place outside the middle carries more than {max(0.0, most.share):.0%} of "
        f"what the network knows beyond guessing ({limit} it would be one), no piece alone is enough; pieces of the "
        f"edge, repeated, give {background(asked, effects)['edge_alone']:.3f}, guessing {asked.guessing:.3f}."
    )


def background(asked: Asked, effects: Effects) -> dict[str, float]:
    """Return what pieces of the edge, repeated, give: the accuracy of the background alone where objects lie inside."""
    outer = effects.pieces[~in_the_middle(GRID)]
    return {
        "edge_alone": float(outer.mean()),
        "guessing": asked.guessing,
        "share": float((outer.mean() - asked.guessing) / asked.known),
    }
