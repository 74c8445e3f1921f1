"""At which layer do maps lie best on objects whose place is known, and which rule for the default layer follows?

    python -m tests.benchmarks.bench_layers OUTPUT [--tiny data/tiny-imagenet-200] [--weights FOLDER] [--only CASE …]

Networks are trained as a user would, on three kinds of images: shapes drawn at any place; photographs pasted at any
place on another ground; photographs with boxes (Tiny-ImageNet). Then every stage is explained by four methods, for the
same 100 test images that the network gets right. Measured are the energy and the peaks on the object, and the rank
correlation with what the class's logit loses without each sixteenth of the image. Writes layers.csv, and the table of
rules to stdout.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageDraw

from src.analysis.objects import shares
from src.analysis.single_deletion import single_deletion
from src.attribution.cam import class_activation_maps
from src.attribution.layers import map_sizes
from src.attribution.snapshot import frozen_copy
from src.networks import layers_of
from src.trained.checkpoint import Trained, choose_device, load_trained
from src.trained.logits import predict
from src.trained.pictures import open_pictures

IMAGES = 100
RULES = {"4×4 or more": 4, "6×6 or more": 6, "8×8 or more": 8, "14×14 or more": 14, "16×16 or more": 16}
ASKED = ("gradcam", "gradcam++", "layercam", "hirescam")


@dataclass(frozen=True)
class Case:
    """A network, on a kind of images of a size; `weights` begin it, of so many training images and epochs."""

    kind: str
    size: int
    model: str
    weights: str | None = None
    images: int = 2400
    epochs: int = 8

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.size}_{self.model}"


RESNET18, RESNET50 = "resnet18_tinyimagenet.pth", "resnet50_tinyimagenet.pth"
CASES = [
    Case("shapes", 32, "cifar_resnet20"),
    Case("shapes", 64, "mini_resnet_basic_post", epochs=4),
    Case("shapes", 64, "resnet18", RESNET18, images=1200, epochs=3),
    Case("shapes", 96, "resnet18", RESNET18, images=1200, epochs=2),
    Case("shapes", 128, "resnet18", RESNET18, images=1200, epochs=2),
    Case("shapes", 224, "resnet18", RESNET18, images=800, epochs=2),
    Case("pasted", 64, "resnet18", RESNET18, images=3000, epochs=3),
    Case("pasted", 96, "resnet18", RESNET18, images=2000, epochs=2),
    Case("pasted", 128, "resnet18", RESNET18, images=2000, epochs=2),
    Case("pasted", 128, "resnet50", RESNET50, images=1500, epochs=2),
    Case("pasted", 224, "resnet18", RESNET18, images=1000, epochs=2),
    Case("photographs", 32, "resnet18", images=6000, epochs=4),
    Case("photographs", 64, "resnet18", RESNET18, images=3000, epochs=2),
    Case("photographs", 64, "resnet50", RESNET50, images=3000, epochs=2),
    Case("photographs", 96, "resnet18", RESNET18, images=2000, epochs=2),
    Case("photographs", 128, "resnet18", RESNET18, images=2000, epochs=2),
    Case("photographs", 128, "resnet50", RESNET50, images=1500, epochs=2),
    Case("photographs", 224, "resnet18", RESNET18, images=1000, epochs=2),
]  # fmt: skip


# Images ---------------------------------------------------------------------------------------------------------------


def ground(random: np.random.Generator, side: int) -> Image.Image:
    coarse = np.clip(128 + 40 * random.normal(size=(5, 5, 3)), 0, 255).astype(np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC), float)
    return Image.fromarray(np.clip(pixels + random.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8))


def draw_shapes(root: Path, side: int, images: int) -> None:
    random, rows = np.random.default_rng(side), []
    for split, count in (("train", images // 4), ("val", 60), ("test", 120)):
        for kind in ("circle", "square", "triangle", "cross"):
            (root / split / kind).mkdir(parents=True)
            for index in range(count):
                picture = ground(random, side)
                size = int(random.uniform(0.25, 0.5) * side)
                x, y = (int(random.integers(0, side - size)) for _ in range(2))
                colour = tuple(int(value) for value in random.choice([20, 235], 3))
                draw, box, third = ImageDraw.Draw(picture), (x, y, x + size, y + size), size // 3
                if kind == "circle":
                    draw.ellipse(box, fill=colour)
                elif kind == "square":
                    draw.rectangle(box, fill=colour)
                elif kind == "triangle":
                    draw.polygon([(x, y + size), (x + size, y + size), (x + size / 2, y)], fill=colour)
                else:
                    draw.rectangle((x + third, y, x + size - third, y + size), fill=colour)
                    draw.rectangle((x, y + third, x + size, y + size - third), fill=colour)
                name = f"{split}/{kind}/{index:04d}.png"
                picture.save(root / name)
                rows.append((name, *box))
    write_boxes(root, rows)


def paste(root: Path, side: int, images: int, tiny: Path) -> None:
    """Put photographs of ten classes of Tiny-ImageNet, half as high and wide as the canvas, at any place on it."""
    random, rows = np.random.default_rng(side), []
    for folder in sorted((tiny / "train").iterdir())[:10]:
        files = sorted((folder / "images").iterdir())[: min(500, images // 10 + 110)]
        cuts = np.split(np.array(files), [len(files) - 110, len(files) - 80])
        for split, chosen in zip(("train", "val", "test"), cuts, strict=True):
            (root / split / folder.name).mkdir(parents=True, exist_ok=True)
            for file in chosen:
                with Image.open(file) as photograph:
                    part = photograph.convert("RGB").resize((side // 2, side // 2), Image.Resampling.BICUBIC)
                picture = ground(random, side)
                x, y = (int(random.integers(0, side - side // 2 + 1)) for _ in range(2))
                picture.paste(part, (x, y))
                name = f"{split}/{folder.name}/{file.stem}.png"
                picture.save(root / name)
                rows.append((name, x, y, x + side // 2, y + side // 2))
    write_boxes(root, rows)


def write_boxes(root: Path, rows: list[tuple[object, ...]]) -> None:
    table = pd.DataFrame(rows, columns=["file", "left", "top", "right", "bottom"])
    table.to_csv(root / "boxes.csv", index=False)


# Networks -------------------------------------------------------------------------------------------------------------


def trained_on(case: Case, output: Path, tiny: Path, weights: Path) -> Path:
    run, root = output / f"{case.name}_run", output / f"{case.kind}_{case.size}"
    if (run / "metrics.json").exists():
        return run
    if case.kind == "photographs":
        data = ["data=tinyimagenet", f"data.root={tiny.parent}"]
    else:
        if not root.exists():
            draw_shapes(root, case.size, case.images) if case.kind == "shapes" else paste(
                root, case.size, case.images, tiny
            )
        data = ["data=folder", f"data.root={root}"]
    begun = [f"weights={weights / case.weights}", "head=new"] if case.weights else ["scheduler=onecycle"]
    words = ["src.train", *data, f"model={case.model}", *begun, f"data.image_size={case.size}", "data.augment.scale=1",
             f"data.max_images={case.images}", f"trainer.max_epochs={case.epochs}", "cost=false", "baseline=false",
             "callbacks.gradcam=null", "logger=none", f"hydra.run.dir={run}"]  # fmt: skip
    if case.kind == "shapes":
        words.remove("data.augment.scale=1")
        words.append("data.augment=null")
    ended = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(words)}\n{ended.stdout[-600:]}{ended.stderr[-600:]}")
    return run


# Asking ---------------------------------------------------------------------------------------------------------------


def asked(case: Case, run: Path) -> Iterator[dict[str, object]]:
    trained = load_trained(str(run), choose_device("auto"))
    pictures = open_pictures("test", trained)
    some = pictures.some(3 * IMAGES, 0)
    masks, known = pictures.places(some)
    images = pictures.take(some)
    right = predict(trained, iter(images.split(64))).argmax(axis=1) == pictures.targets[some]
    accuracy = float(right.mean())
    chosen = np.flatnonzero(known & right)[:IMAGES]
    targets = pictures.targets[some][chosen]
    with torch.no_grad():
        normalised = trained.module.normalise(images[chosen]).float()
    with frozen_copy(trained.module.network) as copy:
        sizes = map_sizes(copy, normalised[:1])
    network = trained.module.network
    stages = [name for names in layers_of(network) for name in names if name.startswith("layer")]
    for layer in (name for name in stages if min(sizes.get(name, (0,))) >= 2):
        for method in ASKED:
            maps = class_activation_maps(network, normalised, method, torch.from_numpy(targets), layer, batch_size=32)
            energy, peaks = shares(maps.maps, masks[chosen])
            lost = single_deletion(asking(trained), normalised.numpy(), targets, maps.maps)
            yield {
                "kind": case.kind, "size": case.size, "network": case.model, "accuracy": round(accuracy, 3),
                "images": len(chosen), "layer": layer, "cells": min(sizes[layer]), "method": method,
                "covered": masks[chosen].mean(), "energy": np.nanmean(energy), "peaks": peaks.mean(),
                "deletion": lost.score,
            }  # fmt: skip


def asking(trained: Trained):  # type: ignore[no-untyped-def]
    """Return the network's logits, asked once for each changed batch of images."""
    kept: dict[int, np.ndarray] = KEPT.setdefault(id(trained), {})

    def logits(images: np.ndarray) -> np.ndarray:
        key = hash(images[:, :, ::3, ::3].tobytes())
        if key not in kept:
            with torch.inference_mode(), trained.fast():
                said = [trained.module.network(part).float() for part in torch.from_numpy(images).split(64)]
            kept[key] = torch.cat(said).numpy()
        return kept[key]

    return logits


