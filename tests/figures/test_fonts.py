"""Letters that matplotlib's own font lacks."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.text import Text

from src.figures import confusion_matrix, fonts, save
from src.figures.style import text_width

NAMES = ["猫", "犬", "बिल्ली"]


@pytest.fixture(autouse=True)
def forget():
    for cached in (fonts.installed, fonts._file_with, fonts._said):
        cached.cache_clear()
    yield
    for cached in (fonts.installed, fonts._file_with, fonts._said):
        cached.cache_clear()


def test_without_a_font_a_line_says_what_to_install(tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda *_, **__: [])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            save(confusion_matrix(np.eye(3, dtype=int), NAMES), tmp_path / "matrix.png")
    assert len(caplog.messages) == 2  # one for each font that could be installed
    assert any(line.startswith("no installed font has 犬 猫: ") for line in caplog.messages)
    assert "install Noto Sans CJK (Debian and Ubuntu: fonts-noto-cjk)" in caplog.text
    assert "fonts-noto-core" in caplog.text


def test_a_text_gets_the_font_that_has_its_letters(monkeypatch) -> None:
    own = fonts.own_file()
    serif = font_manager.findfont("DejaVu Serif")
    letters = fonts._letters_of
    # as if matplotlib's own font had no ß, and another had
    monkeypatch.setattr(fonts, "_letters_of", lambda path: letters(path) - ({ord("ß")} if path == own else set()))
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda *_, **__: [serif])
    figure = confusion_matrix(np.eye(2, dtype=int), ["Maß", "cat"])
    fonts.give_fonts(figure)
    families = {text.get_text(): text.get_fontfamily() for text in figure.findobj(Text)}
    assert families["Maß"] == ["DejaVu Sans", "DejaVu Serif"]
    assert families["cat"] == ["sans-serif"]


def test_latin_names_open_no_other_font(monkeypatch) -> None:
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda *_, **__: pytest.fail("looked for fonts"))
    assert fonts.fallbacks("cat, кот, قطة, é") == []
    assert text_width("cat", 9) > 0
