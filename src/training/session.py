"""One training from its configuration to its figures: data, network and Trainer are built, used and measured."""

import logging
import time
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from rich import get_console

from ..analysis.metrics import read_figures
from ..attribution.layers import find_layer
from ..callbacks.history import History
from ..callbacks.progress import progress_callbacks
from ..callbacks.tensorboard import TensorBoardCharts, log_result, tensorboards
from ..callbacks.test_outputs import Predictions
from ..callbacks.throughput import Throughput
from ..cost.network import count_parameters
from ..data import ImageDataModule
from ..errors import InputError, RunError, first_line
from ..logs import is_follower
from ..networks import build_network
from ..networks.pretrained import check_fit, describe_fit, fit_weights
from ..resuming.checkpoints import RunCheckpoint, StepCheckpoints, checkpoint_interval
from ..resuming.sealed import SealedCheckpointIO
from ..resuming.starting_point import check_fits, check_length
from ..resuming.stopping import Stop
from ..runs.folder import RunFolder
from ..tables import duration
from .batch_size import settle_batch_size
from .classifier import ImageClassifier
from .classifier_cost import classifier_cost
from .configured import build
from .free_memory import free_memory
from .hardware import describe_hardware, uses_cuda
from .optimizers import check_optimization
from .out_of_memory import memory_advice
from .precision import choose_memory_format, choose_precision, weight_uses
from .results import draw_epochs, write_test
from .transfer import extract_features, features_stay_the_same, read_pretrained, resolve_architecture

log = logging.getLogger(__name__)

TRAIN_IMAGES_MEASURED = 10_000
"""Of the training set, at most so many images are measured again without augmentation: a stratified, seeded sample,
whose accuracy has a standard error below 0.5 points, rather than a third of an epoch more on a large set."""

COST_SECONDS = 8.0
"""What the timed passes for cost.json may take: enough for all of them but with large networks on a CPU."""


