"""An exported file gives the network's logits, and the example beside it reads a picture as training does."""

import io
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn

from src.data.transforms import Geometry, load_image
from src.errors import RunError
from src.exporting import proof, standalone
from src.exporting.exports import Runner, describe, example, export_network, open_export, write_export
from src.exporting.formats import FORMATS
from src.networks import NETWORKS
from src.trained.checkpoint import Trained, load_trained
from src.trained.logits import predict
from src.trained.pictures import Pictures, open_pictures
from src.trained.temperature import Calibration, digest, write_calibration
from src.training.classifier import ImageClassifier
from tests.data.test_colour import P3


def untrained(file: Path, name: str, in_channels: int = 3, image_size: int = 16, **settings: Any) -> Trained:
    """A network whose batch norms have seen something, from a checkpoint file of its own."""
    torch.manual_seed(0)
    arguments: dict[str, Any] = {
        "architecture": {"name": name, "num_classes": 5, "in_channels": in_channels, "image_size": image_size},
        "class_names": ["cat", "dog", "Bär", 'a "fox"', "no, owl"],
        "preprocessing": {
            "image_size": image_size,
            "in_channels": in_channels,
            "mean": [0.5, 0.4, 0.3][:in_channels],
            "std": [0.2, 0.3, 0.25][:in_channels],
            "interpolation": "bicubic",
        },
        "optimizer": {},
        "scheduler": {},
    }
    module = ImageClassifier(**arguments | settings)
    for norm in module.network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.0)
            nn.init.uniform_(norm.running_mean, -0.2, 0.2)
            nn.init.uniform_(norm.running_var, 0.8, 1.5)
    torch.save({"hyper_parameters": dict(module.hparams), "state_dict": module.state_dict()}, file)
    return load_trained(file)


def noise(trained: Trained, number: int = 40) -> Pictures:
    """Images that fill a batch and part of another."""
    shape = (number, trained.geometry.in_channels, *2 * [trained.geometry.image_size])
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    dataset: Any = [(image, 0) for image in pixels]
    return Pictures(dataset, [str(i) for i in range(number)], np.zeros(number, np.int64))


def proven(trained: Trained, kind: str, file: Path) -> proof.Proof:
    write_export(trained, kind, describe(trained, kind), file)
    assert {path.suffix for path in file.parent.iterdir()} <= {".ckpt", ".json", file.suffix}  # nothing beside it
    pictures = noise(trained)
    return proof.prove(trained, open_export(file), pictures, np.arange(len(pictures)))


def test_an_onnx_file_gives_the_logits_and_holds_all_that_is_needed(tmp_path: Path) -> None:
    """Pre-activation, three channels, weights in bf16, a frozen backbone, a temperature, names with quotes."""
    checkpoint, file = tmp_path / "x.ckpt", tmp_path / "x.onnx"
    trained = untrained(checkpoint, "mini_resnet_basic_pre", freeze="backbone")
    trained.module.network.to(torch.bfloat16).to(torch.float32)
    checkpoint_digest = digest(checkpoint)
    write_calibration(checkpoint, Calibration(1.25, "val", 10, 1.0, 0.9, checkpoint_digest))
    found = proven(trained, "onnx", file)
    assert (found.images, found.batch, found.same_class) == (40, 32, 40)
    assert 0 < found.largest_difference < 1e-4
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert [(one.name, one.type.tensor_type.elem_type) for one in model.graph.input] == [
        ("images", onnx.TensorProto.UINT8)
    ]
    assert [(one.name, one.type.tensor_type.elem_type) for one in model.graph.output] == [
        ("logits", onnx.TensorProto.FLOAT)
    ]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    assert str(Path(__file__).parent.parent.parent).encode() not in file.read_bytes()

    told = onnxruntime.InferenceSession(file).get_modelmeta().custom_metadata_map
    assert json.loads(told["class_names"]) == ["cat", "dog", "Bär", 'a "fox"', "no, owl"]
    assert (told["network"], told["image_size"], told["in_channels"]) == ("mini_resnet_basic_pre", "16", "3")
    assert (told["interpolation"], told["mean"], told["std"]) == ("bicubic", "[0.5, 0.4, 0.3]", "[0.2, 0.3, 0.25]")
    assert (told["temperature"], told["checkpoint_sha256"]) == ("1.25", checkpoint_digest)
    assert {"python", "torch", "onnx", "onnxscript", "onnxruntime"} < set(json.loads(told["versions"]))
    network, same = standalone.open_network(file)
    assert same == told
    images = np.zeros((1, 3, 16, 16), np.uint8)
    np.testing.assert_array_equal(network(images), open_export(file)(images))


