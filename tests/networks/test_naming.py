"""The same network under other names: each file, as others write it, gives the same logits."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src.errors import InputError
from src.networks import NETWORKS, build_network
from src.networks.naming import LEAST_SHARE, common_share, named_as
from src.networks.pretrained import Fit, check_fit, describe_fit, fit_weights, stem_of
from src.networks.weights_file import read_weights

State = dict[str, Tensor]
CHILDREN = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}


def drawn(name: str = "resnet18", seed: int = 1, classes: int = 5) -> nn.Module:
    """Stands for a trained network: every value drawn, batch norm's statistics too."""
    torch.manual_seed(seed)
    made = build_network(name, num_classes=classes, image_size=128)
    for value in made.state_dict().values():
        value.copy_(torch.rand_like(value) + 0.5 if value.is_floating_point() else value + 7)
    return made


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    return drawn()


def body(state: State) -> State:
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


def under(prefix: str, state: State) -> State:
    return {prefix + name: value.clone() for name, value in state.items()}


def numbered(prefix: str, state: State) -> State:
    """As `nn.Sequential(*list(resnet.children())[:-1])` calls them."""
    split = {name: name.partition(".") for name in body(state)}
    return {f"{prefix}{CHILDREN[child]}.{rest}": state[name] for name, (child, _, rest) in split.items()}


def transformers(state: State, prefix: str = "resnet.") -> State:
    """As transformers' ResNetForImageClassification calls them (models/resnet/modeling_resnet.py)."""
    renamed = {}
    kinds = {"conv": "convolution", "bn": "normalization", "0": "convolution", "1": "normalization"}
    for name, value in state.items():
        parts = name.split(".")
        if parts[0] == "fc":
            renamed[f"classifier.1.{parts[-1]}"] = value
        elif parts[0] in ("conv1", "bn1"):
            renamed[f"{prefix}embedder.embedder.{kinds[parts[0][:-1]]}.{parts[-1]}"] = value
        else:
            layer = f"{prefix}encoder.stages.{int(parts[0][5:]) - 1}.layers.{parts[1]}"
            if parts[2] == "downsample":
                renamed[f"{layer}.shortcut.{kinds[parts[3]]}.{parts[-1]}"] = value
            else:
                renamed[f"{layer}.layer.{int(parts[2][-1]) - 1}.{kinds[parts[2][:-1]]}.{parts[-1]}"] = value
    return renamed


WITH_HEAD: dict[str, Callable[[State], Any]] = {
    "own prefix": lambda s: under("my_net.resnet.", s),
    "module.encoder": lambda s: {"state_dict": under("module.encoder.", s)},
    "net": lambda s: {"net": s, "acc": 93.1, "epoch": 7},
    "nested": lambda s: {"checkpoint": {"weights": {"model": under("_orig_mod.", s)}}, "args": {"lr": 0.1}},
    "compiled layers": lambda s: {n.replace("layer2.", "layer2._orig_mod."): v for n, v in s.items()},
    "transformers": transformers,
    "transformers in a module": lambda s: under("model.", transformers(s)),
    "head called linear": lambda s: {n.replace("fc.", "linear."): v for n, v in s.items()},
    "timm in transformers' TimmWrapper": lambda s: under("timm_model.", s),
    "timm in fastai, a linear head": lambda s: {
        "model": under("0.model.", body(s)) | {"1.2.weight": s["fc.weight"], "1.2.bias": s["fc.bias"]}
    },
    "fastai, a linear head": lambda s: {
        "model": numbered("0.", s) | {"1.2.weight": s["fc.weight"], "1.2.bias": s["fc.bias"]},
        "opt": {"state": [{"mom": torch.ones(3)}], "hypers": [{"lr": 0.1}]},
    },
    "its children, flattened, and a linear head": lambda s: numbered("", s)
    | {"10.weight": s["fc.weight"], "10.bias": s["fc.bias"]},
    "a backbone and a head of any name": lambda s: {
        "state_dict": under("model.features.", body(s))
        | {"model.to_breeds.weight": s["fc.weight"], "model.to_breeds.bias": s["fc.bias"]}
    },
    "head beside the backbone": lambda s: under("model.backbone.", body(s)) | {
        "model.head.weight": s["fc.weight"], "model.head.bias": s["fc.bias"]
    },
    "shortcut, as in CIFAR repositories": lambda s: {
        n.replace("downsample", "shortcut").replace("fc.", "linear."): v for n, v in s.items()
    },
    "optimizer by name": lambda s: {"optimizer": {"state": {n: {"exp_avg": v * torch.nan} for n, v in s.items()}}}
    | {"model": s},
}  # fmt: skip

