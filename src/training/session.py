"""One run from its configuration to its figures: measure, fit, measure again, write."""

import logging
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import inf
from pathlib import Path
from typing import Any, cast

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from .. import figures
from ..activity import clear, show
from ..analysis.metrics import read_figures
from ..callbacks.loggers import closing, log_result, seen_by
from ..cost.network import count_parameters
from ..data import ImageDataModule
from ..data.workers import deaths_named
from ..errors import InputError, RunError, first_line
from ..networks.head import few
from ..networks.pretrained import describe_fit
from ..ranks.joining import crew, leading
from ..ranks.place import is_follower
from ..resuming.starting_point import last_whole
from ..runs.folder import RunFolder
from ..settings.rates import AUTO, from_scratch
from ..tables import duration
from .assemble import Parts, assemble, to_dict
from .classifier import ImageClassifier
from .classifier_cost import classifier_cost
from .free_memory import free_memory
from .hardware import describe_hardware
from .head_first import fit_head
from .learning_rate import find_rate
from .lifecycle import on_record
from .out_of_memory import memory_advice
from .pictures import draw_pictures
from .progressive import sides
from .results import draw_epochs, sum_up
from .stopped_early import stopped_early
from .tasks import parts_of
from .transfer import extract_features

log = logging.getLogger(__name__)

COST_SECONDS = 2.0
"""What the timed passes for cost.json may take: enough for all of them with a small network; their number is told."""


def run_training(
    cfg: DictConfig,
    folder: RunFolder,
    command: str,
    *,
    resume: bool = False,
    callbacks: Sequence[L.Callback] = (),
    again: str | None = None,
    data: ImageDataModule | None = None,
) -> dict[str, float]:
    """Train in `folder` as the configuration says; return what metrics.json holds.

    Args:
        command: What was typed, for the record.
        resume: The folder holds a run that ended early: go on, or begin anew where it has no whole checkpoint.
        callbacks: More than the configuration names.
        again: What is typed to go on where it is interrupted; None: `src.train` with `resume=`; "": the caller says it.
        data: As in `advance`.

    Raises:
        InputError: Nothing was begun.
        RunError: The loss is not finite, the memory or the disk too small, or a process was killed.
    """
    with _assembled(cfg, folder, command, resume=resume, callbacks=callbacks, again=again, data=data) as parts:
        metrics = _train_and_measure(parts)
    clear()
    if parts.trainer.is_global_zero:
        seen = (seen_by(logger, parts.folder.logdir) for logger in parts.trainer.loggers)
        sum_up(metrics, parts.folder, parts.module.task, filter(None, seen))
    return metrics


def advance(
    cfg: DictConfig,
    folder: RunFolder,
    command: str,
    *,
    data: ImageDataModule | None = None,
    callbacks: Sequence[L.Callback] = (),
    again: str | None = None,
    by: float = inf,
) -> Parts:
    """Train in `folder` as far as the configuration says, from where its last checkpoint stands; no more than that.

    Nothing is measured, drawn or summed up besides each epoch's validation. The run is left as one that was
    interrupted: it goes on with the same bits as if it had never stopped. The arguments are those of `run_training`.

    Args:
        data: Made from `cfg.data` for this training alone; what it has found, decoded and computed is used again.
        by: `time.monotonic()` until which features may be computed before the training; else a `RunError`.
    """
    resume = folder.status is not None
    with _assembled(cfg, folder, command, resume=resume, callbacks=callbacks, again=again, data=data) as parts:
        _fit(parts, parts.module, by)
    parts.folder.end("interrupted")
    return parts


