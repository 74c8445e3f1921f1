"""A study's sentence, from figures that are given."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy.stats import ttest_ind

from src.analysis.tasks import ONE_CLASS
from src.reporting import groups
from src.reporting.answers import ANSWERS, Result
from src.reporting.difference_shown import Comparison
from src.reporting.finished import read_runs
from src.reporting.kept_maps import Areas, Looks
from src.reporting.summary import summary
from tests.reporting.conftest import MakeRun, edit_json


def result(rows: list[dict[str, Any]], *comparisons: Comparison, areas: dict[str, Areas] | None = None) -> Result:
    usual = {"n": 1} | {f"{name}_sd": math.nan for name in ("test_accuracy", "train_accuracy", "gap_accuracy")}
    usual |= {"baseline_accuracy": math.nan}
    usual |= {f"test_{name}": 0.5 for name in ("precision", "recall", "f1")}
    table = pd.DataFrame([usual | {"label": row["model"]} | row for row in rows])
    return Result(groups.TestSet("digits", [], ONE_CLASS), table, comparisons, Looks([], (1, None), areas or {}, []))


def comparison(best: str, other: str, difference: float, low: float, high: float, p: float) -> Comparison:
    return Comparison(100, difference, low, high, 5, 3, p, best=best, other=other, replicates=1, p_holm=p)


def test_two_groups_are_a_difference_with_its_interval() -> None:
    rows = [{"model": "resnet18", "test_accuracy": 0.9}, {"model": "resnet50", "test_accuracy": 0.896}]
    told = ANSWERS["best"](result(rows, comparison("resnet18", "resnet50", 0.004, -0.003, 0.011, 0.4)))
    assert (
        told
        == "resnet50 is 0.4 points below resnet18 (95 % interval −1.1 to 0.3, of one seed each): no difference shown."
    )
    told = ANSWERS["best"](result(rows, comparison("resnet18", "resnet50", 0.1, 0.05, 0.15, 0.001)))
    assert (
        told
        == "resnet50 is 10.0 points below resnet18 (95 % interval −15.0 to −5.0, of one seed each): a difference shown."
    )


@pytest.mark.parametrize(("low", "p"), [(0.01, 0.06), (-0.01, 0.04)])
def test_a_difference_needs_both_the_interval_and_the_test(low: float, p: float) -> None:
    rows = [{"model": "a", "test_accuracy": 0.9}, {"model": "b", "test_accuracy": 0.8}]
    assert ANSWERS["best"](result(rows, comparison("a", "b", 0.1, low, 0.2, p))).endswith("no difference shown.")


def test_several_groups_name_the_best_and_its_lead() -> None:
    rows = [{"model": m, "test_accuracy": a, "test_accuracy_sd": 0.01} for m, a in (("a", 0.9), ("b", 0.8), ("c", 0.7))]
    leads = comparison("a", "c", 0.2, 0.1, 0.3, 0.001), comparison("a", "b", 0.1, 0.05, 0.15, 0.01)
    assert ANSWERS["best"](result(rows, *leads)) == (
        "a is best with 90.0 ± 1.0 % of the test images; b is 10.0 points below a (95 % interval −15.0 to −5.0, "
        "of one seed each): a difference shown."
    )
    assert ANSWERS["best"](result(rows)) == "a is best with 90.0 ± 1.0 % of the test images, b next with 80.0 ± 1.0 %."


def test_levels_say_before_and_after() -> None:
    rows = [{"model": "a", "test_accuracy": 0.975, "test_accuracy_sd": 0.001, "baseline_accuracy": 0.1135}]
    assert ANSWERS["levels"](result(rows)) == (
        "a: 97.5 ± 0.1 % of the test images after training and 11.3 % before "
        "(macro precision 50.0, recall 50.0, F1 50.0 %)."
    )
    assert ANSWERS["best"](result(rows)) == ANSWERS["levels"](result(rows))


def test_gaps_by_the_number_of_images() -> None:
    figures = (("a", "1", 0.1, 0.9), ("b", "1", 0.2, 0.8), ("a", "0.05", 0.5, 0.6), ("b", "0.05", 0.4, 0.7))
    rows = [
        {"model": m, "label": f"{m}, {f}", "data.train_fraction": f, "gap_accuracy": gap, "test_accuracy": accuracy}
        for m, f, gap, accuracy in figures
    ]
    rows[2]["gap_accuracy_sd"] = 0.02
    said = (
        "Train accuracy minus validation accuracy is largest with a on 5 % of the images (50.0 ± 2.0 points), b on "
        "100 % of the images (20.0 points); best on the test set are b on 5 % (70.0 %), a on 100 % (90.0 %)"
    )
    assert ANSWERS["gap"](result(rows)) == f"{said}."
    leads = [comparison("a, 1", other, 0.2, 0.1, 0.3, 0.01) for other in ("b, 0.05", "b, 1", "a, 0.05")]
    verdict = "b, 1 is 20.0 points below a, 1 (95 % interval −30.0 to −10.0, of one seed each): a difference shown"
    assert ANSWERS["gap"](result(rows, *leads)) == f"{said}; {verdict}."
    assert ANSWERS["gap"](result(rows, leads[0])) == f"{said}."


def test_no_gap_is_no_overfitting() -> None:
    rows = [{"model": m, "gap_accuracy": gap, "test_accuracy": 0.5} for m, gap in (("a", -0.031), ("b", -0.1))]
    said = "a is nearest to overfitting: train accuracy minus validation accuracy is −3.1 points; a is best"
    assert ANSWERS["gap"](result(rows)).startswith(said)
    rows[1]["gap_accuracy"] = 0.1
    assert ANSWERS["gap"](result(rows)).startswith("b overfits most: train accuracy minus validation accuracy is 10.0")


def test_depth_is_told_by_the_training_error() -> None:
    models = (("cifar_plain20", 0.92, 0.01), ("cifar_plain56", 0.80, 0.01), ("cifar_resnet20", 0.93, 0.01))
    models = (*models, ("cifar_resnet56", 0.94, 0.01))
    rows = [
        {"model": m, "train_accuracy": a, "train_accuracy_sd": sd, "test_accuracy": a, "n": 3} for m, a, sd in models
    ]
    residual = "the training error of residual networks is 7.0 % with 20 layers and 6.0 % with 56"
    # Three values each with these means and deviations, and the test from its samples.
    plain, other = (
        ttest_ind(*([1 - m - 0.01, 1 - m, 1 - m + 0.01] for m in reversed(pair)), equal_var=False)
        for pair in ((0.92, 0.8), (0.93, 0.94))
    )
    assert 2 * plain.pvalue < 0.001  # of two tests
    interval, wider = (
        " to ".join(f"{100 * end:+.1f}".replace("-", "−") for end in test.confidence_interval())
        for test in (plain, other)
    )
    assert ANSWERS["depth"](result(rows)) == (
        "At the best epoch, the training error of plain networks rises from 8.0 % with 20 layers to 20.0 % with 56 "
        f"(95 % interval {interval} points, Welch's t-test over seeds: p < 0.001); {residual} (95 % interval {wider} "
        f"points, Welch's t-test over seeds: p = {other.pvalue:.3f}, no difference shown)."
    )
    for row in rows[1:]:
        row |= {"n": 1, "train_accuracy_sd": math.nan}
    alone = "(no test of a single run, no difference shown)"
    assert ANSWERS["depth"](result(rows)).endswith(f"20.0 % with 56 {alone}; {residual} {alone}.")
    for row, accuracy in zip(rows, (1.0, 0.999, 0.9, 0.9), strict=True):
        row |= {"n": 2, "train_accuracy_sd": 0.0, "train_accuracy": accuracy}
    assert "is 0.0 % with 20 layers and 0.1 % with 56 (no test of runs that don't vary, no diff" in ANSWERS["depth"](
        result(rows)
    )


def test_two_tests_of_depth_are_corrected() -> None:
    """Plain alone: p = 0.03; with a second test 0.06."""
    figures = (("plain20", 0.90, 0.01), ("plain56", 0.873, 0.01), ("resnet20", 0.9, 0.02), ("resnet56", 0.88, 0.02))
    rows = [{"model": f"cifar_{m}", "train_accuracy": a, "train_accuracy_sd": sd, "n": 3} for m, a, sd in figures]
    rows = [row | {"test_accuracy": 0.5} for row in rows]
    assert "plain networks rises from" in ANSWERS["depth"](result(rows[:2]))
    assert "plain networks is" in ANSWERS["depth"](result(rows))


def test_networks_without_a_number_of_layers_have_no_depth() -> None:
    models = ("cifar_resnet20", "mini_resnet_basic_post", "wide_resnet50_2", "cifar_resnet56")
    rows = [{"model": model, "train_accuracy": 0.9, "test_accuracy": 0.9} for model in models]
    assert "10.0 % with 20 layers and 10.0 % with 56" in ANSWERS["depth"](result(rows))
    assert ANSWERS["depth"](result(rows[:3])).startswith("cifar_resnet20 is best")


def test_depth_is_not_told_where_something_else_differs_too() -> None:
    rows = [
        {"model": f"cifar_plain{layers}", "label": f"{layers}, lr={lr}", "train_accuracy": accuracy, "n": 1}
        | {"test_accuracy": accuracy}
        for layers, lr, accuracy in ((20, 0.1, 0.9), (110, 0.1, 0.8), (20, 0.05, 0.7), (110, 0.05, 0.6))
    ]
    assert ANSWERS["depth"](result(rows)).startswith("20, lr=0.1 is best")


def test_sharpness_stands_behind_the_difference() -> None:
    rows = [{"model": "r", "label": label, "test_accuracy": 0.9} for label in ("stem_pool=false", "stem_pool=true")]
    lead = comparison("stem_pool=false", "stem_pool=true", 0.0, -0.01, 0.01, 1.0)
    said = (
        "stem_pool=true is 0.0 points from stem_pool=false (95 % interval −1.0 to 1.0, of one seed each): "
        "no difference shown"
    )
    assert ANSWERS["sharpness"](result(rows, lead)) == f"{said}."
    sharp = {(1, None): {"a": 0.1, "b": 0.2}, (2, None): {"a": 0.3, "c": 0.3}}
    areas = {"stem_pool=false": sharp, "stem_pool=true": {(1, None): {"a": 0.2, "b": 0.3}, (2, None): {"a": 0.4}}}
    # Images a and b: of c the other has no map. All differences are 10 points.
    assert ANSWERS["sharpness"](result(rows, lead, areas=areas)) == (
        f"{said}; half of a map's energy lies in 22 % of the image with stem_pool=false, 32 % with stem_pool=true, "
        "10.0 points more with stem_pool=true (no 95 % interval, 2 validation images, "
        "Wilcoxon's signed-rank test: p = 0.500): no difference shown."
    )
    areas["stem_pool=true"] = {(1, None): {"a": 0.0, "b": 0.3}}
    assert ANSWERS["sharpness"](result(rows, lead, areas=areas)).endswith(
        "0.0 points less with stem_pool=true (no 95 % interval, 2 validation images, "
        "Wilcoxon's signed-rank test: p = 1.000): no difference shown."
    )
    areas = {
        "flat": {(1, None): {}},
        "stem_pool=false": {(1, None): {f"{i}": 0.1 for i in range(6)}},
        "stem_pool=true": {(1, None): {f"{i}": 0.2 + i / 100 for i in range(6)}},
    }
    assert ANSWERS["sharpness"](result(rows, lead, areas=areas)).endswith(  # p = 2 / 2⁶
        "6 validation images, Wilcoxon's signed-rank test: p = 0.031): a difference shown."
    )
    areas = {"stem_pool=false": sharp, "stem_pool=true": {(3, None): {"a": 0.0}}}
    assert ANSWERS["sharpness"](result(rows, lead, areas=areas)).endswith(", 0 % with stem_pool=true.")


def test_what_the_best_costs_and_the_smallest_gives() -> None:
    costs = {"parameters": 698_553, "macs": 423e6, "latency_ms": 9.44}
    rows = [{"model": "basic", "test_accuracy": 0.46, **costs}]
    assert ANSWERS["cost"](result(rows)).endswith("; basic has 699 k parameters, 423 M MACs, 9.4 ms an image.")
    rows.append({"model": "bottleneck", "test_accuracy": 0.35, **costs, "parameters": 59_257, "latency_ms": math.nan})
    assert ANSWERS["cost"](result(rows)).endswith(
        "9.4 ms an image; bottleneck, the smallest, has 59.3 k parameters, 423 M MACs and reaches 35.0 %."
    )
    rows[1] |= {"parameters": 697_000, "latency_ms": 9.1}
    assert ANSWERS["cost"](result(rows)).endswith(
        "; bottleneck, the fastest, has 697 k parameters, 423 M MACs, 9.1 ms an image and reaches 35.0 %."
    )
    for row in rows:
        row |= {"macs": math.nan, "latency_ms": math.nan}  # cost=false
    assert ANSWERS["cost"](result(rows)).endswith(
        "699 k parameters; bottleneck, the smallest, has 697 k parameters and reaches 35.0 %."
    )


def test_pretraining_is_the_pair_that_was_asked_for(tmp_path: Path, make_run: MakeRun) -> None:
    """The largest pretrained network and the smallest from scratch, whoever is best."""
    for model, size in (("resnet18", 11), ("resnet50", 23)):
        for weights, right in (("imagenet", 36 - size), ("null", 20 - size // 10)):
            run = make_run(
                tmp_path / f"{model}{weights}",
                f"model={model}",
                f"weights={weights}",
                correct=[i < right for i in range(40)],
            )
            edit_json(run.metrics_file, parameters=size)
    (test_set,), _ = groups.test_sets(groups.group_runs(read_runs(tmp_path)[0])[0])
    table = summary(test_set)
    said = ANSWERS["pretraining"](Result(test_set, table, [], Looks([], (1, None), {}, [])))
    assert said == (
        "resnet50, weights=imagenet is 15.0 points below resnet18, weights=none (95 % interval −29.1 to −4.9, of one "
        "seed each): a difference shown; resnet18, weights=imagenet reaches 62.5 %, resnet18, weights=none reaches "
        "47.5 %, resnet50, weights=none reaches 45.0 %, resnet50, weights=imagenet reaches 32.5 %."
    )
