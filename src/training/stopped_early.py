"""Why early stopping ended a training, and what that did to a schedule of a known length."""

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason as Reason

FALLING = ("cosine", "onecycle", "triangle", "trapezoid")
"""Schedules that end at their lowest rate where the epochs are known."""


def stopped_early(trainer: L.Trainer, epochs: int, schedule: str) -> str | None:
    """Return why a training ended after `epochs`, before all that were planned; None where no such callback ended it.

    Args:
        schedule: The option of `scheduler`.
    """
    planned = trainer.max_epochs or -1
    if not trainer.should_stop or 0 <= planned <= epochs:
        return None
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    ended = (
        one for one in callbacks if isinstance(one, EarlyStopping) and one.stopping_reason is not Reason.NOT_STOPPED
    )
    callback = next(ended, None)
    if callback is None:
        return None
    why = f"{callback.monitor} {_why(callback)}"
    if schedule in FALLING and planned > 0:
        why += (
            f"; {schedule} plans its rates for {planned:,} epochs and was cut off after {epochs:,}, before the lowest"
        )
    return why


def _why(callback: EarlyStopping) -> str:
    waited = callback.wait_count
    return {
        Reason.STOPPING_THRESHOLD: f"has reached stopping_threshold={callback.stopping_threshold}",
        Reason.DIVERGENCE_THRESHOLD: f"is worse than divergence_threshold={callback.divergence_threshold}",
        Reason.NON_FINITE_METRIC: "is not finite",
    }.get(callback.stopping_reason, f"has not improved for {waited} validation{'s' * (waited != 1)}")
