"""EfficientNet-Lite0: a backbone that a laptop trains, with weights that know ImageNet's photographs.

The idea: a convolution looks around and mixes channels, both at once. Done one after the other it costs
an eighth or less: a depthwise convolution looks around, each channel by itself, and 1×1 convolutions mix.
A block widens the channels sixfold, looks around there, and narrows them again, without a ReLU at its
narrow end, which would lose what little fits through it ("inverted residual"). Lite is EfficientNet with
ReLU6 for swish and without squeeze-and-excite.

It pads as TensorFlow does, whose weights these are (`minirnn.nn.layers.same_padding`), and the ε of its
normalisation is 10⁻³.

Sources: Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018, section 3; Tan and
Le, "EfficientNet", 2019, table 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minirnn.backbones.resnet import Norm, make_norm
from minirnn.errors import InputError
from minirnn.nn import Conv2d, Module, Sequential
from minirnn.nn.init import kaiming_normal_depthwise
from minirnn.nn.layers import convolve_and_normalise
from minirnn.record import note


class Blocks(NamedTuple):
    """Blocks of one kind, one behind the other; only the first of them has the stride."""

    number: int
    kernel: int
    stride: int
    widening: int
    outputs: int


#: The blocks that lead to each map (EfficientNet's table 1; Lite keeps the first and the last as they are).
STAGES: dict[str, tuple[Blocks, ...]] = {
    "C2": (Blocks(1, 3, 1, 1, 16), Blocks(2, 3, 2, 6, 24)),
    "C3": (Blocks(2, 5, 2, 6, 40),),
    "C4": (Blocks(3, 3, 2, 6, 80), Blocks(3, 5, 1, 6, 112)),
    "C5": (Blocks(4, 5, 2, 6, 192), Blocks(1, 3, 1, 6, 320)),
}
STEM = 32  # channels


class InvertedResidual(Module):
    """norm(1×1(relu6(norm(depthwise k×k(relu6(norm(1×1(x)))))))), and + x where that has x's shape."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int,
        stride: int,
        widening: int,
        norm: Norm,
        rng: np.random.Generator,
    ) -> None:
        wide = inputs * widening
        common: dict[str, Any] = {"bias": False, "rng": rng}
        self.expand_conv = Conv2d(inputs, wide, 1, **common) if widening > 1 else None
        self.bn0 = norm(wide) if widening > 1 else None
        self.depthwise_conv = Conv2d(
            *(wide, wide, kernel),
            stride=stride,
            padding="same",
            groups=wide,
            initial=kaiming_normal_depthwise,
            **common,
        )
        self.bn1 = norm(wide)
        self.project_conv = Conv2d(wide, outputs, 1, **common)
        self.bn2 = norm(outputs)
        self.keeps_shape = stride == 1 and inputs == outputs

    def forward(self, x: Any) -> Any:
        """(N, inputs, H, W) → (N, outputs, H / stride, W / stride)."""
        y = x
        if self.expand_conv is not None:
            y = convolve_and_normalise(self.expand_conv, self.bn0, x, relu6=True)
        y = convolve_and_normalise(self.depthwise_conv, self.bn1, y, relu6=True)
        shortcut = (x,) if self.keeps_shape else ()
        return convolve_and_normalise(self.project_conv, self.bn2, y, *shortcut)


class EfficientNetLite0(Module):
    """The convolutional part. It declares the `channels` (24, 40, 112, 320) and `strides` of its maps.

    Args:
        norm: "frozen_batch_norm" or "group_norm".
        eps: of the normalisation.
        frozen_stages: how many of stem, C2, C3, C4, C5 are not trained.
        rng: draws the initial weights.

    Raises:
        InputError: no such norm or number of stages.
    """

    def __init__(
        self,
        *,
        norm: str = "frozen_batch_norm",
        eps: float = 1e-3,
        frozen_stages: int = 0,
        rng: np.random.Generator,
    ) -> None:
        if not 0 <= frozen_stages <= 5:
            raise InputError(f"frozen_stages is {frozen_stages}; it should be 0…5")
        make = make_norm(norm, eps)
        self.conv_stem = Conv2d(3, STEM, 3, stride=2, padding="same", bias=False, rng=rng)
        self.bn0 = make(STEM)
        parts: list[InvertedResidual] = []
        self.ends: dict[str, int] = {}  # the number of blocks up to each map
        self.channels: dict[str, int] = {}
        inputs = STEM
        for name, stage in STAGES.items():
            for kind in stage:
                for index in range(kind.number):
                    parts.append(
                        InvertedResidual(
                            *(inputs, kind.outputs),
                            kernel=kind.kernel,
                            stride=kind.stride if index == 0 else 1,
                            widening=kind.widening,
                            norm=make,
                            rng=rng,
                        )
                    )
                    inputs = kind.outputs
            self.ends[name], self.channels[name] = len(parts), inputs
        self.blocks = Sequential(*parts)
        self.strides = dict(zip(STAGES, (4, 8, 16, 32), strict=True))
        frozen = [0, 0, *self.ends.values()][frozen_stages]
        for part in [self.conv_stem, self.bn0, *parts[:frozen]] if frozen_stages else []:
            part.freeze()

    def forward(self, x: Any) -> dict[str, Any]:
        """(N, 3, H, W) → C2, C3, C4 and C5, at strides 4, 8, 16 and 32."""
        x = convolve_and_normalise(self.conv_stem, self.bn0, x, relu6=True)
        names = {end: name for name, end in self.ends.items()}
        maps = {}
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            if number in names:
                maps[names[number]] = x
                note(names[number], x)
        return maps
