"""Pretrained weights: what is loaded, adapted, listed and refused. The files are made here; nothing is downloaded."""

import json
import os
import struct
import urllib.request
from itertools import combinations
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from src.errors import InputError
from src.networks import NETWORKS, build_network
from src.networks.pretrained import (
    LEAST_SHARE,
    check_fit,
    common_share,
    describe_fit,
    fit_weights,
    imagenet_weights,
    read_weights,
    stem_of,
)


def network(name: str = "resnet18", **arguments: int | str) -> nn.Module:
    return build_network(name, **{"num_classes": 5, "image_size": 128} | arguments)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """Stands for a trained ResNet-18: every value drawn, batch norm's statistics too."""
    torch.manual_seed(1)
    made = network()
    for value in made.state_dict().values():
        value.copy_(torch.rand_like(value) + 0.5 if value.is_floating_point() else value + 7)
    return made


@pytest.fixture(scope="module")
def file(trained: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "näme = with [brackets].pth"
    torch.save(trained.state_dict(), path)
    return path


def test_the_same_network_takes_everything(trained: nn.Module, file: Path) -> None:
    other = network()
    fit = fit_weights(other, read_weights(file), str(file))
    assert (fit.adapted, fit.replaced, fit.absent, fit.unused) == ([], [], [], [])
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(other.eval()(images), trained.eval()(images))


@pytest.mark.parametrize("kind", ["safetensors", "checkpoint", "parallel", "compiled", "half"])
def test_files_as_others_write_them(kind: str, trained: nn.Module, tmp_path: Path) -> None:
    state = trained.state_dict()
    path = tmp_path / "weights.pth"
    if kind == "safetensors":
        path = tmp_path / "weights.safetensors"
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    elif kind == "checkpoint":
        torch.save({"epoch": 3, "state_dict": {f"network.{name}": v for name, v in state.items()}}, path)
    elif kind == "parallel":
        torch.save({"model": {f"module.{name}": value for name, value in state.items()}, "args": {"lr": 1}}, path)
    elif kind == "compiled":
        torch.save({"model_state_dict": {f"model._orig_mod.{name}": value for name, value in state.items()}}, path)
    else:
        torch.save({name: v.half() if v.is_floating_point() else v for name, v in state.items()}, path)
    other = network()
    assert len(fit_weights(other, read_weights(path), "x").loaded) == len(state)
    for name, value in other.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=1e-3, atol=0)


def test_a_head_for_other_classes_is_new_and_listed(trained: nn.Module, file: Path) -> None:
    other = network(num_classes=3)
    before = {name: value.clone() for name, value in other.fc.state_dict().items()}  # type: ignore[operator,union-attr]
    fit = fit_weights(other, read_weights(file), "FILE")
    assert fit.replaced == ["fc.weight (5×512, now 3×512)", "fc.bias (5, now 3)"]
    assert "made anew: fc.weight (5×512, now 3×512)" in describe_fit(fit, "FILE")
    assert all(torch.equal(value, before[name]) for name, value in other.fc.state_dict().items())  # type: ignore[operator,union-attr]
    assert torch.equal(other.layer4[1].bn2.running_var, trained.layer4[1].bn2.running_var)  # type: ignore[index,union-attr]


