"""Tables and figures for people: numbers in, a Rich table or plain text out."""

from collections.abc import Mapping, Sequence
from io import StringIO

from rich.console import Console
from rich.table import Table


def metrics_table(metrics: Mapping[str, float], rows: Sequence[tuple[str, str]], columns: Sequence[str]) -> Table:
    """One row a split, one column a figure: `metrics["test/accuracy"]` stands in row `test`, column `accuracy`.

    `rows` are (split, its name on screen). Splits without figures are left out.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    for split, label in rows:
        values = [metrics.get(f"{split}/{column}") for column in columns]
        if any(value is not None for value in values):
            table.add_row(label, *("–" if value is None else f"{value:.4f}" for value in values))
    return table


WIDTH = 120
"""Columns of a table in a log or a terminal."""


def as_text(table: Table, width: int = WIDTH) -> str:
    """The table as plain lines, without control codes."""
    output = StringIO()
    Console(file=output, width=width, force_terminal=False, force_jupyter=False, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in output.getvalue().rstrip("\n").split("\n"))


def large_number(count: float) -> str:
    """Counts for people, to three digits: `11.2 M`; a dash where it is unknown (NaN)."""
    if count != count:
        return "–"
    scale, letter = next((pair for pair in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if count >= pair[0]), (1.0, ""))
    return f"{count / scale:.3g} {letter}".strip()


def duration(seconds: float) -> str:
    """Seconds for people: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
