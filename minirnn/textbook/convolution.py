"""Convolutions as loops over the kernel. Read this first, then `minirnn.ops.convolution`."""

from __future__ import annotations

import numpy as np

from minirnn.textbook.elements import pair, sides

Pair = int | tuple[int, int]
Padding = Pair | tuple[Pair, Pair]


def conv2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    add: np.ndarray | None = None,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    relu: bool = False,
    relu6: bool = False,
) -> np.ndarray:
    """Lay a kernel over each patch of a map, multiply what lies on each other, and add it all up.

        y[o, i, j] = bias[o] + Σ_c Σ_u Σ_v weight[o, c, u, v] · x[c, i·s + u·d - p, j·s + v·d - p]

    What lies outside of the map is 0.

    Args:
        x: (N, C, H, W).
        weight: (O, C / groups, kh, kw).
        bias: (O,), or None.
        add: (N, O, H', W'), is added to the result; or None.
        stride: s, the step from patch to patch, vertically and horizontally; one number for both.
        padding: p, how many rings of zeros lie around the map; or ((top, bottom), (left, right)).
        dilation: d, the step inside of a patch.
        groups: so many equal parts of the channels do not see each other.
        relu: whether negative results become 0.
        relu6: whether results are clipped to 0…6.

    Returns:
        (N, O, H', W') with H' = floor((H + 2p - d (kh - 1) - 1) / s) + 1.

    Source: LeCun et al., Gradient-based learning applied to document recognition (1998).
    """
    (stride_y, stride_x), (step_y, step_x) = pair(stride), pair(dilation)
    (top, bottom), (left, right) = sides(padding)
    n, _, height, width = x.shape
    outputs, channels, kernel_y, kernel_x = weight.shape  # channels of one group
    rows = (height + top + bottom - step_y * (kernel_y - 1) - 1) // stride_y + 1
    columns = (width + left + right - step_x * (kernel_x - 1) - 1) // stride_x + 1
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
                                row = i * stride_y + u * step_y - top
                                column = j * stride_x + v * step_x - left
                                if 0 <= row < height and 0 <= column < width:
                                    value = x[image, group * channels + channel, row, column]
                                    total += weight[output, channel, u, v] * value
                    if add is not None:
                        total += add[image, output, i, j]
                    if relu or relu6:
                        total = max(total, 0)
                    y[image, output, i, j] = min(total, 6) if relu6 else total
    return y


def conv_transpose2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    relu: bool = False,
) -> np.ndarray:
    """Add up kernels, one for each place of the map, times the value there: a map becomes larger.

        y[o, i·s + u·d - p, j·s + v·d - p] += weight[c, o, u, v] · x[c, i, j]    for all c, i, j, u, v

    Args:
        x: (N, C, H, W).
        weight: (C, O / groups, kh, kw): the inputs come first, other than in `conv2d`.
        bias: (O,), or None.
        stride: s, the step from kernel to kernel in the result.
        padding: p, how many rings of the result are cut off.
        output_padding: so many rows and columns more at the lower and right end.
        dilation: d, the distance between the kernel's elements.
        groups: channels and outputs are cut into so many groups that do not see each other.
        relu: whether negative results become 0.

    Returns:
        (N, O, H', W') with H' = (H - 1) s - 2p + d (kh - 1) + 1 + output_padding.

    Source: Zeiler et al., Deconvolutional networks (2010).
    """
    (stride_y, stride_x), (pad_y, pad_x) = pair(stride), pair(padding)
    (step_y, step_x), (more_y, more_x) = pair(dilation), pair(output_padding)
    n, channels, height, width = x.shape
    _, in_group, kernel_y, kernel_x = weight.shape
    rows = (height - 1) * stride_y - 2 * pad_y + step_y * (kernel_y - 1) + 1 + more_y
    columns = (width - 1) * stride_x - 2 * pad_x + step_x * (kernel_x - 1) + 1 + more_x
    y = np.zeros((n, in_group * groups, rows, columns), x.dtype)
    for image in range(n):
        for output in range(in_group * groups):
            if bias is not None:
                y[image, output] = bias[output]
            group, number = divmod(output, in_group)
            own = channels // groups
            for channel in range(group * own, (group + 1) * own):
                for i in range(height):
                    for j in range(width):
                        for u in range(kernel_y):
                            for v in range(kernel_x):
                                row = i * stride_y + u * step_y - pad_y
                                column = j * stride_x + v * step_x - pad_x
                                if 0 <= row < rows and 0 <= column < columns:
                                    y[image, output, row, column] += (
                                        weight[channel, number, u, v] * x[image, channel, i, j]
                                    )
    return np.maximum(y, 0) if relu else y


def linear(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, *, relu: bool = False
) -> np.ndarray:
    """Each output is a weighted sum of all inputs: y[r, o] = bias[o] + Σ_i weight[o, i] · x[r, i].

    Args:
        x: (R, I).
        weight: (O, I).
        bias: (O,), or None.
        relu: whether negative results become 0.

    Returns:
        (R, O).
    """
    y = np.zeros((len(x), len(weight)), x.dtype)
    for row in range(len(x)):
        for output in range(len(weight)):
            total = 0.0 if bias is None else bias[output]
            for i in range(x.shape[1]):
                total += weight[output, i] * x[row, i]
            y[row, output] = max(total, 0) if relu else total
    return y
