"""What `src.predict` says of sets and of unfamiliar images: in a picture's line, at the end, and in predict.json."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .rows import Row
from .validated import Validated

log = logging.getLogger(__name__)

NAMED = 3
"""Classes of a set in a picture's line."""

SIZES = 6
"""Sizes of sets that are told apart."""


@dataclass
class Doubt:
    """What was said so far.

    Attributes:
        sizes: how many sets have how many classes.
        flagged: images that are unlike the validation images.
    """

    validated: Validated | None
    sizes: Counter[int] = field(default_factory=Counter)
    flagged: int = 0

    def of(self, row: Row) -> str:
        """Count an image; return what its line says behind the answer."""
        said, asked = "", self.validated
        if asked is not None and asked.coverage is not None:
            self.sizes[len(row.set)] += 1
            more = f" and {len(row.set) - NAMED} more" if len(row.set) > NAMED else ""
            said += f" · {100 * asked.coverage:.3g} %: {', '.join(row.set[:NAMED])}{more}"
        if asked is not None and asked.ood is not None and row.familiarity is not None:
            unlike = row.familiarity <= asked.ood
            self.flagged += unlike
            said += " · unfamiliar" * unlike
        return said

    def say(self, images: int) -> None:
        """Say how large the sets of the `images` are, and how many are unfamiliar."""
        asked = self.validated
        if asked is not None and asked.coverage is not None:
            sizes = sorted(self.sizes.items())
            told = [f"{size} class{'es' * (size != 1)} {count:,}" for size, count in sizes[:SIZES]]
            if rest := sum(count for _, count in sizes[SIZES:]):
                told.append(f"more {rest:,}")
            log.info("sets         %s; %.2f classes on average", ", ".join(told), self.mean_size)
        if asked is not None and asked.ood is not None:
            usual = f"of images like the validation images some {asked.ood * images:,.0f} would be"
            log.info("unfamiliar   %s of %s; %s", f"{self.flagged:,}", f"{images:,}", usual)

    @property
    def mean_size(self) -> float:
        return sum(size * count for size, count in self.sizes.items()) / max(1, self.sizes.total())

    def told(self) -> dict[str, Any]:
        """Return what predict.json says; nothing where nothing was asked."""
        asked = self.validated
        if asked is None:
            return {}
        sizes = {str(size): count for size, count in sorted(self.sizes.items())}
        return {
            "validation_images": len(asked.validation.targets),
            "coverage": asked.coverage,
            "set_sizes": sizes if asked.coverage is not None else None,
            "ood": asked.ood,
            "unfamiliar": self.flagged if asked.ood is not None else None,
        }