def test_the_first_convolution_is_summed_for_one_channel_and_repeated_for_three(trained: nn.Module, file: Path) -> None:
    """A grey image gets the response that its colour copy got, and back."""
    grey_network = network(in_channels=1)
    fit = fit_weights(grey_network, read_weights(file), "x")
    assert fit.adapted == ["conv1.weight"]
    grey = torch.randn(2, 1, 64, 64)
    wanted = trained.eval()(grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(grey_network.eval()(grey), wanted, rtol=1e-4, atol=1e-4)
    colour_network = network()
    assert fit_weights(colour_network, grey_network.state_dict(), "x").adapted == ["conv1.weight"]
    torch.testing.assert_close(colour_network.eval()(grey.expand(-1, 3, -1, -1)), wanted, rtol=1e-4, atol=1e-4)


def test_another_stem_keeps_the_rest(file: Path) -> None:
    fit = fit_weights(network(stem="small"), read_weights(file), "x")
    assert fit.replaced == ["conv1.weight (64×3×7×7, now 64×3×3×3)"]


def test_what_is_missing_and_what_is_too_much_is_listed(trained: nn.Module) -> None:
    state = {name: value for name, value in trained.state_dict().items() if not name.startswith("fc")}
    del state["layer1.0.bn1.weight"]
    fit = fit_weights(network(), state | {"projector.weight": torch.ones(2)}, "x")
    assert (fit.absent, fit.unused) == (["layer1.0.bn1.weight", "fc.weight", "fc.bias"], ["projector.weight"])
    assert "not in it, made anew: layer1.0.bn1.weight, fc.weight" in describe_fit(fit, "x")
    assert "left out: projector.weight" in describe_fit(fit, "x")


@pytest.mark.parametrize("name", ["resnet34", "resnet50", "resnet101", "cifar_resnet20", "mini_resnet_basic_pre"])
def test_weights_of_another_architecture_are_refused_and_named(name: str) -> None:
    other = network(name)
    before = {key: value.clone() for key, value in other.state_dict().items()}
    with pytest.raises(InputError, match="another network's: say model=resnet18"):
        fit_weights(other, network().state_dict(), "FILE")
    assert all(torch.equal(value, before[key]) for key, value in other.state_dict().items())
    with torch.device("meta"):
        small = network()
    with pytest.raises(InputError, match=f"say model={name}"):
        check_fit(small, other.state_dict(), "FILE")


@pytest.mark.parametrize("name", ["wide_resnet50_2", "resnext50_32x4d"])
def test_a_network_of_equal_names_and_other_shapes_is_named(name: str) -> None:
    """It is no ResNet-50 of another image size."""
    with torch.device("meta"):
        usual, other = network("resnet50"), network(name)
    assert usual.state_dict().keys() == other.state_dict().keys()
    with pytest.raises(InputError, match=f"another network's: say model={name}"):
        check_fit(usual, other.state_dict(), "FILE")


def test_a_checkpoint_of_ours_says_whose_weights_it_has(tmp_path: Path) -> None:
    """The plain CIFAR networks have the same names and shapes as the residual ones."""
    state = {f"network.{name}": value for name, value in network("cifar_resnet20").state_dict().items()}
    content = {"hyper_parameters": {"architecture": {"name": "cifar_resnet20"}}, "state_dict": state}
    torch.save(content, tmp_path / "best.ckpt")
    assert len(read_weights(tmp_path / "best.ckpt", "cifar_resnet20")) == len(state)
    with pytest.raises(InputError, match=r"those of cifar_resnet20: say model=cifar_resnet20, or take the weights of"):
        read_weights(tmp_path / "best.ckpt", "cifar_plain20")


def test_the_same_network_of_another_size_is_told_apart() -> None:
    with pytest.raises(InputError, match=r"of other sizes \(fc1.weight is .* take the data.image_size"):
        fit_weights(network("simple_cnn", image_size=28), network("simple_cnn", image_size=64).state_dict(), "FILE")


def test_weights_that_fit_nowhere_are_refused() -> None:
    with pytest.raises(InputError, match="weights=FILE fit the model to 0% only"):
        fit_weights(network(), {"encoder.weight": torch.ones(3, 3)}, "FILE")


@pytest.mark.parametrize("block", ["layer4.1.", "layer3", "layer1.0.conv1"])
def test_a_block_that_is_missing_is_named(block: str) -> None:
    whole = network().state_dict()
    first = next(name for name in whole if name.startswith(block))
    part = {name: value for name, value in whole.items() if not name.startswith(block)}
    if block == "layer1.0.conv1":  # a little may be missing: it is made anew
        assert fit_weights(network(), part, "FILE").absent == [first]
        return
    with pytest.raises(
        InputError, match=rf"^weights=FILE lack {first}, .* and \d+ more of resnet18, and fit it to \d+%"
    ):
        fit_weights(network(), part, "FILE")
    with pytest.raises(InputError, match=rf"another network's: they lack {first}, .*: take a file of resnet18"):
        fit_weights(network(), part | {"layer2.9.conv.weight": torch.ones(3, 3)}, "FILE")


def test_no_two_networks_of_the_table_pass_for_each_other() -> None:
    """But those of equal names and shapes, the plain and the residual CIFAR networks."""
    with torch.device("meta"):
        states = {name: network(name, image_size=64).state_dict() for name in NETWORKS}
    pairs = {
        (name, other)
        for name, other in combinations(sorted(NETWORKS), 2)
        if common_share(states[name], states[other], NETWORKS[name]) >= LEAST_SHARE
    }
    assert pairs == {(f"cifar_plain{depth}", f"cifar_resnet{depth}") for depth in (20, 32, 44, 56, 110)}


@pytest.mark.parametrize("size", [0, 10, 5_000, 20_000_000])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_takes_one_line(file: Path, tmp_path: Path, size: int, suffix: str) -> None:
    whole = file
    if suffix == ".safetensors":
        whole = tmp_path / "whole.safetensors"
        save_file({name: value.contiguous() for name, value in read_weights(file).items()}, whole)
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[:size])
    with pytest.raises(InputError, match="get it again") as error:
        read_weights(cut)
    assert "\n" not in str(error.value)
    assert str(cut) in str(error.value)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Canary:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {tmp_path}/canary",)

    torch.save({"conv1.weight": Canary()}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match="can't be loaded safely"):
        read_weights(tmp_path / "evil.pth")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [([torch.ones(2)], "holds list, not a state dict"), ({"epoch": 3}, "holds no tensors")],
)
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(InputError, match=message):
        read_weights(tmp_path / "x.pth")


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.tensor([1.0, torch.nan])}, tmp_path / "x.pth")
    with pytest.raises(InputError, match=r"not finite in conv1\.weight"):
        read_weights(tmp_path / "x.pth")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.pth is no file: name a \.pth or \.safetensors file, or a run$"):
        read_weights(tmp_path / "nowhere.pth")