KEPT: dict[int, dict[int, np.ndarray]] = {}


def chosen_by(rows: pd.DataFrame, least: int) -> pd.DataFrame:
    """Return the rows of the deepest layer whose map has at least so many cells a side, of each network."""
    large = rows[rows["cells"] >= least]
    large = large if len(large) else rows[rows["cells"] == rows["cells"].max()]
    return large[large["layer"] == large["layer"].iloc[-1]]


def rules(table: pd.DataFrame) -> pd.DataFrame:
    found = []
    cases = table.groupby(["kind", "size", "network"], sort=False)
    for name, least in RULES.items():
        picked = pd.concat([chosen_by(rows, least) for _, rows in cases])
        means = picked.groupby(["kind", "size", "network"], sort=False)[["energy", "peaks", "deletion"]].mean()
        found.append({"rule": name, **means.mean().round(3).to_dict(), "se": round(float(means["energy"].sem()), 3)})
    return pd.DataFrame(found)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("output", type=Path)
    options.add_argument("--tiny", type=Path, help="Tiny-ImageNet; without it, shapes alone")
    options.add_argument("--weights", type=Path, default=Path(), help="the folder of the pretrained weights")
    options.add_argument("--only", nargs="+", choices=[case.name for case in CASES])
    chosen = options.parse_args()
    cases = [case for case in CASES if chosen.only is None or case.name in chosen.only]
    for case in cases if chosen.tiny else [case for case in cases if case.kind == "shapes"]:
        file = chosen.output / f"{case.name}.csv"
        if not file.exists():
            rows = pd.DataFrame(asked(case, trained_on(case, chosen.output, chosen.tiny or Path(), chosen.weights)))
            rows.to_csv(file, index=False)
            KEPT.clear()
        rows = pd.read_csv(file)
        told = rows.groupby("layer", sort=False)[["cells", "energy", "peaks", "deletion"]].mean().round(3)
        print(f"{case.name}, accuracy {rows['accuracy'][0]}\n{told.to_string()}", flush=True)
    table = pd.concat([pd.read_csv(chosen.output / f"{case.name}.csv") for case in cases])
    table.to_csv(chosen.output / "layers.csv", index=False)
    print(rules(table).to_string(index=False))


if __name__ == "__main__":
    main()
