"""The page in a process of its own keeps no more for the fiftieth picture than for the tenth."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.page import server
from tests.page.visitor import Visitor

pytest.importorskip("streamlit")
playwright = pytest.importorskip("playwright.sync_api")

ROOT = Path(__file__).parent.parent.parent


def resident(process: int) -> int:
    """Its memory in kB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())[1])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium: apt install chromium")
def test_memory_stays_flat_over_fifty_large_photographs(digits_run: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    photos = [tmp_path / f"photo {i:02d}.jpg" for i in range(50)]
    for photo in photos:  # 2 MB each: fifty that were kept would be seen
        small = random.integers(0, 256, (600, 800, 3), dtype=np.uint8)
        Image.fromarray(small).resize((2400, 1800), Image.Resampling.NEAREST).save(photo, quality=85)
    assert min(photo.stat().st_size for photo in photos) > 1_500_000
    with server.bound(0) as listening:
        port = listening.getsockname()[1]
    page = subprocess.Popen(
        [sys.executable, "-m", "src.app", f"checkpoint={digits_run}", f"port={port}", "browser=false"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    memory = []
    with page as process, playwright.sync_playwright() as started:
        try:
            assert process.stdout is not None
            assert f"http://127.0.0.1:{port}" in process.stdout.readline()
            browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            visitor = Visitor(browser.new_context(), f"http://127.0.0.1:{port}")
            for photo in photos:
                visitor.upload([photo])
                visitor.card(photo.name)
                memory.append(resident(process.pid))
            browser.close()
        finally:
            process.kill()
    assert memory[-1] < 1.05 * memory[9], memory
