"""What a pickle of weights may call: all that torch makes of plain values, and nothing that grows."""

import collections
import re
import shlex
import struct
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from src.errors import InputError
from src.networks.saved import load_saved
from src.networks.weights_file import read_weights
from tests.support.hostile_files import archive, legacy, long

WEIGHTS = {"conv1.weight": torch.arange(6.0).view(2, 3), "fc.bias": torch.ones(3)}
FLAT = torch.arange(1000.0)

BESIDES: dict[str, Any] = {
    "Counter": collections.Counter("abracadabra"),
    "size": torch.Size([2, 3]),
    "set": {1, "a", None, 2.5},
    "nested sets in lists": [{1}, [{2}, {3}]],
    "bytes": bytes(range(256)),
    "bytearray": bytearray(b"abc"),
    "complex": 1j,
    "device and dtype": [torch.device("cpu"), torch.float16, torch.uint16],
    "addresses as keys": {140_234_567_890_000 + 16 * i: {"step": i} for i in range(500)},
    "odd keys": {None: 1, (0, "a"): 2, 2.5: 3, -1: 4, True: 5, torch.float32: 6},
    "a tensor as a key": {torch.ones(1): 1},
    "float8": torch.ones(4).to(torch.float8_e4m3fn),
    "uint16": torch.ones(4).to(torch.uint16),
    "parameter": torch.nn.Parameter(torch.ones(2)),
    "complex tensor": torch.ones(2, dtype=torch.complex64),
}


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("name", BESIDES)
def test_what_lies_beside_the_weights_is_no_hindrance(name: str, old: bool, tmp_path: Path) -> None:
    if old and name in ("float8", "uint16"):
        pytest.skip("not in files of that age")
    content = {"state_dict": WEIGHTS, "optimizer": {"state": BESIDES[name]}}
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=not old)
    torch.load(tmp_path / "x.pth", weights_only=True)  # or the test would show nothing
    state = read_weights(tmp_path / "x.pth")
    wanted = {f"state_dict.{key}": value for key, value in WEIGHTS.items()}
    assert all(torch.equal(state[key], value) for key, value in wanted.items())


