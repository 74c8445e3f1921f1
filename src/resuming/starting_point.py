"""Which checkpoint a run resumes from: one that is whole, safe to load, and fits network and images.

`src.command.resume` compares the settings before.
"""

import logging
from itertools import zip_longest
from pathlib import Path
from typing import Any

from torch import nn

from ..data import ImageDataModule
from ..errors import InputError
from ..networks.saved import SavedFileError, check_tensors, load_saved
from ..runs.folder import RunFolder
from .checkpoint_files import load_whole

log = logging.getLogger(__name__)

PARTS: dict[str, type] = {
    "epoch": int,
    "global_step": int,
    "state_dict": dict,
    "loops": dict,
    "callbacks": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
}
"""What Lightning needs to restore a training."""

COUNTS = ("epoch", "global_step")


def last_whole(folder: RunFolder) -> Path | None:
    """Return the newest whole checkpoint, None without any; name a damaged one and pass it over.

    Raise `InputError` if one is unsafe to load, or can't be read but may be whole.
    """
    whole: dict[Path, Any] = {}
    for path in (folder.last_checkpoint, folder.best_checkpoint):
        try:
            if not path.exists():
                continue
            if path.is_dir():  # nothing could be written in its place
                raise InputError(f"resume: {path} is a folder: move it away, and the run goes on from the one before")
            content = load_whole(path)
            if not isinstance(content, dict) or not all(isinstance(content.get(key), int) for key in COUNTS):
                raise SavedFileError("it is no checkpoint of src.train")
            whole[path] = content
        except SavedFileError as error:
            if error.unsafe:
                raise InputError(f"resume: {path} is not safe to load ({error}): remove it, or train anew") from error
            if isinstance(error.__cause__, OSError) and error.__cause__.errno is not None:  # it may be whole
                raise InputError(f"resume: {path} can't be read ({error}): see to that, or remove it") from error
            log.warning("%s is passed over: %s", path, error)
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
    if isinstance(unfinished, dict):
        log.info("goes on in epoch %d, after batch %s", checkpoint["epoch"] + 1, unfinished.get("batches"))
    else:
        log.info("goes on after epoch %d", checkpoint["epoch"] + 1)


def check_fits(path: Path, module: nn.Module, data: ImageDataModule) -> None:
    """Raise `InputError` unless the checkpoint is of a training of this module on these images.

    Lightning would find out half-way, or not at all.
    """
    content = load_saved(path)
    wrong = [key for key, kind in PARTS.items() if not isinstance(content.get(key), kind)]
    try:
        if wrong:
            raise SavedFileError(f"it has no {wrong[0]} of src.train")
        own, given = module.state_dict(), content["state_dict"]
        check_tensors(given, path)
        differing = [name for name in own.keys() | given.keys() if name not in own or name not in given]
        differing += [name for name in own.keys() & given.keys() if own[name].shape != given[name].shape]
        if differing:
            raise SavedFileError(f"{min(map(str, differing))[:60]} is not in both, or of another shape")
    except SavedFileError as error:
        raise InputError(f"resume: {path} does not fit this run ({error}): remove it, or train anew") from error
    _check_images(content, data)


def _check_images(content: Any, data: ImageDataModule) -> None:
    """Compare classes and images, which an earlier version's checkpoint does not name."""
    settings, census = content.get("hyper_parameters"), content.get(type(data).__qualname__)
    names = settings.get("class_names") if isinstance(settings, dict) else None
    if isinstance(names, list) and names != data.class_names:
        old, new = next(pair for pair in zip_longest(names, data.class_names) if pair[0] != pair[1])
        raise InputError(
            f"resume: {data.data_root} has other classes than the run was begun with ({old}, now {new}): put them "
            "back, or train a new run"
        )
    for split, images in data.census.items() if isinstance(census, dict) else ():
        if census.get(split) != images:
            raise InputError(
                f"resume: the {split} images of {data.data_root} are not those that the run was begun with "
                f"({str(census.get(split))[:60]}, now {images}): put them back, or train a new run"
            )


def check_length(path: Path, batches: int, epochs: int | None) -> None:
    """Raise `InputError` unless no more than `epochs` (None: any) are done, and an epoch still has `batches`."""
    done, unfinished = progress(path)[1], load_saved(path).get("unfinished")
    if epochs is not None and 0 <= epochs < done:
        raise InputError(f"trainer.max_epochs={epochs} is too few: {done} epochs are done already")
    before = unfinished.get("of", batches) if isinstance(unfinished, dict) else batches
    if before != batches:
        raise InputError(
            f"the run stands in the middle of an epoch of {before} batches, which would now have {batches}: go on with "
            "the trainer.devices and trainer.limit_train_batches that it had"
        )
