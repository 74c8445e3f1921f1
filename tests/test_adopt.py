"""`python -m src.adopt` as a user meets it: a network of another hand, and what every verb makes of it."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.errors import InputError
from src.page.exhibits import open_exhibition
from src.trained.checkpoint import load_trained
from tests.support.command_line import run_here
from tests.support.composed import check_overrides

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
PREPARED = ["data.image_size=16", "data.mean=[0.485,0.456,0.406]", "data.std=[0.229,0.224,0.225]"]
NAMES = ["low", "other", "high"]  # in another order than folders


class TheirBlock(nn.Module):
    """As https://github.com/akamaster/pytorch_resnet_cifar10 computes it, or with zeros behind the channels."""

    def __init__(self, planes: int, out: int, stride: int, sides: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(planes, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.sides = sides

    def forward(self, x: Tensor) -> Tensor:
        branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if branch.shape != x.shape:
            kept = x[:, :, ::2, ::2]
            zeros = torch.zeros_like(branch)
            front = (branch.shape[1] - x.shape[1]) // 2 if self.sides == "both" else 0
            zeros[:, front : front + x.shape[1]] = kept
            x = zeros
        return F.relu(branch + x)


class Theirs(nn.Module):
    """Their ResNet-20."""

    def __init__(self, sides: str, classes: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = {1: (16, 16, 1), 2: (16, 32, 2), 3: (32, 64, 2)}
        for number, (planes, out, stride) in widths.items():
            blocks = [TheirBlock(planes, out, stride, sides), *(TheirBlock(out, out, 1, sides) for _ in range(2))]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        for number in (1, 2, 3):
            x = getattr(self, f"layer{number}")(x)
        return self.linear(x.mean((2, 3)))


def theirs(sides: str = "both") -> Theirs:
    torch.manual_seed(5)
    network = Theirs(sides).eval()
    for value in network.state_dict().values():
        if value.is_floating_point() and value.ndim == 1:  # norms, as after some training
            value.uniform_(0.4, 1.2)
    return network


def as_they_save(network: nn.Module, **names: str) -> dict[str, Tensor]:
    """With the names of DataParallel, and parts called otherwise."""
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    for old, new in names.items():
        state = {name.replace(old, new): value for name, value in state.items()}
    return state


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("theirs") / "resnet20 (best), ä.th"
    torch.save({"state_dict": as_they_save(theirs()), "best_prec1": 91.7}, path)
    return path


@pytest.fixture(scope="module")
def adopted(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an adoption. Don't write."""
    folder = tmp_path_factory.mktemp("adopted")
    words = [f"weights={file}", "model=cifar_resnet20", f"classes=[{','.join(NAMES)}]", *PREPARED, "output=mine"]
    result = run_here(*words, cwd=folder, verb="adopt")
    assert (result.returncode, result.stderr) == (0, "")
    assert "shortcuts pad on both sides of the channels (its head is called linear" in result.stdout
    return folder / "mine"


def by_hand(network: Theirs, images: Tensor) -> Tensor:
    """Their logits of uint8 images, prepared as they do it."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    with torch.no_grad():
        return network((images / 255 - mean) / std)


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


def test_an_adopted_checkpoint_gives_their_logits_and_holds_all_that_is_needed(adopted: Path, images: Tensor) -> None:
    assert sorted(path.name for path in adopted.iterdir()) == ["adopt.json", "adopted.ckpt"]
    trained = load_trained(adopted)
    assert trained.run is None
    assert trained.class_names == NAMES
    with torch.no_grad():
        torch.testing.assert_close(trained.module(images), by_hand(theirs(), images), rtol=1e-4, atol=1e-4)
    record = json.loads((adopted / "adopt.json").read_text())
    assert record["class_names"] == NAMES
    assert record["architecture"]["shortcut_padding"] == "both"
    assert record["preprocessing"]["mean"] == MEAN
    assert record["left_out"] == []


@pytest.mark.parametrize("sides", ["behind", "both"])
def test_where_names_tell_nothing_the_padding_is_asked_for_and_taken(
    sides: str, images: Tensor, tmp_path: Path
) -> None:
    torch.save(as_they_save(theirs(sides), linear="fc"), tmp_path / "x.pth")
    words = ["weights=x.pth", "model=cifar_resnet20", "classes=[a,b,c]", *PREPARED, "output=out"]
    asked = run_here(*words, cwd=tmp_path, verb="adopt")
    assert asked.returncode == 2
    assert "its shortcuts have no weights" in asked.stderr
    assert "say model.shortcut_padding=both" in asked.stderr
    assert not (tmp_path / "out").exists()
    assert run_here(*words, f"model.shortcut_padding={sides}", cwd=tmp_path, verb="adopt").returncode == 0
    module = load_trained(tmp_path / "out").module
    with torch.no_grad():
        torch.testing.assert_close(module(images), by_hand(theirs(sides), images), rtol=1e-4, atol=1e-4)
        other = by_hand(theirs("both" if sides == "behind" else "behind"), images)
    assert not torch.allclose(module(images), other, atol=1e-2)


# What each verb says -------------------------------------------------------------------------------------------------

TRAINED = ["trainer=cpu", "trainer.fast_dev_run=1", "baseline=false", "cost=false", "callbacks=none", "logger=none"]

ANSWERED: dict[str, tuple[str, list[str], str]] = {
    "evaluate": (
        "evaluate",
        ["checkpoint=mine", "data=folder", "data.root=PHOTOS"],
        "nothing is known of the training",
    ),
    "copies": ("evaluate", ["checkpoint=mine", "data=folder", "data.root=PHOTOS", "copies=true"], "aren't known"),
    "predict": ("predict", ["checkpoint=mine/adopted.ckpt", "images=PHOTOS"], "predicted"),
    "overlays": ("predict", ["checkpoint=mine", "images=PHOTOS", "overlays=true"], "predicted"),
    "explain": ("explain", ["checkpoint=mine", "images=PHOTOS", "max_images=2"], "2 of"),
    "class_image": (
        "explain",
        ["checkpoint=mine", "method=class_image", "steps=2", "per_class=1", "judge=null"],
        "explanation",
    ),
    "export": ("export", ["checkpoint=mine", "images=PHOTOS", "max_images=3", "format=torch_export"], "proven"),
    "benchmark": (
        "benchmark",
        ["weights=mine", "model=cifar_resnet20", "data=folder", "data.root=PHOTOS", "data.image_size=16", "budget=0.1"],
        "measured",
    ),
    "train": (
        "train",
        ["weights=mine", "model=cifar_resnet20", "data=folder", "data.root=PHOTOS", "data.image_size=16", *TRAINED],
        "2 of 2 classes by name",
    ),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_every_verb_takes_it(name: str, adopted: Path, photos: Path, tmp_path: Path) -> None:
    verb, words, said = ANSWERED[name]
    (tmp_path / "mine").symlink_to(adopted)
    before = sorted(path.name for path in adopted.iterdir())
    result = run_here(*(word.replace("PHOTOS", str(photos)) for word in words), cwd=tmp_path, verb=verb)
    assert (result.returncode, result.stderr) == (0, "")
    assert said in result.stdout
    assert sorted(path.name for path in adopted.iterdir()) == before, "an adoption is no run to write into"


def test_the_page_shows_it(adopted: Path) -> None:
    exhibition = open_exhibition(str(adopted), torch.device("cpu"))
    assert exhibition.examples == "The checkpoint belongs to no run, so there are no test images to choose from."
    assert exhibition.exhibits[0].facts == ["adopted.ckpt", "cifar_resnet20", "16×16 px, colour", "3 classes"]


REFUSED: dict[str, tuple[str, list[str], str]] = {
    "own images": ("evaluate", ["checkpoint=mine"], "belongs to no run, and nothing says what it was trained on"),
    "split": ("evaluate", ["checkpoint=mine", "split=val"], "say data=NAME"),
    "calibrate": ("evaluate", ["checkpoint=mine", "calibrate=true"], "needs the validation images of a run"),
    "predict": ("predict", ["checkpoint=mine", "images=val"], "images=val means a run's images"),
    "explain": ("explain", ["checkpoint=mine"], "images=test means a run's images"),
    "judge": ("explain", ["checkpoint=mine", "method=class_image", "judge=train"], "say judge=RUN of another network"),
    "shuffled": ("explain", ["checkpoint=mine", "images=PHOTOS", "faithfulness=true", "shuffled=mine"], "is no run"),
    "export": ("export", ["checkpoint=mine"], "say images=FILE or images=FOLDER"),
    "resume": ("train", ["resume=mine"], "holds no run of src.train"),
    "resume a file": ("train", ["resume=mine/adopted.ckpt"], "is no folder"),
    "report": ("report", ["runs=mine"], "holds no finished run"),
    "adopted again": (
        "adopt",
        ["weights=mine/adopted.ckpt", "model=cifar_resnet20", "classes=[a,b,c]", *PREPARED],
        "is a checkpoint of ours already: say checkpoint=mine/adopted.ckpt to any verb",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_only_a_run_can_answer_is_refused_in_a_line(
    name: str, adopted: Path, photos: Path, tmp_path: Path
) -> None:
    verb, words, said = REFUSED[name]
    (tmp_path / "mine").symlink_to(adopted)
    result = run_here(*(word.replace("PHOTOS", str(photos)) for word in words), cwd=tmp_path, verb=verb)
    assert result.returncode == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


# Wrong input ---------------------------------------------------------------------------------------------------------


def _without(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        state = {key: value for key, value in as_they_save(theirs()).items() if name not in key}
        torch.save(state, folder / "w.th")

    return write


def _option_b(folder: Path) -> None:
    state = as_they_save(theirs())
    for layer, (planes, out) in {2: (16, 32), 3: (32, 64)}.items():
        state[f"module.layer{layer}.0.shortcut.0.weight"] = torch.ones(out, planes, 1, 1)
        state |= {f"module.layer{layer}.0.shortcut.1.{name}": torch.ones(out) for name in ("weight", "bias")}
    torch.save(state, folder / "w.th")


def _changed(change: Callable[[Tensor], Tensor], part: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        state = as_they_save(theirs())
        torch.save({name: change(value) if part in name else value for name, value in state.items()}, folder / "w.th")

    return write


class Canary:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch canary",)


def _names(text: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "names.txt").write_bytes(text) and None  # type: ignore[func-returns-value]


def nothing(folder: Path) -> None: ...


WRONG: dict[str, tuple[Callable[[Path], object], list[str], str]] = {
    "no file": (nothing, ["weights=nowhere.th"], "weights=nowhere.th is no file"),
    "no weights": (nothing, ["weights=null"], "weights=null names nothing: say weights=FILE"),
    "a folder": (lambda f: (f / "w.th").mkdir(), [], "weights=w.th is a folder: name a file"),
    "text": (lambda f: (f / "w.th").write_text("hello"), [], "is damaged or no file of weights"),
    "unsafe": (lambda f: torch.save({"a": Canary()}, f / "w.th"), [], "can't be loaded safely"),
    "another network": (nothing, ["model=resnet18"], "another network's: say model=cifar_resnet20"),
    "another depth": (nothing, ["model=cifar_resnet32"], "they are another network's"),
    "option B": (_option_b, [], "shortcuts have weights (layer2.0.shortcut.0.weight"),
    "no head": (_without("linear"), ["model.shortcut_padding=both"], "lack the head (fc.weight)"),
    "a part is missing": (_without("layer1.0.bn1.bias"), [], "lack layer1.0.bn1.bias"),
    "no rows": (_changed(lambda v: v[:0], "linear"), [], "the head has 0 rows, but a classifier"),
    "one row": (_changed(lambda v: v[:1], "linear"), ["classes=[a]"], "the head has 1 row, but a classifier"),
    "not finite": (_changed(lambda v: v / 0, "linear.bias"), [], "can't be used"),
    "no finite logits": (_changed(lambda v: v * 0 - 1, "bn1.running_var"), [], "give no finite logits"),
    "whole numbers": (_changed(lambda v: v.long(), "layer1.0.bn1.weight"), [], "16 whole numbers there and 16 here"),
    "quantised": (_changed(lambda v: v.char(), "conv1.weight"), [], "take the file from before it was quantised"),
    "grey": (nothing, ["data.in_channels=1"], "say data.in_channels=3"),
    "too small": (nothing, ["data.image_size=4"], "data.image_size=4 is too small for cifar_resnet20"),
    "no image size": (nothing, ["data.image_size=???"], "data.image_size has no default"),
    "mean": (nothing, ["data.mean=[0.5,0.5]"], "data.mean has 2 values for data.in_channels=3"),
    "std": (nothing, ["data.std=[0]"], "data.std=[0] is not possible"),
    "no classes": (nothing, ["classes=null"], "has 3 rows, which need names: say classes=[A,B,…]"),
    "too few": (nothing, ["classes=[a,b]"], "classes has 2 names, the head of weights=w.th 3 rows"),
    "one": (nothing, ["classes=[a]"], "names 1 class"),
    "twice": (nothing, ["classes=[a,b,a]"], "a is there twice, as names 1 and 3"),
    "an empty one": (nothing, ["classes=[a,,c]"], "name 2 of 3 is empty"),
    "no classes file": (nothing, ["classes=nowhere.txt"], "classes=nowhere.txt can't be read"),
    "a folder of classes": (lambda f: (f / "names.txt").mkdir(), ["classes=names.txt"], "is no regular file"),
    "Latin-1": (_names("ä\nb\nc".encode("latin-1")), ["classes=names.txt"], "is no text in UTF-8: save it as such"),
    "a gap": (_names(b"a\n\nc\n"), ["classes=names.txt"], "classes=names.txt: name 2 of 3 is empty"),
    "a control character": (_names(b"a\nb\x1b[2J\nc\n"), ["classes=names.txt"], "is no line of printable text"),
    "other data's classes": (nothing, ["classes=null", "data=digits"], "data=digits has 10 names"),
    "for training": (nothing, ["model.head=new"], "model.head=new is for training"),
    "a sweep": (nothing, ["-m"], "does one thing at a time"),
    "an output that is taken": (lambda f: (f / "out").write_text("x"), [], "output=out"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_gets_its_line_and_leaves_nothing(name: str, file: Path, tmp_path: Path) -> None:
    make, words, said = WRONG[name]
    make(tmp_path)
    if not (tmp_path / "w.th").exists():
        (tmp_path / "w.th").write_bytes(file.read_bytes())
    before = sorted(path.name for path in tmp_path.iterdir())
    usual = ["weights=w.th", "model=cifar_resnet20", "classes=[a,b,c]", *PREPARED, "output=out"]
    typed = {word.partition("=")[0] for word in words}
    kept = [word for word in usual if word.partition("=")[0] not in typed]
    result = run_here(*kept, *words, cwd=tmp_path, verb="adopt")
    assert result.returncode == 2, result.stdout
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_run_of_ours_needs_no_adoption(digits_run: Path, tmp_path: Path) -> None:
    for weights in (digits_run, digits_run / "checkpoints/best.ckpt"):
        result = run_here(f"weights={weights}", "classes=[a,b]", *PREPARED, cwd=tmp_path, verb="adopt")
        assert result.returncode == 2
        assert f"say checkpoint={weights}" in result.stderr


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("\ufeffä b\r\nNew York, NY\r\n7\r\n\r\n".encode(), ["ä b", "New York, NY", "7"]),
        ("ä\r\nb\r\nc".encode("utf-16"), ["ä", "b", "c"]),
        (b"'x'\n[y]\nz=1", ["'x'", "[y]", "z=1"]),
    ],
)
def test_a_file_of_classes_has_a_name_a_line(text: bytes, names: list[str], file: Path, tmp_path: Path) -> None:
    (tmp_path / "the names, ä.txt").write_bytes(text)
    words = [f"weights={file}", "model=cifar_resnet20", "classes=the names, ä.txt", *PREPARED, "output=out"]
    assert run_here(*words, cwd=tmp_path, verb="adopt").returncode == 0
    assert load_trained(tmp_path / "out").class_names == names
    assert run_here(*words, cwd=tmp_path, verb="adopt").returncode == 0, "an earlier adoption is replaced"


def test_names_between_brackets_are_taken_raw(file: Path, tmp_path: Path) -> None:
    words = [f"weights={file}", "model=cifar_resnet20", 'classes=["a, b", 01,ä (x)]', *PREPARED, "output=out"]
    assert run_here(*words, cwd=tmp_path, verb="adopt").returncode == 0
    assert load_trained(tmp_path / "out").class_names == ["a, b", "01", "ä (x)"]


def test_the_classes_and_the_preprocessing_may_be_those_of_a_data_set(photos: Path, file: Path, tmp_path: Path) -> None:
    state = {name: v[:2] if "linear" in name else v for name, v in as_they_save(theirs()).items()}
    torch.save(state, tmp_path / "two.pth")
    words = ["weights=two.pth", "model=cifar_resnet20", "data=folder", f"data.root={photos}", "data.image_size=16"]
    result = run_here(*words, cwd=tmp_path, verb="adopt")
    assert (result.returncode, result.stderr) == (0, "")
    (folder,) = (tmp_path / "outputs/adopt").iterdir()
    assert load_trained(folder).class_names == sorted(path.name for path in photos.iterdir())
    assert load_trained(folder).geometry.decode == "exact"


def test_the_file_must_be_named() -> None:
    with pytest.raises(InputError, match="weights has no default"):
        check_overrides("adopt", ["data.image_size=32", "data.mean=[0.5]", "data.std=[0.5]"])
