"""The page in a real browser: pictures in, answers out, whatever is dropped on it."""

import re
import shutil
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from src.data.transforms import load_image
from src.page import server
from src.page.exhibits import Exhibition
from src.trained.checkpoint import load_trained
from src.trained.logits import predict, probabilities
from tests.page.visitor import CHANGED, CONTROLS, EVIL, Visitor


@pytest.fixture
def two(exhibitions: dict[str, Exhibition], monkeypatch: pytest.MonkeyPatch) -> None:
    """The page has two networks; to be asked for before the visitor."""
    monkeypatch.setattr(server, "_exhibition", exhibitions["two"])


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Scanned digits as PNG files, each with a name of its own."""
    folder = tmp_path_factory.mktemp("scans")
    files = [folder / f"scan {i:02d}.png" for i in range(50)]
    for file, pixels in zip(files, load_digits().images, strict=False):
        Image.fromarray((pixels * 15.9).astype(np.uint8)).resize((64, 64)).save(file)
    return files


def expected(run: Path, files: Sequence[Path]) -> list[str]:
    """What the network says of the files, as the page writes it, by the way that src.predict takes."""
    trained = load_trained(run)
    images = torch.stack([load_image(file, trained.geometry) for file in files])
    shares = probabilities(predict(trained, [images]))
    return [f"{trained.class_names[row.argmax()]} {100 * row.max():.1f} %" for row in shares]


def test_a_picture_gets_its_class_bars_and_overlay_and_other_settings_another_map(
    visitor: Visitor, run: Path, scans: list[Path]
) -> None:
    visitor.upload(scans[:1])
    name = scans[0].name
    assert visitor.first(name) == expected(run, scans[:1])[0]
    assert visitor.card(name).locator(".rl-bar").count() == 6
    maps = [visitor.overlay(name)]
    page = visitor.page
    assert page.locator("img").evaluate("image => image.complete && image.naturalWidth") > 300
    visitor.open(CONTROLS)
    for label, option in (("Method", "LayerCAM"), ("Layer", "block1 (8×8)"), ("Evidence for", "3")):
        visitor.choose(label, option)
        page.wait_for_function(CHANGED, arg=[maps[-1]])
        maps.append(visitor.overlay(name))
    page.get_by_role("slider", name="Opacity of the map").press("Home")
    page.wait_for_function(CHANGED, arg=[maps[-1]])
    maps.append(visitor.overlay(name))
    assert page.get_by_text("Evidence for 3", exact=True).is_visible()
    assert visitor.first(name) == expected(run, scans[:1])[0]  # another map is no other answer
    assert len(set(maps)) == 5


@pytest.mark.usefixtures("url", "two")
def test_two_networks_each_show_their_own_classes_and_names_are_not_read(
    visitor: Visitor, run: Path, scans: list[Path]
) -> None:
    odd = scans[0].with_name("<b>x<b> ![a](https:example.com) **y** :cat:.png")
    shutil.copy(scans[0], odd)
    visitor.upload([odd])
    said = expected(run, [odd])[0]
    assert visitor.first(odd.name, 0) == said
    number, share = said.split(" ", 1)
    assert visitor.first(odd.name, 1) == f"<i>{number}</i> **{number}** {share}"
    assert visitor.card(odd.name).locator("img").count() == 2
    assert visitor.page.get_by_role("tab").all_inner_texts() == ["Pictures", "Run A"]  # B belongs to no run


def test_a_test_image_has_its_true_class_and_uploads_that_the_server_has_lost_are_asked_for_again(
    visitor: Visitor, exhibitions: dict[str, Exhibition], scans: list[Path]
) -> None:
    from streamlit.runtime import get_instance

    examples = exhibitions["one"].examples
    assert not isinstance(examples, str)
    index = int(examples.chosen[0])
    name, true = examples.pictures.names[index], examples.true(index)
    visitor.upload(scans[:1])
    visitor.card(scans[0].name)
    get_instance().uploaded_file_mgr.file_storage.clear()  # as after a restart
    visitor.choose("Or a test image of the run", f"{name} ({true})")
    visitor.page.locator(".rl-name", has_text=f"{name} · true class {true}").wait_for()
    assert visitor.page.get_by_text("The page was disconnected").is_visible()
    visitor.page.get_by_text(scans[0].name, exact=True).nth(1).wait_for(state="detached")  # the chip stays alone


def bomb(file: Path, side: int = 30_000) -> Path:
    """A PNG of side × side pixels, all black, in 90 kB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, row = zlib.compressobj(9), bytes(side // 8 + 1)
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    return file


def test_what_is_no_picture_gets_a_friendly_line_and_the_page_goes_on(
    visitor: Visitor, run: Path, scans: list[Path], tmp_path: Path
) -> None:
    text, half, large = tmp_path / "cat.jpg", tmp_path / "half.jpg", tmp_path / "large.png"
    text.write_text("I am no cat.\n" * 100)
    Image.effect_noise((400, 300), 60).save(half)
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    large.write_bytes(scans[1].read_bytes() + bytes(11 * 2**20))
    visitor.upload([text, bomb(tmp_path / "bomb.png"), half, large])
    refused = visitor.page.locator(".rl-refused")
    visitor.page.wait_for_function("document.querySelectorAll('.rl-refused').length == 3")
    lines = " ".join(refused.all_inner_texts())
    for words in (
        "cat.jpg: This file is no JPEG, PNG",
        "bomb.png: This picture has more than the 50 million pixels allowed",
        "half.jpg: This picture ends in the middle",
    ):
        assert words in lines
    too_large = visitor.page.get_by_text("File must be 10.0MB or smaller")
    assert too_large.bounding_box()["width"] > 100  # to be read, not only heard
    assert "Traceback" not in visitor.page.content()
    visitor.upload(scans[:1])
    assert visitor.first(scans[0].name) == expected(run, scans[:1])[0]


def test_a_fault_of_ours_is_no_traceback(visitor: Visitor, scans: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret of the house")

    with monkeypatch.context() as patch:
        patch.setattr("src.page.pictures_tab.ask", fail)
        visitor.upload(scans[:1])
        visitor.page.get_by_text("Something went wrong with this picture").wait_for()
        patch.setattr("src.page.pictures_tab._calibration", fail)
        visitor.open(CONTROLS)
        visitor.choose("Method", "LayerCAM")
        visitor.page.get_by_text("Something went wrong; the terminal says what.").wait_for()
        assert "secret" not in visitor.page.content()
        assert "ZeroDivision" not in visitor.page.content()
    visitor.page.reload()
    visitor.upload(scans[:1])
    visitor.card(scans[0].name)


def test_on_a_phone_nothing_is_cut_off_and_pictures_stay_while_the_run_is_read(
    chromium: Any, url: str, scans: list[Path]
) -> None:
    visitor = Visitor(chromium, url, width=390)
    page, sideways = visitor.page, "document.querySelector('[data-testid=stMain]').scrollWidth"
    visitor.upload(scans[:1])
    visitor.card(scans[0].name)
    widest = "Math.max(...[...document.querySelectorAll('.rl-card *')].map(it => it.getBoundingClientRect().right))"
    assert 300 < page.evaluate(widest) <= 390
    assert page.evaluate(sideways) <= 390
    page.get_by_role("tab", name="Run").click()
    page.get_by_role("cell", name=EVIL).wait_for()
    assert page.evaluate(sideways) <= 390
    assert page.get_by_text("scroll it sideways").last.is_visible()
    sheet = page.get_by_alt_text("Grad-CAM")
    assert sheet.bounding_box()["width"] > 800  # small letters can be read
    last = sheet.get_attribute("src")
    page.get_by_role("slider", name="Epoch").press("Home")
    page.wait_for_function("([old]) => document.querySelector('img[alt=Grad-CAM]').src != old", arg=[last])
    page.get_by_role("tab", name="Pictures").click()
    visitor.card(scans[0].name)
    assert visitor.elsewhere == []
    visitor.close()


def test_fifty_pictures_in_one_go_are_all_there_and_a_new_one_comes_first(
    visitor: Visitor, run: Path, scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spooled: list[object] = []
    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", spooled.append)
    page, text, new = visitor.page, tmp_path / "text.png", tmp_path / "new.bmp"
    text.write_text("no picture")
    Image.effect_noise((3000, 2000), 60).save(new)  # 6 MB
    visitor.upload([text, *scans])
    page.get_by_text("50 pictures, the newest first").wait_for()
    said = dict(zip([file.name for file in scans], expected(run, scans), strict=True))
    for file in scans[-1:-7:-1]:
        assert visitor.first(file.name) == said[file.name]
    page.get_by_role("button", name=re.compile("9$")).click()
    for file in scans[1::-1]:
        assert visitor.first(file.name) == said[file.name]
    assert page.locator(".rl-refused").inner_text().startswith("text.png: This file is no JPEG")
    visitor.upload([new])
    visitor.card(new.name)  # on the first page again
    assert page.get_by_test_id("stAlert").count() == 0  # Streamlit's own complaints
    assert spooled == []  # no upload was written to the disk
    page.get_by_role("button", name=f"Remove {new.name}").click()
    visitor.card(scans[-1].name)
    page.locator(".rl-name").get_by_text(new.name, exact=True).wait_for(state="detached")


@pytest.mark.parametrize("number", [3, pytest.param(8, marks=pytest.mark.slow)])
def test_visitors_at_once_each_get_their_own_answer(
    chromium: Any, url: str, run: Path, scans: list[Path], number: int
) -> None:
    visitors = [Visitor(chromium, url) for _ in range(number)]
    for visitor, file in zip(visitors, scans, strict=False):
        visitor.upload([file])
    answers = [visitor.first(file.name) for visitor, file in zip(visitors, scans, strict=False)]
    assert answers == expected(run, scans[:number])
    for visitor in visitors:
        assert visitor.page.locator(".rl-card").count() == 1
        visitor.close()
