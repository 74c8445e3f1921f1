"""Files that are no checkpoints of ours, each made by a function of a folder: those that would run code, and others.

`CODE` are pickles that make a file called `canary` when they are loaded carelessly. `FILES` are all kinds of files.
"""

import io
import json
import os
import pickle
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

Content = dict[str, Any]
Make = Callable[[Path, Content], None]


class Call:
    """Pickled, it asks for a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


class Revived:
    """Pickled, it asks for a call of `__setstate__` (the opcode BUILD)."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __getstate__(self) -> dict[str, str]:
        return {"command": self.command}

    def __setstate__(self, state: dict[str, str]) -> None:
        os.system(state["command"])


def touch(folder: Path) -> str:
    return f"touch '{folder}/canary'"


def text(folder: Path) -> bytes:
    return touch(folder).encode()


def word(folder: Path) -> bytes:
    """The command as an operand of a pickle."""
    return b"X" + struct.pack("<I", len(text(folder))) + text(folder)


CODE: dict[str, Callable[[Path], bytes]] = {
    "os.system": lambda folder: pickle.dumps(Call(os.system, touch(folder)), 2),
    "subprocess": lambda folder: pickle.dumps(Call(subprocess.check_call, ["touch", str(folder / "canary")]), 2),
    "eval": lambda folder: pickle.dumps(Call(eval, f"__import__('os').system({touch(folder)!r})"), 2),
    "exec": lambda folder: pickle.dumps(Call(exec, f"open({str(folder / 'canary')!r}, 'w').close()"), 2),
    "getattr chain": lambda folder: (
        b"\x80\x02cbuiltins\ngetattr\n(cbuiltins\n__import__\nX\x02\x00\x00\x00os\x85RX\x06\x00\x00\x00systemtR"
        + word(folder) + b"\x85R."
    ),
    "pathlib": lambda folder: pickle.dumps(Call(Path.touch, folder / "canary"), 4),
    "protocol 0": lambda folder: pickle.dumps(Call(os.system, touch(folder)), 0),
    "setstate": lambda folder: pickle.dumps(Revived(touch(folder)), 2),
    "STACK_GLOBAL": lambda folder: b"\x80\x04\x8c\x05posix\x8c\x06system\x93" + word(folder) + b"\x85R.",
    "INST": lambda folder: b"(" + word(folder) + b"iposix\nsystem\n.",
    "OBJ": lambda folder: b"(cposix\nsystem\n" + word(folder) + b"o.",
    "numpy objects": lambda folder: pickle.dumps(np.array([Call(os.system, touch(folder))], dtype=object), 2),
    "network": lambda folder: pickle.dumps([nn.Linear(2, 2), Call(os.system, touch(folder))], 2),
    "in hyper_parameters": lambda folder: pickle.dumps(
        {"state_dict": {}, "hyper_parameters": {"architecture": {"name": Call(os.system, touch(folder))}}}, 2
    ),
}  # fmt: skip


