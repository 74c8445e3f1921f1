"""The settings of `src.train`, and of the groups that it shares with other verbs."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from annotated_types import Interval
from pydantic import model_validator

from ...analysis.metrics import MONITORS, mode_of
from ...analysis.tasks import task_of
from ...errors import InputError
from .data import Data
from .kinds import Channels, Classes, Count, Layer, OneOf, Part, Seed, Settings, Share, Takes, setting

ANSWERS = ("best", "cost", "levels", "pretraining", "gap", "sharpness", "depth", "deeper", "crossing", "luck")
"""How a study can be answered: `src.reporting.answers` has the words."""

STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false")
"""Lightning's, of processes that each have an interpreter of their own. Those that fork or spawn them (ddp_spawn,
ddp_fork, ddp_notebook) would leave the answers to the test set in the children; the others shard what a residual
network doesn't need to shard."""

PROBABILITIES = "keep all classes' probabilities and logits of the test images, too: probabilities.npz"

TAKEN_WORDS = ("last", "auto", "null", "none", "imagenet", "train", "val", "test")
"""What `checkpoint=`, `resume=`, `weights=` … take in place of a run."""

Text = Annotated[str, Takes("text")]
Weights = Annotated[str | None, Takes("imagenet, a FILE, or null")]
Head = Literal["auto", "new"]
Freeze = Annotated[int, Interval(ge=1, le=1_000_000)] | Literal["none", "backbone"]
Warmup = Annotated[float, Interval(ge=0, le=1_000_000)]
Epochs = Count | Literal[-1]
Steps = Annotated[int, Interval(ge=1, le=1_000_000_000)] | Literal[-1]
Limit = Annotated[float | None, Takes("a number, or null")]
Batches = Annotated[float, Interval(gt=0, le=1e9)] | None
MemoryFormat = Literal["auto", "channels_last", "contiguous"]
Convolutions = Literal["auto", "library"]
LabelSmoothing = Annotated[float, Interval(ge=0, le=0.99)]
Alpha = Annotated[float, Interval(ge=0, le=100)]
Decay = Annotated[float, Interval(gt=0, lt=1)]


def no_file(weights: str) -> str:
    """Return what is wrong with a name of weights that aren't there, and what to do; not every verb does without."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", weights):
        return "is an address: download it, and name the file"
    return "is no file: name a .pth or .safetensors file, or a run"


def check_name(name: Any) -> None:
    """Raise `InputError` for what can't be the name of a run."""
    if name is None:
        return
    if str(name).lower() in TAKEN_WORDS:
        raise InputError(f"name={name} means something else where runs are named: take another name")
    if not re.fullmatch(r"\w[\w.-]{0,99}", str(name)) or str(name).isdigit():
        raise InputError(
            f"name={name} is no name of a run: take letters, digits, - and _, at most 100, no slash, not digits alone"
        )


class Model(Settings):
    """What builds the network. A setting that isn't here goes to the constructor of its network, which checks it."""

    name: str = setting("the network, which model=NAME sets")
    num_classes: Classes | None = setting("number of classes; null: those of the data")
    in_channels: Channels = setting("channels of an image")
    weights: Weights = setting("the top level's weights")
    head: Head = setting("the top level's head")
    freeze: Freeze = setting("the top level's freeze")
    stem: Literal["auto", "imagenet", "small"] = setting(
        "imagenet: the paper's (ResNet: 7×7); small: 3×3, stride 1; auto: small up to 64 px, or as weights say"
    )
    stem_pool: Literal["auto"] | bool = setting(
        "3×3 max pooling with stride 2 behind the stem; auto: with the imagenet stem"
    )
    shortcut_padding: Literal["auto", "behind", "both"] = setting(
        "of cifar_resnet…: where shortcuts add zeros, behind the channels or half of them on both sides; auto: as "
        "weights tell, else behind"
    )
    width: Annotated[int, Interval(ge=1, le=4096)] = setting(
        "of simple_cnn: channels of the first convolution; of mini_resnet_…: of the first stage; the next ones have 2 "
        "and 4 times as many. Of airbench: of the first block; the others have 4 times as many"
    )
    residual: bool = setting("of airbench: the second convolution of a block adds to what it sees")

    @model_validator(mode="after")
    def _weights_are_there(self) -> Self:
        if self.weights not in (None, "imagenet") and not Path(self.weights).expanduser().exists():
            raise InputError(f"weights={self.weights} {no_file(str(self.weights))}")
        return self


