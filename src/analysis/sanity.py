"""Do maps change when what the network has learned is destroyed? What the sanity check's figures say, in words.

Adebayo et al. 2018, https://arxiv.org/abs/1810.03292, who give no threshold: the words are for reading, not a test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .intervals import between
from .maps import Agreement

SHUFFLED, ANOTHER, BLOB = "shuffled labels", "another image", "centre blob"
"""Rows of the check that are no stages of its cascade."""

KEPT, PARTLY, CHANGED = "hardly change", "change in part", "change"

MEANINGS = {
    "rank correlation": "of a map with that of the same image by a network that lost what it learned, from the head "
    "down; high is bad: such maps don't depend on what was learned",
    "of magnitudes": "the same without signs: outlines that stay where signs are lost count here",
    ANOTHER: "maps of different images by this network: what its maps have in common anyway",
    BLOB: "the maps and a Gaussian in the middle: high, where all of them show the middle",
    "images": "how many have a correlation: constant maps have none, and at most 50 are taken",
}


@dataclass(frozen=True)
class Control:
    """What a row says of the maps, with the row of different images beside it, where there is one."""

    row: Agreement
    another: Agreement | None

    @property
    def word(self) -> str:
        """Say whether the maps change, by the lower end of the correlation's interval.

        At most 0: they change, as no correlation is shown. From a half on, nearer to the same map (1) than to an
        unrelated one (0): they hardly change. Else: in part. Without an interval, the mean stands for its end.
        """
        low = self.row.low if self.row.low <= self.row.high else self.row.correlation
        return KEPT if low >= 0.5 else PARTLY if low > 0 else CHANGED

    def __str__(self) -> str:
        """`+0.65 [+0.60, +0.70], more than different images' maps, +0.21 [+0.15, +0.27]`."""
        told = f"{self.row.correlation:+.2f} {between(self.row.low, self.row.high, '+.2f')}"
        if self.another is None or self.another.correlation != self.another.correlation:
            return told
        side = "more than" if self.row.low > self.another.high else "less than"
        apart = self.row.low > self.another.high or self.row.high < self.another.low
        theirs = f"{self.another.correlation:+.2f} {between(self.another.low, self.another.high, '+.2f')}"
        return f"{told}, {side if apart else 'not told apart from'} different images' maps, {theirs}"


def controls(rows: Sequence[Agreement]) -> Mapping[str, Control]:
    """Return what can be said of `random weights`, all of them, and of `shuffled labels`, where they were measured."""
    by_stage = {row.stage: row for row in rows}
    stages = [row for row in rows if row.stage not in (SHUFFLED, ANOTHER, BLOB)]
    found = {"random weights": stages[-1] if stages else None, SHUFFLED: by_stage.get(SHUFFLED)}
    return {
        name: Control(row, by_stage.get(ANOTHER))
        for name, row in found.items()
        if row is not None and row.correlation == row.correlation
    }


def sanity_verdict(rows: Sequence[Agreement]) -> str:
    """Say in a sentence or two whether the maps depend on what was learned; empty where nothing was measured."""
    found = controls(rows)
    if not found:
        return ""
    when = {"random weights": "when the network's weights are random", SHUFFLED: "for one trained on shuffled labels"}
    told = "; ".join(
        f"they {control.word} {when[name]} (rank correlation {control})" for name, control in found.items()
    )
    words = {control.word for control in found.values()}
    if KEPT in words:
        means = "Such maps say little about what was learned, however they do against a blob (Adebayo et al. 2018)."
    elif PARTLY in words:
        means = "What stays does not come from what was learned."
    else:
        means = "So they depend on what was learned."
    return f"Sanity: {told}. {means}"
