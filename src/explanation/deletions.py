"""A copy of a run's network that has learned to do without a piece of an image, and what its maps are worth."""

import logging
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from ..analysis.single_deletion import GRID, SingleDeletion, single_deletion
from ..attribution.cam import class_activation_maps
from ..data.processes import file_progress
from ..errors import InputError
from ..runs.folder import RunFolder
from ..runs.saved_settings import run_settings
from ..settings.rates import AUTO, FINE_TUNING, is_fine_tuning, usual_for
from ..trained.checkpoint import Trained, load_trained
from ..trained.temperature import digest
from ..training.assemble import all_settings_needed
from .controls import cost_of, plain, train_beside

log = logging.getLogger(__name__)

EPOCHS, IMAGES = 3, 2000
"""Of the copy's training; half of its images lack a piece."""


def measure_deletions(
    trained: Trained,
    images: Tensor,
    targets: NDArray[np.int64],
    method: str,
    layer: str | None,
    *,
    batch_size: int,
    data_root: str | None,
) -> SingleDeletion:
    """Measure the maps of the copy for uint8 images (N, C, S, S) of the classes `targets` (N,), at `layer`.

    Raise `InputError` where the network belongs to no run, and where the copy can't be trained.
    """
    if trained.run is None:
        raise InputError(
            f"single_deletion=true trains the network on, and {trained.path} belongs to no run: leave it out"
        )
    copy = load_trained(_trained_on(trained.run, trained.path, data_root), trained.device)
    with torch.no_grad():
        normalised = copy.module.normalise(images.to(copy.device)).float()
    maps = class_activation_maps(
        copy.module.network, normalised, method, torch.from_numpy(targets), layer, batch_size=batch_size
    )

    def logits(changed: NDArray[np.float32]) -> NDArray[np.float32]:
        said = []
        with torch.inference_mode(), copy.fast():
            for part in torch.split(torch.from_numpy(changed), batch_size):
                batch = part.to(copy.device, memory_format=copy.module.memory_format)
                said.append(copy.module.network(batch).float().cpu())
        return torch.cat(said).numpy()

    with file_progress("Deleting each piece", GRID**2) as advance:
        return single_deletion(logits, normalised.cpu().numpy(), targets, maps.maps, advance)


def _trained_on(run: RunFolder, checkpoint: Path, data_root: str | None) -> Path:
    """Train the run's network on with images that lack a piece, unless that is done; return the copy's checkpoint."""
    settings, copy = deletion_settings(run, checkpoint), RunFolder(run.deletions(digest(checkpoint)))
    if data_root is not None:
        settings.data.root = data_root
    if not (copy.is_whole and copy.last_checkpoint.exists()):
        log.info("training a copy of %s that knows images without a piece, in %s", settings.model.name, copy.shown)
        log.info("%s; single_deletion=false does without", cost_of(run, EPOCHS, settings.data.max_images))
        train_beside(settings, copy, "single_deletion")
    return copy.last_checkpoint


@all_settings_needed()
def deletion_settings(run: RunFolder, checkpoint: Path) -> DictConfig:
    """Return the settings of `run` for some more epochs from `checkpoint`, of which half of the images lack a piece."""
    settings: DictConfig = run_settings(run)
    rate = usual_for(settings) if settings.optimizer.lr == AUTO else settings.optimizer.lr
    settings.optimizer.lr = rate if is_fine_tuning(settings) else rate * FINE_TUNING
    plain(settings, EPOCHS)
    begun = {"weights": str(checkpoint), "freeze": "none", "head": "auto"}
    settings.update(begun)
    settings.model.update({key: value for key, value in begun.items() if key in settings.model})
    settings.update({name: False for name in ("head_first",) if name in settings})
    limit = OmegaConf.select(settings, "data.max_images")
    settings.data.update({"augment": {"erase": 0.5}, "max_images": min(IMAGES, limit or IMAGES)})
    return settings
