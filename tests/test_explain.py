"""`python -m src.explain` as a user meets it: its files, its pictures, its lines for wrong input."""

import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rich
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from rich.console import Console

from src.attribution.cam import gradcam
from src.errors import InputError
from src.explain import explain
from src.runs.output import made
from src.trained.checkpoint import load_trained
from src.trained.pictures import open_pictures
from tests.support.command_line import run_here

ROOT = Path(__file__).parent.parent


def explained(*overrides: str) -> dict[str, object]:
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        return explain(compose("explain", overrides=list(overrides)))


def newest(run: Path) -> Path:
    """Where the last explanation of a run lies."""
    return run / "explain" / made(run, "explain")[-1]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_maps_of_test_images_are_drawn_kept_and_told(run: Path) -> None:
    record = explained(f"checkpoint={run}", "max_images=5", "target=true")
    folder = newest(run)
    assert record == {
        key: value for key, value in json.loads((folder / "explain.json").read_text()).items() if key != "files"
    }
    trained = load_trained(run)
    pictures = open_pictures("test", trained)
    chosen = pictures.some(5, seed=1)
    expected = gradcam(
        trained.module.network,
        trained.module.normalise(pictures.take(chosen)),
        targets=pictures.take(chosen).new_tensor(pictures.targets[chosen]).long(),
    )
    with np.load(folder / "maps.npz") as arrays:
        np.testing.assert_allclose(arrays["maps"], expected.maps, atol=1e-5)
        np.testing.assert_array_equal(arrays["explained"], pictures.targets[chosen])
        assert arrays["names"].tolist() == [pictures.names[i] for i in chosen]
    told = record["explained"]
    assert isinstance(told, list)
    assert [one["image"] for one in told] == [pictures.names[i] for i in chosen]
    assert [one["explained"] for one in told] == [trained.class_names[i] for i in pictures.targets[chosen]]
    assert names(folder) == sorted([*(one["picture"] for one in told), "explain.json", "maps.npz", "sheet.png"])
    for name in names(folder):
        if name.endswith(".png"):
            pixels = np.asarray(Image.open(folder / name))
            assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50, name


def test_a_run_keeps_all_explanations(run: Path) -> None:
    for method in ("gradcam", "layercam", "gradcam"):
        explained(f"checkpoint={run}", "max_images=2", f"method={method}")
    kept = made(run, "explain")
    assert sorted(re.sub(r"^[\d_-]+", "", name).removesuffix("_2") for name in kept) == [
        "gradcam",
        "gradcam",
        "layercam",
    ]
    assert all((run / "explain" / name / "sheet.png").is_file() for name in kept)


def test_mistakes_are_shown_with_both_classes(run: Path) -> None:
    record = explained(f"checkpoint={run}", "misclassified=true", "images=train")
    told = record["explained"]
    assert isinstance(told, list)
    assert len(told) == min(32, int(str(record["of"])))
    assert all(one["true"] != one["predicted"] == one["explained"] for one in told)
    with np.load(newest(run) / "maps.npz") as arrays:
        assert not np.allclose(arrays["maps"], arrays["true_maps"])


@pytest.mark.parametrize("method", ["guided_gradcam", "guided_backprop"])
def test_pixels_of_a_class_are_signed(run: Path, method: str) -> None:
    explained(f"checkpoint={run}", f"method={method}", "channels=null", "max_images=3", "target='7'")
    with np.load(newest(run) / "maps.npz") as arrays:
        assert arrays["pixels"].shape == (3, 1, 16, 16)
        assert arrays["pixels"].min() < 0 < arrays["pixels"].max()
        assert arrays["explained"].tolist() == [7, 7, 7]


def test_channels_are_shown_beside_a_control(run: Path) -> None:
    record = explained(f"checkpoint={run}", "method=deconvnet", "channels=3", "max_images=40")
    folder = newest(run)
    told = record["channels"]
    assert isinstance(told, list)
    assert names(folder) == sorted(
        [
            *(f"channel_{one['channel']:04d}.png" for one in told),
            "channels.npz",
            "control.npz",
            "explain.json",
            "sheet.png",
        ]
    )
    with np.load(folder / "channels.npz") as found, np.load(folder / "control.npz") as control:
        assert found["projections"].shape == control["projections"].shape == (3, 9, 1, 16, 16)
        assert not np.allclose(found["projections"], control["projections"])


