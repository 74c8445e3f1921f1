"""Training images/s and peak memory on a CPU with freed memory kept (src/training/heap.py) and without, in one process.

    python -m tests.bench_heap [--model mini_resnet_basic_post] [--image-size 64] [--batch 128] [--steps 4] [--rounds 6]

The two take turns of a few steps, because these machines are shared: only the ratios of a round mean something. A turn
begins with a step that is not timed, as memory is kept from then on.
"""

import argparse
import time
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

from src.networks import build_network
from src.session import to_dict
from src.training.heap import freed_memory_kept
from src.training.precision import choose_memory_format, choose_precision, weight_uses
from tests.bench_training import show


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--model", default="mini_resnet_basic_post")
    options.add_argument("--image-size", type=int, default=64)
    options.add_argument("--batch", type=int, default=128)
    options.add_argument("--steps", type=int, default=4, help="of each in a round")
    options.add_argument("--rounds", type=int, default=6)
    arguments = options.parse_args()
    warnings.filterwarnings("ignore")
    with initialize_config_dir(config_dir=str(Path(__file__).parent.parent / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=[f"model={arguments.model}", "data=tinyimagenet"])
    settings = to_dict(cfg.model) | {"num_classes": 25, "image_size": arguments.image_size}
    network = build_network(**settings)
    uses = weight_uses(network, settings["in_channels"], arguments.image_size)
    memory_format = choose_memory_format("auto", cuda=False, uses=uses)
    precision = choose_precision("auto", cuda=False, uses=uses)
    network = network.to(memory_format=memory_format)
    images = torch.randn(arguments.batch, settings["in_channels"], arguments.image_size, arguments.image_size)
    images = images.to(memory_format=memory_format)
    targets = torch.randint(25, (arguments.batch,))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss = torch.nn.functional.cross_entropy(network(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def turn(context: AbstractContextManager[None]) -> tuple[float, float]:
        """Images/s, and the most resident memory in MiB."""
        with context:
            step()
            Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
            start = time.perf_counter()
            for _ in range(arguments.steps):
                step()
            seconds = time.perf_counter() - start
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return arguments.steps * arguments.batch / seconds, int(status["VmHWM"].split()[0]) / 1024

    speeds, memories = [], []
    for number in range(arguments.rounds + 1):
        (kept, kept_memory), (freed, freed_memory) = turn(freed_memory_kept()), turn(nullcontext())
        print(f"kept {kept:.1f} images/s, {kept_memory:.0f} MiB  freed {freed:.1f} images/s, {freed_memory:.0f} MiB")
        if number:
            speeds.append(kept / freed)
            memories.append(kept_memory / freed_memory)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {precision}; the first round is a warm-up")
    show("images/s, kept / freed", speeds)
    show("peak memory, kept / freed", memories)


if __name__ == "__main__":
    main()
