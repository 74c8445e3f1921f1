"""What a checkpoint may hold, checked before Lightning puts it into Trainer, callbacks and torch, which ask nothing.

This is the part that any run's checkpoint has in common; `src.resuming.fitting` compares the rest with the run.
"""

import math
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

import torch
from annotated_types import Interval, Len
from pydantic import (
    AfterValidator,
    AllowInfNan,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from torch import Tensor

from ..logs import visible
from ..networks.saved import SavedFileError, is_plain

MOST = 10**9  # epochs, steps, batches

MOST_RATES = 1000
"""Learning rates by step: `src.callbacks.rates.MOST`, in a layer above."""

FILES = ("", "best.ckpt", "last.ckpt")
"""What a ModelCheckpoint's state may name, in whatever folder: files that it deletes when a better one comes."""


def _plain_line(text: str) -> str:
    _need(visible(text) == text and len(text.splitlines()) < 2, "is no plain text")
    return text


def _file(path: str) -> str:
    _need(path == "" or PurePath(path).name in FILES, "is no checkpoint of a run")
    return path


def _number(value: Any) -> Any:
    _need(type(value) in (int, float), "is no number")  # pydantic takes tensors for numbers, too
    return value


def _figure(value: float) -> float:
    _need(abs(value) <= 1e39 or not math.isfinite(value), "is no figure")  # float32 ends at 3.4e38; NaN: not measured
    return value


def _scalar(value: Tensor) -> Tensor:
    _need(is_plain(value) and value.ndim == 0 and value.is_floating_point(), "is no figure")
    _need(not bool(value.isnan()), "is not finite")
    return value


def _counter(value: Tensor) -> Tensor:
    _need(is_plain(value) and value.ndim == 0 and value.dtype == torch.int64, "is no counter")
    _need(0 <= int(value) <= MOST, "counts no steps")
    return value


def _need(fulfilled: bool, otherwise: str) -> None:
    if not fulfilled:
        raise ValueError(otherwise)


Count = Annotated[int, Interval(ge=0, le=MOST)]
Number = Annotated[float, BeforeValidator(_number)]
Finite = Annotated[Number, AllowInfNan(False)]
Seconds = Annotated[Finite, Interval(ge=0, le=MOST)]
Figure = Annotated[Number, AfterValidator(_figure)]
Scalar = Annotated[Tensor, AfterValidator(_scalar)]
Line = Annotated[str, Len(max_length=1000), AfterValidator(_plain_line)]
File = Annotated[str, Len(max_length=5000), AfterValidator(_file)]
Column = Annotated[str, Field(pattern=r"^(epoch|step|lr|seconds|images_per_second|(train|val)/\w{1,40})$")]
Measured = Annotated[str, Field(pattern=r"^val/\w{1,40}$")]
Images = Annotated[str, Field(pattern=r"^[0-9]{1,12} images [0-9a-f]{1,64}$")]
Version = Annotated[
    str, Field(pattern=r"^2\.[0-9]{1,3}\.[0-9]{1,3}[.\w+]{0,20}$")
]  # older ones Lightning would rewrite


class Part(BaseModel):
    """A dictionary with these keys and no others, each with a value of just this type."""

    model_config = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)


class HistoryState(Part):
    """Of `src.callbacks.history`."""

    rows: list[dict[Column, Figure]]
    validation: dict[Measured, Figure]
    rates: Annotated[list[tuple[Count, Finite]], Len(max_length=MOST_RATES)] = []

    @model_validator(mode="after")
    def _counts_epochs(self) -> Self:
        for number, row in enumerate(self.rows, start=1):
            _need(row.get("epoch") == number, "counts no epochs")
            _need(
                0 <= row.get("step", -1) <= MOST and 0 <= row.get("seconds", -1) <= MOST, "counts no steps or seconds"
            )
        return self


class ModelCheckpointState(Part):
    """Of Lightning."""

    monitor: Line | None
    best_model_score: Scalar | None
    best_model_path: File
    current_score: Scalar | None
    dirpath: Annotated[str, Len(max_length=5000)]  # replaced by the run's
    best_k_models: Annotated[dict[File, Scalar], Len(max_length=1)]
    kth_best_model_path: File
    kth_value: Scalar
    last_model_path: File

    @model_validator(mode="after")
    def _worst_is_one_of_the_best(self) -> Self:
        _need(not self.best_k_models or self.kth_best_model_path in self.best_k_models, "names another file")
        return self


