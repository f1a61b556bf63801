"""EfficientNet-Lite (Tan and Le, arXiv 1905.11946; the Lite variants have no squeeze-and-excitation, and ReLU6)."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

# Of Lite0: expansion, output channels, blocks, stride of the first, kernel size
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
STEM_CHANNELS = 32
FEATURES = 1280
BATCH_NORM_EPS = 1e-3


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "SAME" padding, with which the weights were trained.

    At stride 2 and even sizes it pads one side more than the other, which no symmetric padding does.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1 and kernel % 2:  # as much on all sides, which the convolution itself can do
            return F.conv2d(x, self.weight, self.bias, 1, kernel // 2, self.dilation, self.groups)
        pads = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in (x.shape[-1], x.shape[-2])]
        x = F.pad(x, [side for pad in pads for side in (pad // 2, pad - pad // 2)])
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class MBConv(nn.Module):
    """Inverted residual block; names are those of the package's state dict."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand = expansion != 1
        if self.expand:
            self._expand_conv = nn.Conv2d(inputs, width, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(width, eps=BATCH_NORM_EPS)
        self._depthwise_conv = SameConv2d(width, width, kernel, stride, groups=width, bias=False)
        self._bn1 = nn.BatchNorm2d(width, eps=BATCH_NORM_EPS)
        self._project_conv = nn.Conv2d(width, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, eps=BATCH_NORM_EPS)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expand else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.residual else y


def scaled_stages(width: float, depth: float) -> list[tuple[int, int, int, int, int]]:
    """The stages of a larger network, by compound scaling (section 3.3); Lite networks keep the first and last depth.

    Args:
        width: factor of channels, which stay multiples of 8.
        depth: factor of blocks, rounded up.
    """
    stages = []
    for number, (expansion, channels, blocks, stride, kernel) in enumerate(STAGES):
        scaled = max(8, int(channels * width + 4) // 8 * 8)
        if scaled < 0.9 * channels * width:
            scaled += 8
        if 0 < number < len(STAGES) - 1:
            blocks = math.ceil(blocks * depth)
        stages.append((expansion, scaled, blocks, stride, kernel))
    return stages


class EfficientNetLite(nn.Module):
    """Photos (B, 3, H, W), as (x - 127) / 128, to feature maps (B, 1280, H / 32, W / 32).

    Args:
        width: factor of channels beside Lite0.
        depth: factor of blocks beside Lite0.
    """

    def __init__(self, width: float = 1.0, depth: float = 1.0) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, STEM_CHANNELS, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(STEM_CHANNELS, eps=BATCH_NORM_EPS)
        blocks: list[MBConv] = []
        channels = STEM_CHANNELS
        for expansion, outputs, repeats, stride, kernel in scaled_stages(width, depth):
            for repeat in range(repeats):
                blocks.append(MBConv(channels, outputs, expansion, stride if repeat == 0 else 1, kernel))
                channels = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(channels, FEATURES, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(FEATURES, eps=BATCH_NORM_EPS)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """The last feature map, before pooling."""
        x = F.relu6(self._bn0(self._conv_stem(pixel_values)))
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x)))
