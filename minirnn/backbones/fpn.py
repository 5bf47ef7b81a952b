"""Feature pyramid: every level sees far and sees sharply.

The idea: C5 knows what is there but not exactly where, C2 the reverse. So each level takes the level
above, twice as large, and adds its own map:

    M_k = 1×1(C_k) + up₂(M_{k+1}),   P_k = 3×3(M_k),   P6 = every second pixel of P5

Source: Lin et al., "Feature pyramid networks for object detection", 2017, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minirnn.nn import Conv2d, Module, Sequential
from minirnn.nn.init import kaiming_uniform
from minirnn.ops.pooling import max_pool2d
from minirnn.ops.resize import nearest
from minirnn.record import note


class FeaturePyramid(Module):
    """Maps C2…Ck → maps P2…Pk (and one more, coarser), all with the same number of channels.

    Args:
        inputs: channels of the incoming maps, finest first.
        channels: channels of the outgoing maps.
        extra_level: append a coarser map, which only the RPN uses.
        norm: makes a normalisation layer behind each convolution, for so many channels; None for none,
            as in the paper. It helps where a backbone's maps hold numbers of very different size.
        rng: draws the initial weights.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        channels: int,
        *,
        extra_level: bool = True,
        norm: Callable[[int], Module] | None = None,
        rng: np.random.Generator,
    ) -> None:
        def block(inputs: int, kernel: int) -> Sequential:
            # A Sequential around each convolution: it gives torchvision's names.
            convolution = Conv2d(
                inputs, channels, kernel, bias=norm is None, rng=rng, initial=kaiming_uniform
            )
            return Sequential(convolution, *([] if norm is None else [norm(channels)]))

        self.inner_blocks = Sequential(*(block(c, 1) for c in inputs))
        self.layer_blocks = Sequential(*(block(channels, 3) for _ in inputs))
        self.extra_level = extra_level

    def forward(self, maps: Sequence[Any]) -> list[Any]:
        """[C2, …, Ck] → [P2, …, Pk, Pk+1], finest first."""
        merged: list[Any] = []  # M2, …, Mk
        for inner, c in reversed(list(zip(self.inner_blocks, maps, strict=True))):
            if merged:  # M_k = 1×1(C_k) + M_{k+1}, twice as large
                m = inner(c, nearest(merged[0], size=c.shape[2:]))
            else:
                m = inner(c)
            merged.insert(0, m)
        pyramid = [layer(m) for layer, m in zip(self.layer_blocks, merged, strict=True)]
        if self.extra_level:
            pyramid.append(max_pool2d(pyramid[-1], kernel=1, stride=2, padding=0))
        return pyramid


class BackboneWithFPN(Module):
    """A backbone and the pyramid on top of it, under torchvision's names `body` and `fpn`.

    It declares the `channels` and `strides` of its maps P2, P3, …, finest first.
    """

    def __init__(
        self,
        body: Any,
        channels: int,
        *,
        extra_level: bool,
        norm: Callable[[int], Module] | None = None,
        rng: np.random.Generator,
    ) -> None:
        self.body = body
        inputs = list(body.channels.values())
        self.fpn = FeaturePyramid(inputs, channels, extra_level=extra_level, norm=norm, rng=rng)
        self.strides = {f"P{name[1:]}": stride for name, stride in body.strides.items()}
        self.region_levels = tuple(self.strides)  # the extra level is for the RPN only
        if extra_level:
            coarsest = max(self.strides.values())
            self.strides[f"P{coarsest.bit_length()}"] = 2 * coarsest
        self.channels = dict.fromkeys(self.strides, channels)

    def forward(self, x: Any) -> dict[str, Any]:
        """(N, 3, H, W) → maps P2, P3, …, finest first."""
        maps = self.fpn(list(self.body(x).values()))
        features = dict(zip(self.strides, maps, strict=True))
        for name, level in features.items():
            note(name, level)
        return features
