"""The two ways in which a command ends early without being a bug of ours.

Both are shown as one line on stderr, without a traceback (`src.command.main` does it; `HYDRA_FULL_ERROR=1` brings it
back).
"""

import errno
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal


class InputError(ValueError):
    """Something the user can put right. The message names the value and the remedy in one line. Exit code 2."""


class RunError(RuntimeError):
    """A run that began well and cannot go on. The message says what happened and what to try. Exit code 1."""


def first_line(error: BaseException) -> str:
    """What a library's error says first; its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def nearest(word: str, known: Iterable[str]) -> str:
    """The known names most like a misspelt word, best first: `resnet50, resnet101`. Without any, the first few."""
    names = list(known)
    near = [name for name in names if len(word) > 2 and word in name][:3]  # resnet20: cifar_resnet20
    near += [name for name in get_close_matches(word, names, n=3, cutoff=0.5) if name not in near]
    # A right key in the wrong place: `lr` instead of `optimizer.lr`.
    near += [name for name in names if name.rsplit(".", 1)[-1] == word.rsplit(".", 1)[-1] and name not in near]
    return ", ".join(near[:4] or names[:12])


# What torch, its libraries and, from a DataLoader's process, Python itself say; they have no common type for it.
GPU = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
)
HOST = ("DefaultCPUAllocator: ", "Cannot allocate memory", "std::bad_alloc", "MemoryError", "can't start new thread")


def ran_out(error: BaseException) -> Literal["GPU memory", "memory"] | None:
    """Which memory the error, or one that it comes from, says has run out; None where it is about something else."""
    link: BaseException | None = error
    while link is not None and not isinstance(link, InputError | RunError):  # which have their words already
        said = str(link)
        if any(words in said for words in GPU):
            return "GPU memory"
        of_system = isinstance(link, OSError) and link.errno == errno.ENOMEM
        if of_system or isinstance(link, MemoryError) or any(words in said for words in HOST):
            return "memory"
        link = link.__cause__ or link.__context__  # cleaning up can fail for want of memory as well
    return None
