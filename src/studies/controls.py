"""Controls of a run: trainings that an explanation of the run itself has to differ from."""

import logging
import shlex
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.errors import InputError
from src.run import RunFolder
from src.session import run_training

log = logging.getLogger(__name__)

EPOCHS, IMAGES = 20, 1000
"""Of a training on shuffled labels: what is learned by heart takes many epochs, and few images can be learned so."""


def train_shuffled(
    run: RunFolder, folder: Path, *, epochs: int = EPOCHS, images: int = IMAGES, data_root: str | None = None
) -> Path:
    """The checkpoint of `run`'s network, trained in `folder` on shuffled labels; one that lies there whole is taken.

    The data randomisation test of Adebayo et al. 2018 (https://arxiv.org/abs/1810.03292): maps that look the same for
    a network whose labels had nothing to do with the images do not tell what was learned.

    The run's configuration with `data.shuffle_labels`, no augmentation, `epochs` epochs and at most `images` training
    images, so that the network can learn them by heart; how far it came is `train/accuracy` in the folder's
    metrics.csv. `data_root` says where the data set lies now. The last checkpoint is given back: by their true labels
    no epoch is the best one. Raises `InputError`
    without the run's configuration, or where `folder` holds another training.
    """
    settings = shuffled_settings(run, epochs=epochs, images=images)
    if data_root is not None:
        settings.data.root = data_root
    control = RunFolder(folder)
    if control.status is not None and not _same(OmegaConf.load(control.hydra / "config.yaml"), settings):
        raise InputError(f"{folder} holds another training: name another folder, or remove it")
    if not (control.is_whole and control.last_checkpoint.exists()):
        log.info("trains %s on shuffled labels, in %s", settings.model.name, control.shown)
        # What was interrupted is gone on with.
        run_training(settings, control, command=shlex.join(sys.orig_argv), resume=control.status is not None)
    return control.last_checkpoint


def _same(one: Any, other: Any) -> bool:
    """Whether two trainings are the same, wherever their data lie."""
    elsewhere = OmegaConf.merge(one, {"data": {"root": other.data.root}})
    return bool(elsewhere == other)


def shuffled_settings(run: RunFolder, *, epochs: int, images: int) -> DictConfig:
    """The configuration of `run` with shuffled labels, without what such a training does not need."""
    file = run.hydra / "config.yaml"
    if not file.exists():
        raise InputError(f"{run.path} has no .hydra/config.yaml to train a control by: name a whole run")
    settings: Any = OmegaConf.load(file)
    # Not resolved: `sweep` may be the time of day, which only Hydra's command line can tell.
    settings.update({"study": None, "sweep": None, "callbacks": {}, "logger": {}})
    settings.update({"baseline": False, "cost": False, "test": False, "compile": False})
    limit = OmegaConf.select(settings, "data.max_images")
    settings.data.update({"shuffle_labels": True, "augment": None, "max_images": min(images, limit or images)})
    # Nothing of Lightning's may cut it short; of the validation, which is by the true labels, one batch is enough.
    settings.trainer.update(
        {"max_epochs": epochs, "min_epochs": None, "max_steps": -1, "min_steps": None, "max_time": None}
        | {"fast_dev_run": False, "overfit_batches": 0.0, "limit_train_batches": None, "limit_val_batches": 1}
        | {"enable_checkpointing": True, "devices": 1, "num_nodes": 1, "strategy": "auto"}
    )
    return settings
