"""`python -m src.predict` as a user meets it: a row a file, whatever happens, and one line for wrong input."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from hydra import compose, initialize_config_dir
from PIL import Image

from src.attribution.cam import gradcam
from src.data.transforms import load_image
from src.errors import InputError, RunError
from src.figures import scale_maps
from src.predict import predict
from src.prediction import files as writing
from src.prediction.rows import Columns, Row, RowFile
from src.prediction.stream import stream
from src.runs.folder import RunFolder
from src.settings.composing import quote_paths
from src.trained.checkpoint import load_trained
from src.trained.logits import predict as logits_of
from src.trained.logits import probabilities
from src.trained.temperature import Calibration, digest, write_calibration
from tests.support.command_line import run_here

ROOT = Path(__file__).parent.parent
BLEMISHES = {"zero/empty.png": "empty file", "one/text.jpg": "not an image", "one/broken": "broken link"}


def predicted(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        return predict(compose("predict", overrides=quote_paths(["num_workers=0", *overrides])))


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty images of two classes, light and dark, with three blemishes among them."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for number in range(40):
        name, top = (("zero", 180), ("one", 256))[number % 2]
        (folder / name).mkdir(exist_ok=True)
        pixels = random.integers(0, top, (24, 20 + number), np.uint8)
        Image.fromarray(pixels).save(folder / name / f"{number:02d}.{('png', 'jpg')[number % 3 == 0]}")
    (folder / "zero/empty.png").touch()
    (folder / "one/text.jpg").write_bytes(b"text")
    (folder / "one/broken").symlink_to("nowhere")
    return folder


def test_every_file_has_a_row_with_the_networks_answer(run: Path, photos: Path, tmp_path: Path) -> None:
    record = predicted(f"checkpoint={run}", f"images={photos}", f"output={tmp_path / 'out'}", "batch_size=7")
    got = rows(tmp_path / "out")
    files = sorted(str(path) for path in photos.rglob("*") if not path.is_dir())
    assert [row["path"] for row in got] == files
    assert {row["path"]: row["error"] for row in got if row["error"]} == {
        str(photos / name): reason for name, reason in BLEMISHES.items()
    }
    trained = load_trained(run)
    whole = [row for row in got if not row["error"]]
    images = torch.stack([load_image(row["path"], trained.geometry) for row in whole])
    expected = probabilities(logits_of(trained, [images]))
    places = [("predicted", "confidence"), *((f"class_{k}", f"confidence_{k}") for k in range(2, 6))]
    for row, shares in zip(whole, expected, strict=True):
        assert [row[name] for name, _ in places] == [trained.class_names[i] for i in np.argsort(-shares)[:5]]
        np.testing.assert_allclose([float(row[share]) for _, share in places], -np.sort(-shares)[:5], atol=2e-6)
    assert all(set(row.values()) == {row["path"], row["error"], ""} for row in got if row["error"])
    assert (record["count"], record["unreadable"], sum(record["predicted"].values())) == (43, 3, 40)
    told = json.loads((tmp_path / "out/predict.json").read_text())
    assert told == record | {"files": ["predictions.csv", "predict.json"]}


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_split_of_the_run_has_the_runs_own_predictions(
    run: Path, split: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / split).mkdir()  # a folder of that name is ./test
    with caplog.at_level("INFO"):
        record = predicted(f"checkpoint={run}", f"images={split}", "output=out", "batch_size=32")
    assert f"images={split} is the run's {split} split: say images=./{split} for the folder of that name" in caplog.text
    got = rows(tmp_path / "out")
    assert record["count"] == len(got) == {"test": 180, "val": 162}[split]
    if split == "test":
        own = RunFolder(run).predictions()
        assert [(row["path"], row["predicted"]) for row in got] == list(
            zip(own["path"], own["predicted"].astype(str), strict=True)
        )
        np.testing.assert_allclose([float(row["confidence"]) for row in got], own["confidence"], atol=2e-6)
    with pytest.raises(InputError, match="holds no file"):
        predicted(f"checkpoint={run}", f"images=./{split}", "output=other")


def test_a_split_needs_a_run(run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.ckpt"
    shutil.copy(RunFolder(run).best_checkpoint, alone)
    with pytest.raises(InputError, match=r"images=test means a run's images, and .*alone\.ckpt belongs to none"):
        predicted(f"checkpoint={alone}", "images=test", f"output={tmp_path / 'out'}")
    assert not (tmp_path / "out").exists()


def test_json_lines_say_the_same(run: Path, photos: Path, tmp_path: Path) -> None:
    for kind in ("csv", "jsonl"):
        predicted(f"checkpoint={run}", f"images={photos}", f"output={tmp_path / kind}", f"format={kind}", "top_k=100")
    lines = [json.loads(line) for line in (tmp_path / "jsonl/predictions.jsonl").read_text("utf-8").splitlines()]
    for line, row in zip(lines, rows(tmp_path / "csv"), strict=True):
        assert (line["path"], line["error"] or "") == (row["path"], row["error"])
        if line["error"]:
            assert (line["predicted"], line["confidence"], line["top"]) == (None, None, [])
            continue
        assert list(line) == ["path", "predicted", "confidence", "top", "error"]
        assert len(line["top"]) == 10  # all there are
        assert line["top"][0] == {"class": line["predicted"], "confidence": line["confidence"]}
        assert line["top"][9] == {"class": row["class_10"], "confidence": float(row["confidence_10"])}
        assert (line["predicted"], line["confidence"]) == (row["predicted"], float(row["confidence"]))


def test_names_of_any_bytes_are_rows_and_pictures(run: Path, tmp_path: Path) -> None:
    names = ["a b.png", "new\nline.png", "Scan\r", "k=v,[1].png", "😺.png", 'quo"te.png', os.fsdecode(b"bad\xff.png")]
    folder = tmp_path / os.fsdecode(b"in = [x] \xff ~")  # no comma, for which it would be quoted
    folder.mkdir()
    for name in names:
        Image.effect_noise((20, 20), 60).save(folder / name, "png")
    output = tmp_path / "out"
    result = run_here(
        f"checkpoint={run}", f"images={folder}", f"output={output}", "overlays=true", cwd=tmp_path, verb="predict"
    )
    assert result.returncode == 0, result.stderr
    got = rows(output)
    assert sorted(row["path"] for row in got) == sorted(str(folder / name) for name in names)
    assert len({row["overlay"] for row in got}) == len(names)
    for row in got:
        assert row["error"] == ""
        assert row["overlay"].startswith("overlays/")
        assert (output / row["overlay"]).is_file()
    predicted(f"checkpoint={run}", f"images={folder}", f"output={tmp_path / 'json'}", "format=jsonl")
    lines = (tmp_path / "json/predictions.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["path"] for line in lines] == [row["path"] for row in got]


def test_predictions_are_those_of_the_runs_test(photos: Path, tmp_path: Path, config: Callable[..., Any]) -> None:
    from src.train import train

    cfg = config(
        "model=simple_cnn", "model.width=8", "data=folder", f"data.root={photos}", "data.image_size=16", "trainer=cpu",
        "trainer.precision=bf16-mixed", "trainer.max_epochs=1", "data.batch_size=8", "data.max_skipped=0.2",
        "data.num_workers=0", "callbacks=none", "logger=none", "baseline=false", "cost=false",
    )  # fmt: skip
    train(cfg, tmp_path / "run")
    record = predicted(f"checkpoint={tmp_path / 'run'}", f"images={photos}", f"output={tmp_path / 'out'}")
    assert record["precision"] == "bf16-mixed"
    test = RunFolder(tmp_path / "run").predictions()
    got = {row["path"]: row for row in rows(tmp_path / "out")}
    assert len(test) >= 4
    for row in test.itertuples():
        ours = got[str(photos / row.path)]
        assert ours["predicted"] == row.predicted
        assert float(ours["confidence"]) == pytest.approx(row.confidence, abs=2e-6)


def test_confidences_are_calibrated_where_there_is_a_temperature(run: Path, photos: Path, tmp_path: Path) -> None:
    checkpoint = RunFolder(run).best_checkpoint
    write_calibration(checkpoint, Calibration(3.0, "val", 100, 0.5, 0.4, digest(checkpoint)))
    for calibrated in ("true", "false"):
        words = (f"checkpoint={run}", f"images={photos}", f"output={tmp_path / calibrated}", "top_k=10")
        result = run_here(*words, f"calibrated={calibrated}", cwd=tmp_path, verb="predict")
        assert ("temperature 3.000, found on 100 images of val" in result.stdout) == (calibrated == "true")
    for warm, cold in zip(rows(tmp_path / "true"), rows(tmp_path / "false"), strict=True):
        assert warm["predicted"] == cold["predicted"]
        if not warm["error"]:
            shares = np.array([float(cold[f"confidence{place}"]) for place in ("", *(f"_{k}" for k in range(2, 11)))])
            # Six digits are written, and a share of 0.0000004 softens to 0.007: what all of them could have been.
            least, most = np.maximum(shares - 5e-7, 0) ** (1 / 3), (shares + 5e-7) ** (1 / 3)
            assert least[0] / (least[0] + most[1:].sum()) - 1e-6 <= float(warm["confidence"])
            assert float(warm["confidence"]) <= most[0] / (most[0] + least[1:].sum()) + 1e-6
            assert float(warm["confidence"]) <= float(cold["confidence"])


def test_overlays_show_the_image_beside_its_map(run: Path, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    predicted(f"checkpoint={run}", f"images={photos}", f"output={output}", "overlays=true", "batch_size=9")
    got = rows(output)
    whole = [row for row in got if not row["error"]]
    assert {row["overlay"] for row in got if row["error"]} == {""}
    assert sorted(f"overlays/{path.name}" for path in (output / "overlays").iterdir()) == sorted(
        row["overlay"] for row in whole
    )
    trained = load_trained(run)
    for row in whole[:3]:
        image = load_image(row["path"], trained.geometry)
        with torch.no_grad():
            normalised = trained.module.normalise(image[None])
        expected = gradcam(
            trained.module.network, normalised, torch.tensor([trained.class_names.index(row["predicted"])])
        )
        pixels = np.asarray(Image.open(output / row["overlay"]))
        photo = np.asarray(Image.open(row["path"]))
        scale = round(224 / max(photo.shape))  # small ones are enlarged
        height, width = (scale * length for length in photo.shape)
        assert pixels.shape[1:] == (2 * width + 4, 3)
        pixels = pixels[-height:]  # below the line with class and confidence
        np.testing.assert_array_equal(pixels[::scale, :width:scale], photo[..., None].repeat(3, axis=2))
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        heat = scale_maps(expected.maps, (side, side))[0]
        red = pixels[top : top + side, width + 4 + left : width + 4 + left + side, 0].astype(float)
        # Where the heat is, inferno is red, and the more so; the photograph shines through
        assert np.corrcoef(heat.ravel(), red.ravel())[0, 1] > 0.4 or heat.max() == 0


def test_a_list_on_stdin(run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = sorted(path for path in photos.rglob("*.png") if path.stat().st_size)[:3]
    text = os.fsencode("\n".join([str(names[2]), str(names[0]), str(photos), "nowhere.png", str(names[2])]))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))  # which processes close, as any stdin
    result = run_here(f"checkpoint={run}", "images=-", f"output={tmp_path / 'out'}", cwd=tmp_path, verb="predict")
    assert result.returncode == 0, result.stderr
    got = rows(tmp_path / "out")
    assert [row["path"] for row in got] == text.decode().split("\n")
    assert [row["error"] for row in got] == ["", "", "a folder", "missing", ""]
    assert "predicted    5 files" in result.stdout
    assert re.search(r"predicted    5 files in .*, unreadable 2\n", result.stdout)
    assert f"unreadable   2 of 5, see `error` in {tmp_path / 'out'}/predictions.csv; the first:" in result.stdout


def test_the_answer_to_one_picture_is_one_line(run: Path, photos: Path, tmp_path: Path) -> None:
    picture = photos / "zero/02.png"
    result = run_here(f"checkpoint={run}", f"images={picture}", "output=out", cwd=tmp_path, verb="predict")
    (row,) = rows(tmp_path / "out")
    top = [(row["predicted"], row["confidence"]), *((row[f"class_{k}"], row[f"confidence_{k}"]) for k in (2, 3))]
    said = " · ".join(f"{name} {float(share):.2f}" for name, share in top)
    assert result.stdout.splitlines()[:2] == [f"{said}   {picture}", "predictions  out"]


def test_the_first_twenty_get_a_line_and_the_sum_counts_all(run: Path, photos: Path, tmp_path: Path) -> None:
    result = run_here(
        f"checkpoint={run}", f"images={photos}", "output=out", "batch_size=7", cwd=tmp_path, verb="predict"
    )
    lines, got = result.stdout.splitlines(), rows(tmp_path / "out")
    for line, row in zip(lines[:20], got[:20], strict=True):
        assert line.endswith(f"   {row['path']}")
        assert line.startswith(f"unreadable: {row['error']} " if row["error"] else f"{row['predicted']} ")
    assert len({line.index(str(photos)) for line in lines[:20]}) == 1  # one below the other
    assert lines[20] == "… and 23 more"
    counts = re.fullmatch(r"predicted    43 files in .* s: (.*)", lines[21])
    assert counts is not None
    assert sum(int(part.rpartition(" ")[2]) for part in counts[1].split(", ")) == 43
    assert counts[1].endswith("unreadable 3")


def test_rows_go_to_stdout_alone_and_the_rest_to_stderr(run: Path, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Größe"
    shutil.copytree(photos / "zero", folder)
    before = sorted(tmp_path.rglob("*"))
    words = (f"checkpoint={run}", "images=Größe", "output=-")
    result = run_here(*words, cwd=tmp_path, verb="predict")
    assert result.returncode == 0, result.stderr
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["path"] for line in told] == sorted(f"Größe/{path.name}" for path in folder.iterdir())
    assert "Größe" in result.stdout  # as it is, not as \u00f6
    assert "predicted    21 files" in result.stderr
    assert "error" not in result.stderr.replace("see `error` in the output", "")
    as_csv = run_here(*words, "format=csv", cwd=tmp_path, verb="predict")
    assert [row["path"] for row in csv.DictReader(io.StringIO(as_csv.stdout))] == [line["path"] for line in told]
    assert sorted(tmp_path.rglob("*")) == before
    refused = run_here(*words, "overlays=true", cwd=tmp_path, verb="predict")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: overlays=true draws pictures into a folder: say output=FOLDER")


@pytest.mark.slow
def test_a_reader_of_rows_may_leave(run: Path, photos: Path, tmp_path: Path) -> None:
    images = many(photos, tmp_path / "many", 3000)
    words = [sys.executable, "-m", "src.predict", f"checkpoint={run}", f"images={images}", "output=-"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["path"]
        process.stdout.close()
        assert (process.wait(120), process.stderr.read()) == (0, "")


def test_it_lies_in_the_run_by_the_time_of_day(run: Path, photos: Path, tmp_path: Path) -> None:
    (image,) = photos.glob("zero/00.*")
    predicted(f"checkpoint={run}", f"images={image}")
    (folder,) = (run / "predict").iterdir()
    assert len(rows(folder)) == 1
    shutil.copy(RunFolder(run).best_checkpoint, tmp_path / "alone.ckpt")
    result = run_here(f"checkpoint={tmp_path / 'alone.ckpt'}", f"images={image}", cwd=tmp_path, verb="predict")
    (folder,) = (tmp_path / "outputs/predict").iterdir()
    assert f"predictions  outputs/predict/{folder.name}" in result.stdout


def test_what_was_written_stays_when_it_is_interrupted(
    run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Any:
        for number, answers in enumerate(stream(*arguments, **options)):
            if number == 2:
                raise KeyboardInterrupt
            yield answers

    monkeypatch.setattr(writing, "stream", interrupted)
    words = (f"checkpoint={run}", f"images={photos}", f"output={tmp_path / 'out'}", "batch_size=10", "num_workers=2")
    assert run_here(*words, cwd=tmp_path, verb="predict").returncode == 130
    assert len(rows(tmp_path / "out")) == 20
    again = run_here(*words, cwd=tmp_path, verb="predict")
    assert again.returncode == 2
    assert "holds predictions.csv: name a new folder" in again.stderr
    assert len(rows(tmp_path / "out")) == 20


def test_a_row_is_in_the_file_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with RowFile(tmp_path, "csv", Columns(2)) as file:
        file.write([Row("a", ["x", "y"], [0.75, 0.25]), Row("b", error="missing")])
        assert file.path.read_text().splitlines() == [
            "path,predicted,confidence,class_2,confidence_2,error", "a,x,0.750000,y,0.250000,", "b,,,,,missing",
        ]  # fmt: skip


def test_files_of_other_bands_end_before_anything_is_written(digits_run: Path, tmp_path: Path) -> None:
    """The network is as it is: no setting is proposed that would be refused."""
    (tmp_path / "bands").mkdir()
    for number in range(3):
        values = np.full((20, 20, 5), 40 * number, np.uint8)
        tifffile.imwrite(tmp_path / "bands" / f"{number}.tif", values, photometric="minisblack", planarconfig="contig")
    for images, said in (("bands/0.tif", "the only file does not fit"), ("bands", "none of 3 files fits")):
        words = (f"checkpoint={digits_run}", f"images={images}", "output=out", "batch_size=2", "num_workers=0")
        result = run_here(*words, cwd=tmp_path, verb="predict")
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
        assert said in result.stderr
        assert "0.tif: 5 bands, and the network takes 1)" in result.stderr
        assert "data.in_channels" not in result.stderr
        assert not (tmp_path / "out").exists()
    (tmp_path / "bands" / "z.png").write_bytes(b"no image")  # it could be read, but for what is wrong with it
    result = run_here(f"checkpoint={digits_run}", "images=bands", "output=out", cwd=tmp_path, verb="predict")
    assert (result.returncode, len(rows(tmp_path / "out"))) == (1, 4)


def test_files_of_which_none_can_be_read_end_with_exit_1(run: Path, photos: Path, tmp_path: Path) -> None:
    for images, complaint in {
        photos / "zero/empty.png": "the only file, {} (empty file), can't be read: see",
        tmp_path / "bad": "none of 2 files can be read (the first: {}/a.jpg (empty file)): see",
    }.items():
        if images.name == "bad":
            images.mkdir()
            (images / "a.jpg").touch()
            (images / "b.jpg").touch()
        output = tmp_path / f"out_{images.name}"
        result = run_here(f"checkpoint={run}", f"images={images}", f"output={output}", cwd=tmp_path, verb="predict")
        assert result.returncode == 1
        assert result.stderr.startswith(f"error: {complaint.format(images)}"), result.stderr
        assert [row["error"] for row in rows(output)] == ["empty file"] * (2 if images.name == "bad" else 1)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["images=nowhere"], "images=nowhere does not exist: name a file, a folder, a pattern"),
        (["images="], "images= names nothing"),
        (["images=.", "format=xml"], "format=xml is not possible: take csv or jsonl"),
        (["images=.", "top_k=0"], "top_k=0 is not possible"),
        (["images=.", "layer=layer1"], "layer=layer1 is for overlays=true"),
        (["images=.", "overlays=true", "layer=3"], "layer=3 is not possible"),
        (["images=.", "overlays=true", "layer=layer9"], "gradcam: no layer 'layer9' in"),
        (["images=.", "overlays=true", "method=gradcan"], "method=gradcan is unknown; nearest: gradcam"),
        (["images=.", "output=."], "output=. holds a.png: name a new folder, or an empty one"),
        (["images=.", "output=a.png"], "output=a.png can't be written (File exists): name another folder"),
        (["images=.", "checkpoint=a.png"], "checkpoint=a.png"),
    ],
)
def test_wrong_input_gets_its_line_and_leaves_nothing(
    digits_run: Path, tmp_path: Path, words: Sequence[str], complaint: str
) -> None:
    Image.new("L", (9, 9)).save(tmp_path / "a.png")
    before = sorted(tmp_path.rglob("*")), sorted(digits_run.rglob("*"))
    checkpoint = [] if any(word.startswith("checkpoint=") for word in words) else [f"checkpoint={digits_run}"]
    result = run_here(*checkpoint, *words, cwd=tmp_path, verb="predict")
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {complaint}"), result.stderr
    assert result.stderr.count("\n") == 1
    assert (sorted(tmp_path.rglob("*")), sorted(digits_run.rglob("*"))) == before


def test_wrong_input_is_answered_without_torch(tmp_path: Path) -> None:
    script = (
        "import sys; from src.command.main import main; from src.predict import predict\n"
        "try: main('predict', predict)\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for word in ("images=nowhere", "format=xml"):
        command = [sys.executable, "-c", script, "checkpoint=x", "images=.", word]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.stdout == "2 False\n", done.stderr


def test_a_new_folder_is_taken_away_where_nothing_came_into_it(tmp_path: Path) -> None:
    from src.runs.output import grown

    with pytest.raises(RunError), grown(tmp_path / "new/below"):
        raise RunError("early")
    assert not (tmp_path / "new").exists()
    with grown(tmp_path / "new/below"):
        (tmp_path / "new/below/file").touch()
    assert (tmp_path / "new/below/file").exists()
    with pytest.raises(InputError, match=r"holds file: name a new folder"), grown(tmp_path / "new/below"):
        pass


# Slow: processes of their own ----------------------------------------------------------------------------------------


def start(run: Path, images: Path, output: Path) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", "src.predict", f"checkpoint={run}", f"images={images}", f"output={output}"]
    return subprocess.Popen(
        words, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a background job of a shell ignores
    )  # fmt: skip


def many(source: Path, folder: Path, count: int) -> Path:
    images = sorted(path for path in source.rglob("*.??g") if path.stat().st_size > 4)
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:06d}.img").symlink_to(images[number % len(images)])
    return folder


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    try:
        tasks = [task / "children" for task in Path(f"/proc/{pid}/task").iterdir()]
        return [pid, *(one for task in tasks for child in task.read_text().split() for one in family(int(child)))]
    except OSError:
        return [pid]


def memory(pid: int) -> int:
    """KiB of a process, shared pages divided among those that share them; without files, which others may share too."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_process_that_is_ended_leaves_whole_rows_and_no_process(
    digits_run: Path, photos: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    images, file = many(photos, tmp_path / "many", 30_000), tmp_path / "out/predictions.csv"
    process = start(digits_run, images, tmp_path / "out")
    while not file.exists() or file.stat().st_size < 50_000:
        assert process.poll() is None
        time.sleep(0.05)
    members = family(process.pid)
    process.send_signal(number)
    assert process.wait(60) == code
    got = rows(tmp_path / "out")
    assert file.read_bytes().endswith(b"\n")
    assert 100 < len(got) < 30_000
    assert [row["path"] for row in got] == [str(images / f"{index:06d}.img") for index in range(len(got))]
    assert pd.read_csv(file, keep_default_na=False)["confidence_5"].between(0, 1).all()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{member}").exists() for member in members):
        assert time.monotonic() < deadline, "its workers are still there"
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_20_000_files_take_no_more_memory_than_2_000(digits_run: Path, photos: Path, tmp_path: Path) -> None:
    peaks = {}
    for count in (2_000, 20_000):
        process = start(digits_run, many(photos, tmp_path / str(count), count), tmp_path / f"out_{count}")
        peaks[count] = 0
        while process.poll() is None:
            peaks[count] = max(peaks[count], sum(map(memory, family(process.pid))))
            time.sleep(0.2)
        assert process.returncode == 0
        assert len(rows(tmp_path / f"out_{count}")) == count
    assert peaks[2_000] > 100_000
    assert peaks[20_000] <= 1.1 * peaks[2_000], peaks