def test_class_images_are_judged_beside_their_controls(run: Path, tmp_path: Path) -> None:
    judge = tmp_path / "judge.ckpt"  # nearly the same: tests/explanation/test_judge.py has one of another kind
    content = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    content["state_dict"]["network.fc.weight"] += 0.001
    torch.save(content, judge)
    record = explained(f"checkpoint={run}", "method=class_image", "per_class=2", "steps=24", f"judge={judge}")
    folder = newest(run)
    figures = record["named_right"]
    assert isinstance(figures, dict)
    assert list(figures) == ["class_images", "pixel_ascent", "ascent_from_mean", "random_weights", "real"]
    assert figures["class_images"] > figures["random_weights"]
    assert figures["real"] > 0.8
    assert len([name for name in names(folder) if name[0].isdigit()]) == 20
    assert {"sheet.png", "steps.png", "class_images.npz", "pixel_ascent.npz", "random_weights.npz"} < set(names(folder))
    with np.load(folder / "class_images.npz") as arrays:
        assert arrays["images"].shape == (20, 1, 16, 16)
        assert arrays["steps"].tolist() == [0, 2, 4, 8, 16, 24]
    one = explained(f"checkpoint={run}", "method=class_image", "per_class=1", "steps=8", "judge=null", "target='4'")
    assert "named_right" not in one
    assert names(newest(run)) == [
        "0000_4_1.png", "ascent_from_mean.npz", "class_images.npz", "explain.json", "pixel_ascent.npz",
        "random_weights.npz", "sheet.png", "steps.png",
    ]  # fmt: skip


def test_tricks_are_added_one_by_one_and_judged(run: Path, tmp_path: Path) -> None:
    judge = tmp_path / "judge.ckpt"
    content = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    content["state_dict"]["network.fc.weight"] += 0.001
    torch.save(content, judge)
    asked = (f"checkpoint={run}", "method=class_image", "per_class=2", "steps=12", f"judge={judge}")
    record = explained(*asked, "tricks=true")
    folder = newest(run)
    assert names(folder) == [
        "batch_norms.npz", "colour.npz", "explain.json", "faint_start.npz", "fourier.npz", "maco.npz",
        "maco_batch_norms.npz", "pixel_ascent.npz", "real_images.npz", "total_variation.npz", "transformations.npz",
        "tricks.csv", "tricks.png",
    ]  # fmt: skip
    table = pd.read_csv(folder / "tricks.csv")
    told = record["tricks"]
    assert isinstance(told, list)
    assert table["way"].tolist() == [row["way"] for row in told]
    assert table["way"].iloc[[0, 6, 9]].tolist() == ["pixel ascent", "+ batch norms", "real images"]
    assert (table["images"] == 20).all()
    np.testing.assert_array_equal(table["named_right"], [row["named_right"] for row in told])
    assert table["low"].le(table["named_right"]).all()
    assert table["high"].ge(table["named_right"]).all()
    assert table["named_right"].iloc[-1] > 0.8, "real images"
    assert table["distance"].idxmin() == 9, "nothing is nearer to the training images"
    assert table["distance"].iloc[0] > table["distance"].iloc[6] > 0
    with np.load(folder / "pixel_ascent.npz") as arrays:
        right = (arrays["predicted"] == arrays["targets"]).mean()
    assert table["named_right"].iloc[0] == right
    with np.load(folder / "batch_norms.npz") as arrays:
        last = arrays["images"]
    explained(*asked)
    with np.load(newest(run) / "class_images.npz") as arrays:
        np.testing.assert_array_equal(arrays["images"], last, err_msg="with all tricks, they are the class images")


