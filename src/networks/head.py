"""The head of pretrained weights in a network for other classes: rows by name, in the file's order, or anew."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from ..logs import escaped
from ..names import nfc
from . import Network
from .naming import in_head


class Head(NamedTuple):
    """What becomes of the head.

    Attributes:
        taken: Its tensors to be loaded.
        anew: The names of those that stay fresh although the file has such.
        said: It, in words; empty where shapes say it all.
    """

    taken: dict[str, Tensor]
    anew: list[str]
    said: str


def fit_head(
    own: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    row: Network,
    theirs: Sequence[str] | None,
    class_names: Sequence[str] | None,
    head: str = "auto",
) -> Head:
    """Return what becomes of the head of `state` in a network with the tensors `own`.

    A row is the weights of one class. Where both sides name their classes, each class gets the row of its name, and
    one that the file doesn't know keeps its fresh row. Where they don't, a head of as many rows is taken as it is.

    Args:
        theirs: The classes of the file's rows; None: it doesn't say.
        class_names: Those of the network's rows.
        head: `new`: nothing is taken.
    """
    weight = f"{row.head}.weight"
    if weight not in own or weight not in state or state[weight].shape[1:] != own[weight].shape[1:]:
        return Head({}, [], "")
    rows = len(state[weight])
    names = [n for n in own if in_head(n, row) and n in state and state[n].shape == (rows, *own[n].shape[1:])]
    if head == "new":
        return Head({}, names, f"made anew: {row.head} (head=new)")
    if theirs is not None and class_names is not None and len(theirs) == rows:
        return _by_name(own, state, names, theirs, class_names, row)
    if rows != len(own[weight]):
        return Head({}, [], "")
    taken = {name: state[name] for name in names if state[name].shape == own[name].shape}
    return Head(taken, [], f"its head is taken in its own order of {rows} classes (head=new makes it anew)")


def _by_name(
    own: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    names: list[str],
    theirs: Sequence[str],
    class_names: Sequence[str],
    row: Network,
) -> Head:
    place = {nfc(name): number for number, name in enumerate(theirs)}
    known = [name for name in class_names if nfc(name) in place]
    if not known:
        return Head(
            {}, names, f"made anew: {row.head}, since its classes ({few(theirs)}) are others ({few(class_names)})"
        )
    here = [number for number, name in enumerate(class_names) if nfc(name) in place]
    there = [place[nfc(name)] for name in known]
    taken = {}
    for name in names:
        taken[name] = own[name].clone()
        taken[name][here] = state[name][there].to(taken[name])
    said = f"its head: {len(known)} of {len(class_names)} classes by name"
    fresh = [name for name in class_names if nfc(name) not in place]
    if fresh:
        said += f" ({few(known)}), made anew: {few(fresh)}"
    return Head(taken, [], said)


def few(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    shown = ", ".join(escaped(name)[:40] for name in names[:6])
    return shown + (f" and {len(names) - 6} more" if len(names) > 6 else "")
