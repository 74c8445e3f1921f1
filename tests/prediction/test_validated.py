"""What `predict` says by the run's validation images: sets of classes, and images that are unlike them."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from src import load
from src.errors import InputError
from src.predict import predict
from src.prediction.validated import read_validation, validation_file
from src.settings.composing import quote_paths
from src.trained.checkpoint import load_trained
from src.trained.logits import predict_with_features, stage_names
from src.trained.pictures import open_split

ROOT = Path(__file__).parents[2]


def predicted(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        return predict(compose("predict", overrides=quote_paths(["num_workers=0", *overrides])))


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """Pictures like none of the digits, and a file that is none."""
    random = np.random.default_rng(0)
    for number in range(20):
        pixels = random.integers(0, 256, (16, 16), np.uint8)
        (tmp_path / "noise").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "noise" / f"{number:02d}.png")
    (tmp_path / "noise/broken.png").write_bytes(b"nothing")
    return tmp_path / "noise"


def test_sets_and_flags_stand_in_the_rows(
    run: Path, noise: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    with caplog.at_level("INFO"):
        told = predicted(f"checkpoint={run}", "images=test", f"output={out}", "coverage=0.99", "ood=0.05")
    assert "sets hold the true class of 99.0% of images like the 162 validation images" in caplog.text
    assert "unfamiliar" in caplog.text
    got = rows(out)
    assert list(got[0])[-3:] == ["set", "ood", "ood_p"]
    assert all(row["set"].split("|")[0] == row["predicted"] for row in got)
    sizes = [len(row["set"].split("|")) for row in got]
    assert {int(size): count for size, count in told["set_sizes"].items()} == {
        size: sizes.count(size) for size in set(sizes)
    }
    assert len(set(sizes)) > 1
    truth = [row["target"] for row in rows(run)]
    assert np.mean([true in row["set"].split("|") for true, row in zip(truth, got, strict=True)]) > 0.95
    flagged = [row["ood"] == "true" for row in got]
    assert told["unfamiliar"] == sum(flagged) < 0.15 * len(got)
    assert flagged == [float(row["ood_p"]) <= 0.05 for row in got]
    told = predicted(f"checkpoint={run}", f"images={noise}", f"output={tmp_path / 'other'}", "ood=0.05", "format=jsonl")
    lines = [json.loads(line) for line in (tmp_path / "other/predictions.jsonl").read_text().splitlines()]
    assert [line["ood"] for line in lines] == [True] * 20 + [None]
    assert told["unfamiliar"] == 20
    assert "set" not in lines[0]


def test_without_being_asked_nothing_is_said_or_kept(run: Path, noise: Path, tmp_path: Path) -> None:
    predicted(f"checkpoint={run}", f"images={noise}", f"output={tmp_path / 'out'}")
    assert "set" not in rows(tmp_path / "out")[0]
    assert not validation_file(run / "checkpoints/best.ckpt").exists()


def test_answers_are_kept_and_belong_to_their_checkpoint(run: Path, noise: Path, tmp_path: Path) -> None:
    asked = f"checkpoint={run}", f"images={noise}", "ood=0.05"
    predicted(*asked, f"output={tmp_path / 'first'}")
    kept = validation_file(run / "checkpoints/best.ckpt")
    before = kept.stat().st_mtime_ns
    predicted(*asked, f"output={tmp_path / 'second'}")
    assert kept.stat().st_mtime_ns == before
    assert rows(tmp_path / "first") == rows(tmp_path / "second")
    trained = load_trained(run)
    found = read_validation(trained)
    assert found is not None
    assert (found.logits.shape, found.distances.shape, len(found.bank)) == ((162, 10), (162,), 1455)
    shutil.copy(kept, tmp_path / "kept.npz")
    kept.write_bytes(kept.read_bytes()[:-100])
    assert read_validation(trained) is None
    shutil.copy(tmp_path / "kept.npz", kept)
    with (run / "checkpoints/best.ckpt").open("ab") as file:
        file.write(b" ")
    assert read_validation(trained) is None


@pytest.mark.parametrize(("word", "fewest"), [("coverage=0.999", 999), ("ood=0.001", 999)])
def test_too_few_validation_images_are_one_line(run: Path, tmp_path: Path, word: str, fewest: int) -> None:
    with pytest.raises(InputError, match=f"{word} needs {fewest} validation images, and .* has 162: ask for "):
        predicted(f"checkpoint={run}", "images=test", f"output={tmp_path / 'out'}", word)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_alone_has_no_validation_images(run: Path, noise: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.ckpt"
    shutil.copy(run / "checkpoints/best.ckpt", alone)
    with pytest.raises(InputError, match=r"coverage=0.9 needs the validation images of a run, and .* belongs to none"):
        predicted(f"checkpoint={alone}", f"images={noise}", "coverage=0.9")
    predicted(f"checkpoint={run}", f"images={noise}", f"output={tmp_path / 'out'}", "coverage=0.9")
    shutil.copy(validation_file(run / "checkpoints/best.ckpt"), validation_file(alone))
    predicted(f"checkpoint={alone}", f"images={noise}", f"output={tmp_path / 'other'}", "coverage=0.9")


def test_features_are_the_mean_maps_of_all_stages(digits_run: Path) -> None:
    trained = load_trained(digits_run)
    assert stage_names(trained.module.network) == ["block1", "block2", "block3"]
    images = open_split(digits_run_folder(trained), "val", trained.geometry, trained.class_names).take(range(3))
    logits, features = predict_with_features(trained, [images[:2], images[2:]], stages=True)
    maps, x = [], trained.module.normalise(images)
    for name in stage_names(trained.module.network):
        x = trained.module.network.get_submodule(name)(x)
        mean = x.mean(dim=(2, 3)).detach().numpy()
        maps.append(mean / np.linalg.norm(mean, axis=1, keepdims=True))
    np.testing.assert_allclose(features, np.concatenate(maps, axis=1), atol=1e-5)
    np.testing.assert_allclose(logits, trained.module(images).detach(), atol=1e-5)
    head = trained.module.network.get_submodule(trained.module.head)
    _, seen = predict_with_features(trained, [images])
    np.testing.assert_allclose(seen @ head.weight.detach().numpy().T + head.bias.detach().numpy(), logits, atol=1e-5)


def digits_run_folder(trained: Any) -> Any:
    assert trained.run is not None
    return trained.run


def test_python_says_the_same(run: Path, noise: Path, tmp_path: Path) -> None:
    predicted(f"checkpoint={run}", f"images={noise}", f"output={tmp_path / 'out'}", "coverage=0.99", "ood=0.05")
    network = load(run)
    got = network.predict(noise, coverage=0.99, ood=0.05)
    assert isinstance(got, list)
    for row, one in zip(rows(tmp_path / "out"), got, strict=True):
        assert row["set"].split("|") == (one.set or [""])
        assert row["ood_p"] == ("" if one.ood_p is None else f"{one.ood_p:.6f}")
        assert row["ood"] == {True: "true", False: "false", None: ""}[one.unfamiliar]
    pictures = network.predict([Image.open(noise / "00.png")], ood=0.05)
    assert isinstance(pictures, list)
    assert pictures[0].ood_p == got[0].ood_p
    assert network.predict(noise / "00.png").set == []
