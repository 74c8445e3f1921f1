"""From settings to what a training is made of: data, module and Trainer.

`assemble` does all of it for a run. Each of the other functions takes what it needs and nothing else, so that a
notebook can use it alone.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor

from ..analysis.tasks import ONE_CLASS, Task, task_of
from ..attribution.layers import find_layer
from ..callbacks.first_batch import FirstBatch
from ..callbacks.history import History
from ..callbacks.test_outputs import Predictions
from ..callbacks.throughput import Throughput
from ..data import ImageDataModule
from ..data.collection import ImageCollection
from ..data.keeping import Kept
from ..data.module import MOST_MEASURED
from ..errors import InputError, first_line
from ..networks import NETWORKS, build_network
from ..networks.airbench import Airbench
from ..networks.pretrained import Fit, check_fit, fit_weights
from ..ranks.joining import crew, lead
from ..resuming.checkpoint_files import WholeCheckpointIO
from ..resuming.starting_point import Own, check_fits, check_length
from ..resuming.stopping import Stop
from ..runs.folder import RunFolder
from ..settings.rates import AUTO, usual_for
from .batch_size import settle_batch_size
from .classifier import ImageClassifier
from .configured import run_callbacks, run_loggers
from .free_memory import free_memory
from .hardware import uses_cuda
from .optimizers import check_optimization, plan_optimization
from .precision import choose_memory_format, choose_precision, worth_converting
from .processes import keep_global_batch, leave_signals_to_us, settle_processes
from .progressive import check_sides
from .tasks import parts_of
from .transfer import as_begun, features_stay_the_same, rate_in, read_pretrained, resolve_architecture

log = logging.getLogger(__name__)

SEEN_AT_FIRST = 2_000
"""Training images that a network may see before its training begins: 2 million patches of CIFAR-10."""

LEVERS = {"mixup": 0, "cutmix": 0, "progressive_size": 1, "test_flip": False}
"""What the module takes besides: names of settings, and the values at which they do nothing."""


@dataclass(frozen=True)
class Parts:
    """What a run is made of.

    Attributes:
        checkpoint: Where the training goes on; None: it begins.
        stop: Whether somebody wants it to stop.
        caches_features: Whether a frozen backbone sees each image once, and the head learns from what it saw.
        fit: How the given weights fitted; None without any.
        found_batch_size: What `data.batch_size=auto` came to; None for a number.
        found_rate: What `optimizer.lr=auto` came to, where the run goes on; None where it begins, and for a number.
    """

    cfg: DictConfig
    folder: RunFolder
    checkpoint: Path | None
    data: ImageDataModule
    module: ImageClassifier
    trainer: L.Trainer
    throughput: Throughput
    history: History
    predictions: Predictions
    stop: Stop
    first_batch: FirstBatch
    caches_features: bool
    fit: Fit | None
    found_batch_size: int | None
    found_rate: float | None

    @property
    def measures_otherwise(self) -> bool:
        """Whether images a second of this training are not those of the network at its full size."""
        return self.caches_features or bool(self.module.hparams["progressive_size"] < 1)


class Plan(NamedTuple):
    """What the settings of network and hardware mean here, before any image is read.

    Attributes:
        architecture: What `build_network` takes; its `num_classes` may still be None.
        pretrained: The state dict to begin with; None: random weights.
    """

    architecture: dict[str, Any]
    pretrained: dict[str, Tensor] | None
    cuda: bool
    precision: str
    memory_format: torch.memory_format


@contextmanager
def all_settings_needed() -> Iterator[None]:
    """Turn OmegaConf's error about a setting that was taken out with ~ into an `InputError`."""
    try:
        yield
    except OmegaConfBaseException as error:
        raise InputError(f"{first_line(error)}: the configuration needs it") from error


