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

from .activity import cleared
from .command.destination import hydra_folder
from .command.main import checked, main
from .command.next_steps import say_next
from .errors import InputError, RunError, ran_out
from .files import write_text
from .logs import say_lines

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from .data import ImageDataModule
    from .training.assemble import Plan
    from .training.classifier import ImageClassifier

log = logging.getLogger(__name__)


@checked
def benchmark(cfg: "DictConfig", folder: Path | str | None = None) -> dict[str, Any]:
    """Measure the network of the composed configuration; return what cost.json holds.

    Args:
        folder: Where cost.json is written; None: Hydra's folder, or outside Hydra `cfg.output`.

    Raises:
        InputError: A setting is wrong or does not fit the others.
        RunError: The memory is too small.
    """
    if cfg.data.batch_size == "auto":
        raise InputError("data.batch_size=auto is for trainings: say for which number training is to be measured")
    import torch  # only now

    from .training.classifier_cost import classifier_cost

    module, plan = _build(cfg)
    log.info("%s on %s: %d×%d×%d", cfg.model.name, cfg.data.name, *[cfg.data.image_size] * 2, cfg.data.in_channels)
    try:
        with _bar(cfg.model.name) as progress:
            figures = classifier_cost(
                module,
                device=torch.device("cuda" if plan.cuda else "cpu"),
                precision=plan.precision,
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

    text = f"\n{costs_text(costs)}\n"
    if len(costs) > 1:  # behind a sweep there is no benchmark.log, and Hydra's own lines begin with the time
        log.info("%s", text)
    else:
        say_lines(log, text)
        say_next("benchmark", model=costs[0]["model"])


def _build(cfg: "DictConfig") -> "tuple[ImageClassifier, Plan]":
    """Return the module, and what it computes with: as a training with these settings would choose them."""
    from .analysis.tasks import task_of
    from .data import ImageDataModule
    from .training.assemble import all_settings_needed, build_module, plan_training, to_dict
    from .training.optimizers import check_optimization

    with all_settings_needed():
        settings, constant = to_dict(cfg), {"name": "constant"}
        check_optimization(settings["optimizer"], constant)
        plan = plan_training(cfg.model, cfg.data, cfg.trainer, cfg.memory_format, "auto")
        data = ImageDataModule(**settings["data"])
        module = build_module(
            plan,
            task=task_of(settings["data"]),
            class_names=[str(number) for number in range(cfg.model.num_classes or _count_classes(data))],
            preprocessing=data.preprocessing,
            optimizer=settings["optimizer"],
            scheduler=constant,
            label_smoothing=cfg.label_smoothing,
            freeze=cfg.freeze,
            convolutions="auto",
        )
    return module, plan


def _count_classes(data: "ImageDataModule") -> int:
    """Return how many classes the data set has, by looking at it; nothing is downloaded."""
    try:
        return len(data.find(download=False).class_names)
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
    with cleared(), Progress(*columns, console=console, auto_refresh=False, transient=True) as bar:
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