@pytest.mark.parametrize("method", ["gradcam", "eigengradcam"])
def test_maps_are_measured_and_the_verdict_is_made_from_the_figures(run: Path, tmp_path: Path, method: str) -> None:
    control = tmp_path / "control"  # says that its labels were shuffled; explanation/test_controls.py has a real one
    shutil.copytree(run, control)
    settings = control / ".hydra/config.yaml"
    settings.write_text(settings.read_text().replace("shuffle_labels: false", "shuffle_labels: true"))
    record = explained(
        f"checkpoint={run}", f"method={method}", "max_images=12", "faithfulness=true", f"shuffled={control}"
    )
    told = record["faithfulness"]
    assert isinstance(told, dict)
    assert told["images"] + told["skipped"] == 12
    assert told["verdict"].startswith("These maps are")
    assert " Sanity: they " in told["verdict"]
    assert "when the network's weights are random (rank correlation " in told["verdict"]
    assert "for one trained on shuffled labels (rank correlation " in told["verdict"]
    assert told["shuffled_labels"]["train_accuracy"] > 0.5
    stages = [row["stage"] for row in told["sanity"]]
    assert stages[0] == "fc"
    assert stages[-3:] == ["shuffled labels", "another image", "centre blob"]
    folder = newest(run)
    assert {"faithfulness.png", "faithfulness.csv", "sanity.csv"} < set(names(folder))
    assert len((folder / "faithfulness.csv").read_text().splitlines()) == 1 + 3 * 4
    json.dumps(record, allow_nan=False)


def test_figures_fit_80_columns_with_what_each_means_and_a_weak_control_is_told_first(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    control = tmp_path / "control"
    shutil.copytree(run, control)
    settings = control / ".hydra/config.yaml"
    settings.write_text(settings.read_text().replace("shuffle_labels: false", "shuffle_labels: true"))
    history = (control / "metrics.csv").read_text().splitlines()
    at = history[0].split(",").index("train/accuracy")
    history[-1] = ",".join("0.25" if place == at else cell for place, cell in enumerate(history[-1].split(",")))
    (control / "metrics.csv").write_text("\n".join(history) + "\n")
    monkeypatch.setattr(rich, "_console", Console(file=io.StringIO(), force_terminal=True, width=80, _environ={}))
    caplog.set_level(logging.INFO, "src")
    explained(f"checkpoint={run}", "max_images=12", "faithfulness=true", f"shuffled={control}")
    said = [record.getMessage() for record in caplog.records if record.name == "src.explanation.truth"]
    assert said[0] == "the network on shuffled labels knows 25 % of them by heart: a weak control"
    table, meanings = said[1].strip().split("\n\n")
    assert max(map(len, table.splitlines())) <= 80
    rows = [line.split() for line in table.splitlines()[1:]]
    assert [row[0] for row in rows if row[1] == "map"] == ["deletion", "insertion", "ROAD"]
    assert [line.split()[0] for line in meanings.splitlines()] == ["deletion", "insertion", "ROAD"]
    assert len(rows) == 12
    sanity, caption = said[2].strip().split("\n\n")
    assert max(map(len, sanity.splitlines())) <= 80
    assert [line.split("  ")[0] for line in caption.splitlines()] == [
        *("rank correlation", "of magnitudes", "another image", "centre blob", "images")
    ]
    assert "high is bad" in caption
    assert said[3].startswith("These maps are")
    assert "Sanity: they" in said[3]


def test_an_interrupted_measurement_says_what_is_kept(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    control = tmp_path / "control"
    shutil.copytree(run, control)
    settings = control / ".hydra/config.yaml"
    settings.write_text(settings.read_text().replace("shuffle_labels: false", "shuffle_labels: true"))

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("src.explanation.truth.faithfulness", interrupt)
    output = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt, match="said"):
        explained(f"checkpoint={run}", "max_images=12", "faithfulness=true", f"shuffled={control}", f"output={output}")
    line = f"interrupted: nothing of this explanation is kept; the control is, in {control}"
    assert capsys.readouterr().err.splitlines() == [line]
    assert not output.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["method=gradcam,layercam"], "error: method=gradcam,layercam names several values: "),
        (["-m", "method=gradcam,layercam"], "error: src.explain does one thing at a time: leave -m out, "),
    ],
)
def test_several_values_are_for_several_calls(words: list[str], said: str, tmp_path: Path) -> None:
    result = run_here("checkpoint=a b", *words, cwd=tmp_path, verb="explain")
    assert result.returncode == 2
    once = "once for each value, first: python -m src.explain 'checkpoint=a b' method=gradcam"
    assert result.stderr.strip() == said + once


