"""Every convolution of Mask R-CNN R-50-FPN, and the depthwise ones of EfficientNet-Lite0, by shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from minirnn.backbones.efficientnet_lite import STAGES, STEM

_BLOCKS = (3, 4, 6, 3)  # of ResNet-50
_PYRAMID = 256
_CLASSES = 91
_ANCHORS = 3


class Convolution(NamedTuple):
    """The shape of one convolution: of `images` maps (inputs, height, width) to `outputs` channels.

    Attributes:
        sees_image: its input is the photograph, which nobody wants a gradient of.
    """

    images: int
    inputs: int
    outputs: int
    kernel: int
    stride: int
    height: int
    width: int
    sees_image: bool = False
    groups: int = 1

    @property
    def output(self) -> tuple[int, int]:
        """Height and width of the output."""
        return -(-self.height // self.stride), -(-self.width // self.stride)

    @property
    def macs(self) -> int:
        """Multiplications of the sum as it is defined."""
        height, width = self.output
        seen = self.inputs // self.groups
        return self.images * seen * self.outputs * self.kernel**2 * height * width

    @property
    def name(self) -> str:
        """Such as "conv3x3 256-256 200x304", with "/2" behind the kernel for stride 2.

        Or "depthwise3x3 96 160x160", where each channel is a group.
        """
        stride = f"/{self.stride}" if self.stride > 1 else ""
        many = f"{self.images}x" if self.images > 1 else ""
        window = f"{self.kernel}x{self.kernel}{stride}"
        size = f"{many}{self.height}x{self.width}"
        if self.groups > 1:
            return f"depthwise{window} {self.inputs} {size}"
        return f"conv{window} {self.inputs}-{self.outputs} {size}"


def convolutions(height: int, width: int, rois: int = 100, images: int = 1) -> Counter[Convolution]:
    """The distinct convolutions of the network, in the order of their first use, with their number.

    Args:
        height: of the canvas, a multiple of 32.
        width: of the canvas, a multiple of 32.
        rois: regions that the mask head looks at, over all images.
        images: in the batch.
    """
    found: Counter[Convolution] = Counter(_backbone(images, height, width))
    found.update(_pyramid(images, height, width))
    return found + Counter(_mask_head(rois))


def depthwise_convolutions(side: int = 640, images: int = 1) -> Counter[Convolution]:
    """The distinct depthwise convolutions of EfficientNet-Lite0 on square pictures, with their number."""
    found: Counter[Convolution] = Counter()
    channels, size = STEM, side // 2
    for kinds in STAGES.values():
        for kind in kinds:
            for number in range(kind.number):
                wide, stride = channels * kind.widening, kind.stride if number == 0 else 1
                shape = (images, wide, wide, kind.kernel, stride, size, size)
                found[Convolution(*shape, groups=wide)] += 1
                channels, size = kind.outputs, size // stride
    return found


def _backbone(n: int, height: int, width: int) -> Iterator[Convolution]:
    yield Convolution(n, 3, 64, 7, 2, height, width, sees_image=True)
    inputs, height, width = 64, height // 4, width // 4
    for stage, blocks in enumerate(_BLOCKS):
        inner, outer = 64 * 2**stage, 256 * 2**stage
        for block in range(blocks):
            stride = 2 if block == 0 and stage > 0 else 1
            yield Convolution(n, inputs, inner, 1, 1, height, width)
            yield Convolution(n, inner, inner, 3, stride, height, width)
            if block == 0:
                yield Convolution(n, inputs, outer, 1, stride, height, width)
            height, width = height // stride, width // stride
            yield Convolution(n, inner, outer, 1, 1, height, width)
            inputs = outer


def _pyramid(n: int, height: int, width: int) -> Iterator[Convolution]:
    """The pyramid's own convolutions, and the RPN head's on each of its maps."""
    sizes = [(height // stride, width // stride) for stride in (4, 8, 16, 32)]
    for stage, size in enumerate(sizes):
        yield Convolution(n, 256 * 2**stage, _PYRAMID, 1, 1, *size)
        yield Convolution(n, _PYRAMID, _PYRAMID, 3, 1, *size)
    sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    for size in sizes:
        yield Convolution(n, _PYRAMID, _PYRAMID, 3, 1, *size)
        yield Convolution(n, _PYRAMID, _ANCHORS, 1, 1, *size)
        yield Convolution(n, _PYRAMID, 4 * _ANCHORS, 1, 1, *size)


def _mask_head(rois: int) -> Iterator[Convolution]:
    if rois:
        for _ in range(4):
            yield Convolution(rois, _PYRAMID, _PYRAMID, 3, 1, 14, 14)
        yield Convolution(rois, _PYRAMID, _CLASSES, 1, 1, 28, 28)


def network_flops(height: int, width: int, images: int, proposals: int, rois: int) -> float:
    """Operations of one inference, done plainly: convolutions and fully connected layers.

    Args:
        height: of the canvas, a multiple of 32.
        width: of the canvas.
        images: in the batch.
        proposals: over all images.
        rois: that the mask head looks at, over all images.
    """
    macs = sum(
        shape.macs * count for shape, count in convolutions(height, width, rois, images).items()
    )
    macs += rois * _PYRAMID * _PYRAMID * 28 * 28  # the transposed convolution
    macs += proposals * (_PYRAMID * 49 * 1024 + 1024 * 1024 + 1024 * 5 * _CLASSES)
    return 2.0 * macs
