"""Controls of a run: trainings that an explanation of the run itself has to differ from."""

import logging
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ..command.next_steps import typed_again
from ..errors import InputError
from ..files import refuse_links
from ..runs.folder import RunFolder
from ..runs.foreign import look_over
from ..runs.saved_settings import run_settings
from ..settings.check import check_config
from ..settings.rates import from_scratch
from ..tables import duration
from ..training.assemble import all_settings_needed
from ..training.session import run_training

CHOSEN = {"stem", "stem_pool", "shortcut_padding"}
"""What pretrained weights may have chosen of a network."""

NO_LEVERS = {"ema": None, "mixup": 0.0, "cutmix": 0.0, "progressive_size": 1.0}
"""What keeps a network from learning by heart, switched off."""

log = logging.getLogger(__name__)

EPOCHS, IMAGES = 50, 400
"""Of a training on shuffled labels: learning by heart takes many epochs, and works for few images. A ResNet-18 on
photographs of 128 px knew 57 % of 1,000 labels after 7 of 20 epochs, which cost the same."""


ALONE = {
    **{"devices": 1, "num_nodes": 1, "strategy": "auto", "enable_checkpointing": True},
    **{"min_epochs": None, "min_steps": None, "plugins": None, "profiler": None, "model_registry": None},
}
"""Settings of the Trainer for a network beside a run, which may be a stranger's: nothing keeps it training for ever,
and nothing of it is sent anywhere."""


def train_shuffled(
    run: RunFolder,
    folder: Path,
    *,
    epochs: int = EPOCHS,
    images: int = IMAGES,
    architecture: Mapping[str, Any] | None = None,
    data_root: str | None = None,
) -> Path:
    """Train `run`'s network on shuffled labels in `folder`, unless it is there already; return its checkpoint.

    The data randomisation test of Adebayo et al. 2018 (https://arxiv.org/abs/1810.03292): maps that look the same for
    a network whose labels had nothing to do with the images say nothing about what was learned. The training follows
    the run's settings, from scratch and without augmentation, for `epochs` on at most `images` training images, so that
    the network can learn them by heart; `learned` says how far it came.

    Args:
        architecture: That of the run's checkpoint, where pretrained weights have chosen its stem, say.
        data_root: Where the data set lies now.

    Returns:
        The last checkpoint: by the true labels, no epoch is the best one.

    Raises:
        InputError: Without the run's settings, or where `folder` holds another training or can't be written.
    """
    settings = shuffled_settings(run, epochs=epochs, images=images)
    settings.model.update(
        {key: value for key, value in (architecture or {}).items() if key in CHOSEN & settings.model.keys()}
    )
    if data_root is not None:
        settings.data.root = data_root
    control = RunFolder(folder)
    if control.status is not None and not _same(run_settings(control), settings):
        raise InputError(f"{folder} holds another training: name another folder, or remove it")
    if not (control.is_whole and control.last_checkpoint.exists()):
        _announce(run, settings, control)
        train_beside(settings, control, "shuffled")
    return control.last_checkpoint


def _announce(run: RunFolder, settings: DictConfig, control: RunFolder) -> None:
    """Say, before it begins, what a control costs: as far as the run's own speed and checkpoints tell."""
    epochs, images = settings.trainer.max_epochs, settings.data.max_images
    log.info("training a control, %s on shuffled labels, in %s", settings.model.name, control.shown)
    log.info("%s; shuffled=null does without", cost_of(run, epochs, images))


def cost_of(run: RunFolder, epochs: int, images: int) -> str:
    """Return what a training of `run`'s network takes: `50 epochs of 400 images, about 40 s and 90 MB of disk`."""
    told = []
    with suppress(OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        told.append(duration(epochs * images / float(run.metrics()["images_per_second"])))
    with suppress(OSError):
        told.append(f"{2 * run.best_checkpoint.stat().st_size / 1e6:,.0f} MB of disk")  # best and last
    return f"{epochs} epochs of {images:,} images" + (f", about {' and '.join(told)}" if told else "")


def _same(one: Any, other: Any) -> bool:
    """Return whether two trainings are the same, wherever their data lie."""
    return bool(OmegaConf.merge(one, {"data": {"root": other.data.root}}) == other)


def learned(control: RunFolder) -> float:
    """Return the accuracy in [0, 1] on its own training images that a control ended with."""
    return float(control.history()["train/accuracy"].iloc[-1])


def train_beside(settings: DictConfig, target: RunFolder, word: str) -> None:
    """Train in a folder beside the explanations of a run, or resume what was interrupted there.

    Raise `InputError` where nothing can be written there; it names the setting called `word` as the way out.
    """
    check_config(settings)
    refuse_links(target.path.parents[1], target.path)  # RUN/explain/WORD
    if target.path.is_dir():
        look_over(target.path)
    try:
        target.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{target.path} can't be made ({error.strerror}): say {word}=RUN or {word}=null") from None
    try:
        command, resume = shlex.join(sys.orig_argv), target.status is not None
        run_training(settings, target, command, resume=resume, again=typed_again("explain"))
    except InputError:
        with suppress(OSError):  # not empty: something had begun
            target.path.rmdir()
            target.path.parent.rmdir()
        raise


def begin_from_scratch(settings: DictConfig) -> None:
    """Let a training beside a fine-tuned run learn at the rate from scratch, unless somebody has chosen its rate."""
    settings.optimizer.lr = from_scratch(settings) or settings.optimizer.lr
    if "head_first" in settings:
        settings.head_first = False


@all_settings_needed()
def shuffled_settings(run: RunFolder, *, epochs: int, images: int) -> DictConfig:
    """Return the settings of `run` with shuffled labels, without what such a training does not need."""
    settings: DictConfig = run_settings(run)
    plain(settings, epochs)
    begin_from_scratch(settings)
    # Pretrained weights know something already, and a frozen backbone learns nothing by heart.
    settings.update({"weights": None, "freeze": "none"})
    settings.model.update({key: settings[key] for key in ("weights", "freeze") if key in settings.model})
    settings.optimizer.layer_decay = 1.0
    limit = OmegaConf.select(settings, "data.max_images")
    settings.data.update({"shuffle_labels": True, "augment": None, "max_images": min(images, limit or images)})
    return settings


def plain(settings: DictConfig, epochs: int) -> None:
    """Leave out of a run's settings what a training beside it doesn't need, and let it train for `epochs`."""
    settings.update({"study": None, "sweep": None, "callbacks": {}, "logger": {}})
    settings.update({"baseline": False, "cost": False, "test": False, "compile": False})
    settings.update({name: value for name, value in NO_LEVERS.items() if name in settings})
    # No setting of Lightning's may cut it short. What validation says decides nothing: one batch of it is enough.
    settings.trainer.update(
        ALONE
        | {"max_epochs": epochs, "max_steps": -1, "max_time": None}
        | {"fast_dev_run": False, "overfit_batches": 0.0, "limit_train_batches": None, "limit_val_batches": 1}
    )
