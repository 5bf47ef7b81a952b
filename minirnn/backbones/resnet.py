"""ResNet: the network that turns an image into maps C2…C5 at strides 4, 8, 16 and 32.

The idea: a layer learns what to *add* to its input, y = x + F(x), so that a deep stack starts as the
identity and its gradient has a short way back. Source: He et al., "Deep residual learning for image
recognition", 2016, section 3. There a bottleneck's stride sits in the first 1×1 convolution, which then
never looks at three of four pixels; torchvision moved it to the 3×3. Weights fit only the one or the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minirnn.errors import InputError
from minirnn.nn import Conv2d, FrozenBatchNorm2d, GroupNorm, MaxPool2d, Module, Sequential
from minirnn.nn.layers import convolve_and_normalise
from minirnn.record import note

#: Blocks in each of the four stages, and whether they are bottlenecks (1×1, 3×3, 1×1).
DEPTHS: dict[int, tuple[tuple[int, int, int, int], bool]] = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
}

Norm = Callable[[int], Module]


def freeze_stages(stem: Sequence[Module], stages: Sequence[Module], count: int) -> None:
    """Keep the first stages of a backbone as they are: 1 is the stem, 2 stem and C2, …."""
    for part in [*stem, *stages[: count - 1]] if count else []:
        part.freeze()


def make_norm(name: str, eps: float = 1e-5) -> Norm:
    """A constructor channels → normalisation layer, for "frozen_batch_norm" or "group_norm".

    Raises:
        InputError: the name is neither.
    """
    if name == "frozen_batch_norm":
        return lambda channels: FrozenBatchNorm2d(channels, eps)
    if name == "group_norm":
        return lambda channels: GroupNorm(channels, _groups(channels), eps)
    raise InputError(f"norm is {name!r}; it should be 'frozen_batch_norm' or 'group_norm'")


def _groups(channels: int) -> int:
    """Groups of four channels or more, as many as divide them, up to the paper's 32."""
    return max(k for k in range(1, max(min(32, channels // 4), 1) + 1) if channels % k == 0)


class BasicBlock(Module):
    """relu(x + norm(conv3×3(relu(norm(conv3×3(x))))))."""

    expansion = 1

    def __init__(
        self,
        inputs: int,
        width: int,
        *,
        stride: int,
        norm: Norm,
        rng: np.random.Generator,
        dilation: int = 1,
    ) -> None:
        wide: dict[str, Any] = {
            "dilation": dilation,
            "padding": dilation,
            "bias": False,
            "rng": rng,
        }
        self.conv1 = Conv2d(inputs, width, 3, stride=stride, **wide)
        self.bn1 = norm(width)
        self.conv2 = Conv2d(width, width, 3, **wide)
        self.bn2 = norm(width)
        self.downsample = _shortcut(inputs, width, stride, norm, rng)

    def forward(self, x: Any) -> Any:
        """(N, inputs, H, W) → (N, width, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else convolve_and_normalise(*self.downsample, x)
        y = convolve_and_normalise(self.conv1, self.bn1, x, relu=True)
        return convolve_and_normalise(self.conv2, self.bn2, y, shortcut, relu=True)


class Bottleneck(Module):
    """relu(x + 1×1 ∘ 3×3 ∘ 1×1): the 3×3 works on a quarter of the channels."""

    expansion = 4

    def __init__(
        self,
        inputs: int,
        width: int,
        *,
        stride: int,
        norm: Norm,
        rng: np.random.Generator,
        stride_in_1x1: bool = False,
        dilation: int = 1,
    ) -> None:
        first, second = (stride, 1) if stride_in_1x1 else (1, stride)
        self.conv1 = Conv2d(inputs, width, 1, stride=first, bias=False, rng=rng)
        self.bn1 = norm(width)
        wide: dict[str, Any] = {
            "dilation": dilation,
            "padding": dilation,
            "bias": False,
            "rng": rng,
        }
        self.conv2 = Conv2d(width, width, 3, stride=second, **wide)
        self.bn2 = norm(width)
        self.conv3 = Conv2d(width, width * 4, 1, bias=False, rng=rng)
        self.bn3 = norm(width * 4)
        self.downsample = _shortcut(inputs, width * 4, stride, norm, rng)

    def forward(self, x: Any) -> Any:
        """(N, inputs, H, W) → (N, 4·width, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else convolve_and_normalise(*self.downsample, x)
        y = convolve_and_normalise(self.conv1, self.bn1, x, relu=True)
        y = convolve_and_normalise(self.conv2, self.bn2, y, relu=True)
        return convolve_and_normalise(self.conv3, self.bn3, y, shortcut, relu=True)


def _shortcut(
    inputs: int, outputs: int, stride: int, norm: Norm, rng: np.random.Generator
) -> Sequential | None:
    """A 1×1 convolution where x and F(x) differ in shape; None, for the identity, elsewhere."""
    if stride == 1 and inputs == outputs:
        return None
    return Sequential(Conv2d(inputs, outputs, 1, stride=stride, bias=False, rng=rng), norm(outputs))


def stage_channels(depth: int, stage: int) -> int:
    """Channels of map C2…C5 of a ResNet."""
    return 64 * 2 ** (stage - 2) * (Bottleneck if DEPTHS[depth][1] else BasicBlock).expansion


def resnet_stage(
    depth: int,
    stage: int,
    *,
    norm: Norm,
    rng: np.random.Generator,
    stride_in_1x1: bool = False,
    dilated: bool = False,
    dilated_first: bool = False,
) -> Sequential:
    """The blocks between two of a ResNet's maps, as a part that can also stand alone.

    Args:
        depth: 18, 34, 50 or 101.
        stage: 2…5, the number of the map that comes out.
        norm: makes the normalisation of a number of channels.
        rng: draws the initial weights.
        stride_in_1x1: as in `ResNet`, like the next two.
        dilated: see there.
        dilated_first: see there.

    Raises:
        InputError: no such depth or stage, or stride_in_1x1 for a depth without bottlenecks.
    """
    if depth not in DEPTHS:
        raise InputError(f"depth is {depth}; it should be one of {sorted(DEPTHS)}")
    if stage not in (2, 3, 4, 5):
        raise InputError(f"stage is {stage}; it should be 2, 3, 4 or 5")
    blocks, bottleneck = DEPTHS[depth]
    if stride_in_1x1 and not bottleneck:
        raise InputError(f"stride_in_1x1 is True; a ResNet-{depth} has no 1×1 in its blocks")
    block: Any = Bottleneck if bottleneck else BasicBlock
    settings = {"stride_in_1x1": True} if stride_in_1x1 else {}
    width = 64 * 2 ** (stage - 2)
    inputs = 64 if stage == 2 else width // 2 * block.expansion
    parts = []
    for index in range(blocks[stage - 2]):
        stride = 2 if index == 0 and stage > 2 and not dilated else 1
        dilation = 2 if dilated and (index > 0 or dilated_first) else 1
        parts.append(
            block(inputs, width, stride=stride, dilation=dilation, norm=norm, rng=rng, **settings)
        )
        inputs = width * block.expansion
    return Sequential(*parts)


class ResNet(Module):
    """The convolutional part of a ResNet. It declares the `channels` and `strides` of its maps.

    Args:
        depth: 18, 34, 50 or 101.
        norm: "frozen_batch_norm" or "group_norm".
        eps: of the normalisation.
        frozen_stages: how many of stem, C2, C3, C4, C5 are not trained (torchvision's fine-tuning
            default is 2: stem and C2).
        stride_in_1x1: a bottleneck halves the map in its first 1×1 convolution (Detectron2) instead
            of in its 3×3 (torchvision).
        last: "C5", or "C4" for a ResNet without its last stage.
        dilated: C5 keeps C4's stride of 16, and its 3×3 convolutions look at every second pixel
            instead, so that they see as much of the picture (the "DC5" of Dai et al., "Deformable
            convolutional networks", 2017, section 4.1).
        dilated_first: the first block of a dilated C5 does so too (Detectron2), not only those after
            it (torchvision).
        rng: draws the initial weights.

    Raises:
        InputError: no such depth, norm, last map or number of stages, or stride_in_1x1 for a depth without
            bottlenecks (18 and 34).
    """

    def __init__(
        self,
        depth: int,
        *,
        norm: str = "frozen_batch_norm",
        eps: float = 1e-5,
        frozen_stages: int = 0,
        stride_in_1x1: bool = False,
        last: str = "C5",
        dilated: bool = False,
        dilated_first: bool = False,
        rng: np.random.Generator,
    ) -> None:
        if depth not in DEPTHS:
            raise InputError(f"depth is {depth}; it should be one of {sorted(DEPTHS)}")
        if not 0 <= frozen_stages <= 5:
            raise InputError(f"frozen_stages is {frozen_stages}; it should be 0…5")
        if last not in ("C4", "C5"):
            raise InputError(f"last is {last!r}; it should be 'C4' or 'C5'")
        make = make_norm(norm, eps)
        self.conv1 = Conv2d(3, 64, 7, stride=2, bias=False, rng=rng)
        self.bn1 = make(64)
        self.maxpool = MaxPool2d(3, 2, 1)
        numbers = range(2, int(last[1:]) + 1)
        for number in numbers:
            stage = resnet_stage(
                depth,
                number,
                norm=make,
                rng=rng,
                stride_in_1x1=stride_in_1x1,
                dilated=dilated and number == 5,
                dilated_first=dilated_first,
            )
            setattr(self, f"layer{number - 1}", stage)
        self.channels = {f"C{k}": stage_channels(depth, k) for k in numbers}
        self.strides = {f"C{k}": 16 if dilated and k == 5 else 2**k for k in numbers}
        freeze_stages([self.conv1, self.bn1], self._stages(), frozen_stages)

    def _stages(self) -> list[Module]:
        return [getattr(self, f"layer{i}") for i in range(1, len(self.strides) + 1)]

    def forward(self, x: Any) -> dict[str, Any]:
        """(N, 3, H, W) → C2, C3, C4 and, if it is there, C5, at `strides`."""
        x = self.maxpool(convolve_and_normalise(self.conv1, self.bn1, x, relu=True))
        maps = {}
        for name, stage in zip(self.strides, self._stages(), strict=True):
            maps[name] = x = stage(x)
            note(name, x)
        return maps
