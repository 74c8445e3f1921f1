"""How a pickle is refused."""

from typing import Any, NoReturn


class UnsafePickleError(ValueError):
    """A pickle asks for something it must not; what, in a few words."""


def need(fulfilled: Any, otherwise: str) -> None:
    if not fulfilled:
        refuse(otherwise)


def refuse(reason: str) -> NoReturn:
    raise UnsafePickleError(reason)