@all_settings_needed()
def assemble(
    cfg: DictConfig,
    folder: RunFolder,
    checkpoint: Path | None = None,
    own: Sequence[L.Callback] = (),
    data: ImageDataModule | None = None,
) -> Parts:
    """Build and check all parts of a run; write nothing but caches of the data.

    `own` callbacks are those that no configuration can name. `data` were made of these settings earlier.

    What is quick to find wrong comes first: hardware, network and optimizer, then the Trainer; only then the images.
    """
    settings = to_dict(cfg)
    layer = OmegaConf.select(cfg, "callbacks.gradcam.layer")
    gains_nothing = cfg.compile or cfg.model.freeze == "backbone"
    convolutions = "library" if gains_nothing else cfg.get("convolutions", "library")  # earlier runs had no other
    begun = as_begun(cfg.model, checkpoint)
    plan = plan_training(begun, cfg.data, cfg.trainer, cfg.memory_format, convolutions, layer)
    found_rate = None
    if settings["optimizer"]["lr"] == AUTO:
        found_rate = None if checkpoint is None else rate_in(checkpoint)
        settings["optimizer"]["lr"] = found_rate or usual_for(cfg)  # until it is found, before the training
    check_optimization(settings["optimizer"], settings["scheduler"])
    check_sides(
        plan.architecture, cfg.data.in_channels, cfg.data.image_size, OmegaConf.select(cfg, "progressive_size") or 1.0
    )
    if OmegaConf.select(cfg, "head_first") and plan.pretrained is None:
        raise InputError("head_first=true fits the head to pretrained features: say weights=…, or leave it out")
    task = task_of(settings["data"])
    predictions = Predictions("test" if cfg.test else "best_val")
    watching = (Throughput(), History(folder, cfg.monitor, cfg.mode, task), predictions, Stop(), FirstBatch())
    callbacks, loggers = run_callbacks(cfg, folder, *watching, own=own), run_loggers(cfg, folder)
    processes = settle_processes(settings["trainer"])
    trainer = build_trainer(processes | {"precision": plan.precision}, folder.path, callbacks, loggers)
    lead(trainer.world_size)
    data = data or ImageDataModule(**settings["data"], seed=cfg.seed)
    caches_features = features_stay_the_same(
        data.cache_features,
        freeze=cfg.model.freeze,
        changed=_changes(cfg, augmented=data.augmentation is not None),
        processes=trainer.world_size,
        limited=cfg.trainer.fast_dev_run or cfg.trainer.limit_train_batches is not None,
    )
    find_images(data, cfg.model.num_classes, trainer)
    keep_pictures(data, trainer, all_seen=caches_features)
    if data.chosen.on_device is True or sees_all(data, trainer):
        data.put_on_device(trainer.strategy.root_device, free_memory)
    if crew().share("sample", lambda: checkpoint is not None and folder.is_of_earlier_sample):
        data.fewest_measured = MOST_MEASURED
    module = build_module(
        plan,
        class_names=data.class_names,
        task=task,
        preprocessing=data.preprocessing,
        optimizer=settings["optimizer"],
        scheduler=settings["scheduler"],
        label_smoothing=cfg.label_smoothing,
        class_weights=data.class_weights(),
        freeze=cfg.model.freeze,
        **{name: cfg[name] for name in LEVERS if name in cfg},  # earlier runs have none
        convolutions=convolutions,
        seed=cfg.seed,
    )
    if checkpoint is not None:
        check_fits(
            folder,
            Own(
                module,
                data,
                trainer,
                *plan_optimization(
                    module.network, settings["optimizer"], settings["scheduler"], timed=_is_timed(settings["trainer"])
                ),
            ),
        )
    fit = None
    if plan.pretrained is not None:
        names, head = data.class_names, cfg.model.get("head", "auto")  # earlier runs have none
        fit = fit_weights(module.network, plan.pretrained, cfg.model.weights, class_names=names, head=head)
    elif checkpoint is None:
        begin_with_images(module, data)
    module.network.to(memory_format=plan.memory_format)
    _look_at_freeze(cfg.model.name, cfg.model.freeze, plan.pretrained is not None, trainer.max_epochs)
    if cfg.compile:
        module.network.compile()
    found = None
    if cfg.data.batch_size == "auto":
        found = settle_batch_size(module, data, trainer, folder, begun=checkpoint is not None)
    if checkpoint is not None:
        keep_global_batch(data, folder, trainer.world_size)
        check_length(checkpoint, count_batches(data, trainer), trainer.max_epochs)
    return Parts(cfg, folder, checkpoint, data, module, trainer, *watching, caches_features, fit, found, found_rate)


