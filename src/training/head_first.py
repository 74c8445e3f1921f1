"""Fine-tuning that begins with the head, fitted to what the pretrained network sees; then all layers are trained.

A random head sends large gradients into layers that were good already and distorts them; a fitted one does not (Kumar
et al. 2022, https://arxiv.org/abs/2202.10054). The network sees each image once, without augmentation.
"""

import logging
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from math import inf

import torch
from torch import Tensor, nn

from ..tables import duration
from .classifier import ImageClassifier
from .transfer import extract_features

log = logging.getLogger(__name__)

ITERATIONS = 100
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
"""What the squared weights of the head may cost, divided by twice the number of images; scikit-learn's default is 1.

A head of large weights fits the images by heart, and sends gradients as large as theirs into the network.
"""
HELD_OUT, MOST_TRIED = 0.2, 5_000
"""Of so many images at most, this share is held out to choose among them."""


def fit_head(
    module: ImageClassifier,
    loader: Iterable[tuple[Tensor, Tensor]],
    targets: Tensor,
    *,
    device: torch.device,
    context: AbstractContextManager[None],
    features: Tensor | None = None,
    by: float = inf,
) -> None:
    """Fit the head to the features of all images of the loader, whose `targets` come in its order.

    The loss is that of the training, which is convex in the head: L-BFGS finds its minimum, the same one every time, in
    seconds. How much large weights cost is chosen by images that are held out for it. torch's random state stays as it
    was.

    Args:
        context: The precision of the training.
        features: Those of all images (N, F), where they are known.
        by: As in `extract_features`.
    """
    start = time.perf_counter()
    if features is None:
        features = extract_features(module, loader, device=device, context=context, by=by)
    features = features.float().to(device)
    head = module.network.get_submodule(module.head)
    assert isinstance(head, nn.Linear)
    weight, bias, penalty = _fitted(module, head, features, targets.to(device))
    with torch.no_grad():
        head.weight.copy_(weight)
        if head.bias is not None:
            head.bias.copy_(bias)
    seconds = duration(time.perf_counter() - start)
    said = f"{len(features):,} images, penalty {penalty:g}"
    log.info("the head was fitted to the features of %s, in %s", said, seconds)


def _fitted(
    module: ImageClassifier, head: nn.Linear, features: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor, float]:
    """Return the head's weight and bias, and their penalty, found on features around 0.

    One scale serves all features: those that hardly vary must not be blown up.
    """
    mean = features.mean(dim=0)
    scale = (features - mean).square().mean().sqrt().clamp(min=1e-6)
    inputs = (features - mean) / scale
    penalty = choose_penalty(module, head, inputs, targets)
    weight, bias = _minimum(module, head, inputs, targets, penalty)
    own = weight / scale
    return own, bias - own @ mean, penalty


def choose_penalty(module: ImageClassifier, head: nn.Linear, inputs: Tensor, targets: Tensor) -> float:
    """Return the penalty whose head has the least loss on the images (N, F) that are held out."""
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))[:MOST_TRIED].to(inputs.device)
    out, rest = order.tensor_split([int(HELD_OUT * len(order))])
    if not len(out):
        return PENALTIES[-1]

    def loss_of(penalty: float) -> float:
        weight, bias = _minimum(module, head, inputs[rest], targets[rest], penalty)
        return float(module.training_loss(inputs[out] @ weight.T + bias, targets[out]))

    return min(PENALTIES, key=loss_of)


def _minimum(
    module: ImageClassifier, head: nn.Linear, inputs: Tensor, targets: Tensor, penalty: float
) -> tuple[Tensor, Tensor]:
    """Return weight and bias with the least loss."""
    weight = torch.zeros_like(head.weight, dtype=torch.float32, requires_grad=True)
    bias = torch.zeros(len(weight), device=weight.device, requires_grad=head.bias is not None)
    variables = [weight, bias] if bias.requires_grad else [weight]
    optimizer = torch.optim.LBFGS(variables, max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = module.training_loss(inputs @ weight.T + bias, targets)
        value = value + penalty / (2 * len(inputs)) * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]  # torch's has no types
    return weight.detach(), bias.detach()
