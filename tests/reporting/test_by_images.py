"""By number of images: curves, the best at each number, and where the order changes, from figures that are given."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from src.frames import pd
from src.reporting.answers import ANSWERS
from src.reporting.by_images import changes_of, crossing, curves_of
from src.reporting.deeper import PUBLISHED
from src.reporting.difference_shown import compare
from src.reporting.finished import read_runs
from src.reporting.groups import group_runs
from src.reporting.groups import test_sets as make_sets
from src.reporting.kept_maps import Looks
from src.reporting.report import write_report
from src.reporting.result import Result
from src.reporting.summary import summary
from src.runs.folder import RunFolder
from tests.reporting.conftest import MakeRun, edit_json

RIGHT = {"simple_cnn": (80, 90, 100, 101), "resnet18": (40, 80, 140, 160)}
"""Of 200 test images, by 10, 100, 1,000 and 10,000 training images."""


def result_of(folder: Path) -> Result:
    (test_set,), _ = make_sets(group_runs(read_runs(folder)[0])[0])
    comparisons, _ = compare(test_set)
    return Result(test_set, summary(test_set), comparisons, Looks([], (1, None), {}, []))


def sweep(
    folder: Path,
    make_run: MakeRun,
    right: Mapping[str, Sequence[int]] = RIGHT,
    setting: str = "data.train_fraction",
    values: Sequence[str] = ("0.001", "0.01", "0.1", "1.0"),
    seeds: int = 2,
) -> Path:
    """Networks with so many right answers by training images, 10 of the first value and ten times as many of the next;
    the second seed has two right answers more."""
    for model, counts in right.items():
        for place, (count, value) in enumerate(zip(counts, values, strict=False)):
            for seed in range(1, seeds + 1):
                words = (f"model={model}", f"seed={seed}", f"{setting}={value}")
                correct = np.arange(200) < count + 2 * (seed - 1)
                run = make_run(folder / f"{model}_{place}_{seed}", *words, correct=correct)
                edit_json(run.record_file, images={"train": 10 ** (place + 1)}, train_images_measured=10)
                edit_json(run.metrics_file, train__accuracy=0.9, val__accuracy=0.9 - 0.1 * place - 0.02 * seed)
    return folder


def test_the_best_at_each_number_and_where_the_order_changes(tmp_path: Path, make_run: MakeRun) -> None:
    said = crossing(result_of(sweep(tmp_path, make_run)))
    # 45.5 to 40.5 % on 100, 50.5 to 70.5 % on 1,000: lines cross a fifth of the way, at 100 × 10^0.2 = 158.
    assert said == (
        "Best by training images: on 10 simple_cnn with 40.5 ± 0.7 % (resnet18 20.0 ± 0.0 points below: a difference "
        "shown), on 100 simple_cnn with 45.5 ± 0.7 % (resnet18 5.0 ± 0.0 points below: a difference shown), on 1,000 "
        "resnet18 with 70.5 ± 0.7 % (simple_cnn 20.0 ± 0.0 points below: a difference shown), on 10,000 resnet18 with "
        "80.5 ± 0.7 % (simple_cnn 29.5 ± 0.0 points below: a difference shown). The order changes: resnet18 "
        "passes simple_cnn between 100 and 1,000 images, at about 160 (a difference shown on both sides). The tests "
        "tell what other test images would change, not what other seeds would."
    )


def test_a_change_of_order_that_chance_can_make_is_said_to_be_none(tmp_path: Path, make_run: MakeRun) -> None:
    right = {"simple_cnn": (81, 90, 100, 120), "resnet18": (80, 91, 99, 160)}
    result = result_of(sweep(tmp_path, make_run, right, seeds=1))
    changes = list(changes_of(curves_of(result.test_set), result.test_set))
    assert [(change.behind, change.before, list(change.shown)) for change in changes] == [
        ("resnet18", 10, [False, False]), ("simple_cnn", 100, [False, False]), ("resnet18", 1000, [False, True]),
    ]  # fmt: skip
    assert str(changes[0]).endswith("at about 32 (no difference shown)")
    assert str(changes[2]).endswith("(a difference shown on the right only)")


def test_a_p_value_is_corrected_for_all_changes_of_order(tmp_path: Path, make_run: MakeRun) -> None:
    """6 of 6 images: p = 0.031 alone, and no longer less than 0.05 among three changes."""
    right = {"simple_cnn": (86, 90, 96, 90), "resnet18": (80, 96, 90, 96)}
    result = result_of(sweep(tmp_path, make_run, right, seeds=1))
    changes = list(changes_of(curves_of(result.test_set), result.test_set))
    assert [tuple(change.shown) for change in changes] == [(False, False)] * 3


def test_p_values_are_corrected_for_all_numbers_of_images(tmp_path: Path, make_run: MakeRun) -> None:
    """7 of 7 images: p = 0.016 alone, 0.062 among four numbers."""
    right = {"simple_cnn": (87, 97, 107, 117), "resnet18": (80, 90, 100, 110)}
    said = crossing(result_of(sweep(tmp_path, make_run, right, seeds=1)))
    assert said.count("(resnet18 3.5 points below: no difference shown)") == 4, said


def test_equal_ones_have_no_order_and_hide_none(tmp_path: Path, make_run: MakeRun) -> None:
    right = {"simple_cnn": (100, 100, 100, 100), "resnet18": (60, 100, 140, 100)}
    result = result_of(sweep(tmp_path, make_run, right, seeds=1))
    said = crossing(result)
    assert said.count("equal: no difference shown") == 2, said
    assert "resnet18 passes simple_cnn between 10 and 1,000 images, at about 100 (a difference shown on both" in said
    assert len(list(changes_of(curves_of(result.test_set), result.test_set))) == 1


def test_the_seeds_that_both_have_are_told_where_they_say_the_opposite(tmp_path: Path, make_run: MakeRun) -> None:
    """resnet18's second seed is far better, and simple_cnn has none: its first one is better than the other's."""
    sweep(tmp_path, make_run, {"simple_cnn": (100, 100, 100)}, seeds=1)
    sweep(tmp_path, make_run, {"resnet18": (80, 80, 80)}, seeds=1)
    for place in range(3):
        words = ("model=resnet18", "seed=2", f"data.train_fraction={('0.001', '0.01', '0.1')[place]}")
        run = make_run(tmp_path / f"second_{place}", *words, correct=np.arange(200) < 190)
        edit_json(run.record_file, images={"train": 10 ** (place + 1)}, train_images_measured=10)
    said = crossing(result_of(tmp_path))
    told = "(simple_cnn 10.0 points above in the seeds that both have: a difference shown)"
    assert said.count(told) == 3, said


def test_a_change_of_order_that_the_seeds_in_common_deny_is_not_shown(tmp_path: Path, make_run: MakeRun) -> None:
    """On 100 and 1,000 images resnet18 is ahead by its second seed alone."""
    sweep(tmp_path, make_run, {"simple_cnn": (100, 100, 100), "resnet18": (60, 80, 80)}, seeds=1)
    for place, (count, value) in enumerate(((60, "0.001"), (190, "0.01"), (190, "0.1"))):
        words = ("model=resnet18", "seed=2", f"data.train_fraction={value}")
        run = make_run(tmp_path / f"second_{place}", *words, correct=np.arange(200) < count)
        edit_json(run.record_file, images={"train": 10 ** (place + 1)}, train_images_measured=10)
    test_set = result_of(tmp_path).test_set
    assert [change.shown for change in changes_of(curves_of(test_set), test_set)] == [(True, False)]


def test_arms_that_are_alone_or_share_no_seed_are_named(tmp_path: Path, make_run: MakeRun) -> None:
    sweep(tmp_path, make_run, {"simple_cnn": (100, 100, 100, 100), "resnet18": (80, 80, 80)}, seeds=1)
    run = tmp_path / "resnet18_0_1/.hydra/config.yaml"
    run.write_text(run.read_text(encoding="utf-8").replace("seed: 1", "seed: 7"), encoding="utf-8")
    edit_json(tmp_path / "resnet18_0_1/metrics.json", seed=7)
    said = crossing(result_of(tmp_path))
    assert "on 10 simple_cnn with 50.0 % (resnet18 40.0 %, without a seed in common)" in said
    assert "on 10,000 simple_cnn with 50.0 % (no other)" in said


def test_pretrained_is_compared_with_scratch_at_each_number(tmp_path: Path, make_run: MakeRun) -> None:
    """The largest pretrained and the smallest from scratch, which are neither the best nor the worst here."""
    right = {
        ("resnet50", True): (100, 120, 140), ("resnet18", False): (60, 119, 160),
        ("resnet18", True): (190, 190, 190), ("resnet50", False): (20, 20, 20),
    }  # fmt: skip
    for (model, pretrained), counts in right.items():
        for place, count in enumerate(counts):
            weights = f"weights={model}.pth" if pretrained else "weights=null"
            words = (f"model={model}", weights, f"data.max_images={10 ** (place + 1)}")
            run = make_run(tmp_path / f"{model}{pretrained}{place}", *words, correct=np.arange(200) < count)
            edit_json(run.record_file, images={"train": 10 ** (place + 1)}, train_images_measured=10)
            edit_json(run.metrics_file, parameters=23 if model == "resnet50" else 11)
    result = result_of(tmp_path)
    assert ANSWERS["crossing"](result) == (
        f"{crossing(result)} resnet50, pretrained compared with resnet18, from scratch: +20.0 points on 10 (a "
        "difference shown), +0.5 points on 100 (no difference shown), −10.0 points on 1,000 (a difference shown)."
    )


def test_numbers_of_images_count_where_all_are_taken(tmp_path: Path, make_run: MakeRun) -> None:
    folder = sweep(tmp_path, make_run, setting="data.max_images", values=("10", "100", "1000", "null"), seeds=1)
    curves = curves_of(result_of(folder).test_set)
    assert {label: [*curve] for label, curve in curves.items()} == {label: [10, 100, 1000, 10_000] for label in RIGHT}


def test_values_that_mean_as_many_images_are_one_point(tmp_path: Path, make_run: MakeRun) -> None:
    """`data.max_images=2500` of fewer images are all of them, as `null` is, which has more runs here."""
    sweep(tmp_path, make_run, setting="data.max_images", values=("10", "100", "1000", "null"))
    for model in RIGHT:
        run = make_run(tmp_path / f"{model}_all", f"model={model}", "data.max_images=2500", correct=np.arange(200) < 20)
        edit_json(run.record_file, images={"train": 10_000}, train_images_measured=10)
    curves = curves_of(result_of(tmp_path).test_set)
    assert {label: [*curve] for label, curve in curves.items()} == {label: [10, 100, 1000, 10_000] for label in RIGHT}
    assert [len(curve[10_000].runs) for curve in curves.values()] == [2, 2]


def test_two_numbers_and_unknown_ones_are_no_curve(tmp_path: Path, make_run: MakeRun) -> None:
    result = result_of(sweep(tmp_path / "two", make_run, values=("0.1", "1.0"), seeds=1))
    assert crossing(result) is None
    assert ANSWERS["crossing"](result) == ANSWERS["best"](result)
    folder = sweep(tmp_path / "old", make_run, seeds=1)
    for run in folder.iterdir():
        edit_json(run / "run.json", images=None)  # of an early version
    assert curves_of(result_of(folder).test_set) == {}


def test_one_network_is_a_curve_without_an_order(tmp_path: Path, make_run: MakeRun) -> None:
    result = result_of(sweep(tmp_path, make_run, {"resnet18": RIGHT["resnet18"]}, seeds=1))
    assert crossing(result) == ("By training images: on 10 20.0 %, on 100 40.0 %, on 1,000 70.0 %, on 10,000 80.0 %.")


def test_overfitting_says_the_gaps_first(tmp_path: Path, make_run: MakeRun) -> None:
    result = result_of(sweep(tmp_path, make_run, seeds=1))
    said = ANSWERS["gap"](result)
    assert said.startswith("Train accuracy minus validation accuracy is largest with ")
    assert "on 0.1 % of the images (2.0 points)" in said
    assert said.endswith(f". {crossing(result)}")


def test_the_report_shows_curves_and_table(tmp_path: Path, make_run: MakeRun, blank: None) -> None:
    folder = sweep(tmp_path / "runs", make_run, seeds=1)
    text = (write_report(folder, tmp_path / "report").folder / "report.md").read_text(encoding="utf-8")
    assert "## By number of images" in text
    assert re.search(r"\| resnet18 +\| +20\.0 \| +40\.0 \| +70\.0 \| +80\.0 \|", text), text
    assert (tmp_path / "report" / "by_images.png").is_file()
    assert (tmp_path / "report" / "by_seconds.png").exists() is False  # these runs have no times
    two = sweep(tmp_path / "two", make_run, values=("0.1", "1.0"), seeds=1)
    write_report(two, tmp_path / "report")
    assert not (tmp_path / "report" / "by_images.png").exists()


# A deeper network, arm by arm -----------------------------------------------------------------------------------------


def with_times(run: RunFolder, parameters: int, seconds: float, scores: Sequence[float]) -> None:
    edit_json(run.metrics_file, parameters=parameters)
    history = pd.DataFrame({"epoch": range(1, 4), "seconds": seconds, "val/accuracy": scores})
    others = ("train/loss", "train/accuracy", "val/loss")
    history.assign(**dict.fromkeys(others, 0.5)).to_csv(run.history_file, index=False)


@pytest.fixture(scope="module")
def depths(tmp_path_factory: pytest.TempPathFactory, make_run: MakeRun) -> Path:
    """ResNet-18 and 50, from scratch and from a file for each; the deeper one is slower, and only pretrained better."""
    folder = tmp_path_factory.mktemp("depths")
    right = {("resnet18", 0): 120, ("resnet50", 0): 119, ("resnet18", 1): 140, ("resnet50", 1): 170}
    for (model, pretrained), count in right.items():
        weights = f"weights={model}.pth" if pretrained else "weights=null"
        for seed in (1, 2):
            correct = np.arange(200) < count
            run = make_run(
                folder / f"{model}{pretrained}{seed}", f"model={model}", weights, f"seed={seed}", correct=correct
            )
            deep = model == "resnet50"
            scores = (0.4, 0.6, 0.8) if deep and pretrained else (0.5, 0.55, 0.6)
            with_times(run, 23 if deep else 11, 60.0 if deep else 20.0, scores)
    return folder


def test_a_deeper_network_is_compared_in_each_arm(depths: Path) -> None:
    said = ANSWERS["deeper"](result_of(depths))
    pretrained, scratch = said.partition(". By seconds")[0].split("; from scratch, ")
    assert re.fullmatch(
        r"Pretrained, resnet50 is 15\.0 ± 0\.0 points above resnet18 \(± sd over 2 pairs of runs; 95 % interval "
        r"1[01]\.\d to (19|2[01])\.\d, for these trained networks, not other seeds\): a difference shown",
        pretrained,
    ), pretrained
    assert re.fullmatch(
        r"resnet50 is 0\.5 ± 0\.0 points below resnet18 \(.*−\d\.\d to \d\.\d.*\): no difference shown",
        scratch,
    ), scratch
    # Seconds: 20, 40, 60 with 0.5 to 0.6; 60, 120, 180 with 0.4, 0.6, 0.8 (an equal score takes no lead).
    assert said.endswith(
        " By seconds of training, the best so far in validation accuracy at an epoch's end (means over the runs, not "
        "tested): pretrained, resnet18 after 20 s, up to 60.0 %, from 3 min 00 s on resnet50, up to 80.0 %; from "
        "scratch, resnet18 after 20 s, up to 60.0 %."
    )


def test_an_arm_whose_other_depth_is_missing_is_said_to_be_alone(depths: Path, tmp_path: Path) -> None:
    folder = copytree(depths, tmp_path / "runs")
    for run in folder.glob("resnet500*"):
        edit_json(run / "run.json", status="failed", error="out of memory")
    assert "): a difference shown; from scratch, resnet18 alone. By seconds" in ANSWERS["deeper"](result_of(folder))


def test_accuracy_is_drawn_against_seconds(depths: Path, tmp_path: Path, blank: None) -> None:
    write_report(depths, tmp_path / "report")
    assert (tmp_path / "report" / "by_seconds.png").is_file()


def test_without_times_or_a_seed_in_common_the_rest_is_told(tmp_path: Path, make_run: MakeRun) -> None:
    for model, seed, size in (("resnet18", 1, 11), ("resnet50", 2, 23)):
        edit_json(make_run(tmp_path / model, f"model={model}", f"seed={seed}").metrics_file, parameters=size)
    told = ANSWERS["deeper"](result_of(tmp_path))  # an early version has no seconds
    assert told == "resnet18 and resnet50 have no seed in common: not compared."


def test_one_depth_is_answered_by_the_best(tmp_path: Path, make_run: MakeRun) -> None:
    for rate in (0.1, 0.2):
        make_run(tmp_path / f"{rate}", "model=resnet18", f"optimizer.lr={rate}")
    result = result_of(tmp_path)
    assert ANSWERS["deeper"](result) == ANSWERS["best"](result)


def test_the_distance_to_the_paper_is_of_the_test_error_on_cifar10(tmp_path: Path, make_run: MakeRun) -> None:
    for model, right in (("cifar_resnet20", 170), ("cifar_resnet56", 190), ("cifar_plain20", 160)):
        run = make_run(tmp_path / "a" / model, f"model={model}", "data=cifar10", correct=np.arange(200) < right)
        edit_json(run.metrics_file, train__accuracy=0.9)
        edit_json(run.record_file, images={"train": 14_400}, train_images_measured=1000)
    assert ANSWERS["depth"](result_of(tmp_path / "a")).endswith(
        " Residual test error beside the paper's (He et al. 2015, 64,000 steps of 128 on 45,000 images; here 3 epochs "
        "of 14,400): 15.0 % with 20 layers (8.75 %: 6.2 points more), 5.0 % with 56 layers (6.97 %: 2.0 points less)."
    )
    for model in ("cifar_resnet20", "cifar_resnet56"):
        make_run(tmp_path / "b" / model, f"model={model}")
    assert "paper" not in ANSWERS["depth"](result_of(tmp_path / "b"))
    assert PUBLISHED[20] > PUBLISHED[56] > PUBLISHED[110]


def test_an_earlier_versions_width_is_the_usual_one(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path / "old", "model=mini_resnet_basic_pre", "seed=1")
    make_run(tmp_path / "new", "model=mini_resnet_basic_pre", "seed=2", config={"model.width": 32})
    make_run(tmp_path / "wide", "model=mini_resnet_basic_pre", "seed=1", config={"model.width": 64})
    groups, _ = group_runs(read_runs(tmp_path)[0])
    assert sorted(len(group.runs) for group in groups) == [1, 2]
