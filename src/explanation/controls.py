"""Controls of a run: trainings that an explanation of the run itself has to differ from."""

import logging
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ..errors import InputError
from ..runs.folder import RunFolder
from ..runs.saved_settings import run_settings
from ..training.session import run_training

STEM = {"stem", "stem_pool"}

log = logging.getLogger(__name__)

EPOCHS, IMAGES = 50, 400
"""Of a training on shuffled labels: what is learned by heart takes many epochs, and few images can be learned so. A
ResNet-18 on photographs of 128 px knew 57 % of 1,000 labels after 7 of 20 epochs, which cost the same."""


def train_shuffled(
    run: RunFolder,
    folder: Path,
    *,
    epochs: int = EPOCHS,
    images: int = IMAGES,
    architecture: Mapping[str, Any] | None = None,
    data_root: str | None = None,
) -> Path:
    """The checkpoint of `run`'s network, trained in `folder` on shuffled labels; one that lies there whole is taken.

    The data randomisation test of Adebayo et al. 2018 (https://arxiv.org/abs/1810.03292): maps that look the same for
    a network whose labels had nothing to do with the images do not tell what was learned.

    The run's configuration with `data.shuffle_labels`, from scratch and without augmentation, `epochs` epochs on at
    most `images` training images, so that the network can learn them by heart; how far it came says `learned`.
    `architecture` is that of the run's checkpoint, where pretrained weights have chosen the stem; `data_root` says
    where the data set lies now. The last checkpoint is given back: by their true labels no epoch is the best one.

    Raises `InputError` without the run's configuration, or where `folder` holds another training or can't be written.
    """
    settings = shuffled_settings(run, epochs=epochs, images=images)
    settings.model.update(
        {key: value for key, value in (architecture or {}).items() if key in STEM & settings.model.keys()}
    )
    if data_root is not None:
        settings.data.root = data_root
    control = RunFolder(folder)
    if control.status is not None and not _same(run_settings(control), settings):
        raise InputError(f"{folder} holds another training: name another folder, or remove it")
    if not (control.is_whole and control.last_checkpoint.exists()):
        log.info("trains %s on shuffled labels, in %s", settings.model.name, control.shown)
        train_beside(settings, control, "shuffled")
    return control.last_checkpoint


def _same(one: Any, other: Any) -> bool:
    """Whether two trainings are the same, wherever their data lie."""
    elsewhere = OmegaConf.merge(one, {"data": {"root": other.data.root}})
    return bool(elsewhere == other)


def learned(control: RunFolder) -> float:
    """The accuracy on its own training images that a control ended with, in [0, 1]."""
    return float(control.history()["train/accuracy"].iloc[-1])


def train_beside(settings: DictConfig, target: RunFolder, word: str) -> None:
    """Train in a folder beside the explanations of a run; what was interrupted is gone on with.

    Raises `InputError` where nothing can be written there, with what can be said instead: the setting called `word`.
    """
    try:
        target.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{target.path} can't be made ({error.strerror}): say {word}=RUN or {word}=null") from None
    try:
        run_training(settings, target, command=shlex.join(sys.orig_argv), resume=target.status is not None)
    except InputError:
        with suppress(OSError):  # not empty: something had begun
            target.path.rmdir()
            target.path.parent.rmdir()
        raise


def shuffled_settings(run: RunFolder, *, epochs: int, images: int) -> DictConfig:
    """The configuration of `run` with shuffled labels, without what such a training does not need."""
    settings = run_settings(run)
    settings.update({"study": None, "sweep": None, "callbacks": {}, "logger": {}})
    settings.update({"baseline": False, "cost": False, "test": False, "compile": False})
    # Pretrained weights know something, and a frozen backbone learns nothing by heart.
    settings.update({"weights": None, "freeze": "none"})
    settings.model.update({key: settings[key] for key in ("weights", "freeze") if key in settings.model})
    settings.optimizer.layer_decay = 1.0
    limit = OmegaConf.select(settings, "data.max_images")
    settings.data.update({"shuffle_labels": True, "augment": None, "max_images": min(images, limit or images)})
    # Nothing of Lightning's may cut it short; of the validation, which is by the true labels, one batch is enough.
    settings.trainer.update(
        {"max_epochs": epochs, "min_epochs": None, "max_steps": -1, "min_steps": None, "max_time": None}
        | {"fast_dev_run": False, "overfit_batches": 0.0, "limit_train_batches": None, "limit_val_batches": 1}
        | {"enable_checkpointing": True, "devices": 1, "num_nodes": 1, "strategy": "auto"}
    )
    return settings
