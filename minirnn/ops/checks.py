"""What an operation says of input that does not fit: each check is asked by the plain form and by kernels.

Raises:
    InputError: names the operation and its argument, the shape that it has and the one it should have.
"""

from __future__ import annotations

from typing import Any

from minirnn.backend import Array
from minirnn.errors import InputError

Pair = int | tuple[int, int]


def pair(value: Pair) -> tuple[int, int]:
    """A setting of both axes: one number for both, or (y, x)."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def check_conv2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    add: Array | None,
    *,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> tuple[int, int]:
    """The size (H', W') of the result of `conv2d`, or its InputError."""
    channels = x.shape[1] // max(groups, 1) if x.ndim > 1 else 0
    _check_conv("conv2d", x, weight, bias, channels, len(weight), groups)
    kernel, stride, padding, dilation = (
        weight.shape[2:],
        pair(stride),
        pair(padding),
        pair(dilation),
    )
    size = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    )
    if min(size) < 1:
        raise InputError(
            f"conv2d: kernel {kernel} with dilation {dilation} is larger than "
            f"the map {x.shape[2:]} with padding {padding}"
        )
    shape = (len(x), len(weight), *size)
    if add is not None and add.shape != shape:
        raise InputError(f"conv2d: add has shape {add.shape}; it should be {shape}")
    return size


def check_conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    *,
    stride: Pair,
    padding: Pair,
    output_padding: Pair,
) -> tuple[int, int]:
    """The size of the result of `conv_transpose2d`, or its InputError."""
    outputs = weight.shape[1] if weight.ndim > 1 else 0
    _check_conv("conv_transpose2d", x, weight, bias, len(weight), outputs, 1)
    stride, padding, extra = pair(stride), pair(padding), pair(output_padding)
    if any(not 0 <= e < s for e, s in zip(extra, stride, strict=True)):
        raise InputError(
            f"conv_transpose2d: output_padding {extra} has to be from 0 to the stride {stride} less one"
        )
    size = tuple(
        (n - 1) * s - 2 * p + k + e
        for n, s, p, k, e in zip(x.shape[2:], stride, padding, weight.shape[2:], extra, strict=True)
    )
    if min(size) < 1:
        raise InputError(
            f"conv_transpose2d: nothing is left of a map of {x.shape[2:]} with kernel "
            f"{weight.shape[2:]}, stride {stride} and padding {padding}"
        )
    return size


def check_linear(x: Array, weight: Array, bias: Array | None) -> None:
    """The InputError of `linear`, if there is one."""
    if x.ndim != 2 or x.shape[1] != weight.shape[1]:
        raise InputError(f"linear: x has shape {x.shape}; it should be (N, {weight.shape[1]})")


def _check_conv(
    name: str, x: Array, weight: Array, bias: Array | None, channels: int, outputs: int, groups: int
) -> None:
    if x.ndim != 4:
        raise InputError(f"{name}: x has shape {x.shape}; it should be (N, C, H, W)")
    if weight.ndim != 4:
        raise InputError(f"{name}: weight has shape {weight.shape}; it should have four axes")
    if min(x.shape[1], *weight.shape) < 1:
        raise InputError(
            f"{name}: x has shape {x.shape} and weight {weight.shape}; "
            "there should be at least one channel, and one element of the kernel"
        )
    if groups < 1 or x.shape[1] % groups or outputs % groups:
        raise InputError(f"{name}: groups is {groups}; it should divide {x.shape[1]} and {outputs}")
    given = weight.shape[0] if name == "conv_transpose2d" else weight.shape[1]
    if given != channels or (name == "conv_transpose2d" and x.shape[1] != channels):
        raise InputError(
            f"{name}: weight has shape {weight.shape}, which does not fit x of shape {x.shape}"
        )
    if bias is not None and bias.shape != (outputs,):
        raise InputError(f"{name}: bias has shape {bias.shape}; it should be ({outputs},)")


def check_group_norm(x: Array, weight: Array, bias: Array, add: Array | None, groups: int) -> None:
    """The InputError of `group_norm`, if there is one."""
    check_per_channel("group_norm", x, weight, bias)
    if add is not None and add.shape != x.shape:
        raise InputError(f"group_norm: add has shape {add.shape}; it should be {x.shape}")
    if groups < 1 or x.shape[1] % groups:
        raise InputError(f"group_norm: {x.shape[1]} channels cannot be cut into {groups} groups")


def check_per_channel(name: str, x: Array, *per_channel: Any) -> None:
    """The InputError of an operation whose other arrays have one number per channel."""
    if x.ndim < 2 or any(p.shape != x.shape[1:2] for p in per_channel):
        raise InputError(
            f"{name}: x has shape {x.shape} and the values per channel "
            f"{', '.join(str(p.shape) for p in per_channel)}; they should be (N, C, …) and (C,)"
        )
