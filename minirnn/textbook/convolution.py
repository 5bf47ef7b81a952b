"""Convolutions as loops over the kernel. Read this first, then `minirnn.ops.convolution`."""

from __future__ import annotations

import numpy as np


def conv2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    """The inner product of a kernel with each patch (LeCun et al., Gradient-based learning, 1998)."""
    n, _, height, width = x.shape
    outputs, channels, kernel_y, kernel_x = weight.shape  # channels of one group
    rows = (height + 2 * padding[0] - dilation[0] * (kernel_y - 1) - 1) // stride[0] + 1
    columns = (width + 2 * padding[1] - dilation[1] * (kernel_x - 1) - 1) // stride[1] + 1
    y = np.zeros((n, outputs, rows, columns), x.dtype)
    for image in range(n):
        for output in range(outputs):
            group = output // (outputs // groups)
            for i in range(rows):
                for j in range(columns):
                    total = 0.0 if bias is None else bias[output]
                    for channel in range(channels):
                        for u in range(kernel_y):
                            for v in range(kernel_x):
                                row = i * stride[0] + u * dilation[0] - padding[0]
                                column = j * stride[1] + v * dilation[1] - padding[1]
                                if 0 <= row < height and 0 <= column < width:
                                    value = x[image, group * channels + channel, row, column]
                                    total += weight[output, channel, u, v] * value
                    y[image, output, i, j] = total
    return y


def conv_transpose2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    output_padding: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """A kernel stamped at each place, times the value there (Zeiler et al., Deconvolutional, 2010)."""
    n, channels, height, width = x.shape
    _, outputs, kernel_y, kernel_x = weight.shape
    rows = (height - 1) * stride[0] - 2 * padding[0] + kernel_y + output_padding[0]
    columns = (width - 1) * stride[1] - 2 * padding[1] + kernel_x + output_padding[1]
    y = np.zeros((n, outputs, rows, columns), x.dtype)
    for image in range(n):
        for output in range(outputs):
            if bias is not None:
                y[image, output] = bias[output]
            for channel in range(channels):
                for i in range(height):
                    for j in range(width):
                        for u in range(kernel_y):
                            for v in range(kernel_x):
                                row = i * stride[0] + u - padding[0]
                                column = j * stride[1] + v - padding[1]
                                if 0 <= row < rows and 0 <= column < columns:
                                    y[image, output, row, column] += (
                                        weight[channel, output, u, v] * x[image, channel, i, j]
                                    )
    return y


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """Each output is a weighted sum of all inputs, plus its bias."""
    y = np.zeros((len(x), len(weight)), x.dtype)
    for row in range(len(x)):
        for output in range(len(weight)):
            total = 0.0 if bias is None else bias[output]
            for i in range(x.shape[1]):
                total += weight[output, i] * x[row, i]
            y[row, output] = total
    return y
