"""Does the better network look at better places? The section of a report, from figures that are made up."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr
from scipy.stats import t as student

from src.analysis.intervals import seeds_interval
from src.analysis.significance import p_of_order
from src.attribution.archive import save_arrays
from src.frames import pd
from src.reporting.answers import Result
from src.reporting.difference_shown import compare
from src.reporting.finished import read_runs
from src.reporting.groups import group_runs
from src.reporting.groups import test_sets as make_sets
from src.reporting.kept_maps import Looks
from src.reporting.looking import Seen, leads_by, looking_section, on_objects
from src.reporting.report import write_report
from src.reporting.run_page import write_run_page
from src.runs.folder import RunFolder
from src.runs.kept_energy import KeptEnergy
from tests.reporting.conftest import MakeRun, edit_json

PATHS = [f"{number}.jpg" for number in range(12)]
SPREAD = np.linspace(-0.05, 0.05, len(PATHS))


def with_energy(run: RunFolder, means: Sequence[float], cells: int = 8, paths: Sequence[str] = PATHS) -> RunFolder:
    """Epoch by epoch, from the untrained network on; all images differ from the mean by as much as in other runs."""
    save_arrays(
        run.gradcam / "objects.npz", paths=np.array(paths), covered=np.full(len(paths), 0.3),
        blob=np.full(len(paths), 0.4),
    )  # fmt: skip
    for epoch, mean in enumerate(means):
        maps, energy = np.zeros((2, cells, cells), np.float32), mean + SPREAD * (1 + mean)
        save_arrays(run.gradcam / f"epoch_{epoch:03d}.npz", maps=maps, epoch=epoch, object_energy=energy)
    edit_json(run.metrics_file, best_epoch=3)
    return run


def runs_of(folder: Path, make_run: MakeRun, models: Mapping[str, tuple[float, float]], seeds: int = 2) -> Path:
    """`models`: how many of 40 are right, and the energy at the end."""
    for model, (right, energy) in models.items():
        for seed in range(1, seeds + 1):
            run = make_run(folder / f"{model}{seed}", f"model={model}", f"seed={seed}", correct=np.arange(40) < right)
            with_energy(run, (0.3, 0.35, 0.4, energy + seed / 100))
    return folder


def report(folder: Path) -> str:
    return (write_report(folder, folder.parent / "report").folder / "report.md").read_text(encoding="utf-8")


def said(folder: Path) -> str:
    """What the section says, by itself."""
    (test_set,), _ = make_sets(group_runs(read_runs(folder)[0])[0])
    comparisons, _ = compare(test_set)
    result = Result(test_set, pd.DataFrame(), comparisons, Looks([], (1, None), {}, []))
    return " ".join(text for section in looking_section(result, lambda *_: []) for text in section.paragraphs)


@pytest.mark.usefixtures("blank")
def test_the_better_of_two_looks_at_better_places(tmp_path: Path, make_run: MakeRun) -> None:
    text = report(runs_of(tmp_path / "runs", make_run, {"aa": (38, 0.6), "bb": (10, 0.5)}))
    assert "Does the better network look at better places? Yes, of these networks: aa is better in accuracy" in text
    assert "(0.950 against 0.250), and the share of its evidence on the objects is 0.615 against 0.515" in text
    assert "on 12 images, more in 2 of 2 pairs of trainings" in text
    assert "| 2 × 12 | 0.615 ± 0.007 | +0.315 ± 0.007 | [+0.251, +0.379] | +0.000 | 8×8 |" in text.replace(
        r"\[", "["
    ).replace(r"\]", "]")
    assert "Of a map that is the same everywhere 0.300 would lie there, of a centre blob 0.400." in text
    assert (tmp_path / "report/object_energy.png").exists()


@pytest.mark.usefixtures("blank")
@pytest.mark.parametrize("best", [3, 9])
def test_an_archive_of_the_runs_says_the_same(best: int, tmp_path: Path, make_run: MakeRun) -> None:
    runs = runs_of(tmp_path / "runs", make_run, {"aa": (38, 0.6), "bb": (10, 0.5)})
    for run in runs.iterdir():
        edit_json(run / "metrics.json", best_epoch=best)
    section = report(runs).partition("## On the objects?")[2].partition("\n## ")[0]
    write_report(runs, runs / "report", archive=True)
    (tmp_path / "there").mkdir()
    (runs / "report" / "runs.tar.xz").rename(tmp_path / "there" / "runs.tar.xz")
    assert len(section) > 500
    assert report(tmp_path / "there").partition("## On the objects?")[2].partition("\n## ")[0] == section


def test_the_other_way_round_and_where_the_lead_is_none(tmp_path: Path, make_run: MakeRun) -> None:
    text = said(runs_of(tmp_path / "a/runs", make_run, {"aa": (38, 0.4), "bb": (10, 0.5)}, seeds=1))
    assert "No, these show the opposite: aa is better in accuracy" in text
    assert "is 0.410 against 0.510 (−0.100 [−" in text
    assert "on 12 images, one training each" in text
    text = said(runs_of(tmp_path / "b/runs", make_run, {"aa": (38, 0.5), "bb": (10, 0.5)}, seeds=1))
    assert "That isn't shown: aa is better" in text
    text = said(runs_of(tmp_path / "c/runs", make_run, {"aa": (21, 0.4), "bb": (20, 0.5)}, seeds=1))
    assert "That isn't shown: aa is ahead, though no difference is shown, in accuracy" in text, "which one is better?"


def test_a_study_of_sharpness_says_where_the_evidence_lies(tmp_path: Path, make_run: MakeRun) -> None:
    folder = runs_of(tmp_path, make_run, {"aa": (38, 0.6), "bb": (10, 0.5)})
    (test_set,), _ = make_sets(group_runs(read_runs(folder)[0])[0])
    result = Result(
        test_set, pd.DataFrame(), compare(test_set)[0], Looks([], test_set.groups[0].runs[0].replicate, {}, [])
    )
    told = on_objects(result)
    assert told.startswith(
        " Of the maps' positive evidence 0.615 lies on the object with aa (+0.315 beyond an even map) and 0.515 with "
        "bb (+0.215), +0.100 ± 0.000 "
    )
    assert told.endswith(" on 12 images, more in 2 of 2 pairs of trainings: a difference shown.")
    for number in (1, 2):
        with_energy(RunFolder(folder / f"bb{number}"), (0.3, 0.35, 0.4, 0.6 + number / 100), cells=4)
    assert "no difference shown. The maps have cells of different sizes" in on_objects(result)
    for run in folder.iterdir():
        (run / "gradcam/objects.npz").unlink()
    assert on_objects(result) == ""


def test_more_networks_are_ranked_and_few_of_them_show_nothing(tmp_path: Path, make_run: MakeRun) -> None:
    models = {name: (38 - 6 * place, 0.6 - place / 20) for place, name in enumerate(("aa", "bb", "cc", "dd", "ee"))}
    few = runs_of(tmp_path / "few/runs", make_run, {name: models[name] for name in ("aa", "bb", "cc")}, seeds=1)
    text = said(few)
    assert "So few networks can't show it: rank correlation +1.00 between accuracy" in text
    assert "aa against cc: +0.100" in text
    text = said(runs_of(tmp_path / "all/runs", make_run, models, seeds=1))
    assert "Yes, of these networks: rank correlation +1.00" in text
    assert "5 networks, p = 0.017." in text, "2 of 120 orders"
    opposite = {name: (38 - 6 * place, 0.4 + place / 20) for place, name in enumerate(models)}
    text = said(runs_of(tmp_path / "opposite/runs", make_run, opposite, seeds=1))
    assert "No, these show the opposite: rank correlation −1.00" in text


def test_runs_without_places_have_no_section_and_damaged_ones_are_named(tmp_path: Path, make_run: MakeRun) -> None:
    folder = runs_of(tmp_path / "runs", make_run, {"aa": (38, 0.6), "bb": (10, 0.5)}, seeds=1)
    (folder / "aa1/gradcam/objects.npz").write_bytes(b"PK half a file")
    text = said(folder)
    assert "Can't be read: run aa1, gradcam/objects.npz is damaged" in text
    assert "Does the better network" not in text
    for run in folder.iterdir():
        (run / "gradcam/objects.npz").unlink()
    assert said(folder) == ""


def test_the_page_of_a_run_says_it(tmp_path: Path, make_run: MakeRun) -> None:
    run = with_energy(make_run(tmp_path / "run", "model=aa"), (0.3, 0.35, 0.4, 0.6))
    run.figures.mkdir()
    Image.new("RGB", (20, 10)).save(run.figures / "object_energy.png")
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("teal", "red")]
    frames[0].save(run.figures / "gradcam_by_epoch.webp", save_all=True, append_images=frames[1:])
    write_run_page(run)
    text = run.page_file.read_text(encoding="utf-8")
    assert "After epoch 3, 0.600 of the" in text
    assert "in 12 validation images whose places are known. That is +0.300 [" in text
    assert "(before training +0.000), and +0.200 [" in text
    film = b64encode((run.figures / "gradcam_by_epoch.webp").read_bytes()).decode()
    assert f"data:image/webp;base64,{film}" in text, "it still moves"


def seen(energy: Sequence[float], paths: Sequence[str]) -> Seen:
    values, even = np.array([energy]), np.full(len(paths), 0.3)
    return Seen(KeptEnergy([*paths], even, even, [1], values, (8, 8)), 0)


def test_a_lead_is_paired_by_image_and_run() -> None:
    one = {
        (1, None): seen([0.6, 0.5, np.nan], ["a", "b", "c"]),
        (2, None): seen([0.9], ["a"]),
        (3, None): seen([1], "a"),
    }
    other = {(1, None): seen([0.5, 0.1, 0.2], ["a", "b", "c"]), (2, None): seen([0.6], ["a"])}
    lead = leads_by(one, other)
    assert lead is not None
    assert lead.images == 2
    assert lead.difference == pytest.approx((0.2 + 0.4) / 2)  # a: the mean of 0.1 and 0.3
    assert lead.by_pair == pytest.approx([0.25, 0.3])
    assert leads_by({(1, None): seen([1], "a")}, {(2, None): seen([1], "a")}) is None


def test_intervals_and_orders_beside_scipy() -> None:
    values = [0.4, 0.5, 0.45]
    expected = student.interval(0.95, 2, loc=np.mean(values), scale=np.std(values, ddof=1) / np.sqrt(3))
    assert seeds_interval(values) == pytest.approx(expected)
    assert np.isnan(seeds_interval([0.4])).all()
    one, other = np.array([5.0, 4, 3, 2, 1]), np.array([0.5, 0.6, 0.3, 0.2, 0.1])
    assert p_of_order(one, other) == pytest.approx((spearmanr(one, other).statistic, 10 / 120)), "0.9, 1, or reversed"
    assert np.isnan(p_of_order(one, np.ones(5))).all()
