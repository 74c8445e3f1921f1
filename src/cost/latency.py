"""How long a piece of work takes, again and again."""

import time
from collections.abc import Callable, Sequence

import numpy as np

WARMUP_SHARE = 0.2
"""Of a budget, at most so much is spent on warm-ups."""


def time_passes(
    work: Callable[[], object],
    *,
    passes: int = 100,
    warmups: int = 10,
    budget: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
    on_pass: Callable[[float], None] | None = None,
) -> list[float]:
    """The seconds of each of `passes` calls of `work`, behind `warmups` calls that don't count.

    `work` ends when its result is there: on a GPU it waits for the device. With a `budget` in seconds both parts stop
    where theirs is spent, after at least one call each. `on_pass` gets the share that is done, in [0, 1], between calls
    and never during one.
    """
    start = clock()
    times: list[float] = []

    def spent() -> float:
        return (clock() - start) / budget if budget else 0.0

    def tell(done: int) -> None:
        if on_pass is not None:
            on_pass(min(1.0, max(done / (warmups + passes), spent())))

    for number in range(warmups):
        if number and spent() >= WARMUP_SHARE:
            break
        work()
        tell(number + 1)
    while len(times) < passes and not (times and spent() >= 1):
        begin = clock()
        work()
        times.append(clock() - begin)
        tell(warmups + len(times))
    return times


def latency_figures(times: Sequence[float], prefix: str = "") -> dict[str, float | int]:
    """Mean, median and 95th percentile (interpolated) of seconds, in milliseconds, and how many they are.

    Keys: `<prefix>latency_ms_{mean,median,p95}`, `<prefix>latency_passes`.
    """
    milliseconds = 1000 * np.asarray(times)
    figures = {
        "mean": milliseconds.mean(),
        "median": np.median(milliseconds),
        "p95": np.percentile(milliseconds, 95),
    }
    rounded: dict[str, float | int] = {f"{prefix}latency_ms_{name}": round(float(v), 4) for name, v in figures.items()}
    return rounded | {f"{prefix}latency_passes": len(times)}