NASTY = [
    '"""\n__import__("pathlib").Path("canary").touch()\n"""',
    "\\\n'); open('canary', 'w') #",
    "\x1b[2Jclear\rover",
    "right \u202e to left\u2028",
    "not UTF-8 \udcff",
]


@pytest.mark.parametrize("kind", ["onnx", "torch_export"])
def test_nasty_names_of_classes_stay_names(kind: str, tmp_path: Path) -> None:
    """The example runs as a program of its own: it prints a line a picture, and nothing else happens."""
    trained = untrained(tmp_path / "x.ckpt", "simple_cnn", class_names=NASTY)
    folder = tmp_path / "exported"
    folder.mkdir()
    file = folder / f"x{FORMATS[kind].suffix}"
    write_export(trained, kind, describe(trained, kind), file)
    assert json.loads(standalone.open_network(file)[1]["class_names"]) == NASTY
    (folder / "example.py").write_text(example())
    # so many that each class comes first
    pictures = [folder / f"{number}\n\x1b[2J.png" for number in range(12)]
    for number, picture in enumerate(pictures):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels // (1 + number % 4) + 40 * (number % 4)).save(picture)
    command = [sys.executable, "example.py", *(picture.name for picture in pictures), "\x1b[2Jabsent"]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    lines = answer.stdout.splitlines()
    assert (len(lines), len(answer.stderr.splitlines()), answer.returncode) == (12, 1, 1)
    assert (answer.stdout + answer.stderr).replace("\n", "").isprintable()
    said = {line.partition("  0.")[0] for line in lines}
    assert said <= {"".join(c if c.isprintable() else ascii(c)[1:-1] for c in name) for name in NASTY}
    assert not list(tmp_path.rglob("canary"))


def test_a_file_of_torch_export_does_too(tmp_path: Path) -> None:
    trained = untrained(tmp_path / "x.ckpt", "simple_cnn")
    trained.module.network.to(memory_format=torch.channels_last)
    found = proven(trained, "torch_export", tmp_path / "x.pt2")
    assert (found.same_class, found.largest_difference < 1e-4) == (40, True)
    network, told = standalone.open_network(tmp_path / "x.pt2")
    assert json.loads(told["class_names"])[2] == "Bär"
    assert "temperature" not in told
    assert network(np.zeros((1, 3, 16, 16), np.uint8)).shape == (1, 5)
    assert str(Path(__file__).parent.parent.parent).encode() not in (tmp_path / "x.pt2").read_bytes()


@pytest.mark.parametrize("in_channels", [3, 5])
def test_an_export_says_what_its_example_reads_and_takes_arrays(tmp_path: Path, caplog, in_channels: int) -> None:
    caplog.set_level("INFO")
    values: Any = {"mean": [0.5] * in_channels, "std": [0.25] * in_channels, "interpolation": "bilinear"}
    prepared = {"image_size": 16, "in_channels": in_channels, **values}
    trained = untrained(tmp_path / "x.ckpt", "simple_cnn", in_channels, preprocessing=prepared)
    told = export_network(trained, "torch_export", pictures := noise(trained), np.arange(40), tmp_path)
    line = next(record.getMessage() for record in caplog.records if record.getMessage().startswith("example.py"))
    assert f"uint8 ({in_channels}, 16, 16)" in line
    assert ("no files of 5 bands" if in_channels == 5 else "DICOM, HEIC and JPEG XL") in line
    assert ("reads no bands" in told["preprocessing"]) is (in_channels == 5)
    assert ("bands.npy" in caplog.text) is (in_channels == 5)
    array = pictures.take([0])[0].numpy()
    np.save(tmp_path / "right.npy", array)
    np.save(tmp_path / "wrong.npy", array[:, 1:])
    Image.new("RGB", (20, 20)).save(tmp_path / "usual.png")
    words = [sys.executable, "example.py", "right.npy", "wrong.npy", "usual.png"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    class_ = trained.class_names[int(predict(trained, [pictures.take([0])]).argmax())]
    assert done.stdout.startswith(f"{class_}  ")
    assert done.stdout.count("\n") == 1 + (in_channels == 3)
    assert f"wrong.npy can't be read: it holds uint8 ({in_channels}, 15, 16), where the network takes" in done.stderr
    assert ("save them with numpy.save to a .npy file, uint8 (5, 16, 16)" in done.stderr) is (in_channels == 5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "torch_export"])
