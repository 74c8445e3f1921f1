"""Pictures of several labels: four quarters, in some of which stands a picture of one class. Seeded."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GREY, NOISE = 118, 12
"""Of a quarter in which nothing stands."""


def compose(
    root: Path,
    sources: dict[str, list[NDArray[np.uint8]]],
    count: int,
    *,
    unknown: float = 0.05,
    seed: int = 0,
    first: int = 0,
) -> Path:
    """Write `count` pictures and labels.csv to `root`; return the table.

    Of 1 to 4 distinct classes (one picture in fifty: of none) each has a quarter of its own, drawn by chance. A column
    of 0 and 1 a class, empty in a share `unknown` of the cells; `quarters` says, as JSON, where a class stands.

    Args:
        sources: of each class its pictures, uint8 (S, S, 3), which are drawn with repetition.
        first: the number of the first picture.
    """
    random = np.random.default_rng(seed)
    names = list(sources)
    side = len(next(iter(sources.values()))[0])
    (root / "images").mkdir(parents=True, exist_ok=True)
    lines = [",".join(["file", *names, "quarters"])]
    for number in range(first, first + count):
        many = 0 if random.random() < 0.02 else int(random.integers(1, min(4, len(names)) + 1))
        chosen, places = random.permutation(len(names))[:many], random.permutation(4)[:many]
        picture = np.clip(GREY + NOISE * random.standard_normal((2 * side, 2 * side, 3)), 0, 255).astype(np.uint8)
        for label, place in zip(chosen, places, strict=True):
            own = sources[names[label]]
            top, left = side * (place // 2), side * (place % 2)
            picture[top : top + side, left : left + side] = own[random.integers(len(own))]
        Image.fromarray(picture).save(root / "images" / f"{number:05d}.png")
        cells = ["" if random.random() < unknown else str(int(label in chosen)) for label in range(len(names))]
        where = {names[label]: int(place) for label, place in zip(chosen, places, strict=True)}
        text = json.dumps(where).replace('"', '""')
        lines.append(",".join([f"images/{number:05d}.png", *cells, f'"{text}"']))
    (root / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root / "labels.csv"


def patterns(side: int = 10, each: int = 12) -> dict[str, list[NDArray[np.uint8]]]:
    """Three classes that a small network learns in seconds: bright red, green, or blue squares of noise."""
    random = np.random.default_rng(5)
    sources = {}
    for channel, name in enumerate(("red", "green", "blue")):
        pictures = random.integers(0, 120, (each, side, side, 3), dtype=np.uint8)
        pictures[..., channel] += 120
        sources[name] = list(pictures)
    return sources