def test_attributes_of_a_parameter_are_read(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.no_decay = True  # type: ignore[attr-defined]
    tensor = torch.ones(3)
    tensor.tag = "mine"  # type: ignore[attr-defined]
    torch.save({"weight": parameter, "bias": tensor}, tmp_path / "x.pth")
    assert read_weights(tmp_path / "x.pth").keys() == {"weight", "bias"}


SHARED: dict[str, Callable[[], dict[str, Tensor]]] = {
    "tied": lambda: {"encoder.weight": FLAT, "decoder.weight": FLAT, "third.weight": FLAT},
    "transposed": lambda: {"a": FLAT.view(10, 100), "b": FLAT.view(10, 100).T},
    "parts of one": lambda: {"flat": FLAT, "a": FLAT[:400].view(20, 20), "b": FLAT[400:]},
    "expanded": lambda: {"weight": FLAT, "bias": torch.ones(1).expand(64)},
    "many tied": lambda: {f"{i}.weight": FLAT for i in range(200)},
}


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("name", SHARED)
def test_tensors_may_share_their_numbers(name: str, old: bool, tmp_path: Path) -> None:
    state = SHARED[name]()
    torch.save(state, tmp_path / "x.pth", _use_new_zipfile_serialization=not old)
    read = read_weights(tmp_path / "x.pth")
    assert all(torch.equal(read[key], value) for key, value in state.items())


def test_files_of_torch_0_3_are_read(tmp_path: Path) -> None:
    """`_rebuild_tensor` without gradients and hooks, in an OrderedDict that Python 2 wrote as pairs."""
    storage = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x06NtQ"
    tensor = b"ctorch._utils\n_rebuild_tensor\n(" + storage + b"K\x00K\x02K\x03\x86K\x03K\x01\x86tR"
    pairs = b"ccollections\nOrderedDict\n](](U\x0cconv1.weight" + tensor + b"ee\x85R"
    legacy(tmp_path / "x.pth", b"\x80\x02" + pairs + b".")
    whole = (tmp_path / "x.pth").read_bytes()
    numbers = struct.pack("<q6f", 6, *range(6))
    (tmp_path / "x.pth").write_bytes(whole.removesuffix(b"\x80\x02]q\x00.") + b"\x80\x02]U\x010a." + numbers)
    assert read_weights(tmp_path / "x.pth")["conv1.weight"].tolist() == [[0, 1, 2], [3, 4, 5]]


def word(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


STORAGE = b"(" + word("storage") + b"ctorch\nFloatStorage\n" + word("0") + word("cpu") + b"K\x01tQ"
NUMBERS = b"".join(long(number * (2**61 - 1)) for number in range(1, 20_001))
COLLIDING = b"".join(long(number * (2**61 - 1)) + b"N" for number in range(1, 20_001))
NAMES = b"".join(word(f"{number:06}") + b"N" for number in range(20_000))


def tensor(function: str, sizes: bytes, strides: bytes, more: bytes = b"", offset: bytes = b"K\x00") -> bytes:
    return (
        b"}"
        + word("x")
        + f"ctorch._utils\n{function}\n".encode()
        + (b"(" + STORAGE + offset + sizes + b"\x85" + strides + b"\x85" + more + b"tRs")
    )


HOOKS = b"\x89ccollections\nOrderedDict\n)R"
TENSOR = tensor("_rebuild_tensor", b"K\x01", b"K\x01")[1:-1].removeprefix(word("x"))
NESTED = b"K\x01K\x01\x86q\x01" + b"h\x01h\x01\x86q\x01" * 60
ATTACKS = {
    "Counter of colliding keys": b"ccollections\nCounter\n}(" + COLLIDING + b"u\x85R",
    "Counters of a Counter": b"](}(" + NAMES + b"uq\x01" + b"ccollections\nCounter\nh\x01\x85R" * 300 + b"e",
    "Counter of a text": b"ccollections\nCounter\n" + word("a" * 1000) + b"\x85R",
    "set of colliding numbers": b"c__builtin__\nset\n](" + NUMBERS + b"e\x85R",
    "sets again and again": b"](](" + NAMES.replace(b"N", b"") + b"eq\x01" + (
        b"c__builtin__\nset\nh\x01\x85R" * 300
    ) + b"e",
    "nested pairs as a key": b"](" + NESTED + b"}h\x01Nse",
    "nested pairs in a set": b"](" + NESTED + b"cbuiltins\nset\n](h\x01e\x85Re",
    "bytearray of a number": b"c__builtin__\nbytearray\n" + long(2**31) + b"\x85R",
    "bytes again and again": b"](" + word("a" * 100_000) + b"q\x01" + (
        b"c_codecs\nencode\nh\x01" + word("latin1") + b"\x86R"
    ) * 2000 + b"e",
    "bytes of bytes": b"](c_codecs\nencode\n" + word("a" * 100_000) + word("latin1") + b"\x86Rq\x01" + (
        b"c__builtin__\nbytearray\nh\x01\x85R"
    ) * 2000 + b"e",
    "bytes in a slow encoding": b"c_codecs\nencode\n" + word("a" * 100_000) + word("idna") + b"\x86R",
    "bytes that are unpacked": b"c_codecs\nencode\n" + word("a") + word("zlib") + b"\x86R",
    "sizes again and again": b"]((" + b"K\x01" * 20_000 + b"tq\x01" + b"ctorch\nSize\nh\x01\x85R" * 300 + b"e",
    "OrderedDicts of pairs": b"](](" + b"".join(b"](" + word(f"{i}") + b"Ne" for i in range(9_999)) + b"eq\x01" + (
        b"ccollections\nOrderedDict\nh\x01\x85R" * 300
    ) + b"e",
    "attributes again and again": b"](}(" + NAMES + b"uq\x01" + TENSOR + b"q\x02" + (
        b"ctorch._utils\n_rebuild_parameter_with_state\n(h\x02" + HOOKS + b"h\x01tR"
    ) * 300 + b"e",
    "attribute numel": b"ctorch._utils\n_rebuild_parameter_with_state\n(" + TENSOR + HOOKS + (
        b"}" + word("numel") + b"K\x01stR"
    ),
    "more numbers than the storage": tensor("_rebuild_tensor", long(2**40), b"K\x01"),
    "more bytes than the storage": tensor(
        "_rebuild_tensor_v3", b"K\x01", b"K\x01", HOOKS + b"ctorch\nfloat64\n"
    ),
    "a stride behind the storage": tensor("_rebuild_tensor_v2", b"K\x02", long(2**40), HOOKS),
    "an offset behind the storage": tensor("_rebuild_tensor", b"K\x01", b"K\x01", offset=long(2**40)),
    "an offset before the storage": tensor("_rebuild_tensor", b"K\x01", b"K\x01", offset=long(-8)),
    "a negative stride": tensor("_rebuild_tensor", b"K\x02", long(-(2**40))),
    "a sparse giant": b"ctorch._utils\n_rebuild_sparse_tensor\n)R",
    "a quantised giant": b"ctorch._utils\n_rebuild_qtensor\n)R",
    "a class that is called": b"ctorch\nTensor\n)R",
    "a function by another": b"ctorch._tensor\n_rebuild_from_type_v2\n(cbuiltins\nset\nctorch\nTensor\n)NtR",
}  # fmt: skip


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_grows(name: str, old: bool, tmp_path: Path) -> None:
    content = b"\x80\x02" + ATTACKS[name] + b"."
    if old:
        legacy(tmp_path / "x.pth", content)
    else:
        archive(tmp_path / "x.pth", content, **{"data/0": bytes(4)})
    start = time.process_time()
    with pytest.raises(InputError, match="can't be loaded safely") as error:
        read_weights(tmp_path / "x.pth")
    assert time.process_time() - start < 2
    assert "never writes" not in str(error.value)  # or another instruction would have been refused


def test_an_expanded_giant_is_refused(tmp_path: Path) -> None:
    torch.save({"x": torch.ones(1).expand(50_000, 50_000)}, tmp_path / "x.pth")
    with pytest.raises(InputError, match="claim more numbers than the file has"):
        read_weights(tmp_path / "x.pth")


def test_endless_views_of_one_storage_are_refused(tmp_path: Path) -> None:
    flat = torch.ones(100_000)
    torch.save({f"{i}": flat[i:] for i in range(3000)}, tmp_path / "x.pth")
    start = time.process_time()
    with pytest.raises(InputError, match="claim more numbers than the file has"):
        read_weights(tmp_path / "x.pth")
    assert time.process_time() - start < 3


def test_one_dictionary_in_a_thousand_places_is_refused(tmp_path: Path) -> None:
    content: dict[str, Any] = {f"{i}": torch.ones(1) for i in range(10)}
    for _ in range(8):
        content = {f"{i}": content for i in range(10)}
    torch.save(content, tmp_path / "x.pth")
    start = time.process_time()
    with pytest.raises(InputError, match="holds more than 20,000 values: save network.state_dict"):
        read_weights(tmp_path / "x.pth")
    assert time.process_time() - start < 3


TRUSTED: dict[str, Any] = {
    "Namespace": Namespace(lr=0.1),
    "partial": partial(max, 3),
    "NumPy scalar": np.float64(0.9),
    "a network": torch.nn.Linear(2, 2),
}


@pytest.mark.parametrize("name", TRUSTED)
def test_the_line_that_saves_a_trusted_file_again_works(name: str, tmp_path: Path) -> None:
    path = tmp_path / 'mine (it\'s "$HOME").pth'
    content = {"model": WEIGHTS, "args": TRUSTED[name], "optimizer": {"state": {0: {"step": 1}}}}
    torch.save(TRUSTED[name] if name == "a network" else content, path)
    with pytest.raises(InputError, match="can't be loaded safely") as error:
        read_weights(path)
    run_line(str(error.value), tmp_path)
    read = read_weights(tmp_path / "safe.pth")
    wanted = TRUSTED[name].state_dict() if name == "a network" else {f"model.{k}": v for k, v in WEIGHTS.items()}
    assert read.keys() == wanted.keys()
    assert all(torch.equal(read[key], value) for key, value in wanted.items())


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_line_for_torchscript_works(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 2)
    torch.jit.script(network).save(tmp_path / "x.pt")
    with pytest.raises(InputError, match="it asks for TorchScript") as error:
        read_weights(tmp_path / "x.pt")
    run_line(str(error.value), tmp_path)
    assert torch.equal(read_weights(tmp_path / "safe.pth")["weight"], network.weight)


def run_line(message: str, folder: Path) -> None:
    """Run the command of an error message in a shell."""
    assert "\n" not in message
    line = message.partition("if you trust it, ")[2]
    assert re.match("python -c ", line)
    command = shlex.quote(sys.executable) + line.removeprefix("python")
    subprocess.run(["bash", "-c", command], cwd=folder, check=True, capture_output=True)


def test_a_forged_file_is_not_recommended_to_be_trusted(tmp_path: Path) -> None:
    archive(tmp_path / "x.pth", b"\x80\x02" + ATTACKS["more numbers than the storage"] + b".", **{"data/0": bytes(4)})
    with pytest.raises(InputError, match="get it again$"):
        read_weights(tmp_path / "x.pth")


def test_a_set_in_a_checkpoint_is_loaded_as_such(tmp_path: Path) -> None:
    torch.save(BESIDES, tmp_path / "x.pth")
    assert load_saved(tmp_path / "x.pth")["Counter"] == BESIDES["Counter"]
