"""`python -m src.evaluate` as a user meets it: its figures, its files, its lines for wrong input."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from scipy.special import softmax
from sklearn.datasets import load_digits

from src.analysis.calibration import HOTTEST, brier_scores, fit_temperature
from src.analysis.headline import headline
from src.data.transforms import load_image
from src.errors import InputError
from src.evaluate import evaluate
from src.runs.folder import RunFolder
from src.train import train
from src.trained.checkpoint import load_trained
from src.trained.examples import open_own
from src.trained.logits import predict
from src.trained.pictures import open_pictures
from src.trained.temperature import read_calibration
from tests.support.command_line import run_here

ROOT = Path(__file__).parent.parent


def evaluated(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        return evaluate(compose("evaluate", overrides=list(overrides)))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """One digit of each of three classes, and a file that is no image."""
    pixels, targets = load_digits(return_X_y=True)
    for target in (3, 5, 8):
        folder = tmp_path / "my photos, ä=(1)" / str(target)
        folder.mkdir(parents=True)
        values = pixels[np.flatnonzero(targets == target)[0]].reshape(8, 8)
        Image.fromarray(np.rint(values * (255 / 16)).astype(np.uint8)).save(folder / "a b.png")
    (tmp_path / "my photos, ä=(1)/3/broken.jpg").write_bytes(b"\xff\xd8\xff")
    return tmp_path / "my photos, ä=(1)"


def test_the_runs_own_test_set(run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    record = evaluated(f"checkpoint={run}", f"output={tmp_path / 'out'}")
    metrics = json.loads((run / "metrics.json").read_text())
    assert {key: record[key] for key in metrics if key.startswith("test/")} == {
        key: value for key, value in metrics.items() if key.startswith("test/")
    }
    assert "to the last digit" in caplog.text
    files = [
        "confusion_matrix.png", "evaluate.json", "mistakes.png", "per_class.csv", "predictions.csv", "reliability.png",
    ]  # fmt: skip
    assert names(tmp_path / "out") == files
    for name in ("predictions.csv", "per_class.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (run / name).read_bytes()
    for name in ("confusion_matrix.png", "mistakes.png", "reliability.png"):
        pixels = np.asarray(Image.open(tmp_path / "out" / name))
        assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 50, name
    stored = json.loads((tmp_path / "out/evaluate.json").read_text())
    assert stored == record | {"files": stored["files"]}
    assert sorted(stored["files"]) == files
    assert {"top5_accuracy", "nll", "brier", "ece"} <= {key.removeprefix("test/") for key in record}
    assert record["test/nll"] == pytest.approx(record["test/loss"], rel=1e-5)
    for name, (low, high) in record["intervals"].items():
        assert low - 1e-6 <= record[name] <= high + 1e-6, name
    assert record["interval_methods"].keys() == record["intervals"].keys()
    assert record["interval_methods"]["test/accuracy"] == "Wilson"
    assert (record["classes"], record["classes_with_images"], record["copies"]) == (10, 10, None)
    chance = record["ece_by_chance"]
    assert chance["low"] < chance["mean"] < chance["high"]
    words = "miscalibration shown" if chance["miscalibration_shown"] else "no miscalibration shown"
    assert words in caplog.text
    with (run / "predictions.csv").open() as file:
        wrong = sum(row["target"] != row["predicted"] for row in csv.DictReader(file))
    assert record["mistakes"] == wrong > 0
    assert not (run / "checkpoints/best.calibration.json").exists()
    table = next(message for message in caplog.messages if "95 % interval" in message)
    assert f"{record['test/accuracy']:.4f}" in table
    assert f"{record['calibration']['test/ece']:.4f}" in table
    (said,) = [message for message in caplog.messages if message.startswith("test images ")]
    low, high = record["intervals"]["test/accuracy"]
    assert said.endswith(f"of 180 right: {record['test/accuracy']:.3f} (95 % interval {low:.3f} to {high:.3f})")


def test_a_split_by_a_seed_of_its_own_goes_on_and_is_found_again(tmp_path: Path) -> None:
    """A run that got its second epoch on resume is that of two epochs, and its test images are those of the split."""
    words = ["data=digits", "data.split_seed=5", "data.max_images=50", "model=simple_cnn", "trainer=cpu"]
    words += ["callbacks=none", "logger=none", "cost=false", "baseline=false", "scheduler=constant"]
    for name, epochs in (("whole", 2), ("resumed", 1)):
        assert run_here(*words, f"trainer.max_epochs={epochs}", f"hydra.run.dir={name}", cwd=tmp_path).returncode == 0
    assert run_here("resume=resumed", "trainer.max_epochs=2", cwd=tmp_path).returncode == 0
    whole, resumed = ((tmp_path / name / "predictions.csv").read_text() for name in ("whole", "resumed"))
    assert whole == resumed
    record = evaluated(f"checkpoint={tmp_path / 'resumed'}", f"output={tmp_path / 'out'}")
    assert record["test/accuracy"] == RunFolder(tmp_path / "resumed").metrics()["test/accuracy"]


def test_the_temperature_is_kept_when_asked_for(run: Path, tmp_path: Path) -> None:
    record = evaluated(f"checkpoint={run}", "calibrate=true", "mistakes=0", f"output={tmp_path / 'out'}")
    kept = read_calibration(run / "checkpoints/best.ckpt")
    assert kept is not None
    told = record["calibration"]
    assert (kept.temperature, kept.split, kept.images) == (told["temperature"], "val", 162)
    assert kept.nll_after <= kept.nll_before
    assert not told["at_bound"]
    assert "mistakes.png" not in names(tmp_path / "out")


def test_a_temperature_at_its_bound_is_told_and_not_kept(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A network that is always right, by a head that no image can move: the validation images set no limit."""
    content = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    content["state_dict"]["network.fc.weight"] *= -1  # wrong nearly always: worse than guessed
    content["state_dict"]["network.fc.bias"] *= -1
    torch.save(content, run / "checkpoints/best.ckpt")
    record = evaluated(f"checkpoint={run}", "calibrate=true", "mistakes=0", f"output={tmp_path / 'out'}")
    assert record["calibration"]["at_bound"]
    assert record["calibration"]["temperature"] == pytest.approx(HOTTEST)
    assert record["calibration"]["nll_after"] < record["calibration"]["nll_before"]
    assert "20.00 is the bound" in caplog.text
    assert read_calibration(run / "checkpoints/best.ckpt") is None


