"""The Grad-CAMs that runs have kept: read, chosen, and named where they can't be."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from src.attribution.archive import save_arrays
from src.reporting.finished import read_runs
from src.reporting.groups import group_runs
from src.reporting.kept_maps import Looks, look
from src.runs.folder import RunFolder
from tests.reporting.conftest import MakeRun


def with_maps(run: RunFolder, paths: tuple[str, ...] = ("a.jpg", "b.jpg"), epochs: int = 2) -> RunFolder:
    random, names, targets = np.random.default_rng(0), np.array(["cat", "dog"]), np.array([0, 1])
    images = random.integers(0, 255, (2, 3, 16, 16), np.uint8)
    save_arrays(run.gradcam / "images.npz", images=images, targets=targets, paths=np.array(paths), class_names=names)
    for epoch in range(epochs):
        maps = random.random((2, 4, 4), np.float32)
        logits, explained = np.array([[1.0, 0], [0, 1]]), np.array([0, 1])
        file = run.gradcam / f"epoch_{epoch:03d}.npz"
        save_arrays(file, maps=maps, logits=logits, explained=explained, epoch=epoch)
    return run


def looks(folder: Path) -> Looks:
    return look(group_runs(read_runs(folder)[0])[0])


def test_the_seed_that_most_groups_have_is_shown(tmp_path: Path, make_run: MakeRun) -> None:
    for model, seeds in {"a": (1, 2), "b": (2,), "c": (3, 2)}.items():
        for seed in seeds:
            with_maps(make_run(tmp_path / f"{model}{seed}", f"model={model}", f"seed={seed}"))
    found = looks(tmp_path)
    assert found.replicate == (2, None, None)
    assert [maps.label for maps in found.maps] == ["a", "b", "c"]
    assert {label: {replicate.seed for replicate in runs} for label, runs in found.areas.items()} == {
        "a": {1, 2},
        "b": {2},
        "c": {2, 3},
    }
    assert found.problems == []


def test_other_images_are_not_beside_them(tmp_path: Path, make_run: MakeRun) -> None:
    with_maps(make_run(tmp_path / "a", "model=a"))
    with_maps(make_run(tmp_path / "b", "model=b"), paths=("a.jpg", "c.jpg"))
    make_run(tmp_path / "c", "model=c")
    found = looks(tmp_path)
    assert [maps.label for maps in found.maps] == ["a"]
    assert [*found.areas] == ["a", "b"]


def test_what_one_run_lacks_costs_the_others_nothing(tmp_path: Path, make_run: MakeRun) -> None:
    """The images and the seed of which most can be read, whoever comes first."""
    for model in "abc":
        for seed in (1, 2):
            run = make_run(tmp_path / f"{model}{seed}", f"model={model}", f"seed={seed}")
            with_maps(run, paths=("b.jpg", "c.jpg") if model == "a" else ("a.jpg", "b.jpg"))
    (tmp_path / "b1" / "gradcam" / "images.npz").write_bytes(b"PK")
    found = looks(tmp_path)
    assert found.replicate == (2, None, None)
    assert [maps.label for maps in found.maps] == ["b", "c"]
    assert [problem.name for problem in found.problems] == ["b1"]


def test_flipped_bytes_lose_the_maps_of_one_run_by_name(tmp_path: Path, make_run: MakeRun) -> None:
    """zipfile and zlib raise nearly anything; 300 bytes all over two archives, one at a time."""
    run = with_maps(make_run(tmp_path / "s/0", "model=a"))
    with_maps(make_run(tmp_path / "s/1", "model=b"))
    groups = group_runs(read_runs(tmp_path / "s")[0])[0]
    lost = 0
    for file in (run.gradcam / "images.npz", run.gradcam / "epoch_001.npz"):
        whole = file.read_bytes()
        for place in np.linspace(0, len(whole) - 1, 150).astype(int):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
            found = look(groups)
            assert [maps.label for maps in found.maps] == ["a", "b"][len(found.problems) :]
            assert [problem.name for problem in found.problems] in ([], ["0"])
            assert all("its Grad-CAMs can't be read (" in problem.reason for problem in found.problems)
            assert all("\n" not in problem.reason for problem in found.problems)
            lost += len(found.problems)
        file.write_bytes(whole)
    assert lost > 200


def rewrite(name: str, **changed: object) -> Callable[[Path], None]:
    def work(folder: Path) -> None:
        with np.load(folder / name) as arrays:
            content = dict(arrays)
        save_arrays(folder / name, **content | changed)

    return work


@pytest.mark.parametrize(
    "damage",
    [
        rewrite("images.npz", images=np.zeros((2, 3, 16, 16))),
        rewrite("images.npz", images=np.zeros((1, 3, 16, 16), np.uint8)),
        rewrite("images.npz", class_names=np.array(["cat"])),
        rewrite("epoch_001.npz", maps=np.zeros((2, 4, 4), int)),
        rewrite("epoch_001.npz", maps=np.zeros((2, 16), np.float32)),
        rewrite("epoch_001.npz", logits=np.zeros((1, 2))),
        rewrite("epoch_001.npz", explained=np.array([0, 7])),
        rewrite("epoch_001.npz", epoch=np.array("first")),
        lambda folder: (folder / "images.npz").unlink(),
        lambda folder: (folder / "epoch_001.npz").write_bytes(b""),
    ],
)
def test_arrays_that_do_not_fit(damage: Callable[[Path], None], tmp_path: Path, make_run: MakeRun) -> None:
    run = with_maps(make_run(tmp_path / "s/0"))
    damage(run.gradcam)
    found = looks(tmp_path / "s")
    assert [problem.name for problem in found.problems] == ["0"]
    assert (found.maps, found.areas) == ([], {})
