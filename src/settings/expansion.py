"""How large a configuration is when its interpolations are resolved: ten short lines can stand for gigabytes."""

import re
from typing import Any

MOST = 2**20
"""Characters and values; our own configurations have a few thousand."""

REFERENCE = re.compile(r"\$\{\s*([^\s${}:]+)\s*\}")


def refuse_expansion(content: Any) -> None:
    """Raise `ValueError` where plain settings, such as `yaml.safe_load` gives, would take more than `MOST`."""
    try:
        size = _Sizes(content).of(content, ())
    except RecursionError:
        size = MOST + 1
    if size > MOST:
        raise ValueError("its ${…} stand for each other, or for too much: write the values there")


class _Sizes:
    """Counts each node once, however often others refer to it."""

    def __init__(self, content: Any) -> None:
        self._content = content
        self._known: dict[tuple[str, ...], int] = {}

    def of(self, node: Any, place: tuple[str, ...]) -> int:
        if place in self._known:
            return self._known[place]
        self._known[place] = MOST + 1  # of what stands for itself
        pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        size = 1 + sum(len(str(key)) + self.of(value, (*place, str(key))) for key, value in pairs)
        if isinstance(node, str):
            size += len(node) + sum(self._named(name, place) for name in REFERENCE.findall(node))
        self._known[place] = min(size, MOST + 1)
        return self._known[place]

    def _named(self, name: str, place: tuple[str, ...]) -> int:
        """Return the size of what `data.classes[0]`, or `..classes` as seen from `place`, names."""
        dots = len(name) - len(name.lstrip("."))
        target = (*(place[:-dots] if dots else ()), *re.findall(r"[^.\[\]]+", name))
        node = self._content
        for part in target:
            if isinstance(node, list) and part.isdecimal() and len(part) < 9:
                node = node[int(part)] if int(part) < len(node) else None
            elif isinstance(node, dict):
                node = node.get(part, node.get(int(part)) if part.isdecimal() and len(part) < 9 else None)
            else:
                node = None
        return 1 if node is None else self.of(node, target)
