"""A small backbone for 128-pixel pictures of shapes: C2, C3 and C4, a few minutes to train.

Built from ResNet's basic block with GroupNorm, which learns from scratch with a few images a batch.
Two 3×3 convolutions of stride 2, the stem and the first block's, lead to stride 4, which keeps the edges
that a 7×7 and a pooling would blur. There is no C5, because no shape is larger than 60 pixels; more
`widths` give more stages, for larger pictures.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.backbones.resnet import BasicBlock, freeze_stages, make_norm
from minirnn.nn import Conv2d, Module, Sequential
from minirnn.nn.layers import convolve_and_normalise
from minirnn.record import note


class SmallBackbone(Module):
    """A stem and stages of basic blocks, as many as there are `widths`.

    Args:
        widths: channels of C2, C3, …; the stem has half of the first.
        blocks: basic blocks in each stage.
        norm: "group_norm" or "frozen_batch_norm".
        eps: of the normalisation.
        frozen_stages: how many of stem, C2, C3, … are not trained; 5 freezes all, however many there are.
        rng: draws the initial weights.
    """

    def __init__(
        self,
        *,
        widths: tuple[int, ...] = (64, 128, 256),
        blocks: tuple[int, ...] = (1, 1, 1),
        norm: str = "group_norm",
        eps: float = 1e-5,
        frozen_stages: int = 0,
        rng: np.random.Generator,
    ) -> None:
        make = make_norm(norm, eps)
        self.conv1 = Conv2d(3, widths[0] // 2, 3, stride=2, bias=False, rng=rng)
        self.bn1 = make(widths[0] // 2)
        inputs = widths[0] // 2
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            parts = []
            for index in range(count):
                parts.append(
                    BasicBlock(inputs, width, stride=2 if index == 0 else 1, norm=make, rng=rng)
                )
                inputs = width
            setattr(self, f"layer{stage + 1}", Sequential(*parts))
        self.channels = {f"C{k}": width for k, width in enumerate(widths, 2)}
        self.strides = {name: 2**k for k, name in enumerate(self.channels, 2)}
        freeze_stages([self.conv1, self.bn1], self._stages(), frozen_stages)

    def _stages(self) -> list[Module]:
        return [getattr(self, f"layer{i}") for i in range(1, len(self.strides) + 1)]

    def forward(self, x: Any) -> dict[str, Any]:
        """(N, 3, H, W) → C2, C3, C4, … at strides 4, 8, 16, …."""
        x = convolve_and_normalise(self.conv1, self.bn1, x, relu=True)
        maps = {}
        for name, stage in zip(self.strides, self._stages(), strict=True):
            maps[name] = x = stage(x)
            note(name, x)
        return maps