def to_dict(cfg: DictConfig) -> dict[str, Any]:
    """Return the configuration as plain dicts, lists and values."""
    return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))


def plan_training(
    model: Mapping[str, Any],
    data: Mapping[str, Any],
    trainer: Mapping[str, Any],
    memory_format: str = "auto",
    convolutions: str = "library",
    layer: str | None = None,
) -> Plan:
    """Return what these groups of settings come to on this machine.

    The network is built without weights, so that a wrong setting is found before the data are read; also that of the
    `layer` that Grad-CAM is to look at.
    """
    in_channels, image_size, weights = data["in_channels"], data["image_size"], model["weights"]
    if model["in_channels"] != in_channels:
        raise InputError(
            f"model.in_channels={model['in_channels']} and data.in_channels={in_channels} differ: "
            "set data.in_channels alone, and the network follows"
        )
    pretrained = read_pretrained(weights, model["name"])
    architecture = resolve_architecture(model, pretrained) | {"image_size": image_size}
    cuda = uses_cuda(trainer["accelerator"])
    with torch.device("meta"):
        network = build_network(**architecture | {"num_classes": architecture["num_classes"] or 2})
    if pretrained is not None:
        check_fit(network, pretrained, weights)
    if layer is not None:
        find_layer(network, layer)
    worth = worth_converting(network, in_channels, image_size, convolutions)
    precision = choose_precision(trainer["precision"], cuda=cuda, worth=worth)
    memory = choose_memory_format(memory_format, cuda=cuda, worth=worth)
    return Plan(architecture, pretrained, cuda, precision, memory)


def build_trainer(
    settings: Mapping[str, Any], folder: Path, callbacks: Sequence[L.Callback], loggers: Sequence[Logger]
) -> L.Trainer:
    """Return Lightning's Trainer with the settings of the group `trainer`; raise `InputError` where they make none."""
    # With deterministic algorithms torch fills memory that it takes with NaN, to show who reads what nobody wrote:
    # nothing here does, and it costs 8 % of the speed (tests/benchmarks/bench_exactness.py).
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    bar = any(isinstance(callback, ProgressBar) for callback in callbacks)  # none off a terminal
    try:
        plugins = [WholeCheckpointIO(), *(settings["plugins"] or [])]
        settings = {**settings, "plugins": plugins, "enable_progress_bar": bar}
        trainer = L.Trainer(**settings, callbacks=list(callbacks), logger=list(loggers), default_root_dir=folder)
    except Exception as error:  # Lightning has no error of its own for a setting that it can't use
        raise InputError(f"trainer: {first_line(error)}") from error
    leave_signals_to_us(trainer)
    # Where steps end the training, Lightning 2.6.6 takes each checkpoint for one of the middle of an epoch: from one of
    # an epoch's end it ended that epoch once more, without an image, and drew the next one in the order of a later one.
    trainer.fit_loop._iteration_based_training = lambda: False  # type: ignore[method-assign]
    return trainer


def find_images(data: ImageDataModule, num_classes: int | None, trainer: L.Trainer) -> None:
    """Find, check and divide the images; raise `InputError` unless they have so many classes (None: any number).

    Of several processes the first finds and checks them for all, and keeps what it decodes for `keep_pictures`.
    """

    def find() -> ImageCollection:
        keeps = data.chosen.cache != "auto" or sees_any_number(trainer)
        return data.find(download=True, free=free_memory(torch.device("cpu")) if keeps else None)

    if data.collection is None:
        data.take(crew().share("images", find, data.look_at))
    data.setup()
    if num_classes not in (None, data.num_classes):
        raise InputError(f"model.num_classes={num_classes}, but data={data.source} has {data.num_classes} classes")


