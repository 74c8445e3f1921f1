"""ResLens: train, compare and explain residual networks for image classification.

In Python, `from reslens import train, load`: `train` is the verb's file, which can be called. Torch is imported when
one of them is.
"""

import os
import signal
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

_is_verb = "".join(sys.argv[:1]).rpartition(os.sep)[2] == "reslens" or (
    sys.argv[:1] == ["-m"]
    and any(word == "-m" and f"{name}.".startswith(f"{__name__}.") for word, name in pairwise(sys.orig_argv))
)
if _is_verb and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until it answers Ctrl-C itself (`command.signals`), which takes a second of imports, it just ends by it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .interactive.classifier import Classifier
    from .interactive.run import Run
    from .train import Called

    train: Called

__all__ = ["load", "train"]


def load(run: "Run | Path | str | Sequence[Run | Path | str]", accelerator: str = "auto") -> "Classifier":
    """Load a trained network: `load("last").predict("cat.jpg")`.

    Args:
        run: what `train` returned, a folder, a name, `last`, or a checkpoint file; a list of these, or a sweep's
            folder, is an ensemble, which answers with the mean of their probabilities.
        accelerator: auto, cpu or gpu.

    Raises:
        InputError: There is none, or it can't be used.
    """
    from .interactive.classifier import load_classifier

    return load_classifier(run, accelerator)
