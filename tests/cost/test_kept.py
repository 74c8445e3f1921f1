"""Figures of cost.json are measured once a day."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from src.cost.kept import SECONDS, kept
from src.data.cache import cache_folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESLENS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Measured:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> dict[str, Any]:
        self.times += 1
        return {"latency_ms_median": 1.5 + self.times, "latency_passes": 100}


def test_the_same_network_on_the_same_machine_is_measured_once() -> None:
    measure = Measured()
    first = kept({"network": "a", "threads": 2}, measure)
    assert kept({"threads": 2, "network": "a"}, measure) == first
    assert first["measured"].startswith("20")
    assert measure.times == 1
    assert kept({"network": "a", "threads": 1}, measure)["latency_ms_median"] == 3.5


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b'{"measured": "x", "latency_passes": [1]}', b'{"latency": 1}'])
def test_damaged_figures_are_measured_again(folder: Path, damage: bytes) -> None:
    measure = Measured()
    kept({"network": "a"}, measure)
    (file,) = folder.glob("cost_*.json")
    file.write_bytes(damage)
    assert kept({"network": "a"}, measure)["latency_ms_median"] == 3.5


def test_old_figures_are_measured_again_and_tidied_up(folder: Path) -> None:
    measure = Measured()
    kept({"network": "a"}, measure)
    kept({"network": "b"}, measure)
    for file in folder.glob("cost_*.json"):
        os.utime(file, (time.time() - SECONDS - 1,) * 2)
    assert kept({"network": "a"}, measure)["latency_ms_median"] == 4.5
    assert len(list(folder.glob("cost_*.json"))) == 1


def test_without_a_home_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("RESLENS_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    assert cache_folder() is None
    measure = Measured()
    kept({}, measure)
    kept({}, measure)
    assert measure.times == 2
