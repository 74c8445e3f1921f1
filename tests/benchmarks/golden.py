"""What two trees come to, bit by bit: the proof that a change of structure changes no number.

    git worktree add ../before main~20
    python -m tests.benchmarks.golden ../before

Runs the same commands in both trees, in fp32 with deterministic algorithms on one thread, and compares weights,
optimizer and schedule, tables, arrays and pictures, without times, paths and versions. Prints what differs; the exit
code is 1 if anything does. Four minutes a tree on two cores. Reports hold times in their text: `*.md` is left out.
"""

import argparse
import csv
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.support.photographs import make_photos

HERE = Path(__file__).parents[2]
EXACT = ["trainer=cpu", "trainer.precision=32-true", "trainer.deterministic=true"]
PHOTOS = ["data=folder", "data.root=photos"]
SMALL = [*PHOTOS, "data.image_size=16", "data.batch_size=8", "data.num_workers=2", "data.augment.shift=1"]

COMMANDS: list[list[str]] = [
    ["train", "trainer.max_epochs=2", *EXACT, "hydra.run.dir=digits"],
    ["train", *SMALL, "model=cifar_resnet20", "trainer.max_epochs=3", "callbacks.gradcam.images=4", "optimizer.lr=0.05",
     "data.balance=loss", *EXACT, "hydra.run.dir=photos_run"],
    ["train", "-m", "model=simple_cnn", "model.width=4,6", "seed=1,2", "trainer.max_epochs=2", "cost=false", *EXACT,
     "sweep=golden"],
    ["train", "resume=photos_run", "trainer.max_epochs=4"],
    ["evaluate", "checkpoint=photos_run", *PHOTOS, "output=evaluated", "accelerator=cpu"],
    ["predict", "checkpoint=photos_run", "images=photos", "output=predicted", "accelerator=cpu", "overlays=true"],
    *(["explain", "checkpoint=photos_run", "images=photos", "max_images=4", f"method={method}",
       f"output=explained_{method}", "accelerator=cpu"] for method in ("gradcam", "scorecam", "guided_gradcam")),
    ["explain", "checkpoint=photos_run", "images=photos", "max_images=12", "faithfulness=true", "shuffled=null",
     "output=faithful", "accelerator=cpu"],
    ["report", "runs=outputs/sweeps/golden", "output=reported"],
    ["audit", *PHOTOS, "output=audited"],
]  # fmt: skip

VARIES = re.compile(
    r"second|time|latency|images_per|memory|version|commit|command|^start|end$|path|checkpoint|sha|folder|root|hardware"
)
"""Keys and columns that tell of the clock, the machine or the place, not of what was computed."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("tree", type=Path, help="the other tree")
    other = outcome(options.parse_args().tree.resolve())
    ours = outcome(HERE)
    differing = sorted(name for name in other.keys() & ours.keys() if other[name] != ours[name])
    print(f"{len(other.keys() & ours.keys())} files compared, {len(differing)} differ")
    for title, names in (
        ("differs", differing),
        ("only there", sorted(other.keys() - ours.keys())),
        ("only here", sorted(ours.keys() - other.keys())),
    ):
        for name in names:
            print(f"{title:<10}  {name}")
    sys.exit(bool(differing or other.keys() - ours.keys()))


def outcome(tree: Path) -> dict[str, str]:
    """Run all commands with the code of `tree` in a folder that goes afterwards; return the digest of each file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_photos(folder / "photos")
        environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "RESLENS_CACHE": f"{name}/cache"}
        for verb, *words in COMMANDS:
            print(f"{tree.name}: {verb} {' '.join(words)}", flush=True)
            command = [sys.executable, "-m", f"src.{verb}", *words]
            subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
        files = sorted(path for path in folder.rglob("*") if path.suffix in DIGESTS and ".hydra" not in path.parts)
        kept = [path for path in files if path.name not in ("run.json", "cost.json") and path.is_file()]
        return {str(path.relative_to(folder)): DIGESTS[path.suffix](path) for path in kept}


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def _checkpoint(file: Path) -> str:
    content = torch.load(file, weights_only=True)
    tensors = dict(content["state_dict"])
    for number, state in content["optimizer_states"][0]["state"].items():
        tensors |= {f"{number}.{key}": value for key, value in state.items() if isinstance(value, torch.Tensor)}
    parts = [name.encode() + value.numpy().tobytes() for name, value in sorted(tensors.items())]
    return _digest(*parts, str(content["lr_schedulers"]).encode())


def _arrays(file: Path) -> str:
    with np.load(file, allow_pickle=False) as arrays:
        return _digest(*(key.encode() + arrays[key].tobytes() for key in sorted(arrays.files)))


def _json(file: Path) -> str:
    return _digest(json.dumps(_lasting(json.loads(file.read_text())), sort_keys=True).encode())


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(inner) for key, inner in value.items() if not VARIES.search(key)}
    return [_lasting(inner) for inner in value] if isinstance(value, list) else value


def _table(file: Path) -> str:
    with file.open(newline="", encoding="utf-8") as opened:
        rows = [row for row in csv.reader(opened) if row]
    kept = [column for column, name in enumerate(rows[0]) if name == "path" or not VARIES.search(name)]
    return _digest(json.dumps([[row[column] for column in kept if column < len(row)] for row in rows]).encode())


DIGESTS: dict[str, Callable[[Path], str]] = {
    ".ckpt": _checkpoint,
    ".npz": _arrays,
    ".json": _json,
    ".csv": _table,
    ".png": lambda file: _digest(file.read_bytes()),
}


if __name__ == "__main__":
    main()
