"""The costs of several networks side by side, for people."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from ..tables import as_text, large_number, screen_width

SETTINGS = {
    "data": "data",
    "image_size": "pixels",
    "in_channels": "channels",
    "num_classes": "classes",
    "batch_size": "batch",
    "training_batch_size": "training batch",
    "precision": "precision",
    "memory_format": "layout",
    "device": "device",
    "threads": "threads",
}
"""What figures depend on: key of cost.json -> name. A column where the networks differ, else one line below."""


FIGURES = ("\nparameters", "\nMACs", "latency\nmean ms", "\nmedian", "\np95", "inference\nimages/s",
           "training\nimages/s", "inference\nMiB", "training\nMiB")  # fmt: skip
"""The headers of what `_figures` returns."""

TOLD: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "parameters": ("parameters", large_number),
    "macs": ("MACs of one image", large_number),
    "latency_ms_median": ("latency of one image, median", lambda ms: f"{ms:.1f} ms"),
    "inference_images_per_second": ("images per second, in batches", lambda speed: f"{speed:,.0f}"),
    "inference_peak_memory_mib": ("memory at most, for one image", lambda size: f"{size:,.0f} MiB"),
    "training_images_per_second": ("images per second, in training", lambda speed: f"{speed:,.0f}"),
    "training_peak_memory_mib": ("memory at most, in training", lambda size: f"{size:,.0f} MiB"),
}
"""Of one network: key of cost.json -> what a page calls the figure, and how it writes it."""

ANY = 10_000
"""Columns that hold any table."""


def costs_text(costs: Sequence[Mapping[str, Any]]) -> str:
    """Return a table with one row a network, from what cost.json holds, and below it what all have in common.

    If differing settings make it too wide, they get a table of their own, and numbers say which rows belong together.
    """
    shared = [key for key in SETTINGS if len({cost.get(key) for cost in costs}) == 1]
    differing = [key for key in SETTINGS if key not in shared]
    names = [[str(cost["model"])] for cost in costs]
    settings = [[str(cost.get(key, "")) for key in differing] for cost in costs]
    figures = [_figures(cost) for cost in costs]
    headers = [f"\n{SETTINGS[key]}" for key in differing]
    tables = [_table(["\nmodel", *headers], FIGURES, names, settings, figures)]
    if differing and max(map(len, as_text(tables[0], ANY).split("\n"))) > screen_width():
        numbers = [[str(number)] for number in range(1, len(costs) + 1)]
        tables = [
            _table(["", "model", *(header.strip() for header in headers)], [], numbers, names, settings),
            _table(["\n", "\nmodel"], FIGURES, numbers, names, figures),
        ]
    first = costs[0]
    common = [f"{SETTINGS[key]} {first[key]}" for key in shared if first.get(key) is not None]
    notes = [
        ", ".join(common),
        f"latency and inference MiB: one image, {_passes(costs, 'latency_passes')}; "
        f"inference images/s: {_passes(costs, 'batch_latency_passes')} of a batch",
    ]
    return "\n".join(["\n\n".join(map(as_text, tables)), "", *(note for note in notes if note)])


def _table(left: Sequence[str], right: Sequence[str], *parts: Sequence[Sequence[str]]) -> Table:
    """Return columns aligned to the left and to the right; each of `parts` gives every row one or more cells."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for header in left:
        table.add_column(header, no_wrap=True)
    for header in right:
        table.add_column(header, no_wrap=True, justify="right")
    for cells in zip(*parts, strict=True):
        table.add_row(*(escape(cell) for part in cells for cell in part))
    return table


def _figures(cost: Mapping[str, Any]) -> list[str]:
    latency = [cost[f"latency_ms_{name}"] for name in ("mean", "median", "p95")]
    speeds = [cost["inference_images_per_second"], cost["training_images_per_second"]]
    memory = [cost["inference_peak_memory_mib"], cost["training_peak_memory_mib"]]
    return [f"{cost['parameters']:,}", short(cost["macs"]), *map(_number, [*latency, *speeds, *memory])]


def _passes(costs: Sequence[Mapping[str, Any]], key: str) -> str:
    """Return `100 passes`, or `12 to 100 passes` where a budget ended some."""
    low, high = min(cost[key] for cost in costs), max(cost[key] for cost in costs)
    return f"{low} passes" if low == high else f"{low} to {high} passes"


def short(count: int) -> str:
    """Write 1,814,073,344 as `1.81 G`."""
    for factor, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= factor:
            return f"{count / factor:.3g} {letter}" if count < 999.5 * factor else f"{count / factor:,.0f} {letter}"
    return str(count)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"
