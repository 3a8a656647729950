"""ZFNet: AlexNet with a first layer that sees finer detail (Zeiler & Fergus 2014, ECCV, figure 3).

The first convolution is 7×7 with a stride of 2, where AlexNet has 11×11 with 4. Laid out like
torchvision's ``alexnet``: `features`, `avgpool`, `classifier`. Its authors published no weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _contrast() -> nn.LocalResponseNorm:
    # The paper has no numbers: those of Krizhevsky et al. 2012, section 3.3, with α = 1e-4. torch
    # divides α by the number of channels.
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


class ZFNet(nn.Module):
    """ZFNet: (n, 3, 224, 224) to (n, num_classes).

    Maps of 110, 55, 26, 13, 13, 13, 13 and 6 positions along a side, as in the paper's figure 3.
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 7, stride=2, padding=1), nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, ceil_mode=True), _contrast(),
            nn.Conv2d(96, 256, 5, stride=2), nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, ceil_mode=True), _contrast(),
            nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(384, 384, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d(6)  # for pictures of other sizes
        self.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(inplace=True),
            nn.Dropout(0.5), nn.Linear(4096, 4096), nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )  # fmt: skip
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                # The paper says 1e-2 of all weights: as the deviation, as in Krizhevsky et al.
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))
