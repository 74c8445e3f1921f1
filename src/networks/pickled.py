"""What a pickle would do if `torch.load(…, weights_only=True)` read it, traced step by step without doing it.

`weights_only` keeps torch from running code, and no more: a file of 100 bytes may ask it for a storage of 100 GB, and
20,000 dictionary keys that share one hash keep it busy for half a minute.
"""

import io
import pickletools
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .calls import Calls, Counted, Named
from .unsafe import UnsafePickleError, need, refuse

MOST_OPERATIONS = 400_000
"""ResNet-152 with AdamW and a thousand class names has 78,000; a hundred thousand names with as many weights have
300,000."""

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


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
        follower = Follower(Calls(size, parts))
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
    """Stack and memo of torch's unpickler. Its dictionaries have keys only."""

    calls: Calls
    stack: list[Any] = field(default_factory=list)
    below: list[list[Any]] = field(default_factory=list)  # the stacks under the marks
    memo: dict[int, Any] = field(default_factory=dict)

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
            items = self._above_mark() if name == "APPENDS" else [stack.pop()]
            need(type(self.stack[-1]) is list, "it appends to what is no list")
            self.stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self._above_mark() if name == "SETITEMS" else [stack.pop(), stack.pop()][::-1]
            self._set_keys(items[::2])
        elif name not in ("PROTO", "STOP"):
            self._make(name, argument)

    def _make(self, name: str, argument: Any) -> None:
        """Follow an instruction that makes more than plain values."""
        if name == "GLOBAL":
            named = Named(argument)
            need(named.may_be_named, f"it asks for {argument.replace(' ', '.')[:80]}")
            self.stack.append(named)
        elif name == "REDUCE":
            arguments, called = self.stack.pop(), self.stack.pop()
            self.stack.append(self.calls.call(called, arguments))
        elif name == "BINPERSID":
            self.stack.append(self.calls.storage(self.stack.pop()))
        elif name == "BUILD":
            state = self.stack.pop()
            ordered = type(self.stack[-1]) is OrderedDict and type(state) is dict
            need(ordered and state.keys() == {"_metadata"}, "it gives an OrderedDict more than _metadata")
        else:
            refuse(f"it asks for {name}, which torch.save never writes")

    def _above_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def _set_keys(self, keys: list[Any]) -> None:
        target = self.stack[-1]
        need(type(target) in (dict, OrderedDict, Counted), "it sets items of what is no dictionary")
        self.calls.check_keys(keys)
        target.update(dict.fromkeys(keys))
