"""Several labels an image on something real: mAP against a bare PyTorch loop, figures against scikit-learn's, Grad-CAM.

    python -m tests.benchmarks.bench_multilabel data/cifar10 outputs/multilabel

Composes pictures of 64×64 from CIFAR-10's own train and test images (`tests.support.composed_labels`), trains a small
network on them with three seeds, by `src.train` and by fifty lines of PyTorch, and looks whether the Grad-CAM of each
label peaks in the quarter where its picture stands. About ten minutes on one idle core.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, f1_score
from torch.nn import functional as F

from src.frames import pd
from src.networks import build_network
from src.runs.folder import RunFolder
from src.trained.checkpoint import load_trained
from tests.benchmarks.bench_quarters import find_placed, measure
from tests.support.composed_labels import compose

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
SEEDS, BATCH, RATE, DECAY = (1, 2, 3), 32, 0.05, 5e-4
NETWORK = {"name": "simple_cnn", "in_channels": 3, "image_size": 64, "width": 16}
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cifar", type=Path, help="class folders in train/ and test/")
    parser.add_argument("output", type=Path)
    parser.add_argument("--pictures", type=int, default=4_000)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--compose", action="store_true", help="only write the pictures and their table")
    options = parser.parse_args()
    table = composed(options.cifar, options.output / "pictures", options.pictures)
    if options.compose:
        return
    rows, ours, bare = pd.read_csv(table), [], []
    for seed in SEEDS:
        run = train(table, options.output / f"seed_{seed}", seed, options.epochs)
        ours.append(run.metrics()["test/map"])
        bare.append(train_bare(table.parent, rows, seed, options.epochs))
        print(f"seed {seed}: mAP {ours[-1]:.4f}, bare loop {bare[-1]:.4f}", flush=True)
        check_figures(run)
        trained = load_trained(run.path, multilabel=True)
        print(f"  {measure(trained, find_placed(trained, table))}", flush=True)
    for name, values in (("src.train", ours), ("bare loop", bare)):
        print(f"{name}: mAP {np.mean(values):.4f} ± {np.std(values, ddof=1):.4f} (sd, n = {len(values)})")


def composed(cifar: Path, root: Path, pictures: int) -> Path:
    """Return the table of pictures; those to test on are made of CIFAR-10's test images."""
    parts, first = [], 0
    for number, (split, share) in enumerate(SHARES.items()):
        count = round(share * pictures)
        folder = cifar / ("test" if split == "test" else "train")
        sources = {
            name.name: [np.asarray(Image.open(file).convert("RGB")) for file in some(name, split)]
            for name in sorted(folder.iterdir())
        }
        part = pd.read_csv(compose(root, sources, count, seed=number, first=first))
        parts.append(part.assign(split=split))
        first += count
    table = root / "labels.csv"
    pd.concat(parts).to_csv(table, index=False, float_format="%.0f")
    return table


def some(folder: Path, split: str) -> list[Path]:
    """Return 1,000 images of a class, or half; those to validate on are others than those to train on."""
    files = sorted(folder.iterdir())
    if split == "test":
        return files[:1_000]
    count = min(1_000, len(files) // 2)
    return files[count : 2 * count] if split == "val" else files[:count]


def train(table: Path, folder: Path, seed: int, epochs: int) -> RunFolder:
    words = [
        "data=table", f"data.table={table}", "data.multilabel=true", "data.image_size=64", f"data.batch_size={BATCH}",
        "data.num_workers=0", "data.augment=null", "model=simple_cnn", f"model.width={NETWORK['width']}",
        f"optimizer.lr={RATE}", f"optimizer.weight_decay={DECAY}", "scheduler=constant",
        f"trainer.max_epochs={epochs}", "trainer=cpu", "trainer.precision=32-true", "callbacks.gradcam=null",
        "cost=false", "baseline=false", "probabilities=true", f"seed={seed}", f"hydra.run.dir={folder}",
    ]  # fmt: skip
    subprocess.run([sys.executable, "-m", "src.train", *words], check=True, stdout=subprocess.DEVNULL)
    return RunFolder(folder)


def train_bare(root: Path, rows: "pd.DataFrame", seed: int, epochs: int) -> float:
    """Return the test mAP of a bare loop, at the epoch with the best one on the validation images."""
    torch.manual_seed(seed)
    names = [name for name in rows.columns if name not in ("file", "quarters", "split")]
    data = {}
    for split, part in rows.groupby("split"):
        pictures = np.stack([np.asarray(Image.open(root / file)) for file in part["file"]]).transpose(0, 3, 1, 2)
        data[split] = torch.from_numpy(pictures), torch.from_numpy(part[names].to_numpy(np.float32))
    network = build_network(**NETWORK, num_classes=len(names))
    decayed = [weight for weight in network.parameters() if weight.ndim > 1]
    others = [weight for weight in network.parameters() if weight.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=RATE, momentum=0.9, nesterov=True)
    images, targets = data["train"]
    best, found = -1.0, float("nan")
    for _ in range(epochs):
        network.train()
        for some_ in torch.randperm(len(images)).split(BATCH):
            logits, wanted = network(normalised(images[some_])), targets[some_]
            known = ~wanted.isnan()
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(logits[known], wanted[known]).backward()
            optimizer.step()
        val, test = (bare_map(network, *data[split]) for split in ("val", "test"))
        if val > best:
            best, found = val, test
    return found


def normalised(images: torch.Tensor) -> torch.Tensor:
    return (images.float() / 255 - MEAN) / STD


def bare_map(network: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor) -> float:
    network.eval()
    with torch.no_grad():
        logits = torch.cat([network(normalised(some_)) for some_ in images.split(200)]).numpy()
    return map_of(logits, targets.numpy())


def map_of(logits: np.ndarray, targets: np.ndarray) -> float:
    known = ~np.isnan(targets)
    columns = range(targets.shape[1])
    return float(np.mean([average_precision_score(targets[known[:, k], k], logits[known[:, k], k]) for k in columns]))


def check_figures(run: RunFolder) -> None:
    """Compare the run's figures with scikit-learn's on its logits."""
    said, metrics = run.probabilities(), run.metrics()
    thresholds = load_trained(run.path, multilabel=True).module.thresholds.double().numpy()
    decided, known = 1 / (1 + np.exp(-said.logits.astype(np.float64))) >= thresholds, ~np.isnan(said.targets)
    theirs = {
        "map": map_of(said.logits, said.targets),
        "f1_micro": f1_score(said.targets[known], decided[known]),
        "f1": np.mean([f1_score(said.targets[k, i], decided[k, i]) for i, k in enumerate(known.T)]),
    }
    apart = {name: abs(metrics[f"test/{name}"] - value) for name, value in theirs.items()}
    print("  apart from scikit-learn: " + ", ".join(f"{name} {value:.1e}" for name, value in apart.items()))


if __name__ == "__main__":
    main()