class Trainer(Settings):
    """The arguments of Lightning's `Trainer`; those without a range of ours are checked by Lightning."""

    accelerator: Any = setting("auto, cpu or gpu")
    strategy: Annotated[Any, OneOf(*STRATEGIES)] = setting("how processes share the work")
    devices: Any = setting("how many devices, or which; auto: all")
    num_nodes: Any = setting("number of machines")
    precision: Any = setting("auto: bf16-mixed where the hardware has it and the network gains from it, else 32-true")
    fast_dev_run: Any = setting("run so many batches of everything, and write no checkpoint")
    max_epochs: Epochs = setting("number of epochs; -1: any, where max_steps or max_time is there to end the training")
    min_epochs: Any = setting("fewest epochs, whatever stops the training early")
    max_steps: Steps = setting("most optimizer steps; -1: no limit")
    min_steps: Any = setting("fewest optimizer steps")
    max_time: Annotated[Any, Takes("a time such as 00:01:30:00, or null")] = setting(
        "longest time of training, as DD:HH:MM:SS; null: no limit"
    )
    limit_train_batches: Batches = setting("training batches of an epoch: a number, or a share as 0.1; null: all")
    limit_val_batches: Batches = setting("validation batches, in the same way")
    limit_test_batches: Batches = setting("test batches, in the same way")
    limit_predict_batches: Any = setting("not used by ResLens")
    overfit_batches: Any = setting("overfit on so many training batches on purpose, the same ones every epoch")
    val_check_interval: Any = setting("validate more often than once an epoch")
    check_val_every_n_epoch: Count | None = setting(
        "validate every so many epochs; null: after every val_check_interval steps, whatever epoch they are in"
    )
    num_sanity_val_steps: Annotated[int, Interval(ge=-1, le=1_000_000)] | None = setting(
        "validation batches to try before training; null: 2"
    )
    log_every_n_steps: Count | None = setting("steps between two values of a training curve; null: 50")
    enable_checkpointing: Any = setting("write checkpoints")
    enable_progress_bar: Any = setting("a bar on a terminal, plain lines elsewhere")
    enable_model_summary: Any = setting("Lightning's table of layers")
    accumulate_grad_batches: Count = setting("add up the gradients of so many batches before each step")
    gradient_clip_val: Annotated[float, Interval(ge=0, le=1e9)] | None = setting("clip gradients here; null: don't")
    gradient_clip_algorithm: Any = setting("norm or value")
    deterministic: Any = setting("only deterministic algorithms: the same bits every time")
    benchmark: Any = setting("let cuDNN choose its algorithms by trying them")
    inference_mode: Any = setting("evaluate under torch.inference_mode")
    use_distributed_sampler: Any = setting(
        "leave it false: the data module deals out the images, the same after a resume"
    )
    profiler: Annotated[str | None, Takes("simple, advanced, or null")] = setting("where the time goes")
    detect_anomaly: bool = setting("name the operation that made a NaN")
    barebones: Any = setting("Lightning's mode for measuring its own overhead")
    plugins: Any = setting("Lightning's plugins")
    sync_batchnorm: Any = setting("share batch statistics between processes")
    reload_dataloaders_every_n_epochs: Any = setting("make loaders anew every so many epochs; 0: never")
    enable_autolog_hparams: Any = setting("log hyper-parameters to the loggers")
    model_registry: Any = setting("Lightning's model registry")

    @model_validator(mode="after")
    def _time_is_one(self) -> Self:
        if isinstance(self.max_time, int | float | str) and not re.fullmatch(r"\d+(:\d\d){3}", str(self.max_time)):
            raise InputError(f"trainer.max_time={self.max_time} is not possible: take DD:HH:MM:SS, such as 00:01:30:00")
        return self


