"""How large a batch may be: what a step of training needs of the memory that is free."""

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
from ..runs.folder import RunFolder
from .classifier import ImageClassifier
from .classifier_cost import private_copy, training_step
from .free_memory import free_memory

log = logging.getLogger(__name__)

SHARE = 0.9
"""Of the free memory, so much may be taken. On a CPU the counted tensors are 2 to 7 % less than a process grows by."""

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
    """The batch size that a run with `data.batch_size=auto` has, from now on of its data as well.

    It is the one that the run began with, though less memory may be free by now: another would be another training.
    `begun`: whether there is one; run.json has it, also for the other processes of a distributed run, which the first
    starts later. Else it is found.
    """
    size = folder.batch_size
    if size is None and begun:
        raise InputError(
            f"{folder.record_file} lacks the batch_size that data.batch_size=auto has found: write it there, or train "
            "anew with a number"
        )
    data.batch_size = size or find_batch_size(module, data, trainer)
    return data.batch_size


def find_batch_size(module: ImageClassifier, data: ImageDataModule, trainer: L.Trainer) -> int:
    """What `data.batch_size=auto` means here, for each process: a power of two; said in a line of the log.

    Nothing is trained by looking, and torch's random state stays as it is. Raises `InputError` where two images are too
    many.
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
    """The largest power of two worth trying for a training set of so many images that the processes share."""
    return power_of_two(min(MOST, max(LEAST, images // (STEPS * processes))))


def fitting(module: ImageClassifier, data: ImageDataModule, trainer: L.Trainer, free: int, most: int) -> Fit | None:
    """The largest batch of each process, up to `most`, that fits into `free` bytes of the trainer's device."""
    device = trainer.strategy.root_device
    room = SHARE * free
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
    """The largest power of two, at most `most`, with which training fits into `room` bytes; None where none does.

    `waiting`: what each image of a batch takes besides, outside of the step. Every size is measured (`step_memory`) and
    none extrapolated from smaller ones: the peak moves from the optimizer's step to the activations as a batch grows,
    so that a line through two small sizes runs too low.
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
    """Bytes at the peak of a step with `batch_size` images, weights, gradients and optimizer state included, and of an
    evaluation of twice as many, which follows it in training. None where a GPU hasn't so many.

    On a GPU both are done, with a copy. On a CPU fake tensors, which know their shapes only, go through the same code:
    nothing is computed, and nothing allocated but the weights for an optimizer's step, and the sizes add up to those of
    real ones, but for a few running figures (0.3 % less at most, of small networks).
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
    """`work` in a forked process: for fake tensors autograd starts a thread, and what is forked from a process that has
    one can't train any more. With a GPU any training starts them.
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
    try:
        result: int | Exception = receiver.recv()
    except EOFError:
        result = RuntimeError("the process that measures a step was killed")
    process.join()
    if isinstance(result, Exception):
        raise result
    return result


def _work(own: ImageClassifier, device: torch.device, precision: str, batch_size: int) -> Callable[[], None]:
    """A training step, and the evaluation of a batch of validation, which is twice as large."""
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
    """The classifier once more, with weights that have shapes alone."""
    with torch.device("meta"):
        own = ImageClassifier(**module.hparams)
    own.network.to(PRECISIONS[precision][0]).to(memory_format=module.memory_format)
    own.memory_format = module.memory_format
    return own


def _faked(own: ImageClassifier) -> ImageClassifier:
    """Give it weights that torch takes for those of a CPU."""
    own.network.to_empty(device="cpu")
    for name, buffer in list(own.named_buffers(recurse=False)):
        setattr(own, name, torch.empty_like(buffer, device="cpu"))
    return own.train()


def release(device: torch.device) -> None:
    """Give back what nobody uses any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def power_of_two(number: int) -> int:
    """The largest one that is not above the number; 0 below 1."""
    return 1 << number.bit_length() - 1 if number >= 1 else 0


def gibibytes(size: float) -> str:
    """Bytes for people: `1.2 GiB`, `85 MiB`."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