@pytest.mark.parametrize("name", [name for name in NETWORKS if not name.endswith(("101", "152", "56", "110"))])
def test_every_network_can_be_exported(tmp_path: Path, name: str, kind: str) -> None:
    suffix = {"onnx": ".onnx", "torch_export": ".pt2"}[kind]
    trained = untrained(tmp_path / "x.ckpt", name, in_channels=1 if name == "simple_cnn" else 3, image_size=32)
    assert proven(trained, kind, tmp_path / f"x{suffix}").same_class == 40


# The proof -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(digits_run: Path) -> Trained:
    return load_trained(digits_run)


def answers(trained: Trained, change: Any) -> Runner:
    """PyTorch's own logits, with something changed."""

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return change(images, trained.module(torch.from_numpy(images)).numpy().copy())

    return run


def test_real_images_are_compared_alone_and_in_batches(digits: Trained) -> None:
    pictures = open_pictures("test", digits)
    batches: list[int] = []

    def change(images: np.ndarray, logits: np.ndarray) -> np.ndarray:
        batches.append(len(images))
        return logits + np.float32(3e-5)

    found = proof.prove(digits, answers(digits, change), pictures, np.arange(40))
    assert batches == [32, *32 * [1], 8, *8 * [1]]
    assert found.largest_difference == pytest.approx(3e-5, rel=0.2)
    assert found.same_class == found.images == 40
    assert found.smallest_margin > 1e-3


@pytest.mark.parametrize("wrong", ["one logit", "nan", "only alone", "classes in another order"])
def test_other_logits_are_refused(digits: Trained, wrong: str) -> None:
    def change(images: np.ndarray, logits: np.ndarray) -> np.ndarray:
        if wrong == "one logit":
            logits[-1, 3] += 2e-4
        elif wrong == "nan":
            logits[0, 0] = np.nan
        elif wrong == "only alone" and len(images) == 1:
            logits += 2e-4
        elif wrong == "classes in another order":
            logits = logits[:, ::-1]
        return logits

    with pytest.raises(RunError, match="differs from PyTorch's by up to"):
        proof.prove(digits, answers(digits, change), open_pictures("test", digits), np.arange(5))


def test_a_tie_is_told_and_not_refused(digits: Trained) -> None:
    """Two largest logits that are equal in PyTorch: which of them is the larger elsewhere is chance."""
    with torch.no_grad():
        tied = load_trained(digits.path)
        head: Any = tied.module.network.fc
        head.weight[1:] = head.weight[0]
        head.bias[:] = 0.0

    def change(images: np.ndarray, logits: np.ndarray) -> np.ndarray:
        logits[0, 4] += 5e-5
        return logits

    found = proof.prove(tied, answers(tied, change), open_pictures("test", digits), np.arange(3))
    assert found.smallest_margin < 1e-6
    assert (found.images, found.same_class) == (3, 0)


# The example ---------------------------------------------------------------------------------------------------------


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer


def deep_colour(samples: np.ndarray) -> io.BytesIO:
    """A PPM of 16 bits."""
    return io.BytesIO(b"P6 %d %d 65535\n" % samples.shape[1::-1] + samples.astype(">u2").tobytes())