def keep_pictures(data: ImageDataModule, trainer: L.Trainer, *, all_seen: bool = False) -> None:
    """Decode the images once for all epochs, where `data.cache` and the machine allow; of several processes the first.

    On another machine one process does so there. With `auto` a training that won't see all images does without, unless
    they are `all_seen` before it.
    """
    if data.shelves or (data.chosen.cache == "auto" and not (all_seen or sees_all(data, trainer))):
        return

    def keep() -> Sequence[Kept]:
        return data.keep_pictures(free_memory(torch.device("cpu")))

    def keep_here(_: Sequence[Kept]) -> None:
        keep()

    data.use_kept(crew().share("pictures", keep, keep_here))


def sees_any_number(trainer: L.Trainer) -> bool:
    """Return whether the training is long enough to see each image once, however many there are."""
    limit = trainer.limit_train_batches
    return isinstance(limit, float) and limit >= 1 and trainer.max_steps < 0 and trainer.max_epochs != 0


def sees_all(data: ImageDataModule, trainer: L.Trainer) -> bool:
    """Return whether the training is long enough to see each image once."""
    batches, steps, epochs = count_batches(data, trainer), trainer.max_steps, trainer.max_epochs
    planned = batches * epochs if epochs is not None and epochs >= 0 else batches
    if steps >= 0:
        planned = min(planned, steps) if epochs is not None and epochs >= 0 else steps
    return planned >= len(data.train_dataloader())  # which leaves out a last image that is alone


def build_module(plan: Plan, *, class_names: Sequence[str], task: Task = ONE_CLASS, **settings: Any) -> ImageClassifier:
    """Return the module of the plan, with fresh weights.

    Args:
        settings: What `ImageClassifier` takes besides `architecture`.
    """
    architecture = plan.architecture | {"num_classes": len(class_names)}
    classifier = parts_of(task).classifier
    module = classifier(architecture=architecture, class_names=list(class_names), **settings)
    module.memory_format = plan.memory_format
    return module


def begin_with_images(module: ImageClassifier, data: ImageDataModule) -> None:
    """Let a network that can set the weights that depend on training images, such as a whitening stem."""
    if isinstance(module.network, Airbench):
        module.network.begin(module.normalise(data.sample("train", SEEN_AT_FIRST)[0]))


def count_batches(data: ImageDataModule, trainer: L.Trainer) -> int:
    """Return how many batches an epoch has in each process."""
    data.trainer = trainer  # which divides them among its processes
    batches, limit = len(data.train_dataloader()), trainer.limit_train_batches
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def _is_timed(trainer: Mapping[str, Any]) -> bool:
    """Return whether a time alone ends a training with these settings."""
    return trainer["max_time"] is not None and trainer["max_epochs"] == -1 and trainer["max_steps"] in (None, -1)


def _changes(cfg: DictConfig, *, augmented: bool) -> list[str]:
    """Return how to leave out what shows a network other images of the training set every time."""
    remedies = ["data.augment=null"] if augmented else []
    return remedies + [
        f"{name}={str(nothing).lower()}" for name, nothing in LEVERS.items() if cfg.get(name, nothing) != nothing
    ]


def _look_at_freeze(network: str, freeze: str | int, trained: bool, epochs: int | None) -> None:
    if freeze == "none":
        return
    if not trained:
        known = "weights=imagenet or " if NETWORKS[network].pretrained else ""
        log.warning("freeze=%s keeps random weights: %sweights=FILE gives trained ones", freeze, known)
    if isinstance(freeze, int) and epochs is not None and 0 <= epochs <= freeze:
        log.warning("freeze=%d lasts for all of the %d epochs: nothing but the head will learn", freeze, epochs)
    warnings.filterwarnings("ignore", "Found .* module.s. in eval mode at the start of training")  # on purpose
