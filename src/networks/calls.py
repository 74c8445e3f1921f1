"""What a pickle of weights may call, and with which arguments. Nothing is called here."""

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from .keys import LONGEST_KEY, Keys
from .unsafe import need, refuse

MOST_COPIED = 32 * 2**20
"""Bytes, about, of all that calls make: a set, a Counter or bytes is as large as what it is made of, but a pickle that
has made one needs two bytes to make the next."""

BYTES_OF_ONE = 64
"""Memory of a member of a set or a dictionary."""

MOST_DIMENSIONS = 64

STORAGES = {
    **dict.fromkeys(("Untyped", "Byte", "Char", "Bool"), 1),
    **dict.fromkeys(("Short", "Half", "BFloat16"), 2),
    **dict.fromkeys(("Int", "Float"), 4),
    **dict.fromkeys(("Long", "Double", "ComplexFloat"), 8),
    "ComplexDouble": 16,
}
"""Bytes of a number in each kind of storage; there are none for quantised numbers."""
STORAGE = re.compile(rf"torch(?:\.storage)? ({'|'.join(STORAGES)})Storage")
DTYPE = re.compile(r"torch (b?float\w+|u?int\d+|bool|complex\d+)")
CLASSES = {"torch Tensor", "torch._tensor Tensor", "torch.nn.parameter Parameter"}
"""What a tensor with attributes says that it is."""

CALLED = {
    "collections OrderedDict": "_ordered",
    "collections Counter": "_counter",
    "__builtin__ set": "_set",
    "builtins set": "_set",
    "_codecs encode": "_encode",
    "__builtin__ bytearray": "_bytearray",
    "builtins bytearray": "_bytearray",
    "__builtin__ complex": "_complex",
    "builtins complex": "_complex",
    "torch Size": "_size",
    "torch device": "_device",
    "torch._utils _rebuild_tensor": "_old_tensor",
    "torch._utils _rebuild_tensor_v2": "_tensor",
    "torch._utils _rebuild_tensor_v3": "_typed_tensor",
    "torch._utils _rebuild_parameter": "_parameter",
    "torch._utils _rebuild_parameter_with_state": "_parameter_with_state",
    "torch._tensor _rebuild_from_type_v2": "_with_attributes",
}
"""What a pickle may call, and which method below checks the arguments; Python 2 called builtins __builtin__. Storages,
dtypes and `CLASSES` it may only name. Sparse and quantised tensors, and those of other devices, which torch would also
make, are no weights of a network here, and cost more than they say."""

STRANGE = "it asks for a strange storage"
SHAPE = "it makes a tensor of a strange shape"
NO_PAIRS = "it makes an OrderedDict of something else"
ELSE = "it makes a tensor of something else"
MORE = "its tensors claim more numbers than the file has"


@dataclass(frozen=True)
class Named:
    """A class or function: its module, a space and its name."""

    name: str

    @property
    def may_be_named(self) -> bool:
        known = self.name in CALLED or self.name in CLASSES
        return known or bool(STORAGE.fullmatch(self.name) or DTYPE.fullmatch(self.name))


@dataclass(frozen=True)
class Storage:
    """A storage in the file: how many numbers, and of how many bytes each."""

    numbers: int
    size: int


class Rebuilt:
    """A tensor or a parameter."""


@dataclass(frozen=True, eq=False)
class Made:
    """A device, a set, a complex number, or bytes: how many."""

    size: int = 0


class Counted(dict[Any, None]):
    """A Counter."""