def test_a_process_explains_a_folder_with_odd_names_and_names_what_it_left_out(run: Path, tmp_path: Path) -> None:
    photos = tmp_path / "my photos, ä=(1)"
    (photos / "3").mkdir(parents=True)
    Image.effect_noise((40, 30), 60).save(photos / "3/a b.png")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    result = subprocess.run(
        [sys.executable, "-m", "src.explain", f"checkpoint={run}", f"images={photos}", f"output={tmp_path / 'out, 1'}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "1 files left out, such as broken.jpg" in result.stdout
    assert names(tmp_path / "out, 1") == ["0000_a_b.png", "explain.json", "maps.npz", "sheet.png"]
    assert names(tmp_path) == ["my photos, ä=(1)", "out, 1", "run"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["method=gradcan"], "method=gradcan is unknown; nearest: gradcam"),
        (["layer=layer9"], "no layer 'layer9'"),
        (["layer=fc"], "no feature map"),
        (["target=eleven"], "target=eleven is no class of this network; nearest: "),
        (["target=10"], "target=10 is no class"),
        (["target=all"], "target=all is for method=class_image"),
        (["images=nowhere"], "images=nowhere does not exist"),
        (["misclassified=true", "faithfulness=true"], "don't go together"),
        (["misclassified=true", "target=true"], "leave target out"),
        (["misclassified=true", "method=deconvnet"], "misclassified=True means nothing to method=deconvnet"),
        (["faithfulness=true", "method=guided_gradcam"], "faithfulness=True means nothing to method=guided_gradcam"),
        (["method=deconvnet", "target='7'"], "target=7 means nothing to method=deconvnet"),
        (["method=class_image", "layer=layer4"], "layer=layer4 means nothing to method=class_image"),
        (["tricks=true"], "tricks=True means nothing to method=gradcam"),
        (["method=class_image", "tricks=true", "judge=null"], "tricks=true needs a judge"),
        (["steps=10"], "steps=10 means nothing to method=gradcam"),
        (["shuffled=null"], "is for faithfulness=true"),
        (["faithfulness=true", "shuffled=null", "max_images=9"], "take at least 10"),
        (["checkpoint=null"], "checkpoint=null names nothing"),
        (["method=class_image", "target=true"], "target=true is for images"),
        (["method=class_image", "judge=nowhere"], "judge=nowhere does not exist"),
        (["faithfulness=true", "shuffled=nowhere"], "shuffled=nowhere does not exist"),
        (["max_images=0"], "max_images=0 is not possible"),
        (["channels=0", "method=deconvnet"], "channels=0 is not possible"),
        (["batch_size=many"], "batch_size=many is not possible"),
        (["accelerator=tpu"], "accelerator=tpu is not possible"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_gets_its_line_and_leaves_nothing(run: Path, overrides: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        explained(f"checkpoint={run}", *overrides)
    assert "\n" not in str(caught.value)
    assert not (run / "explain").exists()


def test_a_network_does_not_judge_itself(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "copy")
    for judge in (run / "checkpoints/last.ckpt", tmp_path / "copy"):
        with pytest.raises(InputError, match="is the network itself"):
            explained(f"checkpoint={run}", "method=class_image", "steps=2", f"judge={judge}")


def test_tricks_need_the_images_of_a_run(run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "checkpoints/best.ckpt", tmp_path / "alone.ckpt")
    with pytest.raises(InputError, match="tricks=true needs the images of a run"):
        explained(f"checkpoint={tmp_path / 'alone.ckpt'}", "method=class_image", "tricks=true", f"output={tmp_path}/o")
    assert not (tmp_path / "o").exists()


def test_a_control_has_learned_shuffled_labels(run: Path) -> None:
    with pytest.raises(InputError, match="is no run with data.shuffle_labels=true"):
        explained(f"checkpoint={run}", "faithfulness=true", f"shuffled={run}")


@pytest.mark.parametrize("content", [None, "a: [1", "- 1\n- 2\n", "seed: 1\n", ""])
def test_a_run_without_its_settings_gets_its_line(run: Path, content: str | None) -> None:
    settings = run / ".hydra/config.yaml"
    settings.unlink() if content is None else settings.write_text(content)
    with pytest.raises(InputError, match=r"config.yaml .*name a whole run"):
        explained(f"checkpoint={run}")


def test_true_classes_that_nobody_said_are_asked_for(run: Path, tmp_path: Path) -> None:
    Image.effect_noise((40, 30), 60).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"nothing says what a.png shows"):
        explained(f"checkpoint={run}", f"images={tmp_path / 'a.png'}", "target=true")
    with pytest.raises(InputError, match="nothing says what the images show"):
        explained(f"checkpoint={run}", f"images={tmp_path / 'a.png'}", "misclassified=true")
