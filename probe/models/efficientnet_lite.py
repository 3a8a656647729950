"""EfficientNet-Lite0, which torchvision lacks.

EfficientNet-B0 (Tan & Le 2019, arXiv:1905.11946) without squeeze-and-excitation, with ReLU6 for
SiLU, and with stem and head of fixed width (Liu 2020, TensorFlow blog, "Higher accuracy on vision
models with EfficientNet-Lite"). Laid out like torchvision's ``efficientnet_b0``: `features`,
`avgpool`, `classifier`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# (expansion, kernel, stride, channels out, repeats), as in table 1 of the EfficientNet paper
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


class SameConv2d(nn.Conv2d):
    """Convolution padded as TensorFlow does: where the padding is odd, more at the far side."""

    def forward(self, x: Tensor) -> Tensor:
        """Pad and convolve."""
        padding = []
        for size, kernel, stride in zip(
            x.shape[:-3:-1], self.kernel_size[::-1], self.stride[::-1], strict=True
        ):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding += [total // 2, total - total // 2]
        return super().forward(functional.pad(x, padding))


class ConvNormActivation(nn.Sequential):
    """Convolution, batch normalisation, and ReLU6 if asked for."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        *,
        relu: bool,
    ) -> None:
        convolution = SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        layers: list[nn.Module] = [convolution, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)]
        super().__init__(*layers, *([nn.ReLU6(inplace=True)] if relu else []))


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; add the input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        width = inputs * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(ConvNormActivation(inputs, width, 1, relu=True))
        layers.append(ConvNormActivation(width, width, kernel, stride, groups=width, relu=True))
        layers.append(ConvNormActivation(width, outputs, 1, relu=False))
        self.block = nn.Sequential(*layers)
        self.add_input = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, outputs, height / stride, width / stride)."""
        return x + self.block(x) if self.add_input else self.block(x)


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite0: (n, 3, 224, 224) to (n, num_classes)."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvNormActivation(3, 32, 3, stride=2, relu=True)]
        channels = 32
        for expansion, kernel, stride, outputs, repeats in STAGES:
            stage: list[nn.Module] = []
            for i in range(repeats):
                step = stride if i == 0 else 1
                stage.append(InvertedResidual(channels, outputs, expansion, kernel, step))
                channels = outputs
            layers.append(nn.Sequential(*stage))
        layers.append(ConvNormActivation(channels, 1280, 1, relu=True))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.Linear):
                bound = module.out_features**-0.5
                nn.init.uniform_(module.weight, -bound, bound)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


def efficientnet_lite0(num_classes: int = 1000) -> EfficientNetLite:
    """Build EfficientNet-Lite0 with random weights, drawn as torchvision does for its kin."""
    return EfficientNetLite(num_classes)
