"""A training whose end is a time: how much of it has been spent."""

import lightning as L
from lightning.pytorch.callbacks import Timer


def share_of_time(trainer: L.Trainer) -> float:
    """Return how much of `trainer.max_time` has been spent, at most 1; 0 where there is no such limit.

    The seconds are those of Lightning's timer, which a resumed run goes on with; of several processes those of the
    first, as all have to learn at the same rate.
    """
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    timers = [callback for callback in callbacks if isinstance(callback, Timer)]
    shares = [
        timer.time_elapsed() / (timer.time_elapsed() + left)
        for timer in timers
        if (left := timer.time_remaining()) is not None and timer.time_elapsed() + left > 0
    ]
    share = min(1.0, max(shares, default=0.0))
    return share if trainer.world_size == 1 else float(trainer.strategy.broadcast(share))
