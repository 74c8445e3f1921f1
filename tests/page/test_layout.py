"""The page under another name: installed, ResLens is `reslens`, and Streamlit runs the script without a package."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PROGRAM = """
import sys
import torch
from streamlit.testing.v1 import AppTest
from reslens.page import server
from reslens.page.exhibits import open_exhibition

server._exhibition = open_exhibition(sys.argv[1], torch.device("cpu"))
page = AppTest.from_file(str(server.PAGE), default_timeout=60).run()
assert not page.exception, page.exception
print("ResLens", "src.page" in sys.modules, [box.label for box in page.selectbox])
"""


def test_the_page_works_under_another_name(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("streamlit")
    (tmp_path / "reslens").symlink_to(ROOT / "src")
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(run)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("ResLens False ['"), ran.stdout
    assert "'Method', 'Layer', 'Evidence for'" in ran.stdout
