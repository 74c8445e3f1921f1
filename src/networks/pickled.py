"""What a pickle would do if `torch.load(…, weights_only=True)` read it, traced step by step without doing it.

`weights_only` keeps torch from running code, and no more: a file of 100 bytes may ask it for a storage of 100 GB, and
20,000 dictionary keys that share one hash keep it busy for half a minute.
"""

import io
import pickletools
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

MOST_OPERATIONS = 400_000
"""ResNet-152 with AdamW and a thousand class names has 78,000; a hundred thousand names with as many weights have
300,000."""

MOST_NUMBERED = 10_000
"""Numbers that are keys (an optimizer's, of its parameters) lie below it. Among larger ones an attacker could choose
those that collide in a dictionary, each compared with all before it; a word's hash differs from process to process."""

LONGEST_KEY = 10_000
"""Characters of a word that is a key: equal words are compared letter by letter each time."""

MOST_DIMENSIONS = 64

STORAGES = {
    **dict.fromkeys(("Untyped", "Byte", "Char", "Bool"), 1),
    **dict.fromkeys(("Short", "Half", "BFloat16"), 2),
    **dict.fromkeys(("Int", "Float"), 4),
    **dict.fromkeys(("Long", "Double", "ComplexFloat"), 8),
    "ComplexDouble": 16,
}
"""Bytes of a number in each kind of storage; there are none for quantised numbers."""
STORAGE = re.compile(rf"torch ({'|'.join(STORAGES)})Storage")
DTYPE = re.compile(r"torch (b?float\w+|u?int\d+|bool|complex\d+)")
CALLED = {
    "collections OrderedDict": "_ordered",
    "torch._utils _rebuild_tensor_v2": "_tensor",
    "torch._utils _rebuild_parameter": "_parameter",
    "torch device": "_device",
}
"""What a pickle may call, and which method below checks the arguments. Storages and dtypes it may only name. None of
these can grow: Counter, set, bytearray and codecs turn a few bytes into many."""

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

STRANGE = "it asks for a strange storage"
MORE = "its tensors claim more numbers than the file has"


class UnsafePickleError(ValueError):
    """A pickle asks for something it must not; what, in a few words."""


@dataclass(frozen=True)
class Named:
    """A class or function: its module, a space and its name."""

    name: str


@dataclass(frozen=True)
class Storage:
    """A storage in the file: how many numbers, of any type."""

    numbers: int


class Rebuilt:
    """A tensor, a parameter or a device."""


def check_pickles(content: bytes, pickles: int, size: int, parts: Mapping[str, int] | None = None) -> None:
    """Check so many pickles, one after the other, of a file of `size` bytes.

    Args:
        parts: how many bytes each storage has; torch reads on behind the end of one that has fewer than the pickle
            says. None: they follow in the same file, and torch looks.

    Raises:
        UnsafePickleError: Torch must not read them.
        ValueError: They are no pickles.
    """
    file, count = io.BytesIO(content), 0
    for _ in range(pickles):
        follower = Follower(size, parts)
        for operation, argument, _ in pickletools.genops(file):
            count += 1
            if count > MOST_OPERATIONS:
                raise UnsafePickleError("it holds too much besides the tensors")
            try:
                follower.follow(operation.name, argument)
            except LookupError as error:
                raise ValueError("its pickle is broken") from error


