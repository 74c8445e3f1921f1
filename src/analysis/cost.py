"""What a network costs: parameters and multiply-accumulates."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(network: nn.Module) -> int:
    """The number of weights, trained or not; batch norm's running statistics are no parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module, in_channels: int, image_size: int) -> int:
    """Multiply-accumulates of one forward pass of one image, in convolutions and matrix products.

    torch's own counter reports 2 floating-point operations for each. Norms, ReLU and pooling are not counted, as in the
    papers. Shapes are all it needs, so the network runs on the meta device and costs neither memory nor time.
    """
    shape = (1, in_channels, image_size, image_size)
    meta = {name: tensor.to("meta") for name, tensor in network.state_dict().items()}
    training = network.training
    network.eval()  # batch norm would refuse a single value a channel, and count its batches
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            torch.func.functional_call(network, meta, (torch.empty(shape, device="meta"),))
    finally:
        network.train(training)
    return counter.get_total_flops() // 2
