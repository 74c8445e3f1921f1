"""A network's answers to files, batch by batch: worker processes decode each file once, and nothing is kept."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from traceback import clear_frames
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf.errors import OmegaConfBaseException
from torch.utils.data import DataLoader, Dataset

from ..data.datasets import as_it_is
from ..data.images import UNFITTING, reason_of
from ..data.processes import MOST_WORKERS, cpu_count, fork_context, map_files, quiet_fork
from ..data.refusal import UnreadableImageError
from ..data.transforms import Geometry, load_image
from ..data.workers import deaths_when_waiting, follow_parent, is_death, lacks_room, shielded
from ..errors import InputError, RunError
from ..runs.saved_settings import run_settings
from ..trained.checkpoint import Trained
from ..trained.ensemble import Ensemble, together
from ..trained.logits import predict, predict_with_features
from ..trained.pictures import Pictures

Decoded = tuple[Sequence[str], Sequence[str | None], torch.Tensor, int]
"""n paths; for each None, or why the file can't be read; the m images that can, uint8 (m, C, S, S); how many of those
have values outside of the range."""

Read = tuple[NDArray[np.uint8], bool] | str
"""An image and whether it has values outside of the range, or why the file can't be read."""


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers to the next n paths, of which m can be read.

    Attributes:
        reasons: (n,), None, or why the file can't be read.
        images: uint8 (m, C, S, S).
        logits: fp32 (m, K), in the order of `images`.
        clipped: how many images have values outside of the range that the network was trained with.
        features: fp32 (m, F), those of all stages; None where nobody has asked for them.
    """

    paths: Sequence[str]
    reasons: Sequence[str | None]
    images: torch.Tensor
    logits: NDArray[Any]
    clipped: int = 0
    features: NDArray[np.float32] | None = None


AHEAD = 2
"""Batches that a worker decodes before they are wanted."""


class Files(Dataset[Any]):
    """Decodes the batches of paths that PyTorch's loader hands to it. It holds no list, so that workers stay small."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    def __getitems__(self, paths: list[str]) -> Decoded:
        return self.together(paths, map(self.read, paths))

    def read(self, path: str) -> Read:
        """Decode into an array: a tensor needs its process to be alive when it is unpacked."""
        outside: list[bool] = []
        found = decode(path, self.geometry, lambda: outside.append(True))
        return (found.numpy(), bool(outside)) if isinstance(found, torch.Tensor) else found

    def together(self, paths: Sequence[str], found: Iterable[Read]) -> Decoded:
        """Put what `read` found at the `paths` into one batch."""
        size = self.geometry.image_size
        images = torch.empty(len(paths), self.geometry.in_channels, size, size, dtype=torch.uint8)
        reasons: list[str | None] = []
        whole = clipped = 0
        for one in found:
            if not isinstance(one, str):
                images[whole] = torch.from_numpy(one[0])
                whole += 1
                clipped += one[1]
            reasons.append(one if isinstance(one, str) else None)
        return paths, reasons, images[:whole], clipped


def decode(path: str, geometry: Geometry, when_clipped: Callable[[], None] | None = None) -> torch.Tensor | str:
    """Return uint8 (C, S, S), or why the file can't be read, in a few words."""
    try:
        return reason_against(Path(path)) or load_image(path, geometry, when_clipped)
    except UnreadableImageError as error:
        return error.reason
    except Exception as error:  # resizing may want more memory than there is
        return reason_of(error, path)