@dataclass
class Follower:
    """Stack and memo of torch's unpickler. Its lists stay empty, and its dictionaries have keys only."""

    left: int  # how many more numbers the file may have
    parts: Mapping[str, int] | None  # bytes of its storages
    stack: list[Any] = field(default_factory=list)
    below: list[list[Any]] = field(default_factory=list)  # the stacks under the marks
    memo: dict[int, Any] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)

    def follow(self, name: str, argument: Any) -> None:
        """Do what torch does at this instruction; raise `IndexError` or `KeyError` where torch would."""
        stack = self.stack
        if name in VALUES:
            stack.append(argument)
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name == "MARK":
            self.below.append(stack)
            self.stack = []
        elif name == "TUPLE":
            items = self._above_mark()
            self.stack.append(tuple(items))
        elif name in TUPLES:
            stack.append(tuple([stack.pop() for _ in range(TUPLES[name])][::-1]))
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name in ("APPEND", "APPENDS"):
            self._above_mark() if name == "APPENDS" else stack.pop()
            _need(type(self.stack[-1]) is list, "it appends to what is no list")
        elif name in ("SETITEM", "SETITEMS"):
            items = self._above_mark() if name == "SETITEMS" else [stack.pop(), stack.pop()][::-1]
            self._set_keys(items[::2])
        elif name not in ("PROTO", "STOP"):
            self._make(name, argument)

    def _make(self, name: str, argument: Any) -> None:
        """Follow an instruction that makes more than plain values."""
        if name == "GLOBAL":
            if argument not in CALLED and not STORAGE.fullmatch(argument) and not DTYPE.fullmatch(argument):
                _refuse(f"it asks for {argument.replace(' ', '.')[:80]}")
            self.stack.append(Named(argument))
        elif name == "REDUCE":
            arguments, called = self.stack.pop(), self.stack.pop()
            if type(called) is not Named or called.name not in CALLED or type(arguments) is not tuple:
                _refuse("it calls what it may only name")
            self.stack.append(getattr(self, CALLED[called.name])(*arguments[:10]))
        elif name == "BINPERSID":
            self.stack.append(self._storage(self.stack.pop()))
        elif name == "BUILD":
            state = self.stack.pop()
            ordered = type(self.stack[-1]) is OrderedDict and type(state) is dict
            _need(ordered and state.keys() == {"_metadata"}, "it gives an OrderedDict more than _metadata")
        else:
            _refuse(f"it asks for {name}, which torch.save never writes")

    def _above_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def _set_keys(self, keys: list[Any]) -> None:
        target = self.stack[-1]
        _need(type(target) in (dict, OrderedDict), "it sets items of what is no dictionary")
        for key in keys:
            word = type(key) is str and len(key) <= LONGEST_KEY
            _need(word or (type(key) is int and 0 <= key < MOST_NUMBERED), "it has strange keys in a dictionary")
            target[key] = None

    def _storage(self, name: Any) -> Storage:
        """Check ("storage", class, key, device, numbers), which torch.save before 1.6 ended with a None."""
        _need(type(name) is tuple and (len(name) == 5 or (len(name) == 6 and name[5] is None)), STRANGE)
        _, kind, key, _, numbers = name[:5]
        _need([type(value) for value in name[:5]] == [str, Named, str, str, int], STRANGE)
        known = STORAGE.fullmatch(kind.name)
        _need(known and len(key) <= LONGEST_KEY and numbers >= 0, STRANGE)
        if known and self.parts is not None:
            _need(key in self.parts and numbers * STORAGES[known[1]] <= self.parts[key], MORE)
        if key not in self.storages:
            self.storages[key] = Storage(numbers)
            self.left -= numbers
        _need(self.left >= 0, MORE)
        return self.storages[key]

    def _ordered(self, *values: Any) -> OrderedDict[Any, None]:
        _need(not values, "it makes an OrderedDict of something else")
        return OrderedDict()

    def _tensor(self, *values: Any) -> Rebuilt:
        """Check storage, offset, size, stride, requires_grad and hooks; torch would enlarge one that is too small."""
        kinds = [Storage, int, tuple, tuple, bool, OrderedDict]
        _need([type(value) for value in values] == kinds, "it makes a tensor of something else")
        storage, offset, sizes, strides = values[:4]
        _need(len(sizes) == len(strides) <= MOST_DIMENSIONS, "it makes a tensor of a strange shape")
        counts = (offset, *sizes, *strides)
        _need(all(type(value) is int and value >= 0 for value in counts), "it makes a tensor of a strange shape")
        last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        _need(0 in sizes or last < storage.numbers, MORE)
        return Rebuilt()

    def _parameter(self, *values: Any) -> Rebuilt:
        kinds = [Rebuilt, bool, OrderedDict]
        _need([type(value) for value in values] == kinds, "it makes a parameter of something else")
        return Rebuilt()

    def _device(self, *values: Any) -> Rebuilt:
        _need([type(value) for value in values] in ([str], [str, int]), "it makes a device of something else")
        return Rebuilt()


def _need(fulfilled: Any, otherwise: str) -> None:
    if not fulfilled:
        _refuse(otherwise)


def _refuse(reason: str) -> NoReturn:
    raise UnsafePickleError(reason)
