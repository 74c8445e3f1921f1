"""Which checkpoint a run resumes from: one that is whole, safe to load, and fits network and images.

`src.command.resume` compares the settings before.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ..data import ImageDataModule
from ..errors import InputError
from ..networks.saved import SavedFileError, check_tensors, load_saved
from ..runs.folder import RunFolder
from .checkpoint_files import load_whole
from .checkpoint_schema import check_content
from .fitting import check_average, check_loops, check_optimization, check_state, check_unfinished

log = logging.getLogger(__name__)

NAMED = 3
"""Classes that are named in a line."""


def last_whole(folder: RunFolder) -> Path | None:
    """Return the newest whole checkpoint, None without any; name a damaged one and pass it over.

    Raise `InputError` if one is unsafe to load, or can't be read but may be whole.
    """
    if folder.cannot_go_on is not None:  # the best epoch would be taken for the last
        raise InputError(f"resume: {folder.cannot_go_on}")
    whole: dict[Path, Any] = {}
    for path in (folder.last_checkpoint, folder.best_checkpoint):
        try:
            if not path.exists():
                continue
            if path.is_dir():  # nothing could be written in its place
                raise InputError(f"resume: {path} is a folder: move it away, and the run goes on from the one before")
            whole[path] = load_whole(path)
        except SavedFileError as error:
            if error.unsafe:
                raise InputError(f"resume: {path} is not safe to load ({error}): remove it, or train anew") from error
            if isinstance(error.__cause__, OSError) and error.__cause__.errno is not None:  # it may be whole
                raise InputError(f"resume: {path} can't be read ({error}): see to that, or remove it") from error
            log.warning("%s is passed over: %s", path, error)
    for path, content in whole.items():
        with _named(path):
            check_content(content)
    if not whole:
        log.info("there is no whole checkpoint: the run begins again")
        return None
    newest = max(whole, key=lambda path: whole[path]["global_step"])  # of two that are as new the first, last.ckpt
    _say_where(whole[newest])
    return newest


def progress(path: Path) -> tuple[int, int]:
    """Return how many steps and epochs were done when the checkpoint was written."""
    content = load_saved(path)
    return content["global_step"], content["epoch"] + (content.get("unfinished") is None)


def _say_where(checkpoint: dict[str, Any]) -> None:
    unfinished = checkpoint.get("unfinished")
    if unfinished is not None:
        log.info("goes on in epoch %d, after batch %d", checkpoint["epoch"] + 1, unfinished["batches"])
    else:
        log.info("goes on after epoch %d", checkpoint["epoch"] + 1)


@dataclass(frozen=True)
class Own:
    """A run that is set up, but has not begun: what its checkpoints are compared with.

    Attributes:
        module: has a `network`, and `figures_of_training` with the epoch's torchmetrics at any depth.
    """

    module: Any
    data: ImageDataModule
    trainer: L.Trainer
    optimizer: Optimizer
    schedule: LRScheduler | None


def check_fits(folder: RunFolder, own: Own) -> None:
    """Raise `InputError` unless all that Lightning will restore is of a training of this module on these images.

    It would find out half-way, or not at all. After the training it restores the best checkpoint, too.
    """
    for path in (folder.last_checkpoint, folder.best_checkpoint):
        try:
            content = load_whole(path)
        except SavedFileError:  # it is not there, or was passed over
            continue
        _check_classes(content, own.data)  # first: the head is of another size for no other reason
        with _named(path):
            check_restorable(content, own)
            check_tensors(content["state_dict"], path)
        _check_images(content, own.data)


def check_restorable(content: Any, own: Own) -> None:
    """Raise `SavedFileError` unless this run could have written it, but for the images."""
    check_content(content)
    check_state(content, own.module)
    callbacks: list[L.Callback] = own.trainer.callbacks  # type: ignore[attr-defined]
    check_average(content, kept=any(callback.state_key == "RunningAverage" for callback in callbacks))
    check_loops(content, own.trainer)
    check_optimization(content, own.optimizer, own.schedule)
    check_unfinished(content, own.module.network, own.module.figures_of_training())


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Raise an `InputError` that names the checkpoint for a `SavedFileError`."""
    try:
        yield
    except SavedFileError as error:
        raise InputError(f"resume: {path} does not fit this run ({error}): remove it, or train anew") from error


def _check_classes(content: Any, data: ImageDataModule) -> None:
    """Raise `InputError` for other classes than the checkpoint's, and name them; an earlier version's has none."""
    settings = content.get("hyper_parameters") if isinstance(content, dict) else None
    names = settings.get("class_names") if isinstance(settings, dict) else None
    if not isinstance(names, list) or names == data.class_names:
        return
    before = list(map(str, names))
    gone = [name for name in before if name not in data.class_names]
    new = [name for name in data.class_names if name not in before]
    said = [f"{_few(gone)} {'are' if len(gone) > 1 else 'is'} gone"] if gone else []
    said += [f"{_few(new)} {'are' if len(new) > 1 else 'is'} new"] if new else []
    what = "labels" if data.source == "table" else "classes"
    raise InputError(
        f"resume: {data.labelled_by} has other {what} than the run was begun with "
        f"({' and '.join(said) or 'the order is another'}): put them back, or train a new run"
    )


def _few(names: list[str]) -> str:
    return ", ".join(repr(name[:60]) for name in names[:NAMED]) + (", …" if len(names) > NAMED else "")


def _check_images(content: Any, data: ImageDataModule) -> None:
    """Compare the images, which an earlier version's checkpoint does not name."""
    census = content.get(type(data).__qualname__)
    for split, images in data.census.items() if isinstance(census, dict) else ():
        if census.get(split) != images:
            raise InputError(
                f"resume: the {split} images of {data.labelled_by} are not those that the run was begun with "
                f"({census.get(split)}, now {images}): put them back, or train a new run"
            )


def check_length(path: Path, batches: int, epochs: int | None) -> None:
    """Raise `InputError` unless no more than `epochs` (None: any) are done, and an epoch still has `batches`."""
    done, unfinished = progress(path)[1], load_saved(path).get("unfinished")
    if epochs is not None and 0 <= epochs < done:
        raise InputError(
            f"trainer.max_epochs={epochs} is too few, as {done} epochs are done already: say more, or leave it out"
        )
    before = unfinished.get("of", batches) if isinstance(unfinished, dict) else batches
    if before != batches:
        raise InputError(
            f"the run stands in the middle of an epoch of {before} batches, which would now have {batches}: go on with "
            "the trainer.devices and trainer.limit_train_batches that it had"
        )
