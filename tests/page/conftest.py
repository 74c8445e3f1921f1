"""The page of a small run, served by a thread of this process: of one server for all tests, for there can be one."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from src.page import server
from src.page.exhibits import Exhibition, open_exhibition
from src.runs.folder import RunFolder
from tests.page.visitor import EVIL, Visitor
from tests.support.command_line import run_here
from tests.support.composed_labels import compose, patterns
from tests.training.test_multilabel import RUN


@pytest.fixture(scope="package")
def run(digits_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of our own, with a second checkpoint whose classes have other names, some that a page might read."""
    folder = tmp_path_factory.mktemp("page") / "run"
    shutil.copytree(digits_run, folder)
    content = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)
    content["hyper_parameters"]["class_names"] = [f"<i>{i}</i> **{i}**" for i in range(10)]
    torch.save(content, folder.parent / "other.ckpt")
    of = RunFolder(folder)
    of.write_cost({"parameters": 1000, "device": EVIL})
    of.gradcam.mkdir()
    for epoch in (0, 1):
        Image.fromarray(np.full((60, 1200, 3), 80 * epoch, np.uint8)).save(of.gradcam / f"epoch_{epoch:03d}.png")
    return folder


@pytest.fixture(scope="package")
def exhibitions(run: Path) -> dict[str, Exhibition]:
    device = torch.device("cpu")
    both = f"[{run},{run.parent / 'other.ckpt'}]"
    return {"one": open_exhibition(str(run), device), "two": open_exhibition(both, device)}


@pytest.fixture(scope="package")
def label_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three labels an image."""
    folder = tmp_path_factory.mktemp("labels")
    table = compose(folder / "pictures", patterns(), 120)
    result = run_here(*RUN, f"data.table={table}", "trainer.max_epochs=2", "hydra.run.dir=run", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder / "run"


@pytest.fixture(scope="package")
def url(exhibitions: dict[str, Exhibition]) -> Iterator[str]:
    pytest.importorskip("streamlit")
    with server.bound(0) as listening:
        port = listening.getsockname()[1]
        running = server.page_server(exhibitions["one"], port, browser=False)
        thread = threading.Thread(target=running.run, args=([listening],))
        thread.start()
        yield f"http://{server.HOST}:{port}"
        running.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A window's context in a real browser; its tests are skipped where there is none."""
    playwright, path = pytest.importorskip("playwright.sync_api"), shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium: apt install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser.new_context(reduced_motion="reduce")  # which takes a share of the time
        browser.close()


@pytest.fixture
def visitor(chromium: Any, url: str) -> Iterator[Visitor]:
    """A window on the page; it must not ask anything of another computer."""
    visitor = Visitor(chromium, url)
    yield visitor
    assert visitor.elsewhere == []
    visitor.close()
