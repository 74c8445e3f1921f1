"""How large a batch may be: what a step of training needs of the memory that is free.

Lightning's `BatchSizeFinder` was tried in its place (ResNet-18 at 64², fp32, on two busy cores). It trains until memory
runs out. On a CPU the kernel then kills the process, unless `ulimit -v` makes torch raise. It leaves another random
state, so that `auto` would train differently from the number that it finds. With 700 MiB both found 16 images, in 21 s
and here 24 s; with plenty of memory it was stopped after four minutes at 128 images, where this took 8 s.
"""

import gc
import logging
import sys
from collections.abc import Callable
from typing import NamedTuple

import lightning as L
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from ..cost.memory import peak_memory
from ..cost.network import PRECISIONS, autocast
from ..data import ImageDataModule
from ..data.processes import fork_context, quiet_fork
from ..errors import InputError, ran_out
from ..heap import is_kept
from ..ranks.joining import crew
from ..runs.folder import RunFolder
from ..tables import gibibytes
from .classifier import ImageClassifier
from .classifier_cost import private_copy, training_step
from .free_memory import free_memory

log = logging.getLogger(__name__)

SHARE = 0.9
"""The share of free memory that may be taken. On a CPU a process grows by 2 to 7 % more than the counted tensors."""

KEPT_SHARE = 0.65
"""… where the heap is kept (`src.heap`): its gaps took up to 36 % more (Mini-ResNet, 64 px, batch 128)."""

MOST = 256
STEPS = 10
LEAST = 8
"""Beyond `MOST` images, or with fewer than `STEPS` steps an epoch, a larger batch costs learning for little speed: at
an unchanged rate, fewer steps come less far (Goyal et al. 2017, https://arxiv.org/abs/1706.02677, section 2). And below
`LEAST` images batch norm's statistics are mostly noise (Wu & He 2018, https://arxiv.org/abs/1803.08494, figure 1): a
smaller batch is taken for want of memory alone."""


class Fit(NamedTuple):
    """A batch of so many images, and the bytes that a step with it needs."""

    size: int
    needed: int


def settle_batch_size(
    module: ImageClassifier, data: ImageDataModule, trainer: L.Trainer, folder: RunFolder, *, begun: bool
) -> int:
    """Return the batch size of a run with `data.batch_size=auto`, and give it to `data`.

    A run keeps the size that it began with, even if less memory is free now: another size is another training.

    Args:
        begun: Whether run.json has one already.
    """
    size = folder.batch_size
    if size is None and begun:
        raise InputError(
            f"{folder.record_file} lacks the batch_size that data.batch_size=auto has found: write it there, or train "
            "anew with a number"
        )
    data.batch_size = crew().share("batch_size", lambda: size or find_batch_size(module, data, trainer))
    return data.batch_size


def find_batch_size(module: ImageClassifier, data: ImageDataModule, trainer: L.Trainer) -> int:
    """Return what `data.batch_size=auto` means here, a power of two for each process, and log it.

    It trains nothing and leaves torch's random state as it was. Raise `InputError` if even two images are too many.
    """
    device = trainer.strategy.root_device
    if trainer.precision not in PRECISIONS:
        raise InputError(
            f"data.batch_size=auto can't be found with trainer.precision={trainer.precision}: say a number"
        )
    free = free_memory(device)
    fit = fitting(module, data, trainer, free, useful(data.size("train"), trainer.world_size))
    if fit is None:
        raise InputError(
            f"data.batch_size=auto: two images need more than the {gibibytes(free)} of memory that are free: "
            "free some, or take a smaller data.image_size or model"
        )
    log.info("batch size %d: a step takes %s of the %s free", fit.size, gibibytes(fit.needed), gibibytes(free))
    return fit.size