@dataclass
class Calls:
    """Checks the calls of a file, all together."""

    left: int  # how many more numbers the file may have
    parts: Mapping[str, int] | None  # bytes of its storages
    keys: Keys = field(default_factory=Keys)
    storages: dict[Any, Storage] = field(default_factory=dict)
    copied: int = 0

    def call(self, called: Any, arguments: Any) -> Any:
        """Return what stands for the result; raise `UnsafePickleError` unless it is as small as its arguments."""
        if type(called) is not Named or called.name not in CALLED or type(arguments) is not tuple:
            refuse("it calls what it may only name")
        return getattr(self, CALLED[called.name])(*arguments[:10])

    def storage(self, name: Any) -> Storage:
        """Check ("storage", class, key, device, numbers), which torch.save before 1.6 ended with a None."""
        need(type(name) is tuple and (len(name) == 5 or (len(name) == 6 and name[5] is None)), STRANGE)
        _, kind, key, _, numbers = name[:5]
        need([type(value) for value in name[:5]] == [str, Named, str, str, int], STRANGE)
        known = STORAGE.fullmatch(kind.name)
        need(known and len(key) <= LONGEST_KEY and numbers >= 0, STRANGE)
        size = STORAGES[known[1]] if known else 0
        if self.parts is not None:
            need(key in self.parts and numbers * size <= self.parts[key], MORE)
        if (key, size) not in self.storages:
            self.storages[key, size] = Storage(numbers, size)
            self.left -= numbers
        need(self.left >= 0, MORE)
        return self.storages[key, size]

    def _copy(self, values: Any, each: int = BYTES_OF_ONE) -> None:
        self.copied += BYTES_OF_ONE + each * len(values)
        need(self.copied <= MOST_COPIED, "it holds too much besides the tensors")

    def _ordered(self, *values: Any) -> OrderedDict[Any, None]:
        """Check an empty one, or pairs: so Python 2 wrote them."""
        pairs = values[0] if len(values) == 1 and type(values[0]) is list else []
        self._copy(pairs)
        known = [type(value) for value in values] in ([], [list])
        need(known and all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs), NO_PAIRS)
        keys = [pair[0] for pair in pairs]
        self.check_keys(keys)
        return OrderedDict.fromkeys(keys)

    def _counter(self, *values: Any) -> Counted:
        need([type(value) for value in values] in ([], [dict]), "it makes a Counter of something else")
        keys = values[0] if values else {}
        self._copy(keys)
        self.check_keys(keys)
        return Counted(dict.fromkeys(keys))

    def _set(self, *values: Any) -> Made:
        need([type(value) for value in values] in ([], [list]), "it makes a set of something else")
        members = values[0] if values else []
        self._copy(members)
        self.check_keys(members)
        return Made()

    def check_keys(self, keys: Any) -> None:
        self.keys.check(keys, (Rebuilt, Named))

    def _encode(self, *values: Any) -> Made:
        """Check bytes, which a pickle of protocol 2 writes as text in Latin-1; other encodings can grow."""
        need(len(values) == 2 and type(values[0]) is str and values[1] == "latin1", "it makes bytes of something else")
        self._copy(values[0], each=1)
        return Made(len(values[0]))

    def _bytearray(self, *values: Any) -> Made:
        """Check one made of bytes; a number would be its length."""
        need([type(value) for value in values] in ([], [Made]), "it makes a bytearray of something else")
        size = values[0].size if values else 0
        self._copy(range(size), each=1)
        return Made(size)

    def _complex(self, *values: Any) -> Made:
        need([type(value) for value in values] == [float, float], "it makes a complex number of something else")
        return Made()

    def _size(self, *values: Any) -> tuple[int, ...]:
        need([type(value) for value in values] in ([], [tuple]), "it makes a size of something else")
        size: tuple[int, ...] = values[0] if values else ()
        self._copy(size)
        need(all(type(length) is int for length in size), "it makes a size of something else")
        return size

    def _device(self, *values: Any) -> Made:
        need([type(value) for value in values] in ([str], [str, int]), "it makes a device of something else")
        return Made()

    def _old_tensor(self, *values: Any) -> Rebuilt:
        """Check storage, offset, size and stride; torch would enlarge a storage that is too small."""
        need([type(value) for value in values] == [Storage, int, tuple, tuple], ELSE)
        return _view(*values, size=values[0].size)

    def _tensor(self, *values: Any) -> Rebuilt:
        """Check the same, and requires_grad, hooks and, of torch 2, an empty dictionary."""
        kinds = [type(value) for value in values]
        need(kinds[4:] in ([bool, OrderedDict], [bool, OrderedDict, dict]) and not any(values[6:]), ELSE)
        return self._old_tensor(*values[:4])

    def _typed_tensor(self, *values: Any) -> Rebuilt:
        """Check the same of a tensor whose numbers have no storage of their own, such as float8, and its dtype."""
        kinds = [type(value) for value in values]
        need(kinds == [Storage, int, tuple, tuple, bool, OrderedDict, Named], ELSE)
        dtype = getattr(torch, values[6].name.removeprefix("torch "), None)
        if not isinstance(dtype, torch.dtype):
            refuse(ELSE)
        return _view(*values[:4], size=dtype.itemsize)

    def _parameter(self, *values: Any) -> Rebuilt:
        kinds = [Rebuilt, bool, OrderedDict]
        need([type(value) for value in values] == kinds, "it makes a parameter of something else")
        return Rebuilt()

    def _parameter_with_state(self, *values: Any) -> Rebuilt:
        need(len(values) == 4, "it makes a parameter of something else")
        self._check_attributes(values[-1])
        return self._parameter(*values[:-1])

    def _with_attributes(self, *values: Any) -> Rebuilt:
        """Check function, class, arguments and attributes of a tensor to which somebody has given some."""
        need([type(value) for value in values[:3]] == [Named, Named, tuple] and len(values) == 4, ELSE)
        function, kind, arguments, state = values
        need(kind.name in CLASSES and "_rebuild_" in function.name and "from_type" not in function.name, ELSE)
        self._check_attributes(state)
        rebuilt: Rebuilt = self.call(function, arguments)
        return rebuilt

    def _check_attributes(self, state: Any) -> None:
        """Raise `UnsafePickleError` unless these attributes, or those of a pair, are new to a tensor.

        Among those that it has would be `numel`.
        """
        for attributes in state if type(state) is tuple and len(state) == 2 else (state,):
            need(attributes is None or type(attributes) is dict, ELSE)
            self._copy(attributes or ())
            for name in attributes or ():
                need(type(name) is str and not hasattr(nn.Parameter, name), "it gives a tensor attributes of its own")


def _view(storage: Storage, offset: int, sizes: Any, strides: Any, *, size: int) -> Rebuilt:
    need(len(sizes) == len(strides) <= MOST_DIMENSIONS, SHAPE)
    need(all(type(value) is int and value >= 0 for value in (offset, *sizes, *strides)), SHAPE)
    last = offset + sum((length - 1) * stride for length, stride in zip(sizes, strides, strict=True))
    need(0 in sizes or (last + 1) * size <= storage.numbers * storage.size, MORE)
    return Rebuilt()