class EarlyStoppingState(Part):
    """Of Lightning."""

    wait_count: Count
    stopped_epoch: Count
    best_score: Scalar
    patience: Count
    stopping_reason: Annotated[int, Interval(ge=0, le=4)] = 0
    stopping_reason_message: Line | None = None


class TimerState(Part):
    """Of Lightning: seconds by stage."""

    time_elapsed: dict[Literal["train", "sanity_check", "validate", "test", "predict"], Seconds]


class AverageState(Part):
    """Of `src.training.averaging`."""

    latest_update_step: Count


CALLBACKS: dict[str, type[Part]] = {
    "History": HistoryState,
    "ModelCheckpoint": ModelCheckpointState,
    "EarlyStopping": EarlyStoppingState,
    "Timer": TimerState,
    "RunningAverage": AverageState,
}
"""The callbacks that keep a state in a checkpoint. Its key is the class and, in braces, its settings."""


class Scaler(Part):
    """Of `trainer.precision=16-mixed`."""

    scale: Annotated[Finite, Interval(gt=0)]
    growth_factor: Annotated[Finite, Interval(gt=1, le=1e6)]
    backoff_factor: Annotated[Finite, Interval(gt=0, lt=1)]
    growth_interval: Annotated[int, Interval(ge=1, le=MOST)]
    growth_tracker: Count = Field(alias="_growth_tracker")


MOST_PROCESSES = 4096


class Unfinished(Part):
    """Of `src.resuming.unfinished`: the middle of an epoch."""

    batches: Annotated[int, Interval(ge=1, le=MOST)]
    of: Annotated[int, Interval(ge=1, le=MOST)]
    figures: dict[str, tuple[Count, dict[str, Tensor]]]
    shares: Annotated[list[dict[str, dict[str, Tensor]]], Len(max_length=MOST_PROCESSES)] | None = None
    gradients: dict[str, Tensor]

    @model_validator(mode="after")
    def _is_no_end(self) -> Self:
        _need(self.batches < self.of, "is at the end of its epoch")
        return self


class Averaging(Part):
    """How many steps are in the running average of `src.training.averaging`."""

    n_averaged: Annotated[Tensor, AfterValidator(_counter)]


class Census(Part):
    """Of `ImageDataModule`."""

    train: Images
    val: Images
    test: Images


class HyperParameters(BaseModel):
    """What a resumed run compares; its network is built from its settings, not from these."""

    model_config = ConfigDict(strict=True, extra="allow")

    class_names: list[str] | None = None


class Content(Part):
    """All of a checkpoint."""

    epoch: Count
    global_step: Count
    version: Version = Field(alias="pytorch-lightning_version")
    state_dict: dict[str, Tensor]
    loops: dict[str, dict[str, Any]]
    callbacks: dict[Line, Any]
    optimizer_states: Annotated[list[dict[str, Any]], Len(1, 1)]
    lr_schedulers: Annotated[list[dict[str, Any]], Len(max_length=1)]
    hparams_name: Line | None = None
    hyper_parameters: HyperParameters | None = None
    census: Census | None = Field(None, alias="ImageDataModule")
    unfinished: Unfinished | None = None
    stopped_early_of: Annotated[int, Interval(ge=-1, le=MOST)] | None = None
    scaler: Scaler | None = Field(None, alias="MixedPrecision")
    current_model_state: dict[str, Tensor] | None = None
    averaging_state: Averaging | None = None

    @model_validator(mode="after")
    def _epochs_agree(self) -> Self:
        rows = self.callbacks.get("History", {}).get("rows")
        _need(rows is None or len(rows) - self.epoch in (0, 1), "has a history of other epochs")
        return self


def check_content(content: Any) -> None:
    """Raise `SavedFileError`, in a few words, for what no run of ours writes into a checkpoint."""
    try:
        for key, state in content["callbacks"].items():
            kind = CALLBACKS.get(str(key).partition("{")[0])
            if kind is None:
                raise SavedFileError(f"it has a state of {named(key)}, which can't be checked")
            kind.model_validate(state)
        Content.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(named, first["loc"])) or error.title
        raise SavedFileError(f"its {where[-80:]}: {first['msg'][:100].removeprefix('Value error, ').lower()}") from None
    except (TypeError, KeyError, AttributeError):
        raise SavedFileError("it is no checkpoint of src.train") from None


def named(key: Any) -> str:
    """Return a key of a checkpoint as a message may show it."""
    return ascii(key).strip("'")[:60]
