"""A report as a page to read: one HTML file with its pictures inside, or Markdown beside them.

The content is made elsewhere; this gives it its form. Every text may come from a user (class names, labels, error
messages): it is put on one line, without control characters, and escaped.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image

from ..figures.style import printable
from ..files import read_inside

CHART_COLOURS = 1 << 14
"""The most colours of a chart: with smooth edges 1,000 to 5,000; a photograph has over 50,000."""

LOSSLESS: dict[str, Any] = {"lossless": True, "method": 1, "quality": 20}  # half the size of a PNG; more effort is slow
LOSSY: dict[str, Any] = {"quality": 85, "method": 2, "use_sharp_yuv": True}  # sharp: for coloured captions
MOST_BYTES, MOST_PIXELS = 2**26, 10**8
"""Of a picture on the page; a stranger's run folder can hold any."""

WEBP_SIDE = 16383  # pixels, the format's limit


@dataclass(frozen=True)
class Picture:
    """`file` is a name in the report's folder; `caption` is shown below the picture and is its alternative text."""

    file: str
    caption: str


@dataclass(frozen=True)
class Table:
    """The first `text_columns` columns are text, the others figures; `best_first` makes the first row stand out.

    Raises:
        ValueError: a row has more or fewer cells than there are columns.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1
    best_first: bool = False

    def __post_init__(self) -> None:
        if lengths := {len(row) for row in self.rows} - {len(self.columns)}:
            raise ValueError(f"table {self.caption!r}: {len(self.columns)} columns, rows of {sorted(lengths)} cells")


@dataclass(frozen=True)
class Section:
    """`commands` are shown as they are typed, one a line."""

    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    commands: Sequence[str] = ()


@dataclass(frozen=True)
class Page:
    """`answer` comes first, one entry a sentence; `facts` (name, value) say how the report was made.

    `earlier` is the figure known before; `problems` (name, reason) are missing from all figures of the page.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    question: str | None
    earlier: str | None
    answer: Sequence[str]
    sections: Sequence[Section]
    problems: Sequence[tuple[str, str]] = ()


def render_html(page: Page, folder: Path) -> str:
    """Return the page as HTML that loads nothing; a picture missing from `folder` leaves its caption and a note."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_one_line,
    )
    environment.filters["breakable"] = _breakable
    return environment.get_template("page.html.j2").render(page=page, embed=partial(_embed, folder))


def _one_line(value: Any) -> Any:
    """Put text on one line and keep a number together with its sign; Markup is our own, and passes."""
    return re.sub(r" (?=[%±])", "\xa0", printable(value)) if type(value) is str else value


def _breakable(text: str) -> Markup:
    """Let a long word break after its joints: `mini_resnet_` `bottleneck_pre`."""
    safe = str(escape(_one_line(text)))
    return Markup(re.sub(r"\S{21,}", lambda word: re.sub(r"(?<=[_/,])(?=\w)", "<wbr>", word[0]), safe))


def _embed(folder: Path, file: str) -> tuple[Markup, int, int] | None:
    """Return a picture as data: URI with its width and height in pixels; None if it can't be read."""
    try:
        content = read_inside(folder, file, MOST_BYTES)
        with Image.open(BytesIO(content), formats=["PNG", "WEBP"]) as image:
            if image.width * image.height > MOST_PIXELS:
                return None
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # SyntaxError: Pillow's, of a broken PNG
        return None
    kind = Image.MIME[image.format or "PNG"]
    if image.format == "PNG" and (smaller := _webp(image)) and len(smaller) < len(content):
        kind, content = "image/webp", smaller
    return Markup(f"data:{kind};base64,{b64encode(content).decode()}"), *image.size


def _webp(image: Image.Image) -> bytes | None:
    """Return WebP, lossless for a chart and lossy for a photograph; None if the picture is too large for it."""
    if max(image.size) > WEBP_SIDE:
        return None
    if image.has_transparency_data:  # as matplotlib's PNGs have; the page shows pictures on white
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    image = image.convert("RGB")
    buffer = BytesIO()
    image.save(buffer, "WEBP", **(LOSSLESS if image.getcolors(CHART_COLOURS) else LOSSY))
    return buffer.getvalue()


def render_markdown(page: Page) -> str:
    """Return the page in GitHub's Markdown, for the folder of its pictures."""
    blocks = [f"# {_escaped(page.title)}"]
    if page.question:
        blocks.append(f"**Question:** {_escaped(page.question)}")
    blocks += [f"**{_escaped(sentence)}**" for sentence in page.answer]
    if page.earlier:
        blocks.append(f"**Earlier:** {_escaped(page.earlier)}")
    if page.problems:
        blocks += [f"## Not in these figures ({len(page.problems)})", _pairs(page.problems)]
    for section in page.sections:
        blocks += _section(section)
    if page.facts:
        blocks += ["## How this report was made", _pairs(page.facts)]
    return "\n\n".join(blocks) + "\n"


def _section(section: Section) -> Iterator[str]:
    yield f"## {_escaped(section.title)}"
    for paragraph in section.paragraphs:
        yield re.sub(r"^(\d*)(?=[.)] |[+-] |[#>]|[-=]+$)", r"\1\\", _escaped(paragraph))  # no list, heading, quote
    if section.commands:
        yield "\n".join(f"    {printable(command)}" for command in section.commands)
    for table in section.tables:
        yield f"**{_escaped(table.caption)}**"
        yield _table(table)
    for picture in section.pictures:
        caption = _escaped(picture.caption)
        yield f"![{caption}]({quote(picture.file, errors='surrogateescape')})"
        yield f"*{caption}*"


def _table(table: Table) -> str:
    figures = len(table.columns) - table.text_columns
    rows = [[_escaped(cell) for cell in row] for row in (table.columns, *table.rows)]
    if table.best_first and table.rows:
        rows[1] = [f"**{cell}**" if cell else "" for cell in rows[1]]
    rows.insert(1, [":---"] * table.text_columns + ["---:"] * figures)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"- **{_escaped(name)}:** {_escaped(value)}" for name, value in pairs)


def _escaped(text: str) -> str:
    """Put text on one line and escape Markdown; `_` within a word, as in `mini_resnet`, needs no escape."""
    text = " ".join(printable(text).split())
    return re.sub(r"[\\`*\[\]|~$]|<(?=[a-zA-Z/!?])|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", text)
