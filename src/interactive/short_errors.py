"""How what a person can put right is shown below a cell: in one line, not in a page of traceback."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from ..errors import InputError, RunError

P = ParamSpec("P")
R = TypeVar("R")


def shortly(function: Callable[P, R]) -> Callable[P, R]:
    """Raise our two errors, and an interruption, from here: without the frames and errors behind them."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (InputError, RunError, KeyboardInterrupt) as error:
            short = type(error)(*error.args)
        name, said = type(short).__name__, str(short)
        # What IPython asks an exception for, in place of its own traceback; plain Python shows a few lines.
        short._render_traceback_ = lambda: [f"{name}: {said}"]  # type: ignore[union-attr]
        raise short

    return call