@contextmanager
def _assembled(
    cfg: DictConfig,
    folder: RunFolder,
    command: str,
    *,
    resume: bool,
    callbacks: Sequence[L.Callback],
    again: str | None,
    data: ImageDataModule | None = None,
) -> Iterator[Parts]:
    """Build what a run is made of, and keep its folder and its record while the block trains."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        lightning_log = logging.getLogger(name)
        lightning_log.handlers.clear()  # it would print to stderr by itself; the root's handlers are ours
        lightning_log.propagate = True
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    with leading():
        folder = RunFolder(crew().share("folder", lambda: folder.path))
        with nullcontext() if is_follower() else folder.locked(again=True):
            checkpoint = crew().share("checkpoint", lambda: _newest(folder), _there) if resume else None
            show("preparing data and network")
            parts = assemble(cfg, folder, checkpoint, callbacks, data)
            with on_record(parts, command, resumed=resume, again=again), deaths_named(), closing(parts.trainer):
                yield parts


def _newest(folder: RunFolder) -> Path | None:
    checkpoint = last_whole(folder)
    if checkpoint is None and folder.is_whole:
        raise InputError(f"{folder.shown} is finished and has no whole checkpoint left: train a new run")
    return checkpoint


def _there(checkpoint: Path | None) -> None:
    """Raise `InputError` on another machine than the first where its disk is another one."""
    if checkpoint is not None and not checkpoint.exists():
        raise InputError(
            f"{checkpoint} is not on {socket.gethostname()}: to go on, all machines need a disk that they share"
        )


def _train_and_measure(parts: Parts) -> dict[str, float]:
    """Measure, train, measure again and write; return the contents of metrics.json."""
    free = free_memory(torch.device("cpu"))
    try:
        if parts.trainer.is_global_zero:
            parts.folder.write_skipped((skipped.path, skipped.reason) for skipped in parts.data.skipped)
        _introduce(parts)
        metrics = _measure_baseline(parts) if parts.cfg.baseline else {}
        seconds = _fit(parts, parts.module)
        early = stopped_early(parts.trainer, len(parts.history.rows), parts.cfg.scheduler.name)
        metrics |= _measure_best(parts) | _describe_training(parts, seconds)
        if parts.trainer.is_global_zero:
            if early is not None:
                parts.folder.note_stopped_early(early)
            _write(parts, metrics)
        return metrics
    except Exception as error:
        if not isinstance(error, RunError):  # a second signal may end in an error of any kind
            parts.stop.leave_if_asked()
        advice = memory_advice(error, free, parts.module, parts.data, parts.trainer, parts.folder.shown)
        if advice is None:
            raise
        raise advice from error


def _introduce(parts: Parts) -> None:
    """Say what is trained on what, and where."""
    cfg, data, trainer = parts.cfg, parts.data, parts.trainer
    if data.skipped:
        log.info("%d files left out, listed in %s/skipped.csv", len(data.skipped), parts.folder.shown)
    log.info(
        "%s on %s: %s train, %s validation and %s test images of %d classes, %d×%d×%d",
        cfg.model.name,
        cfg.data.name,
        *(f"{data.size(split):,}" for split in ("train", "val", "test")),
        data.num_classes,
        *(cfg.data.image_size, cfg.data.image_size, cfg.data.in_channels),
    )
    for split, name in (("val", "validation"), ("test", "test")):
        if lacking := data.classes_without(split):
            log.info("no %s images of %s: its figures are of the others", name, few(lacking))
    if parts.fit is not None:
        log.info("%s", describe_fit(parts.fit, cfg.model.weights))
    if from_scratch(cfg) is not None:
        log.info("learning rate %g, a tenth of that from scratch, since weights are given", cfg.optimizer.lr)
    if cfg.get("progressive_size", 1) < 1:
        said = ", ".join(map(str, sides(cfg.data.image_size, cfg.progressive_size)))
        log.info("trains at %s pixels, one after the other", said)
    log.info(
        "%s parameters, %s, %s, on %s",
        f"{count_parameters(parts.module.network):,}",
        trainer.precision,
        str(parts.module.memory_format).removeprefix("torch."),
        (describe_hardware()["gpus"] or [describe_hardware()["cpu"]])[0],
    )


# Fit ------------------------------------------------------------------------------------------------------------------


def _fit(parts: Parts, module: ImageClassifier, by: float = inf) -> float:
    """Train: Lightning calls the module's `training_step` for each batch. Return the seconds of all epochs so far."""
    start = time.perf_counter()
    show("starting the training")
    if parts.checkpoint is None and parts.cfg.get("head_first"):
        _fit_head(parts, by)
    if parts.caches_features and not parts.data.features:
        keep_features(parts, by)
    try:
        if parts.checkpoint is None and parts.cfg.optimizer.lr == AUTO and not parts.cfg.trainer.fast_dev_run:
            settle_rate(parts)
        with patience(parts):
            # Left to itself Lightning loads a path of ours with pickle, which runs what code a file may hold.
            parts.trainer.fit(module, datamodule=parts.data, ckpt_path=parts.checkpoint, weights_only=True)
    except (MisconfigurationException, ValueError) as error:  # settings that only the loop can tell don't fit
        raise RunError(f"the Trainer can't go on: {first_line(error)}") from error
    return parts.history.seconds_before + time.perf_counter() - start