def useful(images: int, processes: int = 1) -> int:
    """Return the largest power of two worth trying for a training set of so many images that the processes share."""
    return power_of_two(min(MOST, max(LEAST, images // (STEPS * processes))))


def fitting(module: ImageClassifier, data: ImageDataModule, trainer: L.Trainer, free: int, most: int) -> Fit | None:
    """Return the largest batch of each process, up to `most`, that fits into `free` bytes of the trainer's device."""
    device = trainer.strategy.root_device
    room = (KEPT_SHARE if is_kept() and device.type != "cuda" else SHARE) * free
    waiting = 0
    if device.type != "cuda":
        room /= trainer.num_devices  # the processes share the machine's memory
        size, channels = (module.hparams["architecture"][key] for key in ("image_size", "in_channels"))
        # Each worker holds two batches ready (DataLoader's prefetch_factor), of training and of the twice as large ones
        # of validation, as bytes.
        waiting = data.worker_count() * 2 * (1 + 2) * channels * size**2
    if trainer.world_size > 1:  # DistributedDataParallel gathers the gradients in buckets of its own
        room -= sum(weight.numel() * weight.element_size() for weight in module.network.parameters())
    return largest_batch(
        module, device=device, precision=str(trainer.precision), most=most, room=int(room), waiting=waiting
    )


def largest_batch(
    module: ImageClassifier, *, device: torch.device, precision: str, most: int, room: int, waiting: int = 0
) -> Fit | None:
    """Return the largest power of two, up to `most`, with which training fits into `room` bytes; None if none does.

    Every size is measured, not extrapolated from smaller ones: as a batch grows, the peak moves from the optimizer's
    step to the activations, and a line through two small sizes runs too low.

    Args:
        waiting: The bytes that each image of a batch takes outside of the step.
    """
    size = power_of_two(most)
    while size >= 2:
        needed = step_memory(module, device=device, precision=precision, batch_size=size)
        release(device)
        if needed is not None:
            needed += size * waiting
            if needed <= room:
                return Fit(size, needed)
        # Half of the images need at least half of the memory: what would still be too large need not be tried.
        size = size // 2 if needed is None else min(size // 2, power_of_two(int(size * room / needed)))
    return None


def step_memory(module: ImageClassifier, *, device: torch.device, precision: str, batch_size: int) -> int | None:
    """Return the bytes at the peak of a training step and of the evaluation that follows it, on twice as many images.

    Weights, gradients and optimizer state are included. None if a GPU has less. On a GPU a copy does the work. On a CPU
    fake tensors, which have shapes only, go through the same code: nothing is computed, only the weights are allocated,
    for an optimizer's step, and the sizes add up to those of real tensors (0.3 % less at most, for small networks).
    """
    if device.type == "cuda":
        try:
            with torch.random.fork_rng(devices=[device]):
                return peak_memory(
                    lambda: _work(private_copy(module, device, precision), device, precision, batch_size),
                    lambda work: work(),
                    device,
                )
        except RuntimeError as error:
            if ran_out(error) is None:
                raise
            return None
    return _apart(lambda: _faked_step_memory(module, precision, batch_size))


def _faked_step_memory(module: ImageClassifier, precision: str, batch_size: int) -> int:
    cpu = torch.device("cpu")
    with torch.random.fork_rng(devices=[]):
        own = _without_memory(module, precision)
        # The weights of `own` are meta tensors, until `to_empty` makes fake ones of them
        with FakeTensorMode(allow_non_fake_inputs=True):
            return peak_memory(lambda: _work(_faked(own), cpu, precision, batch_size), lambda work: work(), cpu)


def _apart(work: Callable[[], int]) -> int:
    """Do the work in a forked process.

    For fake tensors autograd starts a thread, and what is forked from a process that has one can't train any more. With
    a GPU any training starts threads.
    """
    context = fork_context()
    if context is None or torch.cuda.is_available():
        return work()
    receiver, sender = context.Pipe(duplex=False)

    def say() -> None:
        torch.set_num_threads(1)  # OpenMP's threads are not there after a fork, and would be waited for
        try:
            sender.send(work())
        except Exception as error:
            sender.send(RuntimeError(str(error)))

    process = context.Process(target=say)  # type: ignore[attr-defined]
    with quiet_fork():
        process.start()
    sender.close()
    result: int | Exception
    try:
        result = receiver.recv()
    except EOFError:
        result = RuntimeError("the process that measures a step was killed")
    process.join()
    if isinstance(result, Exception):
        raise result
    return result


def _work(own: ImageClassifier, device: torch.device, precision: str, batch_size: int) -> Callable[[], None]:
    """Return a training step and the evaluation of a validation batch, which is twice as large."""
    own._freeze(epoch=sys.maxsize)  # what thaws later has to fit as well
    step = training_step(own, device, precision, batch_size)
    step(2)  # the optimizer has its state from the first step on

    def work() -> None:
        step()
        shape = (2 * batch_size, own.mean.shape[1], *[own.hparams["architecture"]["image_size"]] * 2)
        images = torch.zeros(shape, dtype=torch.uint8, device=device)
        own.eval()
        with torch.no_grad(), autocast(device, precision):
            own(images)
        own.train()

    return work


def _without_memory(module: ImageClassifier, precision: str) -> ImageClassifier:
    """Return a copy of the classifier whose weights have only shapes."""
    with torch.device("meta"):
        own = type(module)(**module.hparams)
    own.network.to(PRECISIONS[precision][0]).to(memory_format=module.memory_format)
    own.memory_format = module.memory_format
    return own


def _faked(own: ImageClassifier) -> ImageClassifier:
    """Give the classifier weights that torch takes for a CPU's; return it."""
    own.network.to_empty(device="cpu")
    for name, buffer in list(own.named_buffers(recurse=False)):
        setattr(own, name, torch.empty_like(buffer, device="cpu"))
    return own.train()


def release(device: torch.device) -> None:
    """Free what nobody uses any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def power_of_two(number: int) -> int:
    """Return the largest power of two up to the number; 0 below 1."""
    return 1 << number.bit_length() - 1 if number >= 1 else 0
