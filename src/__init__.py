"""ResLens: train, compare and explain residual networks for image classification.

In Python, `from reslens import train, load`: `train` is the verb's file, which can be called, and nothing is imported
before one of them is asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .interactive.classifier import load as load

__all__ = ["load", "train"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from .interactive.classifier import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