def settle_rate(parts: Parts) -> None:
    """Find what `optimizer.lr=auto` means here; say it, record it and draw it. All processes take the first one's."""
    usual = parts.module.hparams["optimizer"]["lr"]

    def find() -> float:
        show("finding the learning rate")
        curve = find_rate(parts.module, parts.data, parts.trainer, to_dict(parts.cfg)["trainer"])
        rate = curve.found or float(usual)
        if curve.found is None:
            log.warning("optimizer.lr=auto: the loss hardly falls at any rate: the usual one, %g, is taken", usual)
        else:
            log.info("learning rate %g, up to which the loss falls steeply; the usual one is %g", rate, usual)
        parts.folder.note_learning_rate(rate)
        if len(curve.rates) > 1:
            figures.save(figures.rate_curve(curve.rates, curve.losses, curve.found, usual), parts.folder.rate_picture)
        return rate

    parts.module.hparams["optimizer"]["lr"] = crew().share("learning_rate", find)


def patience(parts: Parts) -> AbstractContextManager[None]:
    """Return what lets a batch end before a signal stops the run."""
    return parts.stop.patience() if parts.cfg.trainer.enable_checkpointing else nullcontext()


def _fit_head(parts: Parts, by: float) -> None:
    """Begin with a head that fits the pretrained network; of several processes each finds the same one."""
    data = parts.data
    data.trainer = None  # which would divide the images among them
    fit_head(
        parts.module,
        data.evaluation_dataloader("train"),
        torch.from_numpy(data.targets("train")),
        device=parts.trainer.strategy.root_device,
        context=parts.trainer.precision_plugin.forward_context(),
        features=data.seen.get("train"),
        by=by,
    )
    data.trainer = parts.trainer


def keep_features(parts: Parts, by: float = inf) -> None:
    """Show the frozen backbone every training and validation image once; the head then learns from what it saw."""
    start = time.perf_counter()
    for split in ("train", "val"):
        features = extract_features(
            parts.module,
            parts.data.evaluation_dataloader(split),
            device=parts.trainer.strategy.root_device,
            context=parts.trainer.precision_plugin.forward_context(),
            by=by,
        )
        parts.data.keep_features(split, features)
    images = parts.data.size("train") + parts.data.size("val")
    log.info("features of %s images computed once, in %s", f"{images:,}", duration(time.perf_counter() - start))


# Measure --------------------------------------------------------------------------------------------------------------


def _measure_baseline(parts: Parts) -> dict[str, float]:
    """Return the untrained network's figures on the test set."""
    show("measuring before training")
    parts.data.trainer = parts.trainer  # which divides the images among its processes
    metrics = _measure(parts, {"baseline": parts.data.evaluation_dataloader("test")})
    first = parts.module.task.score
    log.info("before training: test %s %.3f", first.title, metrics[f"baseline/{first.name}"])
    return metrics