class Optimizer(Settings):
    """What makes steps from gradients. There is no weight decay on norms and biases."""

    name: str = setting("the optimizer, which optimizer=NAME sets")
    lr: Annotated[float, Interval(gt=0, lt=1000)] | Literal["auto"] = setting(
        "learning rate, at its highest; unless typed, a tenth of that from scratch where pretrained weights are "
        "trained; auto: found before the training"
    )
    momentum: Annotated[float, Interval(ge=0, le=0.9999)] = setting("of sgd: share of the last step that is kept")
    nesterov: bool = setting("of sgd: Nesterov's momentum")
    betas: Sequence[Annotated[float, Interval(ge=0, lt=1)]] = setting("of adamw: decay of the two running averages")
    weight_decay: Annotated[float, Interval(ge=0, le=100)] = setting("pulls weights towards 0; not norms and biases")
    norm_bias_lr: Annotated[float, Interval(gt=0, le=1000)] = setting(
        "learning rate of the biases of batch norms, as a multiple of that of the other weights"
    )
    layer_decay: Annotated[float, Interval(ge=0.001, le=1)] = setting(
        "learning rate of each layer, as a multiple of the rate of the layer above it; 1: the same for all"
    )


class Scheduler(Settings):
    """How the learning rate changes during the run."""

    name: str = setting("the schedule, which scheduler=NAME sets")
    warmup_epochs: Warmup = setting("epochs in which the rate rises from 0; at most half of the run")
    first: Share = setting("of triangle: the first learning rate, as a share of optimizer.lr")
    final: Share = setting("of cosine and triangle: the last learning rate, as a share of optimizer.lr")
    warmup: Part = setting("of onecycle and triangle: the share of all steps in which the rate rises")
    every: Count = setting("of step: epochs between two falls")
    gamma: Part = setting("of step: what the rate is multiplied by")
    cooldown: Share = setting(
        "of trapezoid: the last share of all steps, in which the rate falls to 0; 0: it never does"
    )


class GradCAM(Settings):
    """Grad-CAM of the same validation images after every epoch."""

    images: Annotated[int, Interval(ge=1, le=256)] = setting("number of validation images")
    target: Literal["predicted", "true"] = setting("the class that is explained")
    layer: Layer = setting("the layer; null: the deepest one with a map of at least 7×7, or 4×4 of tiny images")
    untrained: bool = setting("explain the untrained network, too")
    objects: Annotated[int, Interval(ge=0, le=4096)] | None = setting(
        "validation images at most on which it is measured how much of a map lies on the object, where places are "
        "known; 0 or null: none"
    )


class EarlyStopping(Settings):
    """Stop when `monitor` has not improved for a while: arguments of Lightning's `EarlyStopping`."""

    monitor: Any = setting("the figure that is watched")
    mode: Any = setting("whether its largest or its smallest value is the best")
    patience: Annotated[int, Interval(ge=0, le=1_000_000)] = setting(
        "validations without improvement before the run stops"
    )
    min_delta: Annotated[float, Interval(ge=0, le=1e9)] = setting("least change that counts as an improvement")
    stopping_threshold: Limit = setting("stop at once where monitor is better than this; null: nowhere")
    divergence_threshold: Limit = setting("stop at once where monitor is worse than this; null: nowhere")
    check_on_train_epoch_end: bool | None = setting(
        "look at the end of an epoch, not of a validation; null: with a validation an epoch"
    )
    check_finite: bool = setting("stop at once where monitor is not finite")
    strict: bool = setting("an error where there is no such figure")
    verbose: bool = setting("say each time whether it has improved")
    log_rank_zero_only: bool = setting("of several processes let the first alone say so")


class LearningRates(Settings):
    """The learning rate of each group of parameters, as a curve: arguments of Lightning's `LearningRateMonitor`."""

    logging_interval: Literal["step", "epoch"] | None = setting("log it every step or every epoch; null: as it changes")
    log_momentum: bool = setting("the momentum, too")
    log_weight_decay: bool = setting("the weight decay, too")


class ModelSummary(Settings):
    """The layers and their parameters, said before training."""

    max_depth: Annotated[int, Interval(ge=-1, le=100)] = setting("layers within layers, so deep; -1: all")


class Callbacks(Settings):
    """Each has a `_target_`, a callback of ours or of Lightning's, and its arguments; null leaves it out."""

    gradcam: GradCAM | None = setting("Grad-CAM by epoch")
    early_stopping: EarlyStopping | None = setting("stop early")
    lr_monitor: LearningRates | None = setting("curves of the learning rates")
    model_summary: ModelSummary | None = setting("a table of layers")