class Session:
    """The parts of one training. Making it builds and checks all of them, and writes nothing but caches of the data."""

    def __init__(self, cfg: DictConfig, folder: RunFolder, checkpoint: Path | None = None) -> None:
        self.cfg = cfg
        self.folder = folder
        self.checkpoint = checkpoint
        settings = to_dict(cfg)
        self.weights, freeze = cfg.model.weights, cfg.model.freeze
        pretrained = read_pretrained(self.weights, cfg.model.name)
        settings["model"] = resolve_architecture(settings["model"], pretrained)
        cuda = uses_cuda(cfg.trainer.accelerator)
        uses = self._check_network(settings, pretrained)
        self.memory_format = choose_memory_format(cfg.memory_format, cuda=cuda, uses=uses)
        self.throughput = Throughput()
        self.history = History(folder, cfg.monitor, cfg.mode)
        self.predictions = Predictions()
        self.stop = Stop()
        precision = choose_precision(cfg.trainer.precision, cuda=cuda, uses=uses)
        self.trainer = self._build_trainer(settings["trainer"] | {"precision": precision})

        self.data = ImageDataModule(**settings["data"], seed=cfg.seed)
        self.caches_features = features_stay_the_same(
            self.data.cache_features,
            freeze=freeze,
            augmented=self.data.augmentation is not None,
            processes=self.trainer.world_size,
            limited=cfg.trainer.fast_dev_run or cfg.trainer.limit_train_batches is not None,
        )
        self.data.prepare_data()
        self.data.setup()
        found = self.data.num_classes
        if settings["model"]["num_classes"] not in (None, found):
            raise InputError(f"model.num_classes={cfg.model.num_classes}, but data={cfg.data.name} has {found} classes")
        self.module = ImageClassifier(
            architecture=settings["model"] | {"num_classes": found, "image_size": cfg.data.image_size},
            class_names=list(self.data.class_names),
            preprocessing=self.data.preprocessing,
            optimizer=settings["optimizer"],
            scheduler=settings["scheduler"],
            label_smoothing=cfg.label_smoothing,
            class_weights=self.data.class_weights(),
            freeze=freeze,
        )
        if checkpoint is not None:
            check_fits(checkpoint, self.module, self.data)
        self.fit = None if pretrained is None else fit_weights(self.module.network, pretrained, self.weights)
        if freeze != "none":
            self._look_at_freeze(freeze, pretrained is not None)
        self.module.memory_format = self.memory_format
        self.module.network.to(memory_format=self.memory_format)
        if cfg.compile:
            self.module.network.compile()
        self.found_batch_size: int | None = None
        if cfg.data.batch_size == "auto":
            begun = checkpoint is not None or is_follower()
            self.found_batch_size = settle_batch_size(self.module, self.data, self.trainer, folder, begun=begun)
        if checkpoint is not None:  # it is meant to be gone on with
            check_length(checkpoint, self._batches_of_an_epoch(), self.trainer.max_epochs)
            warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
            # `src.resuming.unfinished` sees to it that the epoch goes on with its next batch
            warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before the epoch ended")

    def _look_at_freeze(self, freeze: str | int, trained: bool) -> None:
        if not trained:
            log.warning("freeze=%s keeps random weights: weights=imagenet or weights=FILE gives trained ones", freeze)
        epochs = self.trainer.max_epochs
        if isinstance(freeze, int) and epochs is not None and 0 <= epochs <= freeze:
            log.warning("freeze=%d lasts for all of the %d epochs: nothing but the head will learn", freeze, epochs)
        warnings.filterwarnings("ignore", "Found .* module.s. in eval mode at the start of training")  # they are meant

    def _check_network(self, settings: dict[str, Any], pretrained: dict[str, torch.Tensor] | None) -> float:
        """Build the network without weights: a wrong setting is told before the data are read; its weight uses."""
        cfg = self.cfg
        if cfg.model.in_channels != cfg.data.in_channels:
            raise InputError(
                f"model.in_channels={cfg.model.in_channels} and data.in_channels={cfg.data.in_channels} differ: "
                "set data.in_channels alone, and the network follows"
            )
        classes = settings["model"]["num_classes"] or 2
        with torch.device("meta"):
            network = build_network(**settings["model"] | {"num_classes": classes, "image_size": cfg.data.image_size})
        if pretrained is not None:
            check_fit(network, pretrained, self.weights)
        check_optimization(settings["optimizer"], settings["scheduler"])
        layer = OmegaConf.select(cfg, "callbacks.gradcam.layer")
        if layer is not None:
            find_layer(network, layer)
        return weight_uses(network, cfg.data.in_channels, cfg.data.image_size)

    def _batches_of_an_epoch(self) -> int:
        self.data.trainer = self.trainer  # which divides them among its processes
        batches, limit = len(self.data.train_dataloader()), self.trainer.limit_train_batches
        return min(batches, limit) if isinstance(limit, int) else int(batches * limit)

    def _build_trainer(self, settings: dict[str, Any]) -> L.Trainer:
        progress = progress_callbacks(get_console(), self.throughput, bar=settings.pop("enable_progress_bar"))
        callbacks = [self.throughput, *progress, self.history, self.predictions, TensorBoardCharts()]
        callbacks += [build(node, "callbacks") for node in self.cfg.callbacks.values() if node is not None]
        if settings["enable_checkpointing"]:
            callbacks += self._checkpoints()
        loggers = [
            build(node, "logger", save_dir=str(self.folder.path))
            for node in self.cfg.logger.values()
            if node is not None
        ]
        # With deterministic algorithms torch fills memory that it takes with NaN, to show who reads what nobody wrote:
        # nothing here does, and it costs 8 % of the speed (tests/benchmarks/bench_exactness.py).
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        try:
            return L.Trainer(
                **settings | {"plugins": [SealedCheckpointIO(), *(settings["plugins"] or [])]},
                callbacks=callbacks,
                logger=loggers,
                default_root_dir=self.folder.path,
                enable_progress_bar=any(isinstance(callback, L.pytorch.callbacks.ProgressBar) for callback in progress),
            )
        except (MisconfigurationException, ValueError, TypeError, ImportError, RuntimeError) as error:
            raise InputError(f"trainer: {first_line(error)}") from error

    def _checkpoints(self) -> list[L.Callback]:
        """best.ckpt, and behind it last.ckpt: Lightning's own `save_last` writes one only when the best is written."""
        settings: dict[str, Any] = {"dirpath": self.folder.checkpoints, "enable_version_counter": False}
        best, last = self.folder.best_checkpoint.stem, self.folder.last_checkpoint.stem
        steps, seconds = checkpoint_interval(OmegaConf.select(self.cfg, "checkpoint_every"))
        watched: dict[str, Any] = {"monitor": self.cfg.monitor, "mode": self.cfg.mode}
        if self.cfg.monitor.startswith("train/"):  # figures that there are at an epoch's end alone
            watched["save_on_train_epoch_end"] = True
        return [
            RunCheckpoint(filename=best, **watched, **settings),
            RunCheckpoint(filename=last, save_on_train_epoch_end=True, **settings),
            StepCheckpoints(self.folder.last_checkpoint, self.stop, steps, seconds),
        ]

    def run(self) -> dict[str, float]:
        """Measure, train, measure again; the contents of metrics.json."""
        free = free_memory(torch.device("cpu"))
        try:
            return self._run()
        except Exception as error:
            if not isinstance(error, RunError):  # a process that is told twice to stop may stumble on its way out
                self.stop.leave_if_asked()
            advice = memory_advice(error, free, self.module, self.data, self.trainer, self.folder.shown)
            if advice is None:
                raise
            raise advice from error

    def _run(self) -> dict[str, float]:
        if self.trainer.is_global_zero:
            self.folder.write_skipped((skipped.path, skipped.reason) for skipped in self.data.skipped)
        self._introduce()
        metrics: dict[str, float] = {}
        if self.cfg.baseline:
            metrics |= self._measure({"baseline": self.data.evaluation_dataloader("test", whole=True)})
            log.info("before training: test accuracy %.3f", metrics["baseline/accuracy"])
        start = time.perf_counter()
        if self.caches_features:
            self._keep_features()
        try:
            with self._patience():
                # Left to itself Lightning loads a path of ours with pickle, which runs what code a file may hold.
                self.trainer.fit(self.module, datamodule=self.data, ckpt_path=self.checkpoint, weights_only=True)
        except (MisconfigurationException, ValueError) as error:  # settings that only the loop can tell don't fit
            raise RunError(f"the Trainer can't go on: {first_line(error)}") from error
        seconds = self.history.seconds_before + time.perf_counter() - start
        metrics |= self._measure_best()
        metrics |= {
            "best_epoch": self._best_epoch(),
            "epochs": len(self.history.rows),
            "train_seconds": round(seconds, 3),
            # a run that was stopped while it was tested has nothing left to train
            "images_per_second": round(self.throughput.images_per_second or self.history.images_per_second, 2),
            "parameters": count_parameters(self.module.network),
            "seed": self.cfg.seed,
        }
        if self.trainer.is_global_zero:
            self._write(metrics)
        return metrics

    def _patience(self) -> AbstractContextManager[None]:
        """Around what asks `stop` after each batch; of several processes Lightning tells all to stop."""
        asks = self.cfg.trainer.enable_checkpointing and self.trainer.world_size == 1
        return self.stop.patience() if asks else nullcontext()

    def _write(self, metrics: dict[str, float]) -> None:
        folder, trainer = self.folder, self.trainer
        folder.write_metrics(metrics)
        if self.history.rows:
            draw_epochs(folder, int(metrics["best_epoch"]))
        if self.cfg.test:
            write_test(folder, trainer, self.data, self.predictions)
        if self.cfg.cost:
            self._write_cost()
        # train/* and val/* stay out: their tags hold the curves.
        final = {name: value for name, value in metrics.items() if not name.startswith(("train/", "val/", "seed"))}
        settings = to_dict(self.cfg)
        settings["data"]["batch_size"] = self.data.batch_size
        log_result(trainer, settings, final, trainer.global_step)
        for logger in tensorboards(trainer):
            logger.experiment.close()

    def _introduce(self) -> None:
        data, trainer = self.data, self.trainer
        side, channels = self.cfg.data.image_size, self.cfg.data.in_channels
        if data.skipped:
            log.info("%d files left out, listed in %s/skipped.csv", len(data.skipped), self.folder.shown)
        log.info(
            "%s on %s: %s train, %s validation and %s test images of %d classes, %d×%d×%d",
            self.cfg.model.name,
            self.cfg.data.name,
            *(f"{data.size(split):,}" for split in ("train", "val", "test")),
            data.num_classes,
            *(side, side, channels),
        )
        if self.fit is not None:
            log.info("%s", describe_fit(self.fit, self.weights))
        log.info(
            "%s parameters, %s, %s, on %s",
            f"{count_parameters(self.module.network):,}",
            trainer.precision,
            str(self.memory_format).removeprefix("torch."),
            (describe_hardware()["gpus"] or [describe_hardware()["cpu"]])[0],
        )

    def _keep_features(self) -> None:
        """Show the frozen backbone every training and validation image once; the head then learns from what it saw."""
        start = time.perf_counter()
        for split in ("train", "val"):
            loader = self.data.evaluation_dataloader(split)
            features = extract_features(
                self.module,
                loader,
                device=self.trainer.strategy.root_device,
                context=self.trainer.precision_plugin.forward_context(),
            )
            self.data.keep_features(split, features)
        images = self.data.size("train") + self.data.size("val")
        log.info("features of %s images computed once, in %s", f"{images:,}", duration(time.perf_counter() - start))

    def _write_cost(self) -> None:
        """cost.json: what the network costs here. Whatever goes wrong with it, the training was a success."""
        size = self.data.batch_size
        try:
            figures = classifier_cost(
                self.module,
                device=self.trainer.strategy.root_device,
                precision=str(self.trainer.precision),
                batch_size=size,
                training_batch_size=size,
                budget=COST_SECONDS,
                # A head that learns from kept features says nothing about the network's speed.
                training_images_per_second=None if self.caches_features else self.throughput.images_per_second,
            )
        except Exception as error:
            log.warning("no cost.json: %s", first_line(error))
            return
        self.folder.write_cost({"model": self.cfg.model.name, "data": self.cfg.data.name, **figures})

    def _measure_best(self) -> dict[str, float]:
        """Figures of the best checkpoint on training, validation and, where asked for, test images, unaugmented."""
        best = self.folder.best_checkpoint
        loaders = {
            "best_train": self.data.evaluation_dataloader("train", limit=TRAIN_IMAGES_MEASURED, whole=True),
            "best_val": self.data.evaluation_dataloader("val", whole=True),
        }
        if self.cfg.test:
            loaders["test"] = self.data.evaluation_dataloader("test", whole=True)
        metrics = self._measure(loaders, checkpoint=str(best) if best.exists() else None)
        return {name.removeprefix("best_"): value for name, value in metrics.items()}

    def _best_epoch(self) -> int:
        """The epoch, from 1, whose weights were kept as the best; the last one where no checkpoint was."""
        best = self.folder.best_checkpoint
        if not best.exists():
            return len(self.history.rows)
        return int(torch.load(best, map_location="cpu", weights_only=True, mmap=True)["epoch"]) + 1

    def _measure(self, loaders: Mapping[str, Any], checkpoint: str | None = None) -> dict[str, float]:
        self.module.evaluated = tuple(loaders)
        with self._patience():
            self.trainer.test(
                self.module, dataloaders=list(loaders.values()), ckpt_path=checkpoint, verbose=False, weights_only=True
            )
        figures = {split: read_figures(self.trainer.callback_metrics, split) for split in loaders}
        return {f"{split}/{name}": value for split, values in figures.items() for name, value in values.items()}


def to_dict(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain dicts, lists and values."""
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]
