"""Text on pictures by Pillow: a hundred times as fast as a chart's, for pictures that are many."""

from functools import cache

from PIL import ImageDraw, ImageFont

from .fonts import pieces


def lettered(text: str, size: int) -> list[tuple[str, ImageFont.FreeTypeFont]]:
    """Return the pieces of a text, each with a font that has its letters, `size` pixels high."""
    return [(piece, _font(file, size)) for piece, file in pieces(text)]


def width_of(text: str, size: int) -> float:
    return sum(font.getlength(piece) for piece, font in lettered(text, size))


def write(draw: ImageDraw.ImageDraw, x: float, baseline: float, text: str, size: int, colour: str) -> None:
    for piece, font in lettered(text, size):
        draw.text((x, baseline), piece, fill=colour, font=font, anchor="ls")
        x += font.getlength(piece)


@cache
def _font(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)
