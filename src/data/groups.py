"""Images that belong together, such as those of a patient: which they are, and splits that keep them on one side."""

import json
import logging
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from ..errors import InputError

log = logging.getLogger(__name__)

LONGEST_PATTERN = 200
SECONDS, PER_SECOND = 10, 20_000
"""How long a pattern may take, and a second more for so many paths: usual ones take a tenth of that."""

SEARCH = """
import json, re, sys
pattern, paths = json.load(sys.stdin)
found = map(re.compile(pattern).search, paths)
print(json.dumps([match and [match[0], *match.groups()] for match in found]))
"""
MANY, MOST_STARTS = 20_000, 4
"""Groups in all starts of a draw together, and how often few groups start at most."""

LOOKS, LEAST_PASSES, MOST_PASSES = 200_000, 2, 20
"""Groups in all passes of a start together (some seconds), and how many passes that may be."""


def match_groups(pattern: str, paths: Sequence[str], known_as: str = "") -> list[str]:
    """Return the group of each path: what the pattern's brackets match, or all of the match where it has none.

    Args:
        known_as: what else the setting could have meant, for the message.

    Raises:
        InputError: it is no regular expression, or fits no part of some path.
    """
    said = f"data.group={pattern[:LONGEST_PATTERN]}"
    if len(pattern) > LONGEST_PATTERN:
        raise InputError(f"{said}… is too long: take at most {LONGEST_PATTERN} characters")
    try:
        regex = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(f"{said} is {known_as}no regular expression ({error})") from error
    if (found := search_all(pattern, paths)) is None:
        raise InputError(
            f"{said} is a pattern that takes over {SECONDS + len(paths) // PER_SECOND} s on {len(paths):,} paths: "
            "write one without repeats inside repeats, such as (a+)+"
        )
    groups = [found_text(match, regex.groups) for match in found]
    if without := [path for path, text in zip(paths, groups, strict=True) if not text]:
        raise InputError(
            f"{said} is {known_as}a pattern that {len(without):,} of {len(paths):,} paths don't fit, "
            f"such as {without[0][:120]!r}: write one that fits all"
        )
    return groups


def search_all(pattern: str, paths: Sequence[str]) -> list[list[str | None] | None] | None:
    """Return of each path what the pattern matches, then what its brackets do; None where it fits nothing.

    Python's own engine may go through all ways to divide a path, 2^N of them, and nothing can stop it: so it works in a
    process of its own. None for all: it took too long.
    """
    words = [sys.executable, "-I", "-S", "-c", SEARCH]
    try:
        done = subprocess.run(
            words,
            input=json.dumps([pattern, list(paths)]),
            capture_output=True,
            encoding="ascii",
            check=True,
            timeout=SECONDS + len(paths) / PER_SECOND,
        )
    except subprocess.TimeoutExpired:
        return None
    found: list[list[str | None] | None] = json.loads(done.stdout)
    return found


def found_text(match: Sequence[str | None] | None, brackets: int) -> str:
    """Return what the brackets match, or all of the match where there are none; "" where the pattern doesn't fit."""
    if match is None:
        return ""
    return "|".join(part or "" for part in match[1:]).strip("|") if brackets else match[0] or ""


