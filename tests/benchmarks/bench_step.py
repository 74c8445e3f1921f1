"""What makes a training step faster? Arms in turns, in one process, by processor seconds.

    python -m tests.benchmarks.bench_step [--network resnet18 --stem imagenet --size 128 --batch 32]
        [--base mixed] [--arms products masters compiled …] [--turns 15] [--threads 1]

Each arm trains its own copy of the network on the same random batch, channels_last and in bf16-mixed unless it says
otherwise. A ratio is the seconds of the base over those of the arm, turn by turn: above 1 the arm is faster. For the
kept heap of our commands, set GLIBC_TUNABLES=glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=100000000000.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from src.networks import build_network
from src.training.hardware import describe_hardware
from src.training.small_maps import SmallMaps

Step = Callable[[], None]


@dataclass(frozen=True)
class Work:
    """The network and batch that all arms train."""

    network: str
    stem: str
    images: Tensor

    @property
    def targets(self) -> Tensor:
        return torch.arange(len(self.images)) % 2

    def build(self) -> nn.Module:
        torch.manual_seed(0)
        stem: dict[str, Any] = {"stem": self.stem} if self.network.startswith("resnet") else {}
        size = self.images.shape[-1]
        network: nn.Module = build_network(self.network, num_classes=2, image_size=size, **stem)
        return network.to(memory_format=torch.channels_last).train()


def sgd(weights: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(weights, lr=1e-3, momentum=0.9, weight_decay=1e-4, fused=True)


def half() -> AbstractContextManager[object]:
    return torch.autocast("cpu", torch.bfloat16)


def plain_step(work: Work, network: nn.Module, precision: Callable[[], AbstractContextManager[object]]) -> Step:
    optimizer = sgd(list(network.parameters()))

    def step() -> None:
        with precision():
            loss = cross_entropy(network(work.images), work.targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def mixed(work: Work) -> Step:
    return plain_step(work, work.build(), half)


def fp32(work: Work) -> Step:
    return plain_step(work, work.build(), nullcontext)


def contiguous(work: Work) -> Step:
    network = work.build().to(memory_format=torch.contiguous_format)
    images = work.images.contiguous(memory_format=torch.contiguous_format)
    return plain_step(Work(work.network, work.stem, images), network, half)


def compiled(work: Work) -> Step:
    network = work.build()
    network.compile()
    return plain_step(work, network, half)


def products(work: Work) -> Step:
    """Convolutions of small feature maps as matrix products (`convolutions=auto`)."""

    @contextmanager
    def half_by_products() -> Iterator[None]:
        with half(), SmallMaps():
            yield

    return plain_step(work, work.build(), half_by_products)


def fp32_products(work: Work) -> Step:
    return plain_step(work, work.build(), SmallMaps)


def masters(work: Work) -> Step:
    """Convolutions and heads in bf16; the optimizer changes fp32 copies of their weights."""
    network = work.build()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.to(torch.bfloat16)
    halves = [weight for weight in network.parameters() if weight.dtype == torch.bfloat16]
    copies = [nn.Parameter(weight.detach().float()) for weight in halves]
    optimizer = sgd([*copies, *(weight for weight in network.parameters() if weight.dtype != torch.bfloat16)])

    def step() -> None:
        with half():
            loss = cross_entropy(network(work.images), work.targets)
        network.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for copy, weight in zip(copies, halves, strict=True):
            assert weight.grad is not None
            copy.grad = weight.grad.float()
        optimizer.step()
        with torch.no_grad():
            for copy, weight in zip(copies, halves, strict=True):
                weight.copy_(copy)

    return step


ARMS: dict[str, Callable[[Work], Step]] = {
    arm.__name__: arm for arm in (mixed, products, fp32, fp32_products, contiguous, masters, compiled)
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--network", default="resnet18")
    options.add_argument("--stem", default="imagenet", help="of a ResNet")
    options.add_argument("--size", type=int, default=128)
    options.add_argument("--batch", type=int, default=32)
    options.add_argument("--base", choices=list(ARMS), default="mixed")
    options.add_argument("--arms", nargs="+", choices=list(ARMS), default=["products"])
    options.add_argument("--turns", type=int, default=15)
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    images = torch.rand(chosen.batch, 3, chosen.size, chosen.size).to(memory_format=torch.channels_last)
    work = Work(chosen.network, chosen.stem, images)
    steps = {name: ARMS[name](work) for name in (chosen.base, *chosen.arms)}
    for step in steps.values():
        step()  # compiles, allocates
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(chosen.turns):
        for name, step in steps.items():
            begun = time.process_time()
            step()
            seconds[name].append(time.process_time() - begun)
    print(f"{chosen.network} {chosen.size}², batch {chosen.batch}, {chosen.threads} threads, n = {chosen.turns},")
    print(f"torch {torch.__version__}, {describe_hardware()['cpu']}\n")
    print("| arm | processor seconds | faster by, median | 10th to 90th percentile |\n|---|---|---|---|")
    for name, took in seconds.items():
        ratios = [usual / arm for usual, arm in zip(seconds[chosen.base], took, strict=True)]
        low, *_, high = statistics.quantiles(ratios, n=10, method="inclusive")
        print(f"| {name} | {statistics.median(took):.3f} | {statistics.median(ratios):.2f} | {low:.2f} to {high:.2f} |")


if __name__ == "__main__":
    main()
