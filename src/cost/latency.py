"""How long a piece of work takes when it is repeated."""

import time
from collections.abc import Callable, Sequence

import numpy as np

WARMUP_SHARE = 0.2
"""The share of a budget that warm-ups may take."""


def time_passes(
    work: Callable[[], object],
    *,
    passes: int = 100,
    warmups: int = 10,
    budget: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
    on_pass: Callable[[float], None] | None = None,
) -> list[float]:
    """Return the seconds of each of `passes` calls of `work`, after `warmups` calls that don't count.

    Args:
        work: Must return only when its result is there: on a GPU it waits for the device.
        budget: Seconds after which both parts stop early, each after at least one call.
        on_pass: Hears the share that is done, in [0, 1], between calls and never during one.
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
    """Return `<prefix>latency_ms_{mean,median,p95}` of these seconds, and their number, `<prefix>latency_passes`."""
    milliseconds = 1000 * np.asarray(times)
    figures = {
        "mean": milliseconds.mean(),
        "median": np.median(milliseconds),
        "p95": np.percentile(milliseconds, 95),
    }
    rounded: dict[str, float | int] = {f"{prefix}latency_ms_{name}": round(float(v), 4) for name, v in figures.items()}
    return rounded | {f"{prefix}latency_passes": len(times)}
