"""Training from pretrained weights: where they come from, and what a frozen backbone sees, computed once."""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from math import inf
from pathlib import Path
from typing import Any

import torch
from rich import get_console
from rich.progress import track
from torch import Tensor

from ..activity import cleared
from ..errors import InputError, RunError
from ..files import refuse_links
from ..networks import architecture
from ..networks.pretrained import imagenet_weights, stem_of
from ..networks.saved import load_saved
from ..networks.weights_file import read_weights
from ..runs.folder import ADOPTED, RunFolder
from ..settings.check import problem
from .classifier import ImageClassifier


def read_pretrained(weights: str | None, name: str) -> dict[str, Tensor] | None:
    """Return the state dict that `weights` means for the network `name`: `imagenet`, a file, or a run's best.

    None for None. Raise `InputError` if there is none to be had.
    """
    if weights is None:
        return None
    if weights == "imagenet":
        return imagenet_weights(name)
    path = Path(weights).expanduser()
    if path.is_dir():
        run = RunFolder(path)
        path = run.path / ADOPTED if (run.path / ADOPTED).is_file() else run.best_checkpoint
        refuse_links(run.path, path)
        if not path.is_file():
            raise InputError(
                f"weights={weights} is a folder without {path.parent.name}/{path.name}: name a run or a file"
            )
    return read_weights(path, name)


def resolve_architecture(model: Mapping[str, Any], pretrained: Mapping[str, Tensor] | None) -> dict[str, Any]:
    """Return what `build_network` takes of a configuration's model group; what is `auto` follows the weights."""
    settings = architecture(model)
    if pretrained is not None and settings.get("stem") == "auto":
        settings["stem"] = stem_of(pretrained, settings["name"]) or "auto"
    if settings.get("shortcut_padding") == "auto":
        told = getattr(pretrained, "shortcuts", None)
        settings["shortcut_padding"] = told.padding if told else "behind"
    return settings


def as_begun(model: Mapping[str, Any], checkpoint: Path | None) -> dict[str, Any]:
    """Return the model group with what is `auto` as a run that goes on from `checkpoint` began with it.

    Before shortcuts could pad otherwise, they padded behind, whatever the weights told.
    """
    settings = dict(model)
    if checkpoint is not None and settings.get("shortcut_padding") == "auto":
        begun = load_saved(checkpoint).get("hyper_parameters") or {}
        settings["shortcut_padding"] = dict(begun.get("architecture") or {}).get("shortcut_padding", "behind")
    return settings


def rate_in(checkpoint: Path) -> float:
    """Return the learning rate that a run with `optimizer.lr=auto` has found before it wrote this checkpoint."""
    settings = load_saved(checkpoint).get("hyper_parameters") or {}
    rate = dict(settings.get("optimizer") or {}).get("lr")
    if not isinstance(rate, float) or problem("optimizer.lr", rate) is not None:
        raise InputError(f"{checkpoint} lacks the rate that optimizer.lr=auto has found: train anew with a number")
    return rate


def features_stay_the_same(
    wanted: bool | str, *, freeze: str | int, changed: Sequence[str], processes: int, limited: bool = False
) -> bool:
    """Return whether features are computed once and kept.

    Raise `InputError` if freezing, or keeping features, is asked for and would be wrong.

    Args:
        wanted: `data.cache_features`.
        changed: what to say so that images, and with them their features, stay the same; nothing where they do.
        limited: The training sees only some batches; features of all images are then computed only if `wanted`.
    """
    if isinstance(freeze, int) and processes > 1:
        # DistributedDataParallel notes at its start which weights have gradients.
        raise InputError(f"freeze={freeze} needs a single process: take freeze=backbone, or trainer.devices=1")
    missing = ["freeze=backbone"] if freeze != "backbone" else []
    missing += [*changed, *(["trainer.devices=1"] if processes > 1 else [])]
    if wanted is True and missing:
        raise InputError(f"data.cache_features=true needs features that stay the same: say {' '.join(missing)}")
    return wanted is True or (wanted == "auto" and not missing and not limited)


def extract_features(
    module: ImageClassifier,
    loader: Iterable[tuple[Tensor, Tensor]],
    *,
    device: torch.device,
    context: AbstractContextManager[None],
    by: float = inf,
) -> Tensor:
    """Return the features (N, F) of all images (N, C, S, S) of the loader, in its order, in CPU memory.

    The module moves to `device`; its modes are restored afterwards.

    Args:
        context: The precision of the training, such as autocast, which decides the features' number format.
        by: `time.monotonic()` until which there is time for it.

    Raises:
        RunError: There is none left.
    """
    training = module.training
    module.to(device).eval()
    console = get_console()
    batches = track(loader, "Features", console=console, transient=True, disable=not console.is_terminal)
    try:
        with cleared(), torch.inference_mode(), context:
            features = []
            for images, _ in batches:
                if time.monotonic() > by:
                    raise RunError("the time is over before all images were seen once")
                features.append(module.features(images.to(device)).cpu())
    finally:
        module.train(training)
    return torch.cat(features)  # outside of inference_mode, or autograd would refuse them