def archive(path: Path, pickled: bytes, compression: int = zipfile.ZIP_STORED, **records: bytes) -> None:
    """A zip archive as `torch.save` writes it, around any pickle."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", pickled)
        for name, content in {"byteorder": b"little", "version": b"3\n", **records}.items():
            file.writestr(f"archive/{name}", content)


def legacy(path: Path, pickled: bytes) -> None:
    """As `torch.save` wrote until 1.5."""
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    path.write_bytes(magic + pickled + pickle.dumps([], 2))


def tar(path: Path, pickled: bytes) -> None:
    """As `torch.save` wrote until 0.1.10."""
    with tarfile.open(path, "w:") as file:
        for name in ("storages", "tensors", "pickle"):
            entry = tarfile.TarInfo(name)
            entry.size = len(pickled)
            file.addfile(entry, io.BytesIO(pickled))


def changed(*keys: str, to: Any) -> Make:
    """A checkpoint of ours with one of its hyper-parameters changed."""

    def make(path: Path, content: Content) -> None:
        settings = content["hyper_parameters"]
        for key in keys[:-1]:
            settings = settings[key]
        settings[keys[-1]] = to
        torch.save(content, path)

    return make


def with_tensor(make: Callable[[torch.Tensor], Any]) -> Make:
    def save(path: Path, content: Content) -> None:
        content["state_dict"]["network.fc.weight"] = make(content["state_dict"]["network.fc.weight"])
        torch.save(content, path)

    return save


def part(share: float) -> Make:
    def make(path: Path, content: Content) -> None:
        torch.save(content, path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])

    return make


def giant(**architecture: int) -> Make:
    """Sizes that would take all memory, and tensors without numbers that have just these shapes."""

    def make(path: Path, content: Content) -> None:
        settings = content["hyper_parameters"]
        settings["architecture"] |= architecture
        if "image_size" in architecture:
            settings["preprocessing"]["image_size"] = architecture["image_size"]
        if "num_classes" in architecture:
            content["state_dict"]["network.fc.weight"] = torch.ones(1).expand(architecture["num_classes"], 64)
            content["state_dict"]["network.fc.bias"] = torch.ones(1).expand(architecture["num_classes"])
        torch.save(content, path)

    return make


def laughs(path: Path, content: Content) -> None:
    value: list[Any] = ["ha"] * 10
    for _ in range(7):
        value = [value] * 10
    content["hyper_parameters"]["optimizer"]["params"] = value
    torch.save(content, path)


def declared(path: Path, content: Content) -> None:
    """A tensor of 2^40 numbers, of which the file has four."""
    torch.save({"hyper_parameters": content["hyper_parameters"], "state_dict": {"x": torch.ones(1000)}}, path)
    with zipfile.ZipFile(path) as file:
        pickled = file.read(f"{path.stem}/data.pkl")
    archive(path, pickled.replace(b"M\xe8\x03", b"\x8a\x06" + struct.pack("<Q", 2**40)[:6]), **{"data/0": b"1234"})


def flipped(path: Path, content: Content) -> None:
    """Every hundredth byte is another."""
    torch.save(content, path)
    broken = bytearray(path.read_bytes())
    for place in range(50, len(broken), 100):
        broken[place] ^= 0xFF
    path.write_bytes(bytes(broken))


def without(*names: str) -> Make:
    def make(path: Path, content: Content) -> None:
        for name in names:
            (content if name in content else content["state_dict"]).pop(name)
        torch.save(content, path)

    return make


def overlapping(path: Path, content: Content) -> None:
    """Two entries of the directory are the same bytes."""
    torch.save(content, path)
    with zipfile.ZipFile(path, "a") as file:
        name = next(entry for entry in file.infolist() if entry.file_size > 1000 and "/data/" in entry.filename)
        for number in range(2000):
            copy = zipfile.ZipInfo(f"{name.filename}{number}")
            copy.header_offset, copy.CRC = name.header_offset, name.CRC
            copy.file_size = copy.compress_size = name.file_size
            file.filelist.append(copy)
        file._didModify = True  # type: ignore[attr-defined]


def two_directories(path: Path, content: Content) -> None:
    """Python takes the bytes before the end for the archive's directory, torch those at the offset that is told."""
    good, bad = io.BytesIO(), io.BytesIO()
    for file, pickled in ((good, b"\x80\x02}."), (bad, b"\x80\x02cbuiltins\nbytearray\n" + long(2**31) + b"\x85R.")):
        with zipfile.ZipFile(file, "w") as writer:
            writer.writestr("archive/data.pkl", pickled)
            writer.writestr("archive/version", "3\n")
    parts, directories = [], []
    for file in (bad, good):
        whole = file.getvalue()
        end = whole.rindex(b"PK\x05\x06")
        size, start = struct.unpack("<2L", whole[end + 12 : end + 20])
        parts.append(whole[:start])
        directories.append(bytearray(whole[start : start + size]))
    front, entry = parts[0] + directories[0] + parts[1], 0
    while entry < len(directories[1]):
        name, extra, comment = struct.unpack("<3H", directories[1][entry + 28 : entry + 34])
        (start,) = struct.unpack("<L", directories[1][entry + 42 : entry + 46])
        # Python adds how far the directory is behind the offset: here the length of all that is of the good one
        directories[1][entry + 42 : entry + 46] = struct.pack("<L", start + len(parts[0]) - len(parts[1]))
        entry += 46 + name + extra + comment
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, len(directories[0]), len(parts[0]), 0)
    path.write_bytes(front + directories[1] + end)


def in_capitals(path: Path, content: Content) -> None:
    """Torch looks for the names in an archive without regard to case."""
    archive(path, b"\x80\x02}.", **{"DATA.PKL": b"\x80\x02cbuiltins\nbytearray\n" + long(2**31) + b"\x85R."})


