"""Layers: an operation of `minirnn.ops` together with the parameters that it takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.nn import init
from minirnn.nn.module import Module, parameter
from minirnn.ops.activation import relu
from minirnn.ops.activation import relu6 as ops_relu6
from minirnn.ops.convolution import conv2d, conv_transpose2d, linear
from minirnn.ops.normalisation import frozen_batch_norm, group_norm, scale_and_shift
from minirnn.ops.pooling import max_pool2d


class Conv2d(Module):
    """A convolution with its kernel and, if `bias`, one number per output channel.

    Args:
        inputs: input channels.
        outputs: output channels.
        kernel: side of the kernel.
        rng: draws the initial weights.
        stride: step between patches.
        padding: rings of zeros; None keeps the size (odd kernel, stride and dilation 1); "same" is
            TensorFlow's way, see `same_padding`.
        bias: whether there is a bias (not where a normalisation follows, which takes it away again).
        groups: groups of channels that do not see each other.
        dilation: distance between the pixels that the kernel looks at.
        initial: an initialisation of `minirnn.nn.init`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        rng: np.random.Generator,
        stride: int = 1,
        padding: int | str | None = None,
        bias: bool = True,
        groups: int = 1,
        dilation: int = 1,
        initial: Any = init.kaiming_normal_fan_out,
    ) -> None:
        self.same = padding == "same"
        self.settings: dict[str, Any] = {
            "stride": stride,
            "padding": kernel // 2 if padding in (None, "same") else padding,
            "groups": groups,
            "dilation": dilation,
        }
        self.weight = parameter(initial((outputs, inputs // groups, kernel, kernel), rng))
        self.bias = parameter(np.zeros(outputs, np.float32)) if bias else None

    def window(self, x: Any) -> dict[str, Any]:
        """stride, padding, groups and dilation for an input (N, C, H, W)."""
        if not self.same:
            return self.settings
        size = self.weight.shape[2], self.settings["stride"], self.settings["dilation"]
        return {**self.settings, "padding": tuple(same_padding(n, *size) for n in x.shape[2:])}

    def forward(self, x: Any, *add: Any, relu: bool = False, relu6: bool = False) -> Any:
        """(N, C, H, W) → (N, O, H', W'); `add`, of the result's shape, is added, then ReLU(6), if asked."""
        after = {"relu": relu, "relu6": relu6}
        return conv2d(x, self.weight, self.bias, *add, **after, **self.window(x))


def same_padding(length: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Zeros (before, after) an axis such that the result has ⌈length / stride⌉ places, TensorFlow's SAME.

    Where their number is odd the last side has one more: a kernel of 3 with stride 2 on an even length
    begins on the first pixel (0, 1), where torchvision's padding of 1 begins before it.
    """
    places = -(-length // stride)
    total = max((places - 1) * stride + dilation * (kernel - 1) + 1 - length, 0)
    return total // 2, total - total // 2


class ConvTranspose2d(Module):
    """A transposed convolution, with its kernel and bias; see `Conv2d` for the arguments."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, rng: np.random.Generator, stride: int
    ) -> None:
        self.stride = stride
        self.weight = parameter(init.kaiming_normal_fan_out((inputs, outputs, kernel, kernel), rng))
        self.bias = parameter(np.zeros(outputs, np.float32))

    def forward(self, x: Any, *, relu: bool = False) -> Any:
        """(N, C, H, W) → (N, O, (H - 1)·stride + kernel, …), then ReLU, if asked."""
        return conv_transpose2d(x, self.weight, self.bias, stride=self.stride, relu=relu)


class Linear(Module):
    """A fully connected layer, (N, inputs) → (N, outputs)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        rng: np.random.Generator,
        initial: Any = init.kaiming_uniform,
    ) -> None:
        self.weight = parameter(initial((outputs, inputs), rng))
        self.bias = parameter(np.zeros(outputs, np.float32))

    def forward(self, x: Any, *, relu: bool = False) -> Any:
        """(N, inputs) → (N, outputs), then ReLU, if asked."""
        return linear(x, self.weight, self.bias, relu=relu)


class FrozenBatchNorm2d(Module):
    """Batch normalisation whose statistics and affine map stay as they were loaded.

    Detection trains on a few images a batch, too few for statistics of their own, so those of ImageNet
    are kept (He et al., "Deep residual learning", 2015, appendix A). Nothing here is trained.
    """

    is_normalisation = True

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        self.eps = eps
        self.weight = np.ones(channels, np.float32)
        self.bias = np.zeros(channels, np.float32)
        self.running_mean = np.zeros(channels, np.float32)
        self.running_var = np.ones(channels, np.float32)
        self._kept: tuple[tuple, tuple[Any, Any]] | None = None  # what they are of, and s and t

    def scale_and_shift(self) -> tuple[Any, Any]:
        """s and t of y = s x + t, each (C,).

        On a GPU each of the five steps is a launch, in each layer at each forward. So s and t are kept
        there for as long as the four arrays are the same objects. Loading, moving and converting put others
        in their place; whoever writes into one of them on a GPU must do so, too.
        """
        arrays = self.weight, self.bias, self.running_mean, self.running_var
        if isinstance(self.weight, np.ndarray):
            return scale_and_shift(*arrays, self.eps)
        of = (*arrays, self.eps)
        if self._kept is None or any(a is not b for a, b in zip(self._kept[0], of, strict=True)):
            self._kept = of, scale_and_shift(*of)
        return self._kept[1]

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) → the same, scaled and shifted per channel."""
        return frozen_batch_norm(
            x, self.weight, self.bias, self.running_mean, self.running_var, eps=self.eps
        )


class GroupNorm(Module):
    """Normalisation over groups of channels of one image (Wu and He, 2018): no batch needed."""

    is_normalisation = True

    def __init__(self, channels: int, groups: int, eps: float = 1e-5) -> None:
        self.groups = groups
        self.eps = eps
        self.weight = parameter(np.ones(channels, np.float32))
        self.bias = parameter(np.zeros(channels, np.float32))

    def forward(self, x: Any, *add: Any, relu: bool = False) -> Any:
        """(N, C, H, W) → the same, each group of channels with mean 0 and variance 1, then affine.

        `add`, of the same shape, is added, then ReLU, if asked.
        """
        settings = {"groups": self.groups, "eps": self.eps, "relu": relu}
        return group_norm(x, self.weight, self.bias, *add, **settings)


def convolve_and_normalise(
    convolution: Conv2d, norm: Any, x: Any, *add: Any, relu: bool = False, relu6: bool = False
) -> Any:
    """relu(norm(convolution(x)) + add), in as few walks over the map as it takes.

    Frozen batch normalisation is s·y + t with constants: s goes into the kernels and t becomes the
    bias, so that nothing is left to do for it.

    Args:
        convolution: without a bias.
        norm: a normalisation layer.
        x: (N, C, H, W).
        add: (N, O, H', W'), is added: the shortcut of a residual block; or nothing.
        relu: whether negative results become 0.
        relu6: whether results are clipped to 0…6.

    Returns:
        (N, O, H', W').
    """
    if not isinstance(norm, FrozenBatchNorm2d):
        y = norm(convolution(x), *add, relu=relu)
        return ops_relu6(y) if relu6 else y
    scale, shift = norm.scale_and_shift()
    kernels = convolution.weight * scale[:, None, None, None]
    return conv2d(x, kernels, shift, *add, relu=relu, relu6=relu6, **convolution.window(x))


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Any) -> Any:
        """Element by element."""
        return relu(x)


class MaxPool2d(Module):
    """The largest value under a window."""

    def __init__(self, kernel: int, stride: int, padding: int = 0) -> None:
        self.settings = {"kernel": kernel, "stride": stride, "padding": padding}

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) → (N, C, H', W')."""
        return max_pool2d(x, **self.settings)
