"""A private copy of a network that can be explained at any moment, even in the middle of its training.

The `grad-cam` package works on the network it is given: it calls `eval()` and never undoes it, overwrites `.grad`, and
fails with bf16 weights, compiled or frozen networks and under `inference_mode`. On a copy none of that matters.
"""

import copy
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# Nobody who listens to the network must hear its copy run.
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@contextmanager
def frozen_copy(network: nn.Module) -> Iterator[nn.Module]:
    """Yield a copy of `network` in fp32 and eval mode, frozen, uncompiled and without hooks, where autograd works.

    Inside the block gradients are recorded and autocast is off, whatever surrounds it (`no_grad`, `inference_mode`,
    bf16). `network` keeps its weights, gradients, modes and hooks. The random state is restored afterwards, because
    some networks draw random numbers even in eval mode.
    """
    device = device_of(network)
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
    ):
        yield _copy(network).eval()


def device_of(network: nn.Module) -> torch.device:
    """Return the device of the network's first parameter."""
    return next(network.parameters()).device


def _copy(network: nn.Module) -> nn.Module:
    # deepcopy takes whatever is in the memo as copied already. So tensors turn fp32 on the way, hooks (and the objects
    # that they would drag along) stay behind, and a child compiled by torch.compile becomes its original.
    # nn.Module.__getstate__ itself leaves out a call compiled in place by module.compile().
    memo: dict[int, Any] = {}
    for parameter in network.parameters():
        memo[id(parameter)] = nn.Parameter(_float32(parameter), requires_grad=False)
    for buffer in network.buffers():
        memo[id(buffer)] = _float32(buffer)
    for module in network.modules():
        memo.update({id(getattr(module, hooks)): OrderedDict() for hooks in _HOOKS})
    for module in reversed(list(network.modules())):  # children first, for compiled modules in compiled modules
        original = getattr(module, "_orig_mod", None)
        if original is not None:
            memo[id(module)] = copy.deepcopy(original, memo)
    return copy.deepcopy(network, memo)


def _float32(tensor: Tensor) -> Tensor:
    """Return a copy, in fp32 if the type is floating; an inference tensor becomes a normal one."""
    return tensor.detach().to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)
