"""`python -m src.export` as a user meets it: its files, what it proves, and what another program makes of them."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image

from src.data.transforms import load_image
from src.errors import InputError
from src.export import export
from src.exporting import exports
from src.settings.composing import quote_paths
from src.trained.checkpoint import load_trained
from src.trained.logits import predict
from src.trained.temperature import Calibration, digest, write_calibration
from tests.support.command_line import run_here

ROOT = Path(__file__).parent.parent

ELSEWHERE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused}:
            raise AssertionError(f"{{name}} was imported")

sys.meta_path.insert(0, Refuse())
sys.path.insert(0, ".")
"""
"""In front of what another program does: from here on none of these can be imported."""


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """JPEG and PNG, of different sizes and modes, one turned by its EXIF tag."""
    folder = tmp_path / "my photos, ä"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = Image.effect_noise((400, 300), 90)
    Image.merge("RGB", [noise, noise.rotate(90), noise.rotate(180)]).save(folder / "a.jpg", exif=exif)
    noise.resize((33, 57)).save(folder / "b.png")
    noise.resize((60, 20)).convert("RGBA").save(folder / "c d.png")
    noise.convert("P").save(folder / "e.png")
    return sorted(folder.iterdir())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def exported(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        return export(compose("export", overrides=quote_paths(overrides)))


def elsewhere(folder: Path, code: str, *arguments: str, refused: tuple[str, ...]) -> str:
    """What a Python program prints that runs in `folder` and can't import `refused`."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", ELSEWHERE.format(refused=refused) + code, *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip


def test_a_run_is_exported_proven_and_used_without_torch_and_this_project(
    run: Path, photos: list[Path], tmp_path: Path
) -> None:
    folder = run / "export/onnx"  # with an earlier export, which is replaced
    folder.mkdir(parents=True)
    (folder / "resnet18.onnx").touch()
    (folder / "export.json").write_text('{"files": ["resnet18.onnx", "export.json"]}')
    checkpoint = run / "checkpoints/best.ckpt"
    write_calibration(checkpoint, Calibration(1.7, "val", 162, 0.2, 0.1, digest(checkpoint)))
    result = run_here(f"checkpoint={run}", cwd=tmp_path, verb="export")
    assert (result.returncode, result.stderr) == (0, "")
    assert names(folder) == ["example.py", "export.json", "simple_cnn.onnx"]
    record = json.loads((folder / "export.json").read_text())
    assert (record["proof"]["images"], record["proof"]["same_class"]) == (180, 180)
    assert record["proof"]["largest_difference"] <= 1e-4
    assert record["bytes"] == (folder / "simple_cnn.onnx").stat().st_size
    said = result.stdout.splitlines()
    assert said[1].startswith("proven       180 images, in batches of 32 and one by one: within ")
    assert said[1].endswith("same class on all")

    trained = load_trained(run)
    images = torch.stack([load_image(photo, trained.geometry) for photo in photos])
    logits = predict(trained, [images])
    shares = torch.from_numpy(logits / 1.7).softmax(1)
    printed = elsewhere(
        folder, "import runpy; runpy.run_path('example.py', run_name='__main__')", *map(str, photos),
        refused=("torch", "torchvision", "src"),
    )  # fmt: skip
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff")
    answer = subprocess.run([sys.executable, folder / "example.py", broken, photos[0]], capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (1, printed.splitlines()[0] + "\n")
    assert f"{broken} can't be read" in answer.stderr
    expected = zip(photos, shares.argmax(1), shares.amax(1), strict=True)
    assert printed.splitlines() == [f"{trained.class_names[k]}  {share:.4f}  {file}" for file, k, share in expected]

    # The lines that were printed, with their own picture.
    shutil.copy(photos[0], folder / "photo.jpg")
    lines = "\n".join(line.strip() for line in said if line.startswith("    "))
    save = "\nimport numpy; numpy.savez('found.npz', images=images, logits=logits)"
    elsewhere(folder, lines + save, refused=("torch", "torchvision", "src"))
    with np.load(folder / "found.npz") as found:
        np.testing.assert_array_equal(found["images"][0], images[0].numpy())
        np.testing.assert_allclose(found["logits"][0], logits[0], atol=1e-4)


def test_a_file_of_torch_export_needs_no_line_of_this_project(run: Path, photos: list[Path], tmp_path: Path) -> None:
    checkpoint = tmp_path / "net work.ckpt"  # in no run
    shutil.copy(run / "checkpoints/best.ckpt", checkpoint)
    settings = [f"checkpoint={checkpoint}", "format=torch_export", f"images={photos[0].parent}", "output=out"]
    result = run_here(*settings, cwd=tmp_path, verb="export")
    assert (result.returncode, result.stderr) == (0, "")
    folder = tmp_path / "out"
    assert names(folder) == ["example.py", "export.json", "simple_cnn.pt2"]
    record = json.loads((folder / "export.json").read_text())
    assert (record["proof"]["images"], record["proof"]["batch"]) == (4, 4)
    shutil.copy(photos[0], folder / "photo.jpg")
    lines = "\n".join(line.strip() for line in result.stdout.splitlines() if line.startswith("    "))
    printed = elsewhere(folder, lines + "\nprint(logits.tolist())", refused=("src",))
    trained = load_trained(run)
    logits = predict(trained, [load_image(photos[0], trained.geometry)[None]])
    np.testing.assert_allclose(json.loads(printed.splitlines()[-1]), logits, atol=1e-4)

    with pytest.raises(InputError, match="holds .* and nothing of src.export"):
        exported(*settings[:3], f"output={photos[0].parent}")


def test_a_file_that_gives_other_logits_is_not_kept(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: exports.ExportedNetwork, images: torch.Tensor) -> torch.Tensor:
        return self.network((images.float() / 256 - self.mean) / self.std)

    monkeypatch.setattr(exports.ExportedNetwork, "forward", forward)
    result = run_here(f"checkpoint={run}", "format=torch_export", "max_images=5", cwd=tmp_path, verb="export")
    assert result.returncode == 1
    assert result.stderr.startswith("error: the exported network differs from PyTorch's by up to ")
    assert result.stderr.count("\n") == 1
    assert not (run / "export").exists()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["format=tflite"], "format=tflite is unknown: take onnx or torch_export"),
        (["checkpoint=null"], "checkpoint=null names nothing"),
        (["checkpoint=nowhere"], "checkpoint=nowhere does not exist"),
        (["images=nowhere"], "images=nowhere does not exist"),
        (["max_images=0"], "max_images=0 is not possible"),
        (["seed=-1"], "seed=-1 is not possible"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_gets_its_line_and_leaves_nothing(run: Path, overrides: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        exported(f"checkpoint={run}", *overrides)
    assert "\n" not in str(caught.value)
    assert not (run / "export").exists()


def test_a_checkpoint_in_no_run_asks_for_images(run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "checkpoints/best.ckpt", tmp_path / "x.ckpt")
    with pytest.raises(InputError, match="x.ckpt belongs to no run, .*: say images=FILE or images=FOLDER"):
        exported(f"checkpoint={tmp_path / 'x.ckpt'}")


def test_missing_packages_are_named_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "src.exporting.formats.find_spec", lambda name: None if name.startswith("onnx") else find_spec(name)
    )
    result = run_here("checkpoint=nowhere", cwd=tmp_path, verb="export")
    assert result.returncode == 2
    assert result.stderr == ('error: format=onnx needs onnx, onnxscript, onnxruntime: pip install -e ".[export]"\n')
    result = run_here("checkpoint=nowhere", "format=torch_export", cwd=tmp_path, verb="export")
    assert "checkpoint=nowhere does not exist" in result.stderr


def test_an_unknown_format_is_answered_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys, runpy; sys.argv = ['export', 'checkpoint=x', 'format=tflite']\n"
        "try: runpy.run_module('src.export', run_name='__main__')\n"
        "except SystemExit as end: code = end.code\n"
        "print('exit', code, 'torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    assert result.stdout == "exit 2 False\n"
    assert result.stderr == "error: format=tflite is unknown: take onnx or torch_export\n"