def pictures_of_all_kinds() -> dict[str, io.BytesIO]:
    """Files of different sizes, modes and orientations; each an own noise on a slope."""
    random = np.random.default_rng(0)
    cells = random.integers(0, 60, (90, 70, 3)) + np.arange(90)[:, None, None] * 2
    rgb = Image.fromarray(cells.astype(np.uint8))
    grey16 = Image.fromarray(random.integers(0, 65536, (40, 50), dtype=np.uint16))
    alpha = Image.fromarray(random.integers(0, 256, (40, 50, 4), dtype=np.uint8), "RGBA")
    palette = rgb.quantize(16)
    files = {
        "rgb": encoded(rgb),
        "jpeg": encoded(rgb, "JPEG"),
        "large jpeg": encoded(rgb.resize((701, 523)), "JPEG", quality=90),
        "cmyk jpeg": encoded(rgb.convert("CMYK"), "JPEG"),
        "grey jpeg": encoded(rgb.convert("L").resize((300, 200)), "JPEG"),
        "rgba": encoded(alpha),
        "grey and alpha": encoded(alpha.convert("LA")),
        "palette": encoded(palette),
        "transparent palette": encoded(palette, transparency=3),
        "gif": encoded(palette, "GIF"),
        "webp": encoded(alpha, "WEBP", lossless=True),
        "1 bit": encoded(rgb.convert("1")),
        "16 bit": encoded(grey16),
        "float": encoded(Image.fromarray(random.random((30, 40), dtype=np.float32)), "TIFF"),
        "float stretched": encoded(Image.fromarray(1000 * random.normal(size=(30, 40)).astype(np.float32)), "TIFF"),
        "12 bit": encoded(Image.fromarray(random.integers(0, 4096, (40, 50), dtype=np.uint16))),
        "12 bit rgb": deep_colour(random.integers(0, 4096, (40, 50, 3))),
        "profile": encoded(rgb, icc_profile=P3),
        "wide strip": encoded(rgb.resize((400, 9))),
        "high strip": encoded(rgb.resize((9, 400))),
        "tiny": encoded(rgb.resize((3, 5))),
        "as large as wanted": encoded(rgb.resize((24, 24))),
    }
    for orientation in range(0, 10):
        exif = Image.Exif()
        exif[0x0112] = orientation
        files[f"orientation {orientation}"] = encoded(rgb, "JPEG", exif=exif)
    files["broken exif"] = encoded(rgb, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    return files


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # as `src.data.images` does
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("in_channels", [1, 3])
def test_the_example_reads_every_picture_exactly_as_training_does(in_channels: int, interpolation: str) -> None:
    ways: list[tuple[Any, str]] = [("own", "srgb"), ((0.0, 4095.0), "srgb"), ("earlier", "stored")]
    for size, decode, (limits, color) in itertools.product((8, 24, 101), ("fast", "exact"), ways):
        geometry = Geometry(size, in_channels, interpolation, decode, limits, color)
        for name, file in pictures_of_all_kinds().items():
            theirs = standalone.load_image(file, size, in_channels, interpolation, decode, limits, color)
            np.testing.assert_array_equal(
                load_image(file, geometry).numpy(), theirs, err_msg=f"{name} at {size}, {decode}, {limits}"
            )
            assert theirs.dtype == np.uint8


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("resize", ["pad", "squash"])
@pytest.mark.parametrize("in_channels", [1, 3])
def test_the_example_makes_every_picture_square_as_training_does(in_channels: int, resize: str) -> None:
    mean = [0.485, 0.456, 0.406][:in_channels]
    for size, decode in itertools.product((8, 101), ("fast", "exact")):
        told = {"image_size": size, "in_channels": in_channels, "interpolation": "bicubic", "decode": decode}
        geometry = Geometry.of({**told, "resize": resize, "mean": mean, "range": "own", "color": "srgb"})
        for name, file in pictures_of_all_kinds().items():
            theirs = standalone.load_image(
                file, size, in_channels, "bicubic", decode, resize=resize, fill=geometry.fill
            )
            np.testing.assert_array_equal(load_image(file, geometry).numpy(), theirs, err_msg=f"{name} at {size}")


def test_an_exported_network_answers_for_both_mirror_images_where_its_training_did(tmp_path: Path) -> None:
    trained = untrained(tmp_path / "x.ckpt", "simple_cnn", test_flip=True)
    file = tmp_path / "x.pt2"
    assert proven(trained, "torch_export", file).largest_difference < 1e-4
    images = np.random.default_rng(1).integers(0, 256, (3, 3, 16, 16), dtype=np.uint8)
    network = open_export(file)
    np.testing.assert_allclose(network(images), network(images[..., ::-1].copy()), atol=1e-5)
