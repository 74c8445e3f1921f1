"""The plain loop beside `src.train model=resnet18 model.stem=imagenet data=mnist trainer.max_epochs=2`.

    python -m tests.benchmarks.bench_mnist [--root data]

What one writes without a framework: torchvision's MNIST as one normalised tensor in memory, all 60,000 images in each
of 2 epochs, batch 128, torchvision's ResNet-18 with one channel, SGD with momentum, cosine, then the test set once. It
has neither validation, checkpoints, augmentation nor Grad-CAM.
"""

import argparse
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.datasets import MNIST
from torchvision.models import resnet18


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--root", default="data")
    root = options.parse_args().root
    start = time.perf_counter()
    torch.manual_seed(1)
    (images, targets), (test_images, test_targets) = read(root, train=True), read(root, train=False)
    network = resnet18(num_classes=10)
    network.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    epochs, batch_size = 2, 128
    steps = epochs * -(-len(images) // batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(epochs):
        for indices in torch.randperm(len(images)).split(batch_size):
            loss = F.cross_entropy(network(images[indices]), targets[indices])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.4f}, {time.perf_counter() - start:.1f} s", flush=True)
    network.eval()
    with torch.inference_mode():
        predicted = torch.cat([network(batch).argmax(1) for batch in test_images.split(256)])
    print(f"test accuracy {(predicted == test_targets).float().mean():.4f}, {time.perf_counter() - start:.1f} s in all")


def read(root: str, train: bool) -> tuple[Tensor, Tensor]:
    part = MNIST(root, train=train)
    return part.data[:, None].float().div(255).sub(0.1307).div(0.3081), part.targets


if __name__ == "__main__":
    main()