class StepsTable(Settings):
    """The curves as a table, a row for each step that logs something; a row an epoch is always in metrics.csv."""

    flush_logs_every_n_steps: Count = setting("write so often")


class Wandb(Settings):
    """Weights & Biases: pip install 'reslens[wandb]'."""

    project: Text = setting("the project")
    mode: Annotated[str | None, OneOf(None, "offline", "online")] = setting(
        "offline: RUN/wandb/ alone, which `wandb sync` uploads; null: offline; only typed"
    )
    entity: Annotated[str | None, Takes("text, or null")] = setting("the team or user; only typed")
    group: Annotated[str | None, Takes("text, or null")] = setting("what runs are grouped by")
    tags: Annotated[Sequence[str] | None, Takes("a list of words, or null")] = setting("words to find the run by")
    notes: Annotated[str | None, Takes("text, or null")] = setting("a note on the run")


class MLflow(Settings):
    """MLflow: pip install 'reslens[mlflow]'."""

    experiment_name: Text = setting("the experiment that the run belongs to")
    tracking_uri: Annotated[str | None, Takes("an address, or null")] = setting(
        "another database or server; null: outputs/mlruns/mlflow.db; only typed"
    )
    tags: Annotated[Any, Takes("names and words, or null")] = setting("tags of the run")


class Logger(Settings):
    """Each has a `_target_`, a logger of ours or of Lightning's, and its arguments."""

    tensorboard: Any = setting("event files in the run folder")
    csv: StepsTable | None = setting("steps.csv in the run folder")
    wandb: Wandb | None = setting("Weights & Biases")
    mlflow: MLflow | None = setting("MLflow")


class Study(Settings):
    """Of an experiment that answers a question."""

    question: Text = setting("the question")
    earlier: Text = setting("what was measured before")
    cost: Text = setting("runs and time")
    command: Text = setting("the command that runs it")
    answer: Annotated[str, OneOf(*ANSWERS)] = setting("how the report answers it")