def short_storage(path: Path, content: Content) -> None:
    """A storage of four bytes that is to be 100,000 numbers; others make the file large enough."""
    torch.save(content | {"more": torch.arange(100_000.0)}, path)
    with zipfile.ZipFile(path) as file:
        parts = {name.partition("/")[2]: file.read(name) for name in file.namelist()}
    largest = max(parts, key=lambda name: len(parts[name]))
    archive(path, parts.pop("data.pkl"), **parts | {largest: b"1234", "padding": bytes(500_000)})


def written(content: bytes) -> Make:
    return lambda path, _: path.write_bytes(content)  # type: ignore[return-value]


def safetensors(path: Path, content: Content) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in content["state_dict"].items()}, path)


def foreign(path: Path, content: Content) -> None:
    """A Lightning checkpoint of somebody else's module, hyper-parameters and all."""
    content["hyper_parameters"] = {"lr": 0.1, "backbone": "resnet18", "_target_": "os.system"}
    torch.save(content, path)


def grown(path: Path, content: Content) -> None:
    """A list of 100,000 pairs, made into an OrderedDict again and again."""
    pairs = b"(" + b"X\x01\x00\x00\x00a" * 2 + b"t"
    make = b"ccollections\nOrderedDict\nq\x02h\x01\x85R"
    archive(path, b"\x80\x02](" + pairs * 1000 + b"eq\x01" + make + b"h\x02h\x01\x85R" * 50_000 + b".")


def long(value: int) -> bytes:
    """A number as an operand of a pickle."""
    digits = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(digits)]) + digits


MERSENNE = 2**61 - 1  # of which Python takes the remainder to have a number's hash


def one_hash(path: Path, content: Content) -> None:
    """20,000 numbers of one hash are the keys of a dictionary, each of which is compared with all before."""
    keys = [number * MERSENNE for number in range(1, 20_001)]
    assert len(set(map(hash, keys))) == 1
    archive(path, b"\x80\x02}(" + b"".join(long(key) + b"N" for key in keys) + b"u.")


def one_hash_of_pairs(path: Path, content: Content) -> None:
    """The same with pairs: what the first number does to a tuple's hash (Objects/tupleobject.c), the second undoes."""
    first, second, start, whole = 11400714785074694791, 14029467366897019727, 2870177450012600261, 2**64
    keys: list[tuple[int, int]] = []
    inverse = pow(second, -1, whole)
    for number in range(1, 50_000):
        mixed = (start + number * second) % whole
        turned = (mixed << 31 | mixed >> 33) % whole * first
        partner = (12345678901234567 - turned) * inverse % whole
        partner -= whole if partner >= 2**63 else 0
        if abs(partner) < MERSENNE and partner != -1:
            keys.append((number, partner))
    assert len(keys) > 10_000
    assert len(set(map(hash, keys))) == 1
    archive(path, b"\x80\x02}(" + b"".join(long(a) + long(b) + b"\x86N" for a, b in keys) + b"u.")


