"""Grad-CAM after every epoch: the same validation images, explained as the network learns."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import lightning
import numpy as np
import torch
from numpy.typing import NDArray

from .. import figures
from ..attribution.archive import save_arrays, save_attribution
from ..attribution.cam import Attribution, gradcam
from ..attribution.layers import find_layer
from ..data.label_kinds import rarest_labels
from ..data.workers import is_death
from ..errors import InputError
from ..names import NO_LABEL, together
from ..runs.folder import RunFolder
from .history import History
from .loggers import log_by_epoch, log_picture
from .map_steps import arrays_file, step_to
from .object_energy import TAG as ENERGY
from .object_energy import ObjectEnergy

log = logging.getLogger(__name__)

Target = Literal["predicted", "true"]

TAG = "val/gradcam"
"""One tag for all epochs, so that TensorBoard's slider plays the training."""

MOVEMENT = "val/gradcam_rank_correlation"
"""How much the maps resemble those of the epoch before, averaged over the images; at 1 they stand still."""


class Sample(NamedTuple):
    """Images (n, C, S, S) uint8, their targets (n,) and paths, and of several labels an image all of them (n, K)."""

    images: torch.Tensor
    targets: torch.Tensor
    paths: list[str]
    labels: NDArray[np.float32] | None = None


class GradCAMCallback(lightning.pytorch.Callback):
    """Explains a fixed batch of `images` validation images after every epoch; 000 is the untrained network.

    Writes `gradcam/epoch_NNN.png` and `.npz` into the run folder (`trainer.default_root_dir`), `gradcam/images.npz`
    once, and to the loggers the picture and how much its maps resemble those of the epoch before
    (`src.callbacks.map_steps`). `target` chooses the class that a map explains, where an image has several labels the
    likeliest or each that it has, `layer` the layer by name (default: the
    deepest with a map of at least 7×7). Where the objects' places are known, it also measures on at most `objects`
    images how much of the maps lies on them (`src.callbacks.object_energy`). `seconds` is the time spent so far.

    It observes only: weights, gradients, modes and random state are those of a run without it. Maps that can't be made
    cause one warning; a `layer` that doesn't exist ends the run before it begins (`InputError`).
    """

    def __init__(
        self,
        images: int = 8,
        target: Target = "predicted",
        layer: str | None = None,
        untrained: bool = True,
        objects: int | None = None,
    ) -> None:
        if images < 1:
            raise InputError(f"callbacks.gradcam.images={images} is no number of images; take at least 1")
        if target not in get_args(Target):
            raise InputError(f"callbacks.gradcam.target={target} is unknown; take {' or '.join(get_args(Target))}")
        self.images = images
        self.target = target
        self.layer = layer
        self.untrained = untrained
        self.objects = objects
        self.seconds = 0.0
        self._sample: Sample | None = None
        self._energy: ObjectEnergy | None = None
        self._warned = False

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        if self.layer is not None:
            find_layer(pl_module.network, self.layer)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        # Not on_fit_start: there a resumed run does not know yet that it has been trained.
        if self.untrained and trainer.global_step == 0:
            self.explain(trainer, pl_module, epoch=0)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        self.explain(trainer, pl_module, epoch=trainer.current_epoch + 1)

    def explain(self, trainer: lightning.Trainer, module: Any, epoch: int) -> None:
        """Explain the fixed batch with `module.network` as it is now; write picture, arrays and log entry."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        began = time.perf_counter()
        try:
            self._explain(trainer, module, epoch)
        except Exception as error:  # no map, memory, space or printable name: none is worth ending the training for
            if is_death(error):  # of a process that reads images, which ends the training in any case
                raise
            if not self._warned:
                log.warning("no Grad-CAM after epoch %d, the training goes on: %s", epoch, error)
            self._warned = True
        finally:
            self.seconds += time.perf_counter() - began

    def _explain(self, trainer: lightning.Trainer, module: Any, epoch: int) -> None:
        folder = RunFolder(trainer.default_root_dir).gradcam
        names: list[str] = trainer.datamodule.class_names  # type: ignore[attr-defined]
        images, targets, paths, labels = self._fixed_batch(trainer, folder)
        with torch.no_grad():
            normalised = module.normalise(images.to(module.device))
        attribution = gradcam(
            module.answering(), normalised, targets if self.target == "true" else None, layer=self.layer
        )
        self.layer = attribution.layer  # found once: the images stay the same size
        more = {} if self._energy is None else {"object_energy": self._energy.measure(module, attribution.layer)}
        save_attribution(
            arrays_file(folder, epoch), attribution, targets=targets.numpy(), paths=np.array(paths), epoch=epoch, **more
        )
        if more and epoch:
            known = more["object_energy"][np.isfinite(more["object_energy"])]
            self._log_energy(trainer, module, float(known.mean()) if len(known) else float("nan"), epoch)
        title = f"epoch {epoch}"
        if labels is None:
            picture = draw(images.numpy(), attribution, targets.numpy(), names, title)
        else:
            picture = draw_labels(images.numpy(), attribution, labels, names, title, module.thresholds.cpu().numpy())
        figures.save_image(picture, arrays_file(folder, epoch).with_suffix(".png"))
        log_picture(trainer, TAG, picture, epoch)
        moved = step_to(folder, epoch)
        if moved is not None and np.isfinite(moved.mean):
            log_by_epoch(trainer, MOVEMENT, float(moved.mean), epoch)

    def _log_energy(self, trainer: lightning.Trainer, module: Any, energy: float, epoch: int) -> None:
        """Log the figure as the other figures of an epoch are."""
        module.log(ENERGY, energy, on_epoch=True, rank_zero_only=True)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, History):
                callback.add(epoch, ENERGY, energy)

    def _fixed_batch(self, trainer: lightning.Trainer, folder: Path) -> Sample:
        """Return what is explained, read once; `images.npz` keeps it for reports."""
        if self._sample is None:
            images, targets, paths = trainer.datamodule.sample("val", self.images)  # type: ignore[attr-defined]
            self._energy = ObjectEnergy.prepare(
                trainer.datamodule,  # type: ignore[attr-defined]
                self.objects, folder, by_true=self.target == "true",
            )  # fmt: skip
            names, more = trainer.datamodule.class_names, {}  # type: ignore[attr-defined]
            if targets.ndim == 1:
                self._sample = Sample(images.cpu(), torch.as_tensor(targets), [str(path) for path in paths])
            else:
                self._sample = label_by_label(images.cpu(), targets, paths, all_of_them=self.target == "true")
                names, more = [*names, NO_LABEL], {"labels": self._sample.labels}
            save_arrays(
                folder / "images.npz",
                images=self._sample[0].numpy(),
                targets=self._sample[1].numpy(),
                paths=np.array(self._sample[2]),
                class_names=np.array(names),
                **more,
            )
        return self._sample


def label_by_label(
    images: torch.Tensor, labels: NDArray[np.float32], paths: Sequence[str], *, all_of_them: bool
) -> Sample:
    """Return images (n, C, S, S) with one label each as the target: with `all_of_them` once for each of its labels.

    Otherwise once, for the label that fewest of them have; K, `NO_LABEL`, for an image of `labels` (n, K) without any.
    """
    rows, targets = np.arange(len(labels)), rarest_labels(labels)
    if all_of_them and (labels == 1).any():
        rows, targets = np.nonzero(labels == 1)
    chosen = torch.from_numpy(rows)
    return Sample(images[chosen], torch.from_numpy(targets), [str(paths[row]) for row in rows.tolist()], labels[rows])


def draw(
    images: NDArray[np.uint8], attribution: Attribution, targets: NDArray[np.int64], names: Sequence[str], title: str
) -> NDArray[np.uint8]:
    """Draw the Grad-CAM grid, (H, W, 3) uint8, of images (N, C, H, W) with the true classes `targets` (N,)."""
    figure = figures.gradcam_grid(
        images,
        attribution.maps,
        true=[names[target] for target in targets],
        predicted=[names[predicted] for predicted in attribution.predicted],
        confidences=attribution.confidences,
        explained=[names[explained] for explained in attribution.targets],
        title=f"Grad-CAM · {title} · {attribution.layer}",
    )
    return figures.to_image(figure)


def draw_labels(
    images: NDArray[np.uint8],
    attribution: Attribution,
    labels: NDArray[np.float32],
    names: Sequence[str],
    title: str,
    thresholds: NDArray[np.float32],
) -> NDArray[np.uint8]:
    """Draw the Grad-CAM grid of images with the true `labels` (N, K), of which it tells the known ones; see `draw`."""
    said = 1 / (1 + np.exp(-attribution.logits.astype(np.float64)))

    figure = figures.gradcam_grid(
        images,
        attribution.maps,
        true=together(labels == 1, names),
        predicted=together((said >= thresholds) & ~np.isnan(labels), names),
        confidences=said[np.arange(len(said)), attribution.targets].tolist(),
        explained=[names[explained] for explained in attribution.targets],
        title=f"Grad-CAM · {title} · {attribution.layer}",
    )
    return figures.to_image(figure)