class Train(Settings):
    """`python -m src.train`."""

    name: Annotated[Any, Takes("a name, or null")] = setting(
        "the run's name: its folder is outputs/DATA/MODEL/NAME, and checkpoint=NAME finds it; null: date and time"
    )
    seed: Seed = setting("of everything random: division, order, augmentation, weights")
    monitor: Annotated[str, OneOf(*MONITORS)] = setting(
        "what makes a checkpoint the best one: a column of metrics.csv; usually val/accuracy, of several labels val/map"
    )
    mode: Literal["max", "min"] = setting("whether the largest or the smallest value of monitor is the best")
    baseline: bool = setting("measure the untrained network on the test set first")
    test: bool = setting("measure the best checkpoint on the test set at the end; false: don't touch the test set")
    weights: Weights = setting(
        "pretrained weights: imagenet (torchvision's), a .pth or .safetensors file, or a run; null: train from scratch"
    )
    head: Head = setting(
        "the pretrained head: auto (our checkpoints' rows by class name, others' in their order), or new: made anew"
    )
    freeze: Freeze = setting(
        "what pretrained weights stay: none, backbone (all but the head), or N: backbone for N epochs"
    )
    resume: Annotated[Any, Takes("a run folder, auto, or null")] = setting(
        "go on with a run that was stopped, in its folder, or give a finished one more epochs; auto: begin or go on in "
        "the folder that name or hydra.run.dir names"
    )
    requeue: bool = setting(
        "with resume=auto: a Slurm job that is preempted, or that SIGUSR1 stops, asks to be run again"
    )
    checkpoint_every: Annotated[
        int | float | str | bool | None, Takes("steps such as 500, a time such as 10min, or null")
    ] = setting("write last.ckpt this often within an epoch, besides at its end")
    cost: bool = setting("measure at the end what the network costs: cost.json")
    probabilities: bool = setting(PROBABILITIES)
    label_smoothing: LabelSmoothing = setting("share of each target that the training loss spreads over all classes")
    recipe: Text = setting("what makes training faster or better, which recipe=NAME sets")
    mixup: Alpha = setting("mix each training image with another one (alpha of mixup's distribution); 0: don't")
    cutmix: Alpha = setting(
        "paste a part of another training image into each (alpha of CutMix's distribution); 0: don't; with mixup, too: "
        "one of the two for each batch"
    )
    ema: Decay | None = setting(
        "validate and keep a running average of the weights with this decay a step, less in the first steps; null: none"
    )
    progressive_size: Annotated[float, Interval(ge=0.25, le=1)] = setting(
        "begin with images of this share of data.image_size, and rise to all of it; 1: all of it from the start"
    )
    test_flip: bool = setting(
        "average the logits of each image and of its mirror image, in training's validation and ever after"
    )
    head_first: bool = setting(
        "with weights: fit the head to the features of the pretrained network before all layers are trained"
    )
    memory_format: MemoryFormat = setting("order of channels in memory; auto: what is fast on this hardware")
    convolutions: Convolutions = setting(
        "how training on a CPU computes convolutions of small feature maps; auto: as matrix products, where these are "
        "faster; library: by torch, as all others, and as in runs from before this setting"
    )
    compile: bool = setting("torch.compile: pays on a GPU, not on a CPU")
    quick: bool = setting("run a study (experiment=NAME) in minutes: fewer images, epochs and seeds")
    study: Annotated[Study | None, Takes(f"null, or a question and its answer: {', '.join(ANSWERS)}")] = setting(
        "of an experiment that answers a question"
    )
    sweep: Annotated[Any, Takes("a name")] = setting("the name of a sweep (-m): its runs lie in outputs/sweeps/NAME")
    only: Annotated[Any, Takes("numbers such as 3 or 0,4-7, or null")] = setting(
        "of a sweep (-m): do these runs, by the numbers of their folders, while other processes do others; null: all"
    )
    # before model, whose in_channels and num_classes refer to it: the message names what was typed
    data: Data = setting("the images")
    model: Model = setting("the network")
    trainer: Trainer = setting("Lightning's Trainer")
    optimizer: Optimizer = setting("the optimizer")
    scheduler: Scheduler = setting("the schedule of the learning rate")
    callbacks: Callbacks = setting("what is observed during training")
    logger: Logger = setting("where curves and pictures go")

    @model_validator(mode="after")
    def _mode_fits_monitor(self) -> Self:
        if {"mode", "monitor"} <= self.model_fields_set:
            wanted = mode_of(self.monitor)
            if self.mode != wanted:
                raise InputError(
                    f"mode={self.mode} would keep the worst checkpoint by {self.monitor}: say mode={wanted}"
                )
        return self

    @model_validator(mode="after")
    def _ends(self) -> Self:
        limits = self.trainer
        if limits is None or limits.max_epochs != -1 or limits.max_steps not in (None, -1):
            return self
        if limits.max_time is None:
            raise InputError(
                "trainer.max_epochs=-1 has no end: say trainer.max_time=DD:HH:MM:SS, trainer.max_epochs=N or "
                "trainer.max_steps=N, too"
            )
        return self

    @model_validator(mode="after")
    def _monitor_fits_data(self) -> Self:
        if {"data", "monitor"} <= self.model_fields_set:
            task = task_of({"multilabel": self.data.multilabel})
            if self.monitor.rpartition("/")[2] not in task.metrics:
                known = ", ".join(f"val/{name}" for name in task.shown)
                raise InputError(f"monitor={self.monitor} is no figure of {task.words}: take one of {known}")
        return self

    @model_validator(mode="after")
    def _run_has_a_name(self) -> Self:
        check_name(self.name)
        return self

    @model_validator(mode="after")
    def _only_is_typed(self) -> Self:
        if self.only is not None:  # the command line of a sweep takes it away
            raise InputError(f"only={self.only} is for a sweep, and for the command line: leave it out")
        return self

    @model_validator(mode="after")
    def _sweep_is_a_name(self) -> Self:
        name = self.sweep
        if isinstance(name, str) and (not {"/", os.sep}.isdisjoint(name) or name.startswith(".") or name == "report"):
            raise InputError(
                f"sweep={name} is no name: take one without / that doesn't begin with a dot, and not report"
            )
        return self