def _measure_best(parts: Parts) -> dict[str, float]:
    """Return the best checkpoint's figures on training, validation and, where asked for, test images, unaugmented."""
    show("measuring the best epoch")
    best = parts.folder.best_checkpoint
    loaders = {
        "best_train": parts.data.evaluation_dataloader("train", limit=parts.data.train_images_measured),
        "best_val": parts.data.evaluation_dataloader("val"),
    }
    if parts.cfg.test:
        loaders["test"] = parts.data.evaluation_dataloader("test")
    metrics = _measure(parts, loaders, checkpoint=str(best) if best.exists() else None)
    return {name.removeprefix("best_"): value for name, value in metrics.items()}


def _measure(parts: Parts, loaders: Mapping[str, Any], checkpoint: str | None = None) -> dict[str, float]:
    trainer, module = parts.trainer, parts.module
    module.evaluated = tuple(loaders)
    with patience(parts):
        trainer.test(module, dataloaders=list(loaders.values()), ckpt_path=checkpoint, verbose=False, weights_only=True)
    figures = {split: read_figures(trainer.callback_metrics, split, module.task.metrics) for split in loaders}
    return {f"{split}/{name}": value for split, values in figures.items() for name, value in values.items()}


def measure_validation(parts: Parts) -> tuple[list[Tensor], list[Tensor]]:
    """Return logits (n, K) and targets (n,) of the validation images, by batches, of the last checkpoint's average.

    Of parts that leave the test set alone.
    """
    loaders = {"best_val": parts.data.evaluation_dataloader("val")}
    _measure(parts, loaders, checkpoint=str(parts.folder.last_checkpoint))
    return [torch.from_numpy(parts.predictions.logits)], [torch.from_numpy(parts.predictions.targets)]


def _describe_training(parts: Parts, seconds: float) -> dict[str, float]:
    """Return what metrics.json says besides the figures of the network."""
    history, best = parts.history, parts.folder.best_checkpoint
    epoch = len(history.rows)
    if best.exists():
        epoch = int(torch.load(best, map_location="cpu", weights_only=True, mmap=True)["epoch"]) + 1
    return {
        "best_epoch": epoch,
        "epochs": len(history.rows),
        "train_seconds": round(seconds, 3),
        # A run that was stopped while it was tested has nothing left to train.
        "images_per_second": round(parts.throughput.images_per_second or history.images_per_second, 2),
        "parameters": count_parameters(parts.module.network),
        "seed": parts.cfg.seed,
    }


# Write ----------------------------------------------------------------------------------------------------------------


def _write(parts: Parts, metrics: dict[str, float]) -> None:
    folder, trainer, data = parts.folder, parts.trainer, parts.data
    folder.write_metrics(metrics)
    show("drawing curves and pictures")
    if parts.history.rows:
        draw_epochs(folder, int(metrics["best_epoch"]), parts.module.task, parts.history.rates.pairs)
    if parts.cfg.test:
        write_test = parts_of(parts.module.task).write_test
        write_test(folder, trainer, data, parts.predictions, whole=parts.cfg.probabilities)
    draw_pictures(parts)
    if parts.cfg.cost:
        _write_cost(parts)
    show("writing")
    found = {"data": {"batch_size": data.batch_size}, "optimizer": {"lr": parts.module.hparams["optimizer"]["lr"]}}
    settings = cast(DictConfig, OmegaConf.merge(parts.cfg, found))
    log_result(trainer, settings, folder.overrides() or (), metrics, parts.module.task, int(metrics["best_epoch"]))


def _write_cost(parts: Parts) -> None:
    """Write cost.json: what the network costs here. Whatever goes wrong with it, the training was a success."""
    cfg, size = parts.cfg, parts.data.batch_size
    show("measuring cost")
    try:
        figures = classifier_cost(
            parts.module,
            device=parts.trainer.strategy.root_device,
            precision=str(parts.trainer.precision),
            batch_size=size,
            training_batch_size=size,
            budget=COST_SECONDS,
            keep=True,
            # A head that learns from kept features says nothing about the network's speed, nor do smaller images.
            training_images_per_second=None if parts.measures_otherwise else parts.throughput.images_per_second,
        )
    except Exception as error:
        log.warning("no cost.json: %s", first_line(error))
        return
    parts.folder.write_cost({"model": cfg.model.name, "data": cfg.data.name, **figures})
