"""Two processes with a thread each against one process with two threads: training images/s, in turns.

    python -m tests.benchmarks.bench_processes [--model resnet18] [--size 128] [--rounds 5] [--images 400]

Both train the same batches of 32 images of digits, enlarged in memory, so that nothing is decoded; of each run the last
of three epochs counts. These machines are shared: only the ratio of a round means something.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from src.runs.folder import RunFolder

BATCH = 32
WAYS = {"1 × 2 threads": 1, "2 × 1 thread": 2}


def images_per_second(processes: int, words: list[str], folder: Path) -> float:
    """Train once; the last epoch's speed, of all processes together."""
    threads = str(2 // processes)
    several = ["trainer=ddp", f"trainer.devices={processes}"] if processes > 1 else ["trainer=cpu"]
    subprocess.run(
        [sys.executable, "-m", "src.train", *several, "trainer.accelerator=cpu", *words,
         f"data.batch_size={BATCH // processes}", f"hydra.run.dir={folder}"],
        env=os.environ | {"OMP_NUM_THREADS": threads}, check=True, capture_output=True,
    )  # fmt: skip
    return float(RunFolder(folder).history()["images_per_second"].iloc[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=400)
    chosen = parser.parse_args()
    words = [
        f"model={chosen.model}", "data=digits", "data.in_channels=3", f"data.image_size={chosen.size}",
        f"data.max_images={chosen.images}", "trainer.max_epochs=3", "baseline=false", "test=false", "cost=false",
        "callbacks.gradcam=null", "trainer.limit_val_batches=1",
    ]  # fmt: skip
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(chosen.rounds):
            speeds = {
                way: images_per_second(processes, words, Path(folder) / f"{number}_{processes}")
                for way, processes in WAYS.items()
            }
            one, two = speeds.values()
            ratios.append(two / one)
            print(", ".join(f"{way}: {speed:.1f} images/s" for way, speed in speeds.items()), f"ratio {two / one:.2f}")
    print(f"ratio of 2 × 1 to 1 × 2: {statistics.median(ratios):.2f} (median; {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