FILES: dict[str, Make] = {
    **{f"code, {name}": lambda path, _, make=make: archive(path, make(path.parent)) for name, make in CODE.items()},
    "code, bare pickle": lambda path, _: path.write_bytes(CODE["os.system"](path.parent)) and None,
    "code, legacy": lambda path, _: legacy(path, CODE["os.system"](path.parent)),
    "code, tar": lambda path, _: tar(path, CODE["os.system"](path.parent)),
    "code, TorchScript": lambda path, _: archive(
        path, CODE["os.system"](path.parent), **{"constants.pkl": b"\x80\x02).", "code/__torch__.py": b"import os\n"}
    ),
    "whole network": lambda path, _: torch.save(nn.Linear(3, 3), path),
    "bomb, deflated": lambda path, _: archive(
        path, pickle.dumps({}, 2), zipfile.ZIP_DEFLATED, **{"data/0": bytes(30_000_000)}
    ),
    "bomb, overlapping": overlapping,
    "bomb, declared": declared,
    "bomb, expanded": with_tensor(lambda _: torch.ones(1).expand(20_000, 20_000)),
    "bomb, bytearray": lambda path, _: archive(  # of 2^31 zeros
        path, b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x80\x00\x85R."
    ),
    "bomb, encode": lambda path, _: archive(
        path, b"\x80\x02](" + b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00ascii\x86R" * 1000 + b"e."
    ),
    "bomb, OrderedDict": grown,
    "bomb, one hash": one_hash,
    "bomb, one hash of pairs": one_hash_of_pairs,
    "bomb, called storage": lambda path, _: archive(  # of 2^32 bytes
        path, b"\x80\x02ctorch.storage\nUntypedStorage\n" + long(2**32) + b"\x85R."
    ),
    "bomb, called class": lambda path, _: archive(path, b"\x80\x02ctorch\nFloatStorage\n" + long(2**32) + b"\x85R."),
    "bomb, named storage": lambda path, _: legacy(  # of 2^32 numbers
        path, b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        + long(2**32) + b"NtQ."
    ),
    "bomb, two directories": two_directories,
    "bomb, in capitals": in_capitals,
    "bomb, short storage": short_storage,
    "bomb, operations": lambda path, _: archive(path, b"\x80\x02](" + b"N" * 7_000_000 + b"e."),
    "bomb, deep": lambda path, _: archive(path, b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"."),
    "bomb, large pickle": lambda path, _: archive(path, b"\x80\x02U\x00" + b"0N" * 5_000_000 + b"."),
    "bomb, laughs": laughs,
    "giant width": giant(width=10**9),
    "giant classes": giant(num_classes=10**9),
    "giant classes, expanded": giant(num_classes=90_000),
    "giant image": giant(image_size=10**6),
    "large width": giant(width=4096),
    "a million names": lambda path, _: archive(path, b"\x80\x02](" + b"X\x01\x00\x00\x00a" * 10**6 + b"e."),
    **{f"cut at {share:.0%}": part(share) for share in (0, 0.01, 0.5, 0.99)},
    "flipped": flipped,
    "text": written(b"a cat\n" * 100),
    "JPEG": written(b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(500)),
    "HDF5": written(b"\x89HDF\r\n\x1a\n" + bytes(500)),
    "JSON": written(json.dumps({"hyper_parameters": {}}).encode()),
    "safetensors": safetensors,
    "other zip": lambda path, _: zipfile.ZipFile(path, "w").writestr("a/b.txt", "x"),
    "state dict": lambda path, content: torch.save(content["state_dict"], path),
    "foreign": foreign,
    "list": lambda path, _: torch.save([1, 2], path),
    "NaN": with_tensor(lambda weight: weight * torch.nan),
    "sparse": with_tensor(lambda weight: weight.to_sparse()),
    "no tensor": with_tensor(lambda _: "a word"),
    "other shape": with_tensor(lambda weight: weight[:, :3].clone()),
    "complex": with_tensor(lambda weight: weight.to(torch.complex64)),
    "lacks a tensor": without("network.fc.weight"),
    "lacks the classes": without("hyper_parameters"),
    "one tensor more": lambda path, content: torch.save(
        content | {"state_dict": content["state_dict"] | {"network.more": torch.ones(1)}}, path
    ),
    "names are numbers": changed("class_names", to=list(range(10))),
    "a long name": changed("class_names", to=[*"123456789", "x" * 1001]),
    "names are a word": changed("class_names", to="0123456789"),
    "a name twice": changed("class_names", to=["a"] * 10),
    "a name less": changed("class_names", to=["a", "b"]),
    "two means": changed("preprocessing", "mean", to=[0.5, 0.5]),
    "std of zero": changed("preprocessing", "std", to=[0.0]),
    "infinite mean": changed("preprocessing", "mean", to=[float("inf")]),
    "other interpolation": changed("preprocessing", "interpolation", to="lanczos"),
    "other decoding": changed("preprocessing", "decode", to=["exact"]),
    "other channels": changed("preprocessing", "in_channels", to=3),
    "endless number": changed("preprocessing", "image_size", to=10**500),
    "unknown network": changed("architecture", "name", to="os.system"),
    "a network to instantiate": changed("architecture", to={"_target_": "os.system", "command": "true"}),
    "a setting to instantiate": changed("architecture", "_target_", to="os.system"),
    "smoothing is a word": changed("label_smoothing", to="a\nb"),
    "freezes less than nothing": changed("freeze", to=-1),
    "endless learning rate": changed("optimizer", "lr", to=float("inf")),
    "final is a list": changed("scheduler", "final", to=[1]),
    "a weight of NaN": changed("class_weights", to=[float("nan")] * 10),
    "a zero in a name": changed("class_names", to=[*"123456789", "a\0b"]),
    "no preprocessing": changed("preprocessing", to=None),
    "a setting more": changed("callback", to={"_target_": "os.system"}),
}  # fmt: skip
