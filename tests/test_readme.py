"""What README.md says: its commands are understood, its pictures are there, and nothing was left to be filled in."""

import re
import shlex
from pathlib import Path

import pytest

from src.networks import NETWORKS
from src.settings.composing import check_overrides, quote_paths

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = sorted(set(re.findall(r"^ {4}python -m src\.(\w+)([^\n]*?)(?: {2,}[^\n]*)?$", README, re.MULTILINE)))


def test_commands_were_found() -> None:
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize(("verb", "command"), COMMANDS)
def test_a_command_is_understood(verb: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet18.pth").touch()
    arguments = [word for word in quote_paths(shlex.split(command)) if not word.startswith("--") and word != "job"]
    overrides = [argument for argument in arguments if argument != "-m"]
    assert check_overrides(verb, overrides, multirun="-m" in arguments)


def test_links_and_pictures_are_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert [link for link in links if not link.startswith("http") and not (ROOT / link).exists()] == []
    assert any(link.endswith(".png") for link in links)


def test_nothing_was_left_to_be_filled_in() -> None:
    environment = {"HYDRA_FULL_ERROR", "RESLENS_CACHE", "OMP_NUM_THREADS", "GLIBC_TUNABLES"}
    assert set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", README)) <= environment


def test_every_network_and_data_set_is_named() -> None:
    names = [*NETWORKS, *(path.stem for path in (ROOT / "conf" / "data").glob("*.yaml"))]
    assert [name for name in names if f"`{name}`" not in README] == []