def reason_against(path: Path) -> str | None:
    """Say why `path` is no file that can be opened, or None. Opening a pipe would wait for ever."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "broken link" if path.is_symlink() else "missing"
    except OSError as error:
        return (error.strerror or "cannot be found").lower()
    if stat.S_ISDIR(mode):
        return "a folder" if os.access(path, os.R_OK | os.X_OK) else "permission denied"
    return None if stat.S_ISREG(mode) else "not a regular file"


def stream(
    trained: Trained, source: Sequence[str] | Pictures, batch_size: int, workers: int, *, features: bool = False
) -> Iterator[Answers]:
    """Yield the answers to all files of `source`, in order, with a few batches at a time in memory.

    `features`: those of all stages, too. If a file crashes its decoder, the reason says so, provided there are workers.

    Raises:
        RunError: A worker was killed for want of memory, or the network's answer is not finite.
    """
    precision = precision_of(trained)
    for names, reasons, images, clipped in read(trained.geometry, source, batch_size, workers):
        logits, seen = np.empty((0, len(trained.class_names)), np.float32), None
        if len(images):
            with as_tested(trained, precision):
                if features:
                    logits, seen = predict_with_features(trained, [images], stages=True)
                else:
                    logits = predict(trained, [images])
        if not np.isfinite(logits).all():
            raise RunError(f"{trained.path} gives {names[0]} logits that are not finite: take another checkpoint")
        yield Answers(names, reasons, images, logits, clipped, seen)


def read(geometry: Geometry, source: Sequence[str] | Pictures, batch_size: int, workers: int) -> Iterator[Decoded]:
    """Yield the images of `source` by the batch, in order."""
    paths = source.names if isinstance(source, Pictures) else source
    batches = [list(paths[start : start + batch_size]) for start in range(0, len(paths), batch_size)]
    if not isinstance(source, Pictures):
        yield from decoded(Files(geometry), batches, workers)
        return
    nothing: list[None] = [None] * batch_size  # checked when the data set was found
    for names, images in zip(batches, source.batches(batch_size), strict=True):
        yield names, nothing[: len(names)], images, 0


def stream_together(
    ensemble: Ensemble, sources: Mapping[Geometry, Sequence[str] | Pictures], batch_size: int, workers: int
) -> Iterator[Answers]:
    """As `stream`, of an ensemble: `sources` are the same files for each way in which its networks want them cut.

    A file that one of the networks can't see has no answer.
    """
    geometries = list(sources)
    reads = [read(geometry, source, batch_size, workers) for geometry, source in sources.items()]
    for batches in zip(*reads, strict=True):
        names, seen = batches[0][0], [reasons for _, reasons, _, _ in batches]
        reasons = [next((one for one in row if one is not None), None) for row in zip(*seen, strict=True)]
        images = {}
        for geometry, (_, own, pixels, _) in zip(geometries, batches, strict=True):
            whole = [place for place, reason in enumerate(own) if reason is None]
            images[geometry] = pixels[[reasons[place] is None for place in whole]]
        logits = np.empty((0, len(ensemble.class_names)))
        if len(images[geometries[0]]):
            logits = answer_together(ensemble, images)
        clipped = max(batch[3] for batch in batches)
        yield Answers(names, reasons, images[geometries[0]], logits, clipped)


def answer_together(ensemble: Ensemble, images: Mapping[Geometry, torch.Tensor]) -> NDArray[np.float64]:
    """Return logits (n, K) whose softmax is the mean of the networks' probabilities, each in its own precision.

    Raises:
        RunError: A network's answer is not finite.
    """
    shares = []
    for member in ensemble.members:
        with as_tested(member.trained, precision_of(member.trained)):
            logits = predict(member.trained, [images[member.trained.geometry]])
        if not np.isfinite(logits).all():
            raise RunError(f"{member.trained.path} gives logits that are not finite: take another checkpoint")
        shares.append(member.shares(logits))
    return together(shares)


def some_fit(answers: Iterator[Answers], trained: Trained | Ensemble) -> Iterator[Answers]:
    """Return the answers as they come; raise `InputError` where every file has another number of bands.

    Nothing of a later answer is looked at once a file fits, or is refused for another reason.
    """
    held: list[Answers] = []
    for one in answers:
        held.append(one)
        if not all(reason is not None and UNFITTING in reason for reason in one.reasons):
            return chain(held, answers)
    files = sum(len(one.paths) for one in held)
    first = f"{held[0].paths[0]}: {held[0].reasons[0]}" if held else ""
    raise InputError(
        f"none of {files} files fits {trained.path} ({first}): name others, or a checkpoint of a network that takes "
        "them"
        if files > 1
        else f"the only file does not fit {trained.path} ({first}): name another, or a checkpoint of a network that "
        "takes it"
    )


def decoded(files: Files, batches: Sequence[list[str]], workers: int) -> Iterator[Decoded]:
    """Yield the batches in order. If a worker dies, read those at hand file by file, then go on with new workers."""
    done = 0
    while done < len(batches):
        try:
            for batch in load(files, batches[done:], workers):
                yield batch
                done += 1
        except RuntimeError as error:
            if not (is_death(error) or lacks_room(error)):
                raise
            clear_frames(error.__traceback__)  # they hold the loader, which processes forked from now on would end
        for paths in batches[done : done + AHEAD * workers]:
            with deaths_when_waiting():  # a file that ends its process here must not recall the loader's dead worker
                found = map_files(files.read, paths, "Predicting", lost=str, bar=False)
            yield files.together(paths, found)
            done += 1


def load(files: Files, batches: Sequence[list[str]], workers: int) -> Iterator[Decoded]:
    """Yield the batches in order, from PyTorch's workers; its RuntimeError says that one died."""
    loader = DataLoader(
        files,
        batch_sampler=batches,  # of paths, where PyTorch has indices
        collate_fn=as_it_is,
        num_workers=workers,
        prefetch_factor=AHEAD if workers > 0 else None,
        multiprocessing_context=fork_context() if workers > 0 else None,
        worker_init_fn=partial(follow_parent, os.getpid()),
    )
    with quiet_fork(), shielded():
        found = iter(loader)
    with deaths_when_waiting():
        yield from found


def worker_count(num_workers: int | str, batches: int) -> int:
    """As in training, but never more than batches. A single file has one, too: it may crash its decoder."""
    most = min(cpu_count(), MOST_WORKERS) if isinstance(num_workers, str) else num_workers
    return min(most, batches)


def as_tested(trained: Trained, precision: str) -> AbstractContextManager[Any]:
    """Let the network answer inside the block as under Lightning's Trainer with this `precision`.

    The confidences of 300 photographs of cats and dogs then differ from the run's own by 5e-7, which is their rounding;
    in fp32, at half the speed, by 0.005.
    """
    half = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
    return torch.autocast(trained.device.type, half or torch.bfloat16, enabled=half is not None)


def precision_of(trained: Trained) -> str:
    """Return the precision of the checkpoint's run; without a run, or if it says `auto`, the fastest."""
    try:
        said = "auto" if trained.run is None else str(run_settings(trained.run).trainer.precision)
    except (InputError, OmegaConfBaseException):
        said = "auto"
    return trained.fastest if said == "auto" else said
