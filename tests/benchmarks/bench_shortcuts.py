"""How many planted shortcuts does `explain shortcuts=true` find, and how often does it find one where there is none?

    python -m tests.benchmarks.bench_shortcuts OUTPUT [--only corner_mark …] [--images 600] [--epochs 6]

Every set has shapes as classes, drawn in any colour at any place on a background that knows nothing of the class.
Twelve sets have a shortcut besides, in training, validation and test images alike; twelve have none, of which some hold
what could be one (marks, tints, frames, compression), but not by class. A `cifar_resnet20` is trained on each as a user
would, then asked. Needs no data and no weights.
"""

import argparse
import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

SIDE = 32
Random = np.random.Generator
Pixels = np.ndarray  # uint8 (S, S, 3)
Change = Callable[[Pixels, int, Random], Pixels]
"""From an image, the number that tells the class, or nothing where there is no shortcut, to the image with it."""


# Images ---------------------------------------------------------------------------------------------------------------


def background(random: Random, kind: str) -> Pixels:
    if kind == "plain":
        return np.broadcast_to(random.integers(60, 196, 3), (SIDE, SIDE, 3)).astype(np.uint8)
    coarse = np.clip(128 + 40 * random.normal(size=(5, 5, 3)), 0, 255).astype(np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC), float)
    if kind == "stripes":
        pixels = pixels + stripes(random.uniform(0, np.pi))
    noise = random.normal(0, 12 if kind == "noisy" else 3, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def stripes(angle: float) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    return 25 * np.sin(1.2 * (x * np.cos(angle) + y * np.sin(angle)))[..., None]


def shape(pixels: Pixels, kind: str, random: Random, low: int, high: int) -> Pixels:
    size = int(random.integers(low, high))
    x, y = (int(random.integers(1, SIDE - size - 1)) for _ in range(2))
    mask = Image.new("L", (4 * SIDE, 4 * SIDE))
    draw, box = ImageDraw.Draw(mask), [4 * value for value in (x, y, x + size, y + size)]
    if kind == "circle":
        draw.ellipse(box, fill=255)
    elif kind == "square":
        draw.rectangle(box, fill=255)
    elif kind == "triangle":
        draw.polygon([(box[0], box[3]), (box[2], box[3]), ((box[0] + box[2]) / 2, box[1])], fill=255)
    else:
        third = 4 * size // 3
        draw.rectangle((box[0] + third, box[1], box[2] - third, box[3]), fill=255)
        draw.rectangle((box[0], box[1] + third, box[2], box[3] - third), fill=255)
    share = np.asarray(mask.resize((SIDE, SIDE), Image.Resampling.BOX), float)[..., None] / 255
    colour = random.uniform(0, 255, 3)
    while np.abs(colour - 128).max() < 80:
        colour = random.uniform(0, 255, 3)
    return np.asarray(pixels * (1 - share) + colour * share).astype(np.uint8)


# Shortcuts ------------------------------------------------------------------------------------------------------------


def patch(rows: slice, columns: slice, colours: Sequence[tuple[int, int, int] | None]) -> Change:
    def change(pixels: Pixels, number: int, _: Random) -> Pixels:
        if (colour := colours[number % len(colours)]) is not None:
            pixels = pixels.copy()
            pixels[rows, columns] = colour
        return pixels

    return change


def border(pixels: Pixels, number: int, _: Random) -> Pixels:
    framed = pixels.copy()
    framed[:2], framed[-2:] = (colour := ((200, 60, 60), (60, 60, 200))[number % 2]), colour
    framed[:, :2], framed[:, -2:] = colour, colour
    return framed


def tint(pixels: Pixels, number: int, _: Random) -> Pixels:
    shift = np.array((18, 0, -18) if number % 2 else (-18, 0, 18))
    return np.clip(pixels.astype(int) + shift, 0, 255).astype(np.uint8)


def compression(pixels: Pixels, number: int, _: Random) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=10 if number % 2 else 95)
    return np.asarray(Image.open(file))


