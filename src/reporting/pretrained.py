"""The largest pretrained network against the smallest from scratch, by the number of images to train on."""

from dataclasses import replace

from ..analysis.significance import holm
from .by_images import Curve, compared, curves_of
from .difference_shown import points
from .result import Result


def pretrained_or_scratch(result: Result) -> str:
    """Say by how much the one is ahead with how many images; "" without such arms.

    p-values are corrected for all numbers of images.
    """
    pretrained, scratch = dict[str, Curve](), dict[str, Curve]()
    for label, curve in curves_of(result.test_set).items():
        weights = next(iter(curve.values())).runs[0].config["model"].get("weights")
        (scratch if weights is None else pretrained)[label] = curve
    if not pretrained or not scratch:
        return ""
    large = max(pretrained, key=lambda label: _size(pretrained[label]))
    small = min(scratch, key=lambda label: _size(scratch[label]))
    ours, theirs = pretrained[large], scratch[small]
    found = {
        size: (ours[size], lead)
        for size in sorted(ours.keys() & theirs.keys())
        if (lead := compared(result.test_set, ours[size], theirs[size])) is not None
    }
    if not found:
        return ""
    said = []
    corrected = holm([lead.p for _, lead in found.values()])
    for (size, (group, lead)), p in zip(found.items(), corrected, strict=True):
        ahead = lead.difference if lead.best == group.label else -lead.difference
        spread = "" if lead.sd is None else f" ± {100 * lead.sd:.1f}"
        shown = "a difference" if replace(lead, p_holm=p).shown else "no difference"
        said.append(f"{points(ahead, '+')}{spread} points on {size:,.0f} ({shown} shown)")
    return f"{large} compared with {small}: {', '.join(said)}."


def _size(curve: Curve) -> float:
    return next(iter(curve.values())).runs[0].metrics["parameters"]
