"""Feature pyramid: every level sees far and sees sharply.

The idea: C5 knows what is there but not exactly where, C2 the reverse. So each level takes the level
above, twice as large, and adds its own map:

    M_k = 1×1(C_k) + up₂(M_{k+1}),   P_k = 3×3(M_k),   P6 = every second pixel of P5

Source: Lin et al., "Feature pyramid networks for object detection", 2017, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minirnn.nn import Conv2d, Module, Sequential
from minirnn.nn.init import kaiming_uniform
from minirnn.ops.pooling import max_pool2d
from minirnn.ops.resize import nearest


class FeaturePyramid(Module):
    """Maps C2…Ck of different depths → maps P2…Pk (and one more, coarser) of one depth.

    Args:
        inputs: channels of the incoming maps, finest first.
        channels: channels of the outgoing maps.
        extra_level: append a coarser map, which only the RPN uses.
        rng: draws the initial weights.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        channels: int,
        *,
        extra_level: bool = True,
        rng: np.random.Generator,
    ) -> None:
        # A Sequential of one part around each convolution: it gives torchvision's names.
        self.inner_blocks = Sequential(
            *(Sequential(Conv2d(c, channels, 1, rng=rng, initial=kaiming_uniform)) for c in inputs)
        )
        self.layer_blocks = Sequential(
            *(Sequential(Conv2d(channels, channels, 3, rng=rng, initial=kaiming_uniform)) for _ in inputs)
        )  # fmt: skip
        self.extra_level = extra_level

    def forward(self, maps: Sequence[Any]) -> list[Any]:
        """[C2, …, Ck] → [P2, …, Pk, Pk+1], finest first."""
        laterals: list[Any] = []  # coarsest first while they are made
        for inner, c in zip(reversed(list(self.inner_blocks)), reversed(maps), strict=True):
            above = [nearest(laterals[-1], size=c.shape[2:])] if laterals else []
            laterals.append(inner(c, *above))
        laterals.reverse()
        pyramid = [layer(m) for layer, m in zip(self.layer_blocks, laterals, strict=True)]
        if self.extra_level:
            pyramid.append(max_pool2d(pyramid[-1], kernel=1, stride=2, padding=0))
        return pyramid


class BackboneWithFPN(Module):
    """A backbone and the pyramid on top of it, under torchvision's names `body` and `fpn`."""

    def __init__(
        self, body: Any, channels: int, *, extra_level: bool, rng: np.random.Generator
    ) -> None:
        self.body = body
        self.fpn = FeaturePyramid(body.channels, channels, extra_level=extra_level, rng=rng)

    def forward(self, x: Any) -> list[Any]:
        """(N, 3, H, W) → pyramid maps, finest first."""
        return self.fpn(self.body(x))