def test_photographs_of_ones_own(run: Path, photos: Path, tmp_path: Path) -> None:
    """On the command line: odd names unquoted, one image a class, a file left out, the usual place of the answer."""
    result = run_here(
        f"checkpoint={run}", "data=folder", f"data.root={photos}", "data.max_skipped=0.5", cwd=tmp_path, verb="evaluate"
    )
    assert result.returncode == 0, result.stderr
    assert "3 of the checkpoint's 10 classes are in the data: 3, 5, 8" in result.stdout
    assert "1 files left out, listed in skipped.csv" in result.stdout
    (folder,) = (run / "evaluate").iterdir()
    assert f"evaluation   {folder.relative_to(tmp_path)}" in result.stdout
    record = json.loads((folder / "evaluate.json").read_text())
    assert (record["split"], record["images"], record["skipped"], record["own"]) == ("all", 3, 1, False)
    assert record["calibration"]["images"] == 162
    with (folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["target"] for row in rows] == ["3", "5", "8"]
    assert record["all/accuracy"] == pytest.approx(sum(row["target"] == row["predicted"] for row in rows) / 3)
    assert (folder / "skipped.csv").read_text().splitlines()[1].startswith("3/broken.jpg,")


def test_all_probabilities_are_kept_and_give_the_figures_again(run: Path, tmp_path: Path) -> None:
    record = evaluated(f"checkpoint={run}", "probabilities=true", "mistakes=0", f"output={tmp_path / 'out'}")
    kept = RunFolder(tmp_path / "out").probabilities()
    assert kept.paths == RunFolder(run).predictions()["path"].tolist()
    assert kept.class_names == [str(digit) for digit in range(10)]
    assert kept.logits.dtype == kept.probabilities.dtype == np.float32
    with np.load(tmp_path / "out/probabilities.npz") as arrays:  # without pickle
        np.testing.assert_array_equal(arrays["targets"], kept.targets)
    again = headline(kept.logits, softmax(kept.logits.astype(float), axis=1), kept.targets, record["seed"])
    for name in ("nll", "brier", "top5_accuracy", "ece"):
        assert again[name].value == pytest.approx(record[f"test/{name}"], abs=1e-9), name
    assert brier_scores(kept.probabilities, kept.targets).mean() == pytest.approx(record["test/brier"], abs=1e-6)
    right = (kept.probabilities.argmax(axis=1) == kept.targets).mean()
    assert right == pytest.approx(record["test/accuracy"], abs=1e-6)


