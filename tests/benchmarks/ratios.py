"""How the figures of turns are said."""

import statistics


def show(what: str, values: list[float]) -> None:
    low, high = min(values), max(values)
    print(f"{what}: median {statistics.median(values):.4f}, from {low:.4f} to {high:.4f}, n = {len(values)}")