WITHOUT_HEAD: dict[str, Callable[[State], Any]] = {
    "MoCo": lambda s: {
        "state_dict": under("module.encoder_q.", body(s))
        | under("module.encoder_k.", {n: v * 0 for n, v in body(s).items()})
        | {"module.encoder_q.fc.0.weight": torch.ones(512, 512), "module.queue": torch.ones(128, 64)}
    },
    "MoCo, the key encoder first": lambda s: {
        "state_dict": under("module.encoder_k.", {n: v * 0 for n, v in body(s).items()})
        | under("module.encoder_q.", body(s))
    },
    "DINO": lambda s: {
        "student": under("module.backbone.", {n: v * 0 for n, v in body(s).items()}),
        "teacher": under("backbone.", body(s)),
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}},
    },
    "SwAV": lambda s: under("module.", body(s)) | {"module.projection_head.0.weight": torch.ones(4096, 4096)},
    "lightly": lambda s: {"state_dict": numbered("backbone.", s)},
    "fastai": lambda s: {
        "model": numbered("0.", s) | {"1.8.weight": torch.ones(5, 512), "1.4.weight": torch.ones(512, 1024)},
        "opt": {"state": []},
    },
    "a projection of two layers": lambda s: (
        under("0.", body(s)) | {"1.0.weight": torch.ones(5, 512), "1.2.weight": torch.ones(5, 5)}
    ),
    "one layer of five and more": lambda s: (
        under("0.", body(s))
        | {"1.0.weight": torch.ones(512), "1.0.bias": torch.ones(512), "1.2.weight": torch.ones(5, 512)}
    ),
    "ResNetModel of transformers": lambda s: transformers(body(s), prefix=""),
}


def fitted(content: Any, folder: Path, name: str = "resnet18", model: str | None = None) -> tuple[nn.Module, Fit]:
    torch.save(content, folder / "x.pth")
    other = build_network(name, num_classes=5, image_size=128)
    return other, fit_weights(other, read_weights(folder / "x.pth", model), "FILE")


@pytest.mark.parametrize("model", [None, "resnet18"])
@pytest.mark.parametrize("kind", WITH_HEAD)
def test_the_logits_are_the_same(kind: str, model: str | None, trained: nn.Module, tmp_path: Path) -> None:
    other, fit = fitted(WITH_HEAD[kind](trained.state_dict()), tmp_path, model=model)
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(other.eval()(images), trained.eval()(images))
    assert (fit.replaced, fit.absent, fit.unused) == ([], [], [])


@pytest.mark.parametrize("model", [None, "resnet18"])
@pytest.mark.parametrize("kind", WITHOUT_HEAD)
def test_the_features_are_the_same(kind: str, model: str | None, trained: nn.Module, tmp_path: Path) -> None:
    other, fit = fitted(WITHOUT_HEAD[kind](trained.state_dict()), tmp_path, model=model)
    for network in (other, trained):
        network.eval()
    images = torch.randn(2, 3, 64, 64)
    heads = [network.fc for network in (other, trained)]
    other.fc, trained.fc = nn.Identity(), nn.Identity()
    assert torch.equal(other(images), trained(images))
    other.fc, trained.fc = heads
    assert fit.absent == ["fc.weight", "fc.bias"]
    assert "not in it, made anew: fc.weight, fc.bias" in describe_fit(fit, "FILE")


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "convnext_tiny", "simple_cnn", "cifar_resnet20"])
@pytest.mark.parametrize("kind", ["prefix", "numbers"])
def test_any_network_is_found(name: str, kind: str, tmp_path: Path) -> None:
    theirs = drawn(name)
    state = theirs.state_dict()
    places = {child: str(place) for place, (child, _) in enumerate(theirs.named_children())}
    if kind == "prefix":
        state = under("a.b.", state)
    else:
        state = {f"0.{places[n.partition('.')[0]]}.{n.partition('.')[2]}": v for n, v in state.items()}
    other, _ = fitted(state, tmp_path, name)
    images = torch.randn(2, 3, 128, 128)
    assert torch.equal(other.eval()(images), theirs.eval()(images))


