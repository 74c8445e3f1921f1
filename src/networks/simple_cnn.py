"""SimpleCNN, the baseline of every comparison: three convolutions and two fully connected layers."""

from collections import OrderedDict

from torch import Tensor, nn

from ..errors import InputError


class SimpleCNN(nn.Module):
    """Three blocks of 3×3 convolution, batch norm, ReLU and 2×2 max pooling, then two fully connected layers.

    (N, in_channels, S, S) -> (N, num_classes) for any S of at least 8. If the blocks leave more than 7×7 (S/8 on a
    side), it is averaged down to between 4×4 and 7×7, so that `fc1` doesn't grow with the photograph.
    """

    def __init__(self, *, num_classes: int, in_channels: int = 3, image_size: int = 224, width: int = 32) -> None:
        super().__init__()
        if image_size < 8:
            raise InputError(f"data.image_size={image_size} is too small for simple_cnn: take at least 8 pixels")
        if width < 1:
            raise InputError(f"model.width={width} is too small: simple_cnn takes at least 1 channel, 32 by default")
        side = image_size // 8
        window = max(1, side // 4)
        self.block1 = _block(in_channels, width)  # (N, C, S, S) -> (N, width, S/2, S/2)
        self.block2 = _block(width, 2 * width)  # -> (N, 2 width, S/4, S/4)
        self.block3 = _block(2 * width, 4 * width)  # -> (N, 4 width, S/8, S/8)
        self.pool = nn.AvgPool2d(window)
        self.fc1 = nn.Linear(4 * width * (side // window) ** 2, 4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(4 * width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        features = self.pool(self.block3(self.block2(self.block1(images))))
        logits: Tensor = self.fc(self.relu(self.fc1(features.flatten(1))))
        return logits


def _block(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
            bn=nn.BatchNorm2d(out_channels),
            relu=nn.ReLU(inplace=True),
            pool=nn.MaxPool2d(2),
        )
    )
