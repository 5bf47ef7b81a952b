"""Checks of an operation's input: each runs before the plain form, and before a kernel in its place.

Raises:
    InputError: names the operation and its argument, the shape that it has and the one it should have.
"""

from __future__ import annotations

from typing import Any

from minirnn.backend import Array
from minirnn.errors import InputError

Pair = int | tuple[int, int]
Sides = tuple[tuple[int, int], tuple[int, int]]
#: Zeros around a map: one number, (y, x), or ((top, bottom), (left, right)).
Padding = Pair | Sides


def pair(value: Pair) -> tuple[int, int]:
    """A setting of both axes: one number for both, or (y, x); opposite sides of a map are treated alike.

    Raises:
        InputError: it is not one or two numbers.
    """
    both = (value, value) if isinstance(value, int) else tuple(value)
    if len(both) != 2:
        raise InputError(f"{value} should be one number or two, (y, x), for opposite sides alike")
    return int(both[0]), int(both[1])


def sides(padding: Padding) -> Sides:
    """Zeros around a map, ((top, bottom), (left, right)): opposite sides may differ.

    Raises:
        InputError: it is not one or two numbers, or two pairs.
    """
    both: tuple[Any, ...] = (padding, padding) if isinstance(padding, int) else tuple(padding)
    if len(both) != 2:
        raise InputError(
            f"{padding} should be one number, (y, x), or ((top, bottom), (left, right))"
        )
    return pair(both[0]), pair(both[1])


def check_conv2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    add: Array | None = None,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    **_: Any,
) -> None:
    """Raise the InputError of `conv2d`, if there is one."""
    channels = x.shape[1] // max(groups, 1) if x.ndim > 1 else 0
    _check_conv("conv2d", x, weight, bias, channels, len(weight), groups)
    size = conv_size(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    if min(size) < 1:
        raise InputError(
            f"conv2d: kernel {weight.shape[2:]} with dilation {pair(dilation)} is larger than "
            f"the map {x.shape[2:]} with padding {sides(padding)}"
        )
    shape = (len(x), len(weight), *size)
    if add is not None and add.shape != shape:
        raise InputError(f"conv2d: add has shape {add.shape}; it should be {shape}")


def conv_size(
    size: tuple[int, int], kernel: tuple[int, int], stride: Pair, padding: Padding, dilation: Pair
) -> tuple[int, int]:
    """(H', W') of a convolution's result: floor((n + padding of both sides - d(k - 1) - 1) / s) + 1."""
    height, width = (
        (n + sum(p) - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(
            size, kernel, pair(stride), sides(padding), pair(dilation), strict=True
        )
    )
    return height, width


def check_conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    **_: Any,
) -> None:
    """Raise the InputError of `conv_transpose2d`, if there is one."""
    outputs = weight.shape[1] * groups if weight.ndim > 1 else 0
    _check_conv("conv_transpose2d", x, weight, bias, len(weight), outputs, groups)
    stride, extra = pair(stride), pair(output_padding)
    if any(not 0 <= e < s for e, s in zip(extra, stride, strict=True)):
        raise InputError(
            f"conv_transpose2d: output_padding {extra} has to be from 0 to the stride {stride} less one"
        )
    size = transposed_size(x.shape[2:], weight.shape[2:], stride, padding, extra, dilation)
    if min(size) < 1:
        raise InputError(
            f"conv_transpose2d: nothing is left of a map of {x.shape[2:]} with kernel "
            f"{weight.shape[2:]}, stride {stride} and padding {pair(padding)}"
        )


def transposed_size(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: Pair,
    padding: Pair,
    output_padding: Pair,
    dilation: Pair,
) -> tuple[int, int]:
    """(H', W') of a transposed convolution's result: (n - 1)s - 2p + d(k - 1) + 1 + output_padding."""
    settings = map(pair, (stride, padding, output_padding, dilation))
    height, width = (
        (n - 1) * s - 2 * p + d * (k - 1) + 1 + e
        for n, k, s, p, e, d in zip(size, kernel, *settings, strict=True)
    )
    return height, width


def check_linear(x: Array, weight: Array, bias: Array | None, **_: Any) -> None:
    """Raise the InputError of `linear`, if there is one."""
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


def check_group_norm(
    x: Array, weight: Array, bias: Array, add: Array | None = None, *, groups: int, **_: Any
) -> None:
    """Raise the InputError of `group_norm`, if there is one."""
    check_per_channel("group_norm", x, weight, bias)
    if add is not None and add.shape != x.shape:
        raise InputError(f"group_norm: add has shape {add.shape}; it should be {x.shape}")
    if groups < 1 or x.shape[1] % groups:
        raise InputError(f"group_norm: {x.shape[1]} channels cannot be cut into {groups} groups")


def check_per_channel(name: str, x: Array, *per_channel: Any) -> None:
    """Raise an InputError unless all arrays but x (N, C, …) have one number per channel, (C,)."""
    if x.ndim < 2 or any(p.shape != x.shape[1:2] for p in per_channel):
        raise InputError(
            f"{name}: x has shape {x.shape} and the values per channel "
            f"{', '.join(str(p.shape) for p in per_channel)}; they should be (N, C, …) and (C,)"
        )
