"""Tables and figures for people: numbers in, a Rich table or plain text out."""

import re
from collections.abc import Mapping, Sequence
from io import StringIO

from rich import get_console
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Column, Table


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
"""Columns of a table in a log; a terminal may have fewer."""


def screen_width() -> int:
    """Return the columns that a table may take: those of the terminal, or `WIDTH` off one, and on a wider one."""
    console = get_console()
    return min(console.width, WIDTH) if console.is_terminal else WIDTH


def as_text(table: RenderableType, width: int | None = None) -> str:
    """The table as plain lines, without control codes, in so many columns (None: `screen_width`).

    No number is broken, nor cut: columns for which there is no room stand below the others, beside the first again.
    """
    room = screen_width() if width is None else width
    return "\n\n".join(_lines(part, room) for part in (_parts(table, room) if isinstance(table, Table) else [table]))


def _lines(table: RenderableType, width: int) -> str:
    output = StringIO()
    Console(file=output, width=width, force_terminal=False, force_jupyter=False, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in output.getvalue().rstrip("\n").split("\n"))


def _parts(table: Table, width: int) -> list[Table]:
    """Return the table, or several with its first column and as many of the others as fit."""
    for column in table.columns:
        column.no_wrap = column.no_wrap or column.justify == "right"
    gap = table.padding[1]
    first, *others = [_least_width(column) for column in table.columns]
    while gap > 2 and first + sum(width + gap for width in others) > width:
        gap -= 1
    blocks: list[list[int]] = [[]]
    for place, needs in enumerate(others, start=1):
        taken = first + sum(others[other - 1] + gap for other in blocks[-1])
        if blocks[-1] and taken + gap + needs > width:
            blocks.append([])
        blocks[-1].append(place)
    return [_part(table, [0, *block], gap) for block in blocks]


def _least_width(column: Column) -> int:
    """Return what a column needs: room for its longest cell where that is a number, else for its longest word."""
    console = Console(width=10_000, color_system=None)
    found = [Measurement.get(console, console.options, cell) for cell in (column.header, *column.cells)]
    return max((one.maximum if column.no_wrap and not column.max_width else one.minimum for one in found), default=0)


def _part(table: Table, columns: Sequence[int], gap: int) -> Table:
    if len(columns) == len(table.columns):
        table.padding = (0, gap, 0, 0)
        return table
    part = Table(box=table.box, pad_edge=table.pad_edge, padding=(0, gap, 0, 0), header_style=table.header_style)
    chosen = [table.columns[place] for place in columns]
    for one in chosen:
        part.add_column(one.header, justify=one.justify, no_wrap=one.no_wrap, overflow=one.overflow)
    for row in zip(*(one.cells for one in chosen), strict=True):
        part.add_row(*row)
    return part


def wrapped(text: str, width: int) -> str:
    """Lines of at most `width` columns, broken between words, and rather where there are two blanks or more.

    What follows goes on below the text behind a line's first word or words, such as `test images  29 of 30`. A word
    that is too long, such as a path, stays whole.
    """
    return "\n".join(line if cell_len(line) <= width else _wrapped(line, width) for line in text.split("\n"))


def _wrapped(line: str, width: int) -> str:
    head = re.match(r"\s*(?:\S+ ){0,2}\S*\s{2,}|\s*", line)
    indent, label = (cell_len(head[0]), head.end()) if head else (0, 0)
    lines, rest, pad = list[str](), line, ""
    while cell_len(pad + rest) > width:
        gaps = list(re.finditer(r"(?<=\S) +", rest))
        fitting = [gap for gap in gaps if cell_len(pad + rest[: gap.start()]) <= width]
        wide = [gap for gap in fitting if len(gap[0]) > 1 and gap.start() > max(label, width // 3)]
        if not gaps:
            break
        at = (wide or fitting or gaps)[-1 if fitting else 0]
        lines.append(pad + rest[: at.start()])
        deeper = indent + 4 * (len(at[0]) > 2 and at.end() != label)  # what stands in a column of its own there
        rest, pad, label = rest[at.end() :], " " * deeper * (deeper <= 2 * width // 3), 0
    return "\n".join([*lines, pad + rest])


def counted(number: int, what: str) -> str:
    """Return how many there are, in words: `1 step`, `1,000 steps`."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def large_number(count: float) -> str:
    """Counts for people, to three digits: `11.2 M`; a dash where it is unknown (NaN)."""
    if count != count:
        return "–"
    scale, letter = next((pair for pair in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if count >= pair[0]), (1.0, ""))
    return f"{count / scale:.3g} {letter}".strip()


def on_disk(size: int) -> str:
    """Bytes for people, in thousands: `94 kB`, `0.4 MB`, `457 MB`, `1.2 GB`."""
    units = ((999.5e6, 1e9, "GB"), (99.5e3, 1e6, "MB"), (0, 1e3, "kB"))
    number, unit = next((size / scale, unit) for least, scale, unit in units if size >= least)
    return f"{number:.1f} {unit}" if 0 < number < 9.95 else f"{number:.0f} {unit}"


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


def gibibytes(size: float) -> str:
    """Return bytes for people: `1.2 GiB`, `85 MiB`, `12 KiB`."""
    if size >= 2**30:
        return f"{size / 2**30:.1f} GiB"
    return f"{size / 2**20:.0f} MiB" if size >= 2**20 else f"{size / 2**10:.0f} KiB"
