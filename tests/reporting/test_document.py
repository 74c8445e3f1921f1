"""The report's page: valid, whole, escaped, with its pictures inside; and as a browser shows it."""

import re
import shutil
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from src.reporting.document import Page, Picture, Section, Table, render_html, render_markdown

NASTY = "a|b\\ <script>alert(\"1\")</script> & 'c' *d* _e_ [f](g) `h`\n\x1b[2J\x00 \udce4"
SHOWN = "a|b\\ <script>alert(\"1\")</script> & 'c' *d* _e_ [f](g) `h` \ufffd[2J\ufffd \ufffd"
LONG = "n02123045_tabby_tabby_cat_Felis_catus_domestic_shorthair_cat"
VOID = {"meta", "link", "br", "img", "input", "wbr"}


class Document(HTMLParser):
    """Elements with their attributes and texts; fails where an element is closed that isn't the innermost."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str]]] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        assert len(attributes) == len(attrs)
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self.open.append((tag, attributes))
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for tag in {tag for tag, _ in self.open}:
            self.texts[tag][-1] += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    chart = Image.new("RGB", (1000, 400), "white")
    for i in range(40):
        ImageDraw.Draw(chart).line((0, 10 * i, 1000, 400 - 5 * i), fill=(6 * i, 0, 255 - 6 * i), width=2)
    chart.save(tmp_path / "chart.png")
    cells = np.random.default_rng(0).integers(0, 256, (15, 20, 3), dtype=np.uint8)
    photograph = Image.fromarray(cells).resize((200, 150), Image.Resampling.BICUBIC)
    photograph.save(tmp_path / "photo (1).png")
    Image.new("1", (3, 20_000)).save(tmp_path / "tall.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "chart.png").read_bytes()[:900])
    return tmp_path


def table(columns: int = 8, rows: int = 3, **options: bool | int) -> Table:
    names = [f"column {i}" for i in range(columns)]
    cells = [[f"{LONG}{i}", *["0.980 ± 0.003"] * (columns - 1)] for i in range(rows)]
    return Table("Test set", names, cells, **options)  # type: ignore[arg-type]


def page(*sections: Section) -> Page:
    facts = [("Date", "today"), ("Command", "python -m src.report runs=a")]
    return Page("Report", facts, "Is deeper better?", "98.17 %", ["No difference shown.", "None."], sections)


def pictures(*files: str) -> Section:
    return Section("Pictures", (), (), [Picture(file, f"caption of {file}") for file in files])


def embedded(text: str) -> list[tuple[str, bytes, dict[str, str]]]:
    """Kind, content and attributes of each picture of the page."""
    images = Document(text).all("img")
    found = [re.fullmatch(r"data:image/(\w+);base64,(.+)", image["src"]) for image in images]
    return [(match[1], b64decode(match[2]), image) for match, image in zip(found, images, strict=True) if match]


def test_it_is_one_valid_document_that_loads_nothing(folder: Path) -> None:
    text = render_html(page(Section("One", ["words"], [table()]), pictures("chart.png"), Section("Three")), folder)
    document = Document(text)
    assert text.startswith("<!doctype html>\n<html lang=")
    assert {"charset": "utf-8"} in document.all("meta")
    assert "width=device-width" in next(m["content"] for m in document.all("meta") if m.get("name") == "viewport")
    assert document.texts["title"] == ["Report"]
    addresses = [
        value for _, attributes in document.elements for key, value in attributes.items() if key in ("src", "href")
    ]
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert not re.search(r"https?:|url\(|@import|<script", text)
    names = [attributes["id"] for _, attributes in document.elements if "id" in attributes]
    assert len(names) == len(set(names))
    anchors = [link["href"][1:] for link in document.all("a")]
    assert len(anchors) == 4
    labels = [attributes["aria-labelledby"] for _, attributes in document.elements if "aria-labelledby" in attributes]
    assert set(anchors + labels) <= set(names)


def test_the_answer_stands_before_all_and_an_omission_before_the_sections(folder: Path) -> None:
    whole = replace(page(Section("One")), problems=[("run 7", "half-written metrics.json")])
    for text in (render_html(whole, folder), render_markdown(whole)):
        body = text[text.find("<body>") + 1 :]
        wanted = [
            "Report",
            "deeper better",
            "No difference",
            "98.17",
            "Not in these",
            "run 7",
            "half-written",
            "One",
            "today",
        ]
        places = [body.index(words) for words in wanted]
        assert places == sorted(places)
    assert "Not in these" not in render_html(page(), folder) + render_markdown(page())
    bare = Page("Report", [], None, None, [], [])
    assert "Earlier" not in render_html(bare, folder) + render_markdown(bare)


def test_a_table_says_what_its_cells_are(folder: Path) -> None:
    document = Document(render_html(page(Section("One", (), [table(5, 3, text_columns=2, best_first=True)])), folder))
    assert [(h["scope"], h.get("class")) for h in document.all("th")] == (
        [("col", "text")] * 2 + [("col", None)] * 3 + [("row", "text")] * 3
    )
    assert [cell.get("class") for cell in document.all("td")] == ["text", None, None, None] * 3
    assert [row.get("class") for row in document.all("tr")] == [None, "best", None, None]
    assert document.texts["th"][-3:] == [f"{LONG}0 best", f"{LONG}1", f"{LONG}2"]
    assert len(document.all("wbr")) == 3 * LONG.count("_")
    assert document.texts["td"][0] == "0.980\xa0± 0.003"
    assert document.texts["caption"][0].startswith("Test set")
    with pytest.raises(ValueError, match=r"'t': 2 columns, rows of \[1, 3\] cells"):
        Table("t", ["a", "b"], [["1"], ["1", "2"], ["1", "2", "3"]])


def test_texts_of_users_are_shown_and_do_nothing(folder: Path) -> None:
    nasty = Section(NASTY, [NASTY], [Table(NASTY, [NASTY] * 2, [[NASTY] * 2])], [Picture("chart.png", NASTY)])
    whole = Page(NASTY, [(NASTY, NASTY)], NASTY, NASTY, [NASTY], [nasty, nasty], [(NASTY, NASTY)])
    text = render_html(whole, folder)
    text.encode()
    document = Document(text)
    assert not document.all("script")
    assert document.all("img")[0]["alt"] == SHOWN
    for tag in ("title", "h1", "td", "dd", "dt", "a"):
        assert document.texts[tag][0] == SHOWN, tag
    assert SHOWN in document.texts["figcaption"][0]
    markdown = render_markdown(whole)
    markdown.encode()
    assert "<script" not in markdown.replace("\\<", "")
    assert r"a\|b\\ \<script>alert" in markdown
    assert r"\*d\* \_e\_ \[f\](g) \`h\`" in markdown
    assert "\x1b" not in markdown


@pytest.mark.parametrize(("file", "kind"), [("chart.png", "webp"), ("tall.png", "png")])
def test_a_chart_keeps_every_pixel(folder: Path, file: str, kind: str) -> None:
    [(found, content, image)] = embedded(render_html(page(pictures(file)), folder))
    original = Image.open(folder / file)
    assert found == kind
    assert len(content) <= (folder / file).stat().st_size
    assert (int(image["width"]), int(image["height"])) == original.size
    assert Image.open(BytesIO(content)).convert("RGB").tobytes() == original.convert("RGB").tobytes()


def test_what_is_transparent_becomes_white(folder: Path) -> None:
    Image.new("RGBA", (300, 200), (0, 0, 0, 0)).save(folder / "clear.png")
    [(kind, content, _)] = embedded(render_html(page(pictures("clear.png")), folder))
    assert kind == "webp"
    assert Image.open(BytesIO(content)).convert("RGB").getcolors() == [(60_000, (255, 255, 255))]


def test_a_photograph_becomes_small_and_stays_alike(folder: Path) -> None:
    file = folder / "photo (1).png"
    [(_, content, _)] = embedded(render_html(page(pictures(file.name)), folder))
    pair = [np.asarray(Image.open(source).convert("RGB"), float) for source in (BytesIO(content), file)]
    assert len(content) < file.stat().st_size / 5
    assert np.abs(pair[0] - pair[1]).mean() < 4


def test_a_picture_that_cannot_be_read_leaves_its_caption(folder: Path) -> None:
    text = render_html(page(pictures("chart.png", "nothing.png", "broken.png", "no\0name")), folder)
    assert len(embedded(text)) == 1
    captions = Document(text).texts["figcaption"]
    assert [caption for caption in captions if "missing" in caption] == [
        "caption of nothing.png (picture missing)",
        "caption of broken.png (picture missing)",
        "caption of no\ufffdname (picture missing)",
    ]


def test_markdown_has_whole_tables_and_pictures_beside_it() -> None:
    hard = Table("t", ["a|b", "c\\"], [["\\|", "x\ny"], [NASTY, "|||"]], best_first=True)
    text = render_markdown(
        page(Section("One", ["# 1", "12. May", "-0.4 points"], [table(), hard]), pictures("photo (1).png"))
    )
    tables = [block.split("\n") for block in text.split("\n\n") if block.startswith("|")]
    assert [[len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows] for rows in tables] == [[9] * 5, [3] * 4]
    assert tables[1][:3] == [r"| a\|b | c\\ |", "| :--- | ---: |", r"| **\\\|** | **x y** |"]
    assert f"| {LONG}0 |" in text
    assert "![caption of photo (1).png](photo%20%281%29.png)" in text
    assert render_markdown(Page("a & b < c, &lt;", [], None, None, [], [])) == "# a & b < c, \\&lt;\n"
    assert "\n\n\\# 1\n\n12\\. May\n\n-0.4 points\n\n" in text


@pytest.mark.filterwarnings("ignore")  # Playwright's own
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it_whole(folder: Path, tmp_path: Path, width: int) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser_path:
        pytest.skip("no Chromium here")
    sections = [
        Section(LONG, [LONG * 3], [table(14, 16, best_first=True)]),
        pictures("chart.png", "photo (1).png", "gone"),
    ]
    file = tmp_path / "report.html"
    file.write_text(render_html(replace(page(*sections), problems=[(LONG, LONG * 2)]), folder), encoding="utf-8")
    said: list[str] = []
    asked: list[str] = []
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": width, "height": 800})
        view.on("console", lambda message: said.append(message.text))
        view.on("pageerror", lambda error: said.append(str(error)))
        view.on("request", lambda request: asked.append(request.url))
        view.goto(file.as_uri())
        scroll, inner = view.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        shown = view.evaluate("[...document.images].map(image => image.naturalWidth)")
        browser.close()
    assert scroll <= inner == width
    assert shown == [1000, 200]
    assert said == []
    assert [address for address in asked if not address.startswith("data:")] == [file.as_uri()]
