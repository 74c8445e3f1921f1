"""`load(run).predict(…)`: the answers of `src.predict`, for files and for pictures in memory."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from src import load
from src.errors import InputError
from src.interactive.classifier import Classifier, Prediction
from tests.support.command_line import run_here


@pytest.fixture(scope="module")
def network(digits_run: Path) -> Classifier:
    return load(digits_run, accelerator="cpu")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Twelve digits, 0 to 9 and on."""
    paths = []
    for number, digit in enumerate(load_digits().images[:12]):
        paths.append(tmp_path / f"{number:02d} ü.png")
        Image.fromarray((digit * 15.9).astype(np.uint8)).resize((40, 40)).save(paths[-1])
    return paths


def test_a_file_a_picture_and_a_list_have_the_verbs_answers(
    network: Classifier, files: list[Path], digits_run: Path, tmp_path: Path
) -> None:
    words = (f"checkpoint={digits_run}", f"images={tmp_path}", "output=out", "accelerator=cpu")
    assert run_here(*words, cwd=tmp_path, verb="predict").returncode == 0
    with (tmp_path / "out" / "predictions.csv").open(newline="") as table:
        rows = {Path(row["path"]).name: row for row in csv.DictReader(table)}
    several = network.predict([files[0], str(files[1]), Image.open(files[2])])
    assert isinstance(several, list)
    for file, said in zip(files, several, strict=False):
        row = rows[file.name]
        assert said.classes[0] == row["predicted"] == said.decided[0]
        assert said.probabilities[0] == pytest.approx(float(row["confidence"]), abs=1e-6)
    assert [said.path for said in several] == [str(files[0]), str(files[1]), None]
    one = network.predict(files[0])
    assert isinstance(one, Prediction)
    assert (len(one.classes), one.probabilities) == (3, sorted(one.probabilities, reverse=True))
    told = [f"{name} {share:.2f}" for name, share in zip(one.classes, one.probabilities, strict=True)]
    assert repr(one) == f"{' · '.join(told)}   {files[0]}"
    everything = network.predict(tmp_path, top_k=99)
    assert isinstance(everything, list)
    assert len(everything[0].classes) == 10
    assert sum(everything[0].probabilities) == pytest.approx(1)
    assert sum(said.decided == [str(number % 10)] for number, said in enumerate(everything[:12])) >= 10


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "CMYK", "I;16", "I", "F", "LA"])
def test_a_picture_in_memory_is_read_as_its_file_is(
    network: Classifier, files: list[Path], mode: str, tmp_path: Path
) -> None:
    picture = Image.open(files[3])
    picture = Image.fromarray(np.asarray(picture).astype(np.uint16) * 200) if mode == "I;16" else picture.convert(mode)
    file = tmp_path / "again.tiff"
    picture.save(file)
    of_file, of_picture = network.predict(file), network.predict(picture)
    assert isinstance(of_file, Prediction)
    assert isinstance(of_picture, Prediction)
    assert of_picture.probabilities == pytest.approx(of_file.probabilities, abs=1e-6)


def test_what_is_no_picture_is_said(network: Classifier, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "half.png").write_bytes(files[0].read_bytes()[:60])
    for images, said in (
        ("nowhere.png", "nowhere.png does not exist"),
        (tmp_path / "half.png", "half.png can't be read: "),
        (5, "int is no picture: take a path, a Pillow image, or a list of these"),
        (np.zeros((8, 8)), "ndarray is no picture"),
        ([files[0], 5], "int is no picture"),
        (Image.open(files[0]).convert("YCbCr"), r"of mode YCbCr can't be read: say picture.convert\('RGB'\)"),
    ):
        with pytest.raises(InputError, match=said) as error:
            network.predict(images)
        assert len(error.traceback) <= 3
    with pytest.raises(InputError, match="top_k=0"):
        network.predict(files[0], top_k=0)
    several = network.predict([tmp_path / "half.png", files[1]])
    assert isinstance(several, list)
    assert (several[0].classes, bool(several[0].error), several[1].error) == ([], True, None)
    assert network.predict([]) == []


def test_what_is_no_run_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for run, said in (
        ("last", "load=last: there is no run"),
        ("nowhere", "nowhere does not exist"),
        (5, "int is no run"),
    ):
        with pytest.raises(InputError, match=said) as error:
            load(run)  # type: ignore[arg-type]
        assert len(error.traceback) <= 4


def test_the_last_run_and_its_file(digits_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "outputs" / "digits" / "simple_cnn"
    folder.mkdir(parents=True)
    (folder / "mine").symlink_to(digits_run)
    monkeypatch.chdir(tmp_path)
    for word in ("last", "mine", digits_run / "checkpoints" / "best.ckpt"):
        assert load(word, "cpu").class_names == list("0123456789")
