"""Which runs belong together, what they are called, and what can be compared."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from src.reporting import groups
from src.reporting.finished import Problem, read_runs
from src.runs.folder import RunFolder

MakeRun = Callable[..., RunFolder]


def group(path: Path) -> tuple[list[groups.Group], list[Problem]]:
    runs, problems = read_runs(path)
    assert problems == []
    return groups.group_runs(runs)


def labels(path: Path) -> list[str]:
    found, problems = group(path)
    assert problems == []
    assert len({group.label for group in found}) == len(found)
    return [group.label for group in found]


def make_all(path: Path, make_run: MakeRun, *lines: str, **keywords: object) -> None:
    for i, line in enumerate(lines):
        make_run(path / str(i), *line.split(), **keywords)


def test_runs_that_differ_in_the_seed_alone_are_a_group(tmp_path: Path, make_run: MakeRun) -> None:
    """What follows from the seed (data.class_seed) and names of sweeps make no difference."""
    seeds = (10, 2, 1)
    for i, seed in enumerate(seeds):
        make_run(tmp_path / str(i), f"seed={seed}", f"sweep=s{i}", config={"study": {"question": f"{i}?"}})
    make_run(tmp_path / "3", "seed=1", "model=resnet50")
    (first, second), problems = group(tmp_path)
    assert problems == []
    assert [run.replicate for run in first.runs] == [(1, None, None), (2, None, None), (10, None, None)]
    assert [run.config["data"]["class_seed"] for run in first.runs] == [1, 2, 10]
    assert (first.label, first.model, first.differs) == ("resnet18", "resnet18", {})
    assert (second.label, len(second.runs)) == ("resnet50", 1)


def test_a_setting_that_came_later_and_is_off_makes_no_difference(tmp_path: Path, make_run: MakeRun) -> None:
    """A sweep may go on with a version that knows more."""
    off = {"data.folded": None, "data.shuffled": False, "extra": {"a": None}}
    make_run(tmp_path / "0", "seed=1")
    make_run(tmp_path / "1", "seed=2", config=off)
    make_run(tmp_path / "2", "seed=1", "optimizer.lr=0.3", config=off)
    assert labels(tmp_path) == ["lr=0.1", "lr=0.3"]
    make_run(tmp_path / "3", "seed=1", config=off | {"data.shuffled": True})
    make_run(tmp_path / "4", "seed=1", config=off | {"data.folded": 0})
    assert len(labels(tmp_path)) == 4


def test_an_earlier_run_decoded_fast(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path / "0", "seed=1")
    make_run(tmp_path / "1", "seed=2", config={"data.decode": "fast"})
    assert labels(tmp_path) == ["resnet18"]
    make_run(tmp_path / "2", "seed=1", "data.decode=exact")
    assert labels(tmp_path) == ["decode=fast", "decode=exact"]


def test_runs_from_before_small_maps_count_with_those_of_today(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path / "0", "seed=1")
    make_run(tmp_path / "1", "seed=2", config={"convolutions": "auto"})
    assert labels(tmp_path) == ["resnet18"]
    make_run(tmp_path / "2", "seed=1", config={"convolutions": "library"})
    assert labels(tmp_path) == ["convolutions=auto", "convolutions=library"]


def test_a_run_that_got_more_epochs_is_of_another_group(tmp_path: Path, make_run: MakeRun) -> None:
    """Its configuration, written once, does not tell."""
    for name in ("0", "1", "2"):
        run = make_run(tmp_path / name, f"seed={name}", "trainer.max_epochs=2")
    record = run.record()
    entries = [
        {"overrides": ["trainer.max_epochs=9"]},
        {"overrides": ["seed=2", "trainer.max_epochs=3", "trainer=cpu"]},
    ]
    run.record_file.write_text(json.dumps(record | {"resumed": entries}))
    assert labels(tmp_path) == ["max_epochs=2", "max_epochs=3"]
    for damaged in (None, [], [3], [{"overrides": 3}], [{"overrides": ["trainer.max_epochs=[", 3]}]):
        run.record_file.write_text(json.dumps(record | {"resumed": damaged}))
        assert len(labels(tmp_path)) == 1


def test_folds_are_replicates(tmp_path: Path, make_run: MakeRun) -> None:
    make_all(tmp_path, make_run, *(f"data.folds=2 data.fold={fold} seed={seed}" for seed in (2, 1) for fold in (1, 0)))
    (found,), problems = group(tmp_path)
    assert [run.replicate for run in found.runs] == [(1, 0, None), (1, 1, None), (2, 0, None), (2, 1, None)]
    assert problems == []


def test_a_cross_validation_that_is_not_whole_is_said(tmp_path: Path, make_run: MakeRun) -> None:
    make_all(
        tmp_path, make_run, *(f"data.folds=4 data.fold={fold}" for fold in (0, 2)), "data.folds=4 data.fold=1 seed=2"
    )
    (found,), problems = group(tmp_path)
    of = "of 4: the means are over the others"
    assert problems == [
        Problem(found.label, f"seed 1 lacks fold 1, 3 {of}"),
        Problem(found.label, f"seed 2 lacks fold 0, 2, 3 {of}"),
    ]


def test_the_newest_of_the_same_settings_and_seed_counts(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path / "0", start="2026-01-01T12:00:00+02:00")
    make_run(tmp_path / "1", start="2026-01-01T11:00:00+00:00")  # an hour later
    make_run(tmp_path / "2", start="no time at all")
    make_run(tmp_path / "3", "seed=2")
    (found,), problems = group(tmp_path)
    assert [run.name for run in found.runs] == ["1", "3"]
    reason = "the same settings and seed as 1, which is newer: left out"
    assert problems == [Problem("0", reason), Problem("2", reason)]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["model=resnet18"], ["resnet18"]),
        ([""], ["resnet18"]),
        (["model=resnet18", "model=simple_cnn"], ["resnet18", "simple_cnn"]),
        (["optimizer.lr=0.1", "optimizer.lr=0.00001"], ["lr=0.1", "lr=1e-05"]),
        (["", "optimizer.lr=0.5"], ["lr=0.1", "lr=0.5"]),
        (
            ["model=resnet18 data.train_fraction=0.1", "model=resnet50 data.train_fraction=0.1", "model=resnet18"],
            ["resnet18, train_fraction=0.1", "resnet50, train_fraction=0.1", "resnet18, train_fraction=1"],
        ),
        (["data=mnist8", "data=mnist"], ["data=mnist8", "data=mnist"]),
        (["data.augment=null", ""], ["augment=none", "augment=on"]),
        (["weights=/a/r18.pth", "", "weights=/b/r50.pth"], ["weights=r18.pth", "weights=none", "weights=r50.pth"]),
        (["weights=/a/r18.pth", "weights=/b/r18.pth"], ["weights=/a/r18.pth", "weights=/b/r18.pth"]),
        (["model.name=a data.name=x", "data.name=y model.name=b"], ["a, data=x", "b, data=y"]),
        (["optimizer.name=a model.stem=x", "data.name=b"], None),
        (["experiment=digits data=mnist", "experiment=animals data=pets"], ["data=mnist", "data=pets"]),
        (["experiment=digits", "experiment=animals quick=true"], ["quick=false", "quick=true"]),
        (["experiment=a quick=true", "experiment=b quick=true", "quick=true"], None),
    ],
    ids=str,
)
def test_labels_are_what_was_typed(
    lines: list[str], expected: list[str] | None, tmp_path: Path, make_run: MakeRun
) -> None:
    for i, line in enumerate(lines):  # settings that nobody types keep groups apart where those typed don't
        make_run(tmp_path / str(i), *line.split(), config={"label": i} if expected is None else None)
    found = labels(tmp_path)
    assert len(found) == len(lines)
    if expected is not None:
        assert found == expected


def test_keys_that_end_alike_are_written_out(tmp_path: Path, make_run: MakeRun) -> None:
    make_all(tmp_path, make_run, "optimizer.weights=a data.weights=b", "optimizer.weights=b data.weights=c")
    assert labels(tmp_path) == ["optimizer.weights=a, data.weights=b", "optimizer.weights=b, data.weights=c"]


def test_numbers_are_as_long_as_it_takes(tmp_path: Path, make_run: MakeRun) -> None:
    for number, rate in enumerate((0.0107898168165, 0.00230957535376)):
        make_run(tmp_path / str(number), f"optimizer.lr={rate}")
    found, _ = group(tmp_path)
    assert [one.label for one in found] == ["lr=0.01079", "lr=0.00231"]
    assert [one.differs["optimizer.lr"] for one in found] == ["0.0107898168165", "0.00230957535376"]
    make_run(tmp_path / "2", "optimizer.lr=0.0107898")
    assert labels(tmp_path) == ["lr=0.0107898168165", "lr=0.00230957535376", "lr=0.0107898"]


def test_settings_that_nobody_typed(tmp_path: Path, make_run: MakeRun) -> None:
    """The defaults were others when the second run was made."""
    make_run(tmp_path / "0", "model=resnet18")
    make_run(tmp_path / "1", "model=resnet18", config={"optimizer.lr": 0.5, "weights": "imagenet"})
    make_run(tmp_path / "2", "model=resnet50", config={"optimizer.lr": 0.5})
    found, _ = group(tmp_path)
    assert [group.label for group in found] == [
        "resnet18, weights=none, lr=0.1",
        "resnet18, weights=imagenet, lr=0.5",
        "resnet50, weights=none, lr=0.5",
    ]
    assert found[0].differs == {"weights": "none", "optimizer.lr": "0.1"}


def test_runs_made_from_python(tmp_path: Path, make_run: MakeRun) -> None:
    """What follows from the option (resnet18's stem, the size of mnist8, model.num_classes) goes without saying."""
    make_run(tmp_path / "0", "model=resnet18", "data=mnist8", python=True)
    make_run(tmp_path / "1", "model=simple_cnn", "data=flowers", "optimizer.lr=0.5", classes="abc", python=True)
    found, _ = group(tmp_path)
    assert [group.label for group in found] == [
        "resnet18, data=mnist, lr=0.1",
        "simple_cnn, data=flowers, lr=0.5",
    ]


def test_other_classes_make_other_groups(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path / "0", config={"data.num_classes": None})
    make_run(tmp_path / "1", "seed=2", classes="abc", config={"data.num_classes": None})
    found, problems = group(tmp_path)
    assert problems == []
    assert [group.label for group in found] == ["resnet18 (run 0)", "resnet18 (run 1)"]
    sets, problems = groups.test_sets(found)
    assert len(sets) == 2
    own = "in a table of its own, not compared"
    assert problems == [Problem("resnet18 (run 1)", f"measured on other classes (3) than resnet18 (run 0) (2): {own}")]


def read_sets(path: Path) -> tuple[list[list[str]], list[Problem]]:
    sets, problems = groups.test_sets(group(path)[0])
    assert len({test_set.name for test_set in sets}) == len(sets)
    return [[group.label for group in test_set.groups] for test_set in sets], problems


def test_groups_of_a_test_set_are_best_first(tmp_path: Path, make_run: MakeRun) -> None:
    for model, right in {"a": 1, "b": 3, "c": 2}.items():
        make_run(tmp_path / model, f"model={model}", correct=[i < right for i in range(4)])
    assert read_sets(tmp_path) == ([["b", "c", "a"]], [])
    (test_set,), _ = groups.test_sets(group(tmp_path)[0])
    assert (test_set.name, test_set.class_names) == ("pictures: 4 test images of 2 classes", ["cat", "dog"])


def test_test_images_may_follow_the_seed(tmp_path: Path, make_run: MakeRun) -> None:
    for model in "ab":
        for seed in (1, 2):
            paths = [f"{seed}/{i}" for i in range(40)]
            make_run(tmp_path / f"{model}{seed}", f"model={model}", f"seed={seed}", paths=paths)
    sets, problems = read_sets(tmp_path)
    assert [sorted(labels) for labels in sets] == [["a", "b"]]
    assert problems == []


def test_other_test_images_are_said_and_kept_apart(tmp_path: Path, make_run: MakeRun) -> None:
    same = [f"{i}" for i in range(40)]
    make_run(tmp_path / "a", "model=a", paths=same)
    make_run(tmp_path / "b", "model=b", paths=[*same[:-1], "another"])
    make_run(tmp_path / "c", "model=c", paths=same)
    sets, problems = read_sets(tmp_path)
    assert [sorted(labels) for labels in sets] == [["a", "c"], ["b"]]
    own = "in a table of its own, not compared"
    assert problems == [Problem("b", f"measured on other test images than a · c: {own}")]
    named, _ = groups.test_sets(group(tmp_path)[0])
    assert named[1].name == "pictures: 40 test images of 2 classes (b)"


def test_without_a_seed_in_common_all_images_must_be_the_same(tmp_path: Path, make_run: MakeRun) -> None:
    for model, seed in {"a": 1, "b": 2}.items():
        make_run(tmp_path / f"same/{model}", f"model={model}", f"seed={seed}")
        make_run(
            tmp_path / f"other/{model}", f"model={model}", f"seed={seed}", paths=[f"{seed}/{i}" for i in range(40)]
        )
    assert len(read_sets(tmp_path / "same")[0]) == 1
    assert len(read_sets(tmp_path / "other")[0]) == 2


def test_other_labels_of_the_same_images_are_another_test(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path / "a", "model=a", paths=["1", "2", "3", "4"], correct=[True] * 4)
    make_run(tmp_path / "b", "model=b", paths=["2", "1", "3", "4"], correct=[True] * 4)
    assert read_sets(tmp_path)[0] == [["a"], ["b"]]


def test_other_data_sets_go_without_saying(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path / "a", "data=pets")
    make_run(tmp_path / "b", "data=flowers", classes="abc")
    make_run(tmp_path / "c", "data=folder", "data.root=/photos/holidays", classes="abcd")
    make_run(tmp_path / "d", "data=folder", "data.root=/photos/work", classes="abcde")
    make_run(tmp_path / "e", "data=table", "data.table=/photos/labels.csv", classes="abcdef")
    sets, problems = groups.test_sets(group(tmp_path)[0])
    assert problems == []
    assert [test_set.name.split(":")[0] for test_set in sets] == ["pets", "flowers", "holidays", "work", "labels.csv"]


def test_other_folders_are_other_images_whatever_these_are_called(tmp_path: Path, make_run: MakeRun) -> None:
    for name in "ab":
        make_run(tmp_path / name, "data=folder", f"data.root=/photos/{name}")
    sets, problems = read_sets(tmp_path)
    assert sets == [["root=a"], ["root=b"]]
    own = "in a table of its own, not compared"
    namesakes = "the images are named as those of root=a, and come from another data.root"
    assert problems == [Problem("root=b", f"{namesakes}: {own}")]


def test_the_same_images_in_another_size_are_compared(tmp_path: Path, make_run: MakeRun) -> None:
    make_all(tmp_path, make_run, "data=mnist8", "data=mnist")
    sets, problems = read_sets(tmp_path)
    assert [sorted(labels) for labels in sets] == [["data=mnist", "data=mnist8"]]
    assert problems == []
