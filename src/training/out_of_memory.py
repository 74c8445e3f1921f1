"""Out of memory, in one line: what happened, which smaller batch would fit, and how to go on."""

import logging
import shlex
import traceback

import lightning as L

from ..data import ImageDataModule
from ..errors import RunError, ran_out
from .batch_size import Fit, fitting, power_of_two, release
from .classifier import ImageClassifier
from .free_memory import free_memory

log = logging.getLogger(__name__)


def memory_advice(
    error: BaseException, free: int, module: ImageClassifier, data: ImageDataModule, trainer: L.Trainer, shown: str
) -> RunError | None:
    """Return what to say about a training that this error ended; None if memory was not the reason.

    It frees what the training holds, which can't continue.

    Args:
        free: The bytes of main memory that were free when the training began.
        shown: The run folder, as users call it.
    """
    kind = ran_out(error)
    if kind is None:
        return None
    size, device = data.batch_size, trainer.strategy.root_device
    smaller = "a smaller one may fit: train anew with less"
    if (kind == "memory") == (device.type == "cpu"):
        try:
            let_go(error, module, trainer)
            # Main memory runs out only where the process is limited; otherwise the kernel kills it. A process returns
            # little of its address space, so a new one will have what this one had.
            free = free if device.type == "cpu" else free_memory(device)
            fit = fitting(module, data, trainer, free, power_of_two(size - 1))
            smaller = _advise(fit)
        except Exception as another:  # there may be too little even for that
            log.debug("no batch size was found that would fit: %s", another)
    else:
        smaller = "the processes that read images need it: train anew with a smaller one, or lower data.num_workers"
    return RunError(
        f"out of {kind} at data.batch_size={size}: {smaller}, or free some memory and go on with "
        f"resume={shlex.quote(shown)}"
    )


def let_go(error: BaseException, module: ImageClassifier, trainer: L.Trainer) -> None:
    """Free gradients, optimizer state and what the failed step held, so that as much is free as a new run will have."""
    link: BaseException | None = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__
    trainer.strategy.optimizers = []
    module.zero_grad()
    module.cpu()  # where Lightning hasn't brought it there yet
    release(trainer.strategy.root_device)


def _advise(fit: Fit | None) -> str:
    if fit is None:
        return "not even 2 would fit: train anew with a smaller data.image_size or model"
    return f"{fit.size} would fit: train anew with data.batch_size={fit.size} (data.batch_size=auto finds it)"