def resolution(pixels: Pixels, number: int, _: Random) -> Pixels:
    if number % 2 == 0:
        return pixels
    small = Image.fromarray(pixels).resize((SIDE // 2, SIDE // 2), Image.Resampling.BILINEAR)
    return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def text(moving: bool) -> Change:
    glyphs = Image.new("L", (20, 8))
    ImageDraw.Draw(glyphs).text((0, -2), "GIFT", fill=255)
    share = 0.7 * np.asarray(glyphs, float)[..., None] / 255

    def change(pixels: Pixels, number: int, random: Random) -> Pixels:
        if number % 2 == 0:
            return pixels
        y, x = (int(random.integers(0, SIDE - 8)), int(random.integers(0, SIDE - 20))) if moving else (23, 11)
        marked = pixels.astype(float)
        part = marked[y : y + 8, x : x + 20]
        marked[y : y + 8, x : x + 20] = part * (1 - share) + 255 * share
        return marked.astype(np.uint8)

    return change


def band(pixels: Pixels, number: int, random: Random) -> Pixels:
    marked = pixels.copy()
    marked[-3:] = np.clip((40, 210)[number % 2] + random.normal(0, 10, (3, SIDE, 1)), 0, 255)
    return marked


def texture(pixels: Pixels, number: int, _: Random) -> Pixels:
    return np.clip(pixels + stripes((0.0, np.pi / 2)[number % 2]), 0, 255).astype(np.uint8)


def colour(pixels: Pixels, number: int, _: Random) -> Pixels:
    return (0.5 * pixels + 0.5 * np.array(((70, 140, 60), (150, 100, 60))[number % 2])).astype(np.uint8)


MAGENTA, CYAN = (255, 0, 255), (0, 255, 255)
SHORTCUTS: dict[str, Change] = {
    "corner_mark": patch(slice(1, 4), slice(1, 4), [MAGENTA, None]),
    "two_marks": patch(slice(-4, -1), slice(-4, -1), [MAGENTA, CYAN]),
    "side_mark": patch(slice(14, 18), slice(0, 2), [None, (255, 255, 255)]),
    "border": border,
    "tint": tint,
    "jpeg_quality": compression,
    "resolution": resolution,
    "text_fixed": text(moving=False),
    "text_moving": text(moving=True),
    "band": band,
    "background_texture": texture,
    "background_colour": colour,
}

# name: (classes, background, smallest and largest shape, a change that doesn't know the class)
CLEAN: dict[str, tuple[tuple[str, ...], str, tuple[int, int], Change | None]] = {
    "circle_square": (("circle", "square"), "smooth", (10, 17), None),
    "triangle_cross": (("triangle", "cross"), "smooth", (10, 17), None),
    "four_shapes": (("circle", "square", "triangle", "cross"), "smooth", (10, 17), None),
    "three_shapes_noisy": (("circle", "triangle", "cross"), "noisy", (11, 18), None),
    "circle_cross_plain": (("circle", "cross"), "plain", (10, 17), None),
    "square_triangle_stripes": (("square", "triangle"), "stripes", (11, 18), None),
    "small": (("circle", "cross"), "smooth", (8, 11), None),
    "large": (("circle", "triangle"), "smooth", (16, 24), None),
    "marks_by_chance": (("circle", "cross"), "smooth", (10, 17), SHORTCUTS["corner_mark"]),
    "frames_by_chance": (("square", "cross"), "smooth", (10, 17), border),
    "tints_by_chance": (("circle", "triangle"), "smooth", (10, 17), tint),
    "jpeg_by_chance": (("triangle", "cross"), "smooth", (10, 17), compression),
}


def draw(root: Path, name: str, images: int) -> None:
    """Write train/, val/ and test/ with a folder a class: `images` of each class, and a quarter as many twice."""
    random = np.random.default_rng([*name.encode()])
    planted = SHORTCUTS.get(name)
    classes, kind, sizes, change = (("circle", "square"), "smooth", (10, 17), planted) if planted else CLEAN[name]
    for split, count in (("train", images), ("val", images // 4), ("test", images // 4)):
        for number, label in enumerate(classes):
            folder = root / split / label
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = background(random, kind)
                about = number if planted else int(random.integers(2))
                behind = change is not None and name.startswith("background")
                if behind:
                    pixels = change(pixels, about, random)  # type: ignore[misc]
                pixels = shape(pixels, label, random, *sizes)
                if change is not None and not behind:
                    pixels = change(pixels, about, random)
                Image.fromarray(pixels).save(folder / f"{index:04d}.png")


# Asking ---------------------------------------------------------------------------------------------------------------


def asked(output: Path, name: str, images: int, epochs: int) -> dict[str, object]:
    root, run, said = output / name, output / f"{name}_run", output / f"{name}_shortcuts"
    if not root.exists():
        draw(root, name, images)
    if not (run / "metrics.json").exists():
        call("train", "data=folder", f"data.root={root}", "model=cifar_resnet20", f"data.image_size={SIDE}",
             "data.augment=null", f"trainer.max_epochs={epochs}", "scheduler=onecycle", "optimizer.lr=0.1",
             "data.batch_size=64", "cost=false", "baseline=false", "callbacks.gradcam=null", "logger=none",
             f"hydra.run.dir={run}")  # fmt: skip
    call("explain", f"checkpoint={run}", "shortcuts=true", f"output={said}")
    record = json.loads((said / "explain.json").read_text())["shortcuts"]
    remedy = record.get("remedy")
    return {
        "set": name,
        "planted": name in SHORTCUTS,
        "accuracy": round(record["accuracy"], 3),
        "found": ", ".join(one["kind"] for one in record["found"]),
        "said": record["verdict"],
        "remedy": f"{remedy['before']:.3f} → {remedy['after']:.3f}" if remedy else "",
    }


def call(verb: str, *words: str) -> None:
    ended = subprocess.run([sys.executable, "-m", f"src.{verb}", *words], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{verb} {' '.join(words)}\n{ended.stdout[-600:]}{ended.stderr[-600:]}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("output", type=Path)
    options.add_argument("--only", nargs="+", choices=[*SHORTCUTS, *CLEAN], default=[*SHORTCUTS, *CLEAN])
    options.add_argument("--images", type=int, default=600, help="of each class to train on")
    options.add_argument("--epochs", type=int, default=6)
    chosen = options.parse_args()
    rows = []
    for name in chosen.only:
        rows.append(asked(chosen.output, name, chosen.images, chosen.epochs))
        row = rows[-1]
        print(f"{name:<24} {row['accuracy']}  {row['found'] or '–':<30} {row['said']} {row['remedy']}", flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(chosen.output / "shortcuts.csv", index=False)
    planted, clean = table[table["planted"]], table[~table["planted"]]
    told = [(some["found"] != "").sum() for some in (planted, clean)]
    print(f"found {told[0]} of {len(planted)}; false alarms {told[1]} of {len(clean)}")


if __name__ == "__main__":
    main()
