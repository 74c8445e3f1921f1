"""`python -m src.benchmark`: what networks cost on this machine, in a table and in cost.json."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import get_console
from rich.progress import BarColumn, Progress, TextColumn

from .command.destination import hydra_folder
from .command.main import checked, main
from .errors import InputError, RunError, first_line, ran_out
from .files import write_text

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from .training.classifier import ImageClassifier

log = logging.getLogger(__name__)


@checked
def benchmark(cfg: "DictConfig", folder: Path | str | None = None) -> dict[str, Any]:
    """Measure the network of the composed configuration; give back what cost.json holds.

    `folder` is where cost.json is written; None takes Hydra's, or outside Hydra `cfg.output`. Raises `InputError` for
    what can't be meant, `RunError` where the memory is too small.
    """
    if cfg.model.in_channels != cfg.data.in_channels:
        raise InputError(
            f"model.in_channels={cfg.model.in_channels} and data.in_channels={cfg.data.in_channels} differ: "
            "set data.in_channels alone, and the network follows"
        )
    if cfg.data.batch_size == "auto":
        raise InputError("data.batch_size=auto is for trainings: say for which number training is to be measured")
    from .training.classifier_cost import classifier_cost  # and with it torch, only now

    module, device, precision = _build(cfg)
    log.info("%s on %s: %d×%d×%d", cfg.model.name, cfg.data.name, *[cfg.data.image_size] * 2, cfg.data.in_channels)
    try:
        with _bar(cfg.model.name) as progress:
            figures = classifier_cost(
                module,
                device=device,
                precision=precision,
                batch_size=cfg.batch_size,
                training_batch_size=cfg.data.batch_size,
                budget=cfg.budget,
                progress=progress,
            )
    except Exception as error:
        kind = ran_out(error)
        if kind is None:
            raise
        raise RunError(
            f"batch_size={cfg.batch_size} and data.batch_size={cfg.data.batch_size} of {cfg.model.name} need more "
            f"{kind} than there is: take smaller ones"
        ) from error
    cost = {"model": cfg.model.name, "data": cfg.data.name, **figures}
    path = Path(folder or hydra_folder() or cfg.output) / "cost.json"
    write_text(path, json.dumps(cost, indent=2, ensure_ascii=False) + "\n")
    log.info("measured: %s", path)
    return cost


def show(costs: Sequence[dict[str, Any]]) -> None:
    """Print the costs of all networks as one table."""
    from .cost.cost_table import costs_text

    log.info("\n%s\n", costs_text(costs))


def _build(cfg: "DictConfig") -> "tuple[ImageClassifier, Any, str]":
    """The classifier, its device and its precision: as a training with these settings would choose them."""
    import torch
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from .networks.pretrained import check_fit
    from .training.classifier import ImageClassifier
    from .training.hardware import uses_cuda
    from .training.optimizers import check_optimization
    from .training.precision import choose_memory_format, choose_precision, weight_uses
    from .training.transfer import read_pretrained, resolve_architecture

    cuda = uses_cuda(cfg.trainer.accelerator)
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    constant = {"name": "constant"}
    check_optimization(settings["optimizer"], constant)
    pretrained = read_pretrained(cfg.model.weights, cfg.model.name)
    network = resolve_architecture(settings["model"], pretrained)
    classes = cfg.model.num_classes or _count_classes(settings["data"])
    try:
        module = ImageClassifier(
            architecture=network | {"num_classes": classes, "image_size": cfg.data.image_size},
            class_names=[str(number) for number in range(classes)],
            preprocessing={name: settings["data"][name] for name in ("mean", "std")},
            optimizer=settings["optimizer"],
            scheduler=constant,
            label_smoothing=cfg.label_smoothing,
            freeze=cfg.freeze,
        )
    except OmegaConfBaseException as error:  # a setting was taken out with ~
        raise InputError(f"{first_line(error)}: the configuration needs it") from error
    if pretrained is not None:
        check_fit(module.network, pretrained, cfg.model.weights)
    uses = weight_uses(module.network, cfg.data.in_channels, cfg.data.image_size)
    module.memory_format = choose_memory_format(cfg.memory_format, cuda=cuda, uses=uses)
    precision = choose_precision(cfg.trainer.precision, cuda=cuda, uses=uses)
    return module, torch.device("cuda" if cuda else "cpu"), precision


def _count_classes(data: dict[str, Any]) -> int:
    """How many classes the data set has, by looking at it; nothing is downloaded."""
    from .data import ImageDataModule

    try:
        return len(ImageDataModule(**data).find(download=False).class_names)
    except InputError as error:
        raise InputError(f"data.num_classes can't be counted: {error}; or say data.num_classes=…") from error


@contextmanager
def _bar(name: str) -> Iterator[Callable[[str, float], None] | None]:
    """A progress bar where someone watches a terminal; None elsewhere.

    It is drawn between two passes, never by a thread of its own that would compete with them for the processor.
    """
    console = get_console()
    if not console.is_terminal:
        yield None
        return
    drawn = 0.0
    columns = (TextColumn("{task.description}"), BarColumn())
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as bar:
        task = bar.add_task(name, total=1.0)

        def progress(what: str, share: float) -> None:
            nonlocal drawn
            bar.update(task, description=f"{name}: {what}", completed=share)
            if time.monotonic() - drawn > 0.25:
                bar.refresh()
                drawn = time.monotonic()

        yield progress


if __name__ == "__main__":
    main("benchmark", benchmark, summary=show)