def test_a_temperature_comes_again_from_kept_probabilities(run: Path, tmp_path: Path) -> None:
    record = evaluated(f"checkpoint={run}", "split=val", "probabilities=true", "mistakes=0", f"output={tmp_path / 'v'}")
    kept = RunFolder(tmp_path / "v").probabilities()
    assert fit_temperature(kept.logits, kept.targets).value == pytest.approx(record["calibration"]["temperature"])


def test_copies_of_training_images_are_found_and_left_out(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten training digits as PNG files, and ten pictures of noise."""
    caplog.set_level("INFO")
    pixels, targets = load_digits(return_X_y=True)
    learned = {int(path.rpartition("/")[2]) for path in open_own(load_trained(run)).paths("train")}
    random = np.random.default_rng(1)
    for number, index in enumerate(sorted(learned)[:10]):
        folder = tmp_path / "photos" / str(targets[index])
        folder.mkdir(parents=True, exist_ok=True)
        picture = np.rint(pixels[index].reshape(8, 8) * (255 / 16)).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{number}.png")
        Image.fromarray(random.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / f"noise{number}.png")
    words = [f"checkpoint={run}", "data=folder", f"data.root={tmp_path / 'photos'}", "mistakes=0"]
    record = evaluated(*words, f"output={tmp_path / 'out'}")
    copies = record["copies"]
    assert (copies["exact"], copies["near"], copies["training_images"]) == (10, 0, len(learned))
    assert copies["without"]["images"] == 10
    assert copies["without"]["all/accuracy"] < record["all/accuracy"]
    assert record["classes_with_images"] == len(list((tmp_path / "photos").iterdir())) < 10
    assert "10 of 20 images are copies of training images (10 exact, 0 near)" in caplog.text
    assert "without copies" in caplog.text
    with (tmp_path / "out/copies.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert {int(row["copy_of"].rpartition("/")[2]) for row in rows} == set(sorted(learned)[:10])
    record = evaluated(*words, "copies=false", f"output={tmp_path / 'none'}")
    assert record["copies"] is None


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["checkpoint=nowhere"], "checkpoint=nowhere does not exist"),
        (["checkpoint=null"], "checkpoint=null names nothing"),
        (["split=tset"], "split=tset is not possible: take test or val or train or all"),
        (["split=all"], "split=all: these are the images that the run was trained on"),
        (["calibrate=maybe"], "calibrate=maybe is not possible"),
        (["mistakes=-1"], "mistakes=-1 is not possible"),
        (["accelerator=tpu"], "accelerator=tpu is not possible"),
        (["data=folder"], "data.root=null names no folder: say data.root=FOLDER"),
        (["data=folder", "data.root=nowhere"], "'nowhere' does not exist"),
        (["data=folder", "data.root=run"], "no images in these class folders of run: checkpoints"),
        (["checkpoint=run/alone.ckpt"], "belongs to no run"),
        (["checkpoint=run/alone.ckpt", "data=digits", "calibrate=true"], "calibrate=true needs the validation images"),
        (["output=run"], "output=run holds .* and nothing of src.evaluate"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_gets_its_line_and_leaves_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], words: str
) -> None:
    monkeypatch.chdir(run.parent)
    shutil.copy(run / "checkpoints/best.ckpt", run / "alone.ckpt")
    with pytest.raises(InputError, match=words) as caught:
        evaluated("checkpoint=run", *overrides)
    assert "\n" not in str(caught.value)
    assert names(run.parent) == ["run"]
    assert not (run / "evaluate").exists()


def test_a_run_without_its_settings_is_measured_on_data_that_are_named(run: Path, tmp_path: Path) -> None:
    shutil.rmtree(run / ".hydra")
    record = evaluated(f"checkpoint={run}", "data=digits", f"output={tmp_path / 'out'}")
    assert (record["own"], record["trained_on"], record["images"]) == (False, None, 1797)
    with pytest.raises(InputError, match="config.yaml is missing"):
        evaluated(f"checkpoint={run}", f"output={tmp_path / 'other'}")


def test_a_limit_of_the_training_holds_for_its_own_test_alone(run: Path, tmp_path: Path) -> None:
    file = run / ".hydra/config.yaml"
    file.write_text(file.read_text().replace("limit_test_batches: null", "limit_test_batches: 1"))
    record = evaluated(f"checkpoint={run}", f"output={tmp_path / 'out'}")
    assert (record["images"], record["calibration"]["images"]) == (64, 162)


def test_a_setting_that_would_change_nothing_is_refused(run: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "3/broken.jpg").unlink()
    for words in (
        ["data=digits", "data.max_images=50"],
        ["data=digits", "data.decode=exact"],
        ["data=folder", f"data.root={photos}", "data.image_size=64"],
    ):
        result = run_here(f"checkpoint={run}", *words, f"output={tmp_path / 'out'}", cwd=tmp_path, verb="evaluate")
        assert result.returncode == 2
        assert f"{words[-1]} changes nothing in an evaluation" in result.stderr
        assert not (tmp_path / "out").exists()


def test_nothing_is_downloaded(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no cats and dogs in"):
        evaluated(f"checkpoint={run}", "data=catsdogs", f"data.root={tmp_path / 'empty'}")
    assert names(tmp_path / "empty") == []


def test_no_name_gives_the_terminal_commands(run: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "3").rename(photos / "\x1b[2J\x1b]0;mine\x07")
    words = [f"checkpoint={run}", "data=folder", f"data.root={photos}", f"output={tmp_path / 'out'}"]
    result = run_here(*words, "data.max_skipped=1", cwd=tmp_path, verb="evaluate")
    assert result.returncode == 2
    assert "mine" in result.stderr
    assert "\x1b" not in result.stderr + result.stdout


# Whole and fast pixels ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large_jpegs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stripes of two widths, so fine that decoding at a quarter of the size changes what is left of them."""
    root, random = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    for name, period in (("fine", 2.3), ("finer", 2.1)):
        (root / name).mkdir()
        for number in range(30):
            stripes = 127 + 90 * np.sin(np.arange(96) * 2 * np.pi / period + random.uniform(0, 6))
            pixels = np.clip(stripes + random.normal(0, 20, (96, 96)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.jpg", quality=92)
    return root


def trained_on(root: Path, folder: Path, decode: str, *more: str) -> Path:
    overrides = [
        "data=folder", f"data.root={root}", "data.image_size=8", "data.in_channels=1", "data.mean=[0.5]",
        "data.std=[0.02]", f"data.decode={decode}", "data.test_fraction=0.4", "model=simple_cnn", "model.width=4",
        "trainer=cpu", "trainer.precision=32-true", "trainer.max_epochs=2", "callbacks=none", "logger=none",
        "baseline=false", "cost=false", "data.batch_size=8", "data.num_workers=0", *more,
    ]  # fmt: skip
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        train(compose("train", overrides=overrides), folder)
    return folder


def forget_the_choice(run: Path) -> None:
    """As an earlier version wrote it."""
    file = run / ".hydra/config.yaml"
    settings = file.read_text()
    assert "\n  decode: fast\n" in settings
    file.write_text(settings.replace("\n  decode: fast\n", "\n"))
    for file in (run / "checkpoints").glob("*.ckpt"):
        content = torch.load(file, weights_only=True)
        del content["hyper_parameters"]["preprocessing"]["decode"]
        torch.save(content, file)


@pytest.mark.parametrize("decode", ["fast", "exact", "a checkpoint without it"])
def test_images_are_decoded_as_the_checkpoint_says(
    decode: str, large_jpegs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In evaluate, on the run's own images and on others, in predict, and in what explain and export look at."""
    expected = decode if decode in ("fast", "exact") else "fast"
    run = trained_on(large_jpegs, tmp_path / "run", expected)
    if decode != expected:
        forget_the_choice(run)
    metrics = RunFolder(run).metrics()
    trained = load_trained(run)
    assert trained.geometry.decode == expected
    images = [str(file) for file in sorted(large_jpegs.rglob("*.jpg"))]
    pixels = {
        way: [load_image(file, replace(trained.geometry, decode=way)) for file in images] for way in ("fast", "exact")
    }
    logits = {way: predict(trained, [torch.stack(pixels[way])]) for way in ("fast", "exact")}
    assert np.abs(logits["fast"] - logits["exact"]).max() > 1e-3  # or this test couldn't fail

    record = evaluated(f"checkpoint={run}", "mistakes=0", f"output={tmp_path / 'own'}")
    assert {key: record[key] for key in metrics if key.startswith("test/")} == {
        key: value for key, value in metrics.items() if key.startswith("test/")
    }
    shutil.copytree(large_jpegs, tmp_path / "copy")
    words = ["data=folder", f"data.root={tmp_path / 'copy'}", "split=all", "mistakes=0", "probabilities=true"]
    evaluated(f"checkpoint={run}", *words, f"output={tmp_path / 'other'}")
    with np.load(tmp_path / "other/probabilities.npz") as kept:
        np.testing.assert_allclose(kept["logits"], logits[expected], atol=1e-5)

    result = run_here(f"checkpoint={run}", f"images={large_jpegs}", "output=predicted", cwd=tmp_path, verb="predict")
    assert result.returncode == 0, result.stderr
    with (tmp_path / "predicted/predictions.csv").open() as file:
        found = [float(row["confidence"]) for row in csv.DictReader(file)]
    np.testing.assert_allclose(found, softmax(logits[expected], axis=1).max(axis=1), atol=1e-5)
    for where in (str(large_jpegs), "test"):  # what explain and export look at
        pictures = open_pictures(where, trained)
        for name, picture in zip(pictures.names, pictures.take(range(len(pictures))), strict=True):
            assert torch.equal(picture, load_image(large_jpegs / name, trained.geometry))


def long_pictures(root: Path) -> Path:
    """Of each class 12 pictures, three times as wide as high, which say which at their ends alone."""
    random = np.random.default_rng(0)
    for name, shade in (("dark", 60), ("light", 200)):
        (root / name).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(100, 156, (16, 48), dtype=np.uint8)
            pixels[:, :14] = pixels[:, -14:] = shade + number
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


@pytest.mark.parametrize("resize", ["crop", "pad", "squash", "a checkpoint without it"])
def test_images_are_made_square_as_the_checkpoint_says(resize: str, tmp_path: Path) -> None:
    """In evaluate, predict, and in what explain and export look at."""
    photos, chosen = long_pictures(tmp_path / "photos"), resize if resize in ("pad", "squash") else "crop"
    run = trained_on(photos, tmp_path / "run", "fast", f"data.resize={chosen}", "data.mean=[0.25]")
    if resize == "a checkpoint without it":
        for file in (run / "checkpoints").glob("*.ckpt"):
            content = torch.load(file, weights_only=True)
            del content["hyper_parameters"]["preprocessing"]["resize"]
            torch.save(content, file)
        settings = run / ".hydra/config.yaml"
        settings.write_text(settings.read_text().replace("\n  resize: crop\n", "\n"))
    trained = load_trained(run)
    assert (trained.geometry.resize, trained.geometry.fill) == (chosen, (64,) if chosen == "pad" else ())
    images = [str(file) for file in sorted(photos.rglob("*.png"))]
    logits = predict(trained, [torch.stack([load_image(file, trained.geometry) for file in images])])
    metrics = RunFolder(run).metrics()
    record = evaluated(f"checkpoint={run}", "mistakes=0", f"output={tmp_path / 'own'}")
    assert {key: record[key] for key in metrics if key.startswith("test/")} == {
        key: value for key, value in metrics.items() if key.startswith("test/")
    }
    result = run_here(f"checkpoint={run}", f"images={photos}", "output=predicted", cwd=tmp_path, verb="predict")
    assert result.returncode == 0, result.stderr
    with (tmp_path / "predicted/predictions.csv").open() as file:
        found = [float(row["confidence"]) for row in csv.DictReader(file)]
    np.testing.assert_allclose(found, softmax(logits, axis=1).max(axis=1), atol=1e-5)
    for where in (str(photos), "test"):
        pictures = open_pictures(where, trained)
        for name, picture in zip(pictures.names, pictures.take(range(len(pictures))), strict=True):
            assert torch.equal(picture, load_image(photos / name, trained.geometry))
