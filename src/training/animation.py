"""The Grad-CAMs of a training as an animation, from what the callback has kept."""

from collections.abc import Mapping

import numpy as np

from ..analysis.tasks import MULTILABEL, ONE_CLASS, Task
from ..attribution.archive import load_attribution
from ..callbacks.map_steps import arrays_file
from ..figures.animation import Frame, chosen_frames, draw_frames, save_animation
from ..runs.arrays import read_arrays
from ..runs.folder import RunFolder

FILE = "gradcam_by_epoch.webp"


def draw_animation(folder: RunFolder, accuracy: Mapping[int, float], best_epoch: int, task: Task = ONE_CLASS) -> None:
    """Write `figures/gradcam_by_epoch.webp`, unless there are fewer than two epochs with maps of the same layer.

    Args:
        accuracy: what stands above an epoch, by epoch from 1: what sums the task up on validation images.
    """
    epochs = sorted(int(path.stem.removeprefix("epoch_")) for path in folder.gradcam.glob("epoch_[0-9]*.npz"))
    if len(epochs) < 2:
        return
    several = ("labels",) if task is MULTILABEL else ()
    kept = read_arrays(folder.gradcam, "images.npz", ("images", "targets", "class_names", *several))
    names = [str(name) for name in kept["class_names"]]
    true = [names[target] for target in kept["targets"]]
    best = epochs.index(best_epoch) if best_epoch in epochs else None
    frames, layer = [], ""
    for place in chosen_frames(len(epochs), best):
        epoch, found = epochs[place], load_attribution(arrays_file(folder.gradcam, epochs[place]))
        if len(found.maps) != len(true) or layer not in ("", found.layer):
            return
        layer = found.layer
        score = accuracy.get(epoch, float("nan"))
        title = f"epoch {epoch} of {epochs[-1]}" if epoch else "before training"
        title += f" · validation {task.score.title} {score:.3f}" if np.isfinite(score) else ""
        title += " · best" * (epoch == best_epoch)
        right = found.targets == kept["targets"]
        if several:
            right = kept["labels"][np.arange(len(right)), found.targets] == 1
        said = zip(found.targets, right, strict=True)
        captions = [f"{'' if fits else '✗ '}{names[target]}" for target, fits in said]
        frames.append(Frame(title, found.maps, captions, right.tolist()))
    pictures = draw_frames(kept["images"], true, frames, f"Grad-CAM of {layer}: above the true class, below the map's")
    save_animation(pictures, folder.figures / FILE)