def test_the_stem_is_read_from_the_first_convolution() -> None:
    assert stem_of(network().state_dict(), "resnet18") == "imagenet"
    assert stem_of(network(stem="small").state_dict(), "resnet18") == "small"
    assert stem_of({"conv1.weight": torch.ones(64, 3, 5, 5)}, "resnet18") is None
    assert stem_of({}, "resnet18") is None


class TestImageNet:
    def test_a_file_in_torchs_cache_is_taken(
        self, trained: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
        torch.save(trained.state_dict(), tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth")
        assert torch.equal(imagenet_weights("resnet18")["conv1.weight"], trained.state_dict()["conv1.weight"])

    def test_offline_the_line_says_which_file_goes_where(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setattr(urllib.request, "_opener", None)  # made on first use, with the proxies of that moment
        for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
        with pytest.raises(InputError) as error:
            imagenet_weights("resnet50")
        wanted = tmp_path / "hub" / "checkpoints" / "resnet50-11ad3fa6.pth"
        assert str(error.value).endswith(f"put that file at {wanted}")
        assert "\n" not in str(error.value)
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    def test_a_network_without_any_is_told_so(self) -> None:
        with pytest.raises(InputError, match="there are none for model=simple_cnn; take one of resnet18, resnet34, "):
            imagenet_weights("simple_cnn")


def test_a_file_of_countless_empty_tensors_is_refused_at_once(tmp_path: Path) -> None:
    header = json.dumps(
        {f"layer{i}.weight": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(40_000)}
    )
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header.encode())
    with pytest.raises(InputError, match="it holds 3 MB besides the tensors"):
        read_weights(tmp_path / "x.safetensors")
