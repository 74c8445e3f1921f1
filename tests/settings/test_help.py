"""Every setting is explained where people look: by `--help`, and in conf/README.md."""

import os
import re
import subprocess
import sys

import pytest
from omegaconf import DictConfig, OmegaConf

from src.settings.defaults import CONF
from src.settings.help import CHOSEN, list_groups, list_settings, rows
from src.settings.schema.training import Train
from src.settings.schema.verbs import VERBS
from tests.support.composed import compose_overrides
from tests.support.settings_tables import MARKED, README, tables


def listed(cfg: DictConfig) -> dict[str, str]:
    """Each setting as it is shown with its value, and the words behind it in one line."""
    found: dict[str, str] = {}
    for line in list_settings(_root_=cfg).splitlines():
        if not line.startswith(" "):
            typed, _, words = line.partition(" ")
            found[typed] = words.strip()
        else:
            found[typed] = f"{found[typed]} {line.strip()}".strip()
    return found


def test_a_setting_has_its_value_its_meaning_and_its_range() -> None:
    found = listed(compose_overrides("train", ["data=mnist"]))
    assert found["data.batch_size=128"].startswith("images of a training step in each process; auto: as many as fit")
    assert found["data.batch_size=128"].endswith("(a whole number between 2 and 65536, or auto)")
    assert found["data.augment.shift=2"].endswith("(a whole number between 0 and 1024)")
    assert found["optimizer.lr=$${usual_rate:0.05}"].endswith("(a number strictly between 0 and 1000, or auto)")
    assert found["monitor=$${usual_monitor:}"].endswith("or train/f1_micro)")
    assert "model.num_classes=$${data.num_classes}" in found  # Hydra's template makes one $ of two


@pytest.mark.parametrize("verb", VERBS)
def test_all_settings_are_listed_and_nothing_of_hydras(verb: str) -> None:
    cfg = compose_overrides(verb, [])
    keys = {typed.partition("=")[0] for typed in listed(cfg)}
    assert keys <= {row.key for row in rows(VERBS[verb])}
    assert set(cfg) - {"hydra", "model", "data", "trainer", "optimizer", "scheduler", "callbacks", "logger"} <= keys


def test_a_setting_that_the_schema_does_not_know_is_listed_too() -> None:
    cfg = OmegaConf.create({"model": {"name": "mine", "rings": 3}, "seed": 1, "monitor": "val/loss"})
    assert listed(cfg)["model.rings=3"] == "a setting of this option's own"


def test_the_base_of_a_group_is_no_option() -> None:
    groups = list_groups({"data": "digits", "hydra/help": "reslens"})
    assert "\ndata: the images\n  animals       The animals among Tiny-ImageNet's classes" in groups
    assert "\n  base" not in groups
    assert "help" not in groups
    assert list_groups({"hydra/help": "reslens"}) == ""


def test_the_tables_of_the_readme_are_those_of_the_schema() -> None:
    """Otherwise run `python -m tests.support.settings_tables`."""
    (written,) = MARKED.findall(README.read_text(encoding="utf-8"))
    assert written.strip() == tables().strip()


def test_the_tables_name_every_setting_with_its_default() -> None:
    text = tables()
    assert [row.key for row in rows(Train) if f"| `{row.key}` |" not in text] == []
    usual = "`${usual_rate:1e-3}` (adamw), `${usual_rate:0.05}` (sgd)"
    assert f"| `optimizer.lr` | a number strictly between 0 and 1000, or auto | {usual} |" in text
    assert "| `data.num_workers` | a whole number between 0 and 256, or auto | `auto` |" in text
    assert "| `checkpoint` | a run folder or a checkpoint file | none |" in text


@pytest.mark.parametrize("columns", [80, 100, 300])
@pytest.mark.parametrize("verb", ["train", "explain", "evaluate"])
def test_help_fits_the_terminal_and_never_takes_more_than_100_columns(verb: str, columns: int) -> None:
    command, there = [sys.executable, "-m", f"src.{verb}", "--help"], os.environ | {"COLUMNS": str(columns)}
    ran = subprocess.run(command, cwd=CONF.parent, env=there, capture_output=True, text=True, check=True)
    assert max(map(len, ran.stdout.splitlines())) <= min(columns, 100)


def test_each_option_of_a_group_is_told_in_a_few_words() -> None:
    groups = list_groups(dict.fromkeys(CHOSEN, ""))
    for group in CHOSEN:
        assert f"\n{group}: {CHOSEN[group]}\n" in groups
        for file in (CONF / group).glob("*.yaml"):
            assert file.stem == "base" or re.search(rf"^  {file.stem} +\S+ \S+", groups, re.MULTILINE), file
    assert not re.search(r"http|\betc|et al$", groups)
