"""What a report says of sweeps that cross splits with seeds, over run folders that RunFolder itself has written."""

import re
from dataclasses import replace
from pathlib import Path
from shutil import rmtree

import numpy as np
import pandas as pd
import pytest

from src.analysis.variance_components import crossed
from src.reporting import groups
from src.reporting.answers import ANSWERS, Result
from src.reporting.crossed_runs import Sources, find_sources
from src.reporting.difference_shown import compare
from src.reporting.finished import Replicate, read_runs
from src.reporting.kept_maps import Looks
from src.reporting.report import show, write_report
from src.reporting.summary import summary
from src.reporting.variance_components import summed_up
from tests.reporting.conftest import MakeRun, edit_json

IMAGES = 60
MODELS = {"resnet18": 0.9, "simple_cnn": 0.7}


def make_sweep(
    folder: Path, make_run: MakeRun, *, splits: int = 3, seeds: int = 2, published: bool = False, most: int = 99
) -> dict[str, np.ndarray]:
    """Each network with each seed on each split, if these are `most` together; return their accuracies (S, R)."""
    random = np.random.default_rng(0)
    found = {model: np.full((splits, seeds), np.nan) for model in MODELS}
    for split in range(splits):
        own = range(IMAGES) if published else random.permutation(2 * IMAGES)[:IMAGES]
        for seed in range(seeds if split < most else 0):
            for model, share in MODELS.items():
                right = random.random(IMAGES) < share
                found[model][split, seed] = right.mean()
                words = (f"model={model}", f"seed={seed + 1}", f"+data.split_seed={split + 1}")
                if split + seed < most:
                    paths = [f"{i:03d}.jpg" for i in own]
                    make_run(folder / f"{split}{seed}{model}", *words, correct=right, paths=paths)
    return found


def sources(folder: Path) -> list[Sources]:
    found, problems = groups.group_runs(read_runs(folder)[0])
    assert problems == []
    (test_set,), apart = groups.test_sets(found)
    assert apart == []
    return find_sources(test_set)


@pytest.mark.parametrize("published", [True, False])
def test_networks_and_their_difference(published: bool, tmp_path: Path, make_run: MakeRun) -> None:
    scores = make_sweep(tmp_path, make_run, published=published)
    one, other, lead = sources(tmp_path)
    assert [(s.label, s.minus, s.splits, s.seeds) for s in (one, other, lead)] == [
        ("resnet18", "", 3, 2), ("simple_cnn", "", 3, 2), ("resnet18", "simple_cnn", 3, 2),
    ]  # fmt: skip
    assert (one.published, one.images) == (published, IMAGES)
    assert one.scores.run.variance == pytest.approx(crossed(scores["resnet18"]).run.variance)
    assert lead.mean == pytest.approx((scores["resnet18"] - scores["simple_cnn"]).mean())
    whole = lead.scores.run.variance + lead.luck.common  # nothing is lost, and nothing counted twice
    assert sum(part.variance for part in lead.parts.values()) == pytest.approx(whole)
    assert sum(lead.shares.values()) == pytest.approx(1)
    few, many = lead.pairs(0.2)[0], lead.pairs(0.1)[0]
    assert few is not None
    assert many is None or few < many


def test_runs_that_are_missing_leave_the_largest_crossed_part(tmp_path: Path, make_run: MakeRun) -> None:
    make_sweep(tmp_path, make_run, splits=4, seeds=3, most=4)  # the last split lacks two seeds, the one before it one
    assert {(s.splits, s.seeds) for s in sources(tmp_path)} == {(3, 2)}


def test_a_lead_is_of_what_both_have_whatever_each_lacks(tmp_path: Path, make_run: MakeRun) -> None:
    """Alone, one lacks seed 1 and the other seed 2; on two of the splits they have two seeds in common."""
    make_sweep(tmp_path, make_run, splits=3, seeds=3, published=True)
    rmtree(tmp_path / "00resnet18")
    rmtree(tmp_path / "11simple_cnn")
    found = [(s.minus, s.splits, s.seeds) for s in sources(tmp_path)]
    assert found == [("", 3, 2), ("", 3, 2), ("simple_cnn", 2, 2)]


