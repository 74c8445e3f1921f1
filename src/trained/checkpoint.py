"""A trained network from its checkpoint alone: name, classes and preprocessing travel in it as plain values."""

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..analysis.tasks import MULTILABEL, ONE_CLASS, TASKS
from ..data.transforms import Geometry
from ..errors import InputError
from ..files import refuse_links
from ..networks.saved import SavedFileError, check_tensors, is_url, load_saved
from ..runs.folder import ADOPTED, RunFolder
from ..runs.named import find_named
from ..settings.defaults import EARLIER
from ..training.classifier import ImageClassifier
from ..training.precision import choose_memory_format, choose_precision, worth_converting
from ..training.tasks import parts_of
from .hyperparameters import check_hyperparameters, check_shapes

REMEDY = "name a run (its folder, its name, SWEEP/NUMBER, or last), or a checkpoint file"


@dataclass(frozen=True, eq=False)
class Trained:
    """A classifier in evaluation mode.

    Attributes:
        path: the checkpoint file that it came from.
        run: the run that the file lies in, if any.
        fastest: the precision in which it answers fastest on its device, `bf16-mixed` or `32-true`.
    """

    module: ImageClassifier
    path: Path
    run: RunFolder | None
    fastest: str

    @property
    def name(self) -> str:
        """The network's name in the table of networks, such as `resnet18`."""
        return str(self.module.hparams["architecture"]["name"])

    @property
    def class_names(self) -> list[str]:
        return self.module.class_names

    @property
    def multilabel(self) -> bool:
        """Whether it gives an image any number of labels."""
        return self.module.task is MULTILABEL

    @property
    def geometry(self) -> Geometry:
        """How this network wants an image cut."""
        return _geometry(self.module)

    @property
    def device(self) -> torch.device:
        return self.module.mean.device

    def fast(self) -> AbstractContextManager[Any]:
        """Let the network answer as fast as it can inside the block: in bf16 where that is faster here, as in training.

        Probabilities of a ResNet-18 then differ by up to 0.004: not for answers that are kept.
        """
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.fastest == "bf16-mixed")


def load_trained(
    checkpoint: Path | str, device: torch.device | str = "cpu", word: str = "checkpoint", *, multilabel: bool = False
) -> Trained:
    """Load the classifier of a run (its best checkpoint) or of a checkpoint file of ours, onto `device`.

    Nothing in the file is executed; the network is built by name from ResLens's own table.

    Args:
        word: the setting that names the checkpoint, for messages.
        multilabel: whether one of several labels an image will do.

    Raises:
        InputError: The path is neither, or the file is damaged, unsafe, or another program's.
    """
    path, run = find_checkpoint(checkpoint, word)
    module = _build(path, f"{word}={path}").to(device).eval()
    if module.task is MULTILABEL and not multilabel:
        raise InputError(f"{word}={path} gives an image several labels, which isn't possible here: name another run")
    geometry = _geometry(module)
    by = module.hparams["convolutions"]
    worth = worth_converting(module.network, geometry.in_channels, geometry.image_size, by)
    cuda = torch.device(device).type == "cuda"
    module.memory_format = choose_memory_format("auto", cuda=cuda, worth=worth)
    module.network.to(memory_format=module.memory_format)
    return Trained(module, path, run, choose_precision("auto", cuda=cuda, worth=worth))


def find_checkpoint(checkpoint: Path | str, word: str = "checkpoint") -> tuple[Path, RunFolder | None]:
    """Find the checkpoint file that a run folder or a file means, and the run that it belongs to, if any."""
    if is_url(checkpoint):
        raise InputError(f"{word}={checkpoint} is an address, not a file: download it, and name the file")
    path = Path(os.path.expanduser(checkpoint))  # noqa: PTH111  # pathlib's fails for the home of nobody
    path = find_named(str(path), word) or path
    try:
        return _find(path, word)
    except OSError as error:
        raise InputError(f"{word}={path} can't be read ({(error.strerror or '').lower()}): {REMEDY}") from error


def _find(path: Path, word: str) -> tuple[Path, RunFolder | None]:
    if path.is_file():
        run = RunFolder(path.parent.parent)
        if path.parent != run.checkpoints or not run.record_file.exists():
            return path, None
        refuse_links(run.path, path)
        return path, run
    if not path.exists():
        if str(path).startswith("[") and str(path).endswith("]"):
            raise InputError(f"{word}={path} names several networks, and here one is asked: name one of them")
        raise InputError(f"{word}={path} does not exist: {REMEDY}")
    if not path.is_dir():
        raise InputError(f"{word}={path} is a device or a pipe, not a file: {REMEDY}")
    run = RunFolder(path)
    if run.best_checkpoint.is_file():
        refuse_links(run.path, run.best_checkpoint)
        return run.best_checkpoint, run
    adopted = path / ADOPTED
    if adopted.is_file():
        refuse_links(path, adopted)
        return adopted, None
    runs = sorted(file.parent.parent for file in path.glob("*/checkpoints/best.ckpt"))
    if runs:
        raise InputError(f"{word}={path} holds {len(runs)} runs: name one of them, such as {runs[0]}")
    raise InputError(f"{word}={path} is no run with a checkpoint (no checkpoints/best.ckpt in it): {REMEDY}")


def _build(path: Path, named: str) -> ImageClassifier:
    """Build the module of a checkpoint file, after comparing network and tensors without taking any memory."""
    try:
        content = load_saved(path)
    except SavedFileError as error:
        what = "is not safe to load" if error.unsafe else "can't be read"
        raise InputError(f"{named} {what} ({error}): {REMEDY}") from error
    settings = content.get("hyper_parameters") if isinstance(content, dict) else None
    if not isinstance(settings, dict) or not isinstance(content.get("state_dict"), dict):
        raise InputError(f"{named} is no checkpoint of src.train, which says what its classes are: {REMEDY}")
    try:
        check_tensors(content["state_dict"], path)
        check_hyperparameters(settings)
        classifier = parts_of(TASKS[settings.get("task", ONE_CLASS.name)]).classifier
        check_shapes(settings, content["state_dict"])
        settings["preprocessing"] = EARLIER | settings["preprocessing"]
        module = classifier(**settings)
        module.load_state_dict(content["state_dict"])
    except (TypeError, KeyError, ValueError, AttributeError, RuntimeError) as error:  # InputError is a ValueError
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise InputError(f"{named} is damaged or of another version ({reason}): {REMEDY}") from error
    return module


def _geometry(module: ImageClassifier) -> Geometry:
    return Geometry.of(module.hparams["preprocessing"])


def choose_device(accelerator: str) -> torch.device:
    """Choose the device for `auto`, `cpu` or `gpu`; raise `InputError` if there is no GPU."""
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise InputError("accelerator=gpu: torch finds no GPU on this machine; take accelerator=cpu or auto")
    return torch.device("cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu")
