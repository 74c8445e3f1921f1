"""Fonts for the letters of class names: matplotlib's own has none for Chinese, Hindi or Thai, say."""

import logging
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import groupby
from pathlib import Path

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

log = logging.getLogger(__name__)

OWN = "DejaVu Sans"
PREFERRED = (
    "notosanscjk", "notosanssc", "notosansjp", "sourcehansans", "wqy", "droidsansfallback", "msyh", "pingfang",
    "hiragino", "yugoth", "malgun", "applesdgothic", "nanumgothic", "notosans", "nirmala", "leelawad", "lohit",
    "notonaskh", "arialuni", "noto",
)  # fmt: skip
"""How the names of files of good fonts begin, best first: of several with a letter the first is taken."""

NO_FONTS = ("lastresort", "adobeblank", "color", "emojione", "twemoji")
"""Parts of the names of fonts that have every letter, but no shape for it that matplotlib can draw."""

EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH")

NAMED = 8
"""Letters that are named in a line."""


def give_fonts(figure: Figure) -> None:
    """Give each text with letters that matplotlib's own font lacks the installed fonts that have them.

    Say in a line, once for each font that could be installed, where there is none: its letters become boxes.
    """
    lacking: set[str] = set()
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        families = fallbacks(text.get_text())
        if families:
            text.set_fontfamily([OWN, *families])
        lacking.update(letter for letter in _foreign(text.get_text()) if _family_with(letter) is None)
    if lacking:
        _say(sorted(lacking))


def fallbacks(text: str) -> list[str]:
    """Return the families that have the letters of a text, as far as `OWN` lacks them."""
    found = map(_family_with, _foreign(text))
    return list(dict.fromkeys(family for family in found if family is not None))


def pieces(text: str) -> list[tuple[str, str]]:
    """Return a text in pieces, each with the font file that has its letters; say where there is none."""
    lacking = [letter for letter in _foreign(text) if _file_with(letter) is None]
    if lacking:
        _say(lacking)
    own, foreign = own_file(), set(_foreign(text))
    found = groupby(text, lambda letter: (_file_with(letter) if letter in foreign else None) or own)
    return [("".join(letters), file) for file, letters in found]


def _foreign(text: str) -> list[str]:
    """Return the letters that `OWN` lacks."""
    if text.isascii():
        return []
    return sorted({letter for letter in text if not letter.isspace() and ord(letter) not in _letters_of(own_file())})


@contextmanager
def boxes_allowed() -> Iterator[None]:
    """Keep matplotlib from warning of each letter without a font: `give_fonts` has said so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def own_file() -> str:
    return str(font_manager.findfont(OWN))


@cache
def installed() -> tuple[str, ...]:
    """Return the files of all fonts of this system, the preferred ones first, upright and regular before others.

    The system is asked: matplotlib remembers what was installed when it was first used.
    """

    def rank(path: str) -> tuple[int, bool, str]:
        name = Path(path).name.lower().replace("-", "").replace(" ", "").replace("_", "")
        place = next((i for i, start in enumerate(PREFERRED) if name.startswith(start)), len(PREFERRED))
        return (
            place,
            any(word in name for word in ("bold", "italic", "oblique", "serif", "mono", "thin", "black")),
            name,
        )

    files = [path for path in font_manager.findSystemFonts() if not any(w in path.lower() for w in NO_FONTS)]
    return tuple(sorted(files, key=rank))


@cache
def _letters_of(path: str) -> frozenset[int]:
    """Return the code points that a font file has; none where it can't be used."""
    try:
        font = FT2Font(path)
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except Exception:  # whatever FreeType finds wrong with somebody's font
        return frozenset()


def _family_with(letter: str) -> str | None:
    """Return the family of the first installed font that has the letter."""
    path = _file_with(letter)
    return None if path is None else str(FT2Font(path).family_name)


@cache
def _file_with(letter: str) -> str | None:
    """Return the file of the first installed font that has the letter, known to matplotlib from now on."""
    for path in installed():
        if ord(letter) in _letters_of(path):
            try:
                font_manager.fontManager.addfont(path)
            except Exception:  # as above
                continue
            return path
    return None


@cache
def _said() -> set[str]:
    """Return the fonts that were named already."""
    return set()


def _say(letters: Sequence[str]) -> None:
    by_font: dict[tuple[str, str], list[str]] = {}
    for letter in letters:
        name = unicodedata.name(letter, "")
        if not name or unicodedata.category(letter) in (
            "Mn",
            "Cf",
            "Co",
            "Cn",
            "Cs",
            "Cc",
        ):  # without a shape of its own
            continue
        if "CJK" in name or name.split()[0].split("-")[0] in EAST_ASIAN:
            font = ("Noto Sans CJK", "fonts-noto-cjk")
        elif unicodedata.category(letter) == "So":
            font = ("Symbola", "fonts-symbola")
        else:
            font = ("Noto Sans", "fonts-noto-core")
        by_font.setdefault(font, []).append(letter)
    for (name, package), lacking in by_font.items():
        if name not in _said():
            _said().add(name)
            log.warning(
                "no installed font has %s%s: pictures show boxes instead; install %s (Debian and Ubuntu: %s)",
                " ".join(lacking[:NAMED]), " …" if len(lacking) > NAMED else "", name, package,
            )  # fmt: skip
