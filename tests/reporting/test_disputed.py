"""The sheet of images on which two networks disagree shows the images that it names, from the data set itself."""

import re
from pathlib import Path

import numpy as np
import pytest

from src.data import ImageDataModule
from src.errors import InputError
from src.reporting.disputed import MOST, disagreement
from src.reporting.finished import read_runs
from src.reporting.groups import Group, group_runs
from src.reporting.report import write_report
from src.runs.folder import RunFolder
from src.train import train
from src.training.assemble import to_dict
from tests.command.test_sweep import SHORT, Config


@pytest.fixture
def groups(tmp_path: Path, config: Config) -> list[Group]:
    """A network that has learned something and one that hasn't, on scikit-learn's digits."""
    for rate in (0.05, 1e-6):
        train(config(*SHORT, f"optimizer.lr={rate}"), tmp_path / str(rate))
    return group_runs(read_runs(tmp_path)[0])[0]


def test_the_images_are_those_that_one_gets_right_alone(groups: list[Group], tmp_path: Path, config: Config) -> None:
    found = disagreement(*groups)
    assert found is not None
    tables = {group.label: RunFolder(group.runs[0].folder.path).predictions() for group in groups}
    one, other = (table["predicted"] == table["target"] for table in tables.values())
    assert found.count == (one != other).sum()
    assert found.replicate == (1, None, None)
    assert len(found.images) == len(found.true) == min(MOST, found.count) > 1
    for i, true in enumerate(found.true):
        assert (found.predicted[groups[0].label][i] == true) != (found.predicted[groups[1].label][i] == true)

    data = ImageDataModule(**to_dict(config(*SHORT))["data"] | {"num_workers": 0}, seed=1)
    data.prepare_data()
    data.setup()
    dataset = data.dataset("test", None, np.arange(data.size("test")))
    shown = {image.tobytes(): i for i, image in enumerate(found.images)}
    named = {}
    for place, path in enumerate(data.paths("test")):
        i = shown.get(dataset[place][0].numpy().tobytes())
        if i is not None:
            named[i] = path
    said = next(iter(tables.values())).set_index("path")["target"]
    assert [str(said[named[i]]) for i in range(len(found.true))] == found.true


def test_no_runs_in_common_are_no_agreement(groups: list[Group]) -> None:
    run = groups[1].runs[0]
    run.config["seed"] = 2
    assert disagreement(*groups) is None
    run.config["seed"] = 1
    run.config["data"]["root"] = groups[0].runs[0].config["data"]["root"] = "/nowhere"
    groups[0].runs[0].config["data"]["name"] = "folder"
    with pytest.raises(InputError):
        disagreement(*groups)


def test_odd_settings_of_the_data_cost_the_sheet_alone(groups: list[Group], tmp_path: Path) -> None:
    for group in groups:
        file = group.runs[0].folder.hydra / "config.yaml"
        file.write_text(re.sub(r"(?m)^  mean:.*\n(  - .*\n)*", "  mean: [half]\n", file.read_text()))
    write_report(tmp_path, tmp_path / "report")
    assert "The test images can't be shown: data.mean=" in (tmp_path / "report" / "report.md").read_text()