def across(groups: Sequence[str], splits: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    """Return the groups that are in several splits, sorted, and in which."""
    names = np.asarray(groups)
    found: dict[str, list[str]] = {}
    for split, indices in splits.items():
        for name in np.unique(names[indices]).tolist():
            found.setdefault(name, []).append(split)
    return {name: found[name] for name in sorted(found) if len(found[name]) > 1}


def warn_of_shared(groups: Sequence[str], splits: Mapping[str, np.ndarray]) -> None:
    """Name the groups that a given division has torn apart."""
    if shared := across(groups, splits):
        named = ", ".join(f"{name!r} ({', '.join(parts)})" for name, parts in list(shared.items())[:3])
        log.warning(
            "%d of the %d groups are in more than one split, as they were given: %s%s: measurements would flatter",
            len(shared), len(set(groups)), named, ", …" if len(shared) > 3 else "",
        )  # fmt: skip


def take_groups(
    targets: np.ndarray, groups: np.ndarray, fraction: float, keep: int, random: np.random.Generator
) -> np.ndarray:
    """Return a mask (N,) of whole groups with about `fraction` of each class.

    Every class keeps at least one group outside, `keep` where it has more than that, and gets one inside if it can.
    The deviation from the wanted number of images, squared, is least for each class relative to its size, and for all
    together: from random orders in which groups are taken one by one, and put back, while that helps. (The aim of
    scikit-learn's StratifiedGroupKFold, whose parts are all of one size.)

    Args:
        targets: int64 (N,).
        groups: int64 (N,), of the same images.

    Raises:
        InputError: no group can be taken.
    """
    table = GroupTable.count(targets, groups)
    starts = int(np.clip(MANY // len(table.sizes), 1, MOST_STARTS))
    choices = [Choice(table, fraction, keep) for _ in range(starts)]
    for choice in choices:
        choice.improve(random.permutation(len(table.sizes)))
    best = min(choices, key=lambda choice: choice.cost)
    if not best.many:
        raise InputError(
            "the groups can't be divided, since each has all images of some class: take others, or data.group=none"
        )
    taken: np.ndarray = best.taken[table.members]
    return taken


@dataclass(frozen=True)
class GroupTable:
    """N images in G groups and K classes.

    Attributes:
        members: int64 (N,), the group of each image.
        sizes: images of each group (G,).
        classes: of each group, the classes that it has images of. A table of all groups and classes could be too large.
        counts: of each group, how many.
        totals: images of each class (K,).
        spread: groups of each class (K,).
    """

    members: np.ndarray
    sizes: np.ndarray
    classes: list[np.ndarray]
    counts: list[np.ndarray]
    totals: np.ndarray
    spread: np.ndarray

    @classmethod
    def count(cls, targets: np.ndarray, groups: np.ndarray) -> Self:
        members, labels = (np.unique(values, return_inverse=True)[1] for values in (groups, targets))
        sizes, totals = np.bincount(members), np.bincount(labels)
        pairs, counts = np.unique(members * len(totals) + labels, return_counts=True)
        bounds = np.searchsorted(pairs, np.arange(1, len(sizes)) * len(totals))
        classes = pairs % len(totals)
        spread = np.bincount(classes, minlength=len(totals))
        return cls(members, sizes, np.split(classes, bounds), np.split(counts, bounds), totals, spread)


class Choice:
    """Some of the groups, and what is wrong with them: `cost`.

    Attributes:
        taken: a mask (G,).
        many: how many groups that are.
    """

    def __init__(self, table: GroupTable, fraction: float, keep: int) -> None:
        self.table = table
        self.goals, self.goal = fraction * table.totals, fraction * len(table.members)
        self.keep = np.clip(table.spread - 1, 1, keep)
        self.taken, self.many = np.zeros(len(table.sizes), dtype=bool), 0
        self.images, self.total = np.zeros_like(table.totals), 0  # of each class, and of all
        self.outside = table.spread.copy()
        self.cost = 0.0  # more than that of no group at all

    def improve(self, order: np.ndarray) -> None:
        """Take groups or put them back, in this order of all (G,), until no single one makes it better."""
        for _ in range(int(np.clip(LOOKS // len(order), LEAST_PASSES, MOST_PASSES))):
            changed = [group for group in order if self.change(group) < -1e-9 and self.flip(group)]
            if not self.many:  # all are too large: one that is least so
                costs = {group: self.change(group) for group in order if self.may_flip(group)}
                changed = [group for group in sorted(costs, key=lambda group: costs[group])[:1] if self.flip(group)]
            if not changed:
                return

    def change(self, group: int) -> float:
        """Return what it costs more to take the group, or to put it back."""
        table, sign = self.table, -1 if self.taken[group] else 1
        classes, counts = table.classes[group], sign * table.counts[group]
        images, totals = self.images[classes], table.totals[classes]
        # a class without an image is as bad as one with all of them
        lacking = ((images + counts == 0) * 1.0 - (images == 0)) * (table.spread[classes] > 1) * totals
        costs = counts * (2 * (images - self.goals[classes]) + counts) / totals + lacking
        step = sign * table.sizes[group]
        return float(costs.sum() + step * (2 * (self.total - self.goal) + step) / len(table.members))

    def may_flip(self, group: int) -> bool:
        if self.taken[group]:
            return self.many > 1
        classes = self.table.classes[group]
        return bool((self.outside[classes] > self.keep[classes]).all())

    def flip(self, group: int) -> bool:
        """Take the group or put it back; return whether that may be."""
        if not self.may_flip(group):
            return False
        self.cost += self.change(group)
        table, sign = self.table, -1 if self.taken[group] else 1
        classes = table.classes[group]
        self.images[classes] += sign * table.counts[group]
        self.outside[classes] -= sign
        self.total += sign * table.sizes[group]
        self.many += sign
        self.taken[group] = sign > 0
        return True


def fold_groups(targets: np.ndarray, groups: np.ndarray, folds: int, fold: int, seed: int) -> np.ndarray:
    """Return a mask (N,) of part `fold` of `folds`, of whole groups; raise `InputError` for fewer groups than folds."""
    from sklearn.model_selection import StratifiedGroupKFold  # slow to import, and rarely needed

    names = np.unique(groups)
    if len(names) < folds:
        raise InputError(f"data.folds={folds}, but there are {len(names)} groups only: take fewer folds")
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(targets, targets, groups)
    mask = np.zeros(len(targets), dtype=bool)
    mask[list(parts)[fold][1]] = True
    return mask