def test_a_lead_that_the_crossed_part_turns_round_is_none(tmp_path: Path, make_run: MakeRun) -> None:
    make_sweep(tmp_path, make_run, splits=2)
    *_, lead = sources(tmp_path)
    behind = "resnet18 is, on the splits and seeds that both have, behind simple_cnn by 1.0 points ± "
    assert summed_up(replace(lead, mean=-0.01)).startswith(behind)


def told(folder: Path) -> str:
    (test_set,), _ = groups.test_sets(groups.group_runs(read_runs(folder)[0])[0])
    looks, found = Looks([], Replicate(1), {}, []), find_sources(test_set)
    return ANSWERS["luck"](Result(test_set, summary(test_set), compare(test_set)[0], looks, found))


def test_one_network_has_no_lead_and_its_luck_is_told(tmp_path: Path, make_run: MakeRun) -> None:
    make_sweep(tmp_path, make_run)
    for run in tmp_path.glob("*simple_cnn"):
        rmtree(run)
    assert re.search(r"resnet18 reaches \d\d\.\d % ± \d\.\d \(sd, .* % of seed × split", told(tmp_path))


def test_where_nothing_varies_no_number_of_runs_is_told(tmp_path: Path, make_run: MakeRun, blank: None) -> None:
    for split in (1, 2):
        for seed in (1, 2):
            for model in MODELS:
                words = (f"model={model}", f"seed={seed}", f"+data.split_seed={split}")
                make_run(tmp_path / f"s/{split}{seed}{model}", *words, correct=np.ones(IMAGES, bool))
    said = "resnet18 leads simple_cnn by 0.0 points, and nothing varies: these runs don't tell what luck does."
    assert told(tmp_path / "s") == said
    text = (write_report(tmp_path / "s", tmp_path / "report").folder / "report.md").read_text()
    assert said in text
    assert "80 % power" not in text


@pytest.mark.parametrize(("splits", "seeds"), [(1, 3), (3, 1)])
def test_without_two_of_each_there_is_nothing_to_say(
    splits: int, seeds: int, tmp_path: Path, make_run: MakeRun
) -> None:
    make_sweep(tmp_path, make_run, splits=splits, seeds=seeds)
    assert sources(tmp_path) == []


def test_the_report_says_it_and_a_later_one_takes_it_back(
    tmp_path: Path, make_run: MakeRun, blank: None, capsys: pytest.CaptureFixture[str]
) -> None:
    make_sweep(tmp_path / "s", make_run)
    for config in (tmp_path / "s").glob("*/.hydra/config.yaml"):
        config.write_text(config.read_text().replace("study: null", "study: {question: Luck?, answer: luck}"))
    report = write_report(tmp_path / "s", tmp_path / "report")
    show(report)
    said, text = capsys.readouterr().out, (report.folder / "report.md").read_text()
    for words in ("resnet18 leads simple_cnn by", "To show a true difference with 80 % power"):
        assert words in said
        assert words in text
    table = pd.read_csv(report.folder / "components.csv")
    assert "## Where differences come from" in text
    assert (report.folder / "variance_components.png").is_file()
    assert len(table) == 12
    assert {*table["component"]} == {"test images", "split", "seed", "seed × split"}
    assert pd.read_csv(report.folder / "runs.csv")["split"].tolist()[:3] == [1, 2, 3]
    assert "| 1, split 2 |" in text
    for run in (tmp_path / "s").glob("[12]*"):
        edit_json(run / "run.json", status="failed")
    write_report(tmp_path / "s", tmp_path / "report")
    assert not (report.folder / "components.csv").exists()
    assert not (report.folder / "variance_components.png").exists()