def test_bottlenecks_of_transformers(tmp_path: Path) -> None:
    theirs = drawn("resnet50")
    other, fit = fitted(transformers(theirs.state_dict()), tmp_path, "resnet50", "resnet50")
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(other.eval()(images), theirs.eval()(images))
    assert "from FILE, in transformers' names" in describe_fit(fit, "FILE")


def test_which_of_two_was_taken_is_said_and_the_other_can_be(trained: nn.Module, tmp_path: Path) -> None:
    content = WITHOUT_HEAD["MoCo"](trained.state_dict())
    _, fit = fitted(content, tmp_path)
    assert (
        "from FILE, its state_dict.module.encoder_q (it also holds state_dict.module.encoder_k: save that part alone"
        in describe_fit(fit, "FILE")
    )
    content["state_dict"] = {name: v for name, v in content["state_dict"].items() if "encoder_k" in name}
    other, fit = fitted(content, tmp_path)
    assert fit.origin == ""
    assert not other.conv1.weight.any()  # type: ignore[union-attr,operator]


def test_one_network_saved_twice_is_no_choice(trained: nn.Module, tmp_path: Path) -> None:
    _, fit = fitted({"model": trained.state_dict(), "state_dict": trained.state_dict()}, tmp_path)
    assert fit.origin == ""


def test_the_average_is_the_second_choice(trained: nn.Module, tmp_path: Path) -> None:
    other, fit = fitted({"model_ema": drawn(seed=2).state_dict(), "model": trained.state_dict()}, tmp_path)
    assert fit.origin.startswith("its model (it also holds model_ema:")
    assert torch.equal(other.conv1.weight, trained.conv1.weight)  # type: ignore[union-attr,arg-type]


@pytest.mark.parametrize("kind", ["transformers", "own prefix"])
def test_another_network_under_other_names_is_named(kind: str, tmp_path: Path) -> None:
    torch.save(WITH_HEAD[kind](drawn("resnet34").state_dict()), tmp_path / "x.pth")
    with pytest.raises(InputError, match="another network's: say model=resnet34"):
        check_fit(build_network("resnet18", num_classes=5), read_weights(tmp_path / "x.pth", "resnet18"), "FILE")


def test_names_that_fit_nowhere_are_shown() -> None:
    """Both sides', and the network's own name."""
    with pytest.raises(InputError) as error:
        check_fit(build_network("resnet18", num_classes=5), {f"blocks.{i}.w": torch.ones(2) for i in range(9)}, "FILE")
    names = (
        "its names begin blocks.0.w, blocks.1.w, blocks.2.w, and those of resnet18 conv1.weight, bn1.weight, bn1.bias"
    )
    assert str(error.value).endswith(f"another network's: {names}: take a file of resnet18, or rename them")


def test_the_stem_is_found_under_a_prefix(tmp_path: Path) -> None:
    small = build_network("resnet18", num_classes=5, image_size=32).state_dict()
    assert stem_of(under("backbone.", small), "resnet18") == "small"
    assert stem_of(transformers(drawn().state_dict()), "resnet18") == "imagenet"


def test_no_network_of_the_table_is_taken_for_another_in_any_order() -> None:
    """But the plain and the residual CIFAR networks, which have the same names and shapes."""
    with torch.device("meta"):
        networks = {name: build_network(name, num_classes=5, image_size=64) for name in NETWORKS}
    pairs = {
        (name, other)
        for name, network in networks.items()
        for other in networks.keys() - {name}
        if common_share(network.state_dict(), named_as(network, networks[other].state_dict()), NETWORKS[name])
        >= LEAST_SHARE
    }
    kinds = ("plain", "resnet"), ("resnet", "plain")
    assert pairs == {(f"cifar_{a}{depth}", f"cifar_{b}{depth}") for a, b in kinds for depth in (20, 32, 44, 56, 110)}


@pytest.mark.parametrize("name", ["a{}.conv1.weight", "{}", "a{}.fc.weight"])
def test_countless_names_do_not_take_long(name: str) -> None:
    start = time.process_time()
    state = dict.fromkeys((name.format(number) for number in range(20_000)), torch.ones(1))
    with pytest.raises(InputError, match="another network's"):
        check_fit(build_network("resnet18", num_classes=5), state, "FILE")
    assert time.process_time() - start < 15  # 3 s on a machine that is free
