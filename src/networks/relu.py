"""The ReLU of our own networks."""

import torch.nn.functional as F
from torch import Tensor, nn


class ReLU(nn.ReLU):
    """In place while it is trained, and only then: the same numbers, and no memory for a second map.

    A step took 1.09 times as long without (Mini-ResNet at 64², batch 128), and 1.05 times (cifar_resnet20). In
    evaluation it leaves its input as it is: methods that hook the gradients of ReLUs need that.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input, inplace=self.training)
