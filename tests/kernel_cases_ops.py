"""Drawn calls of the operations of networks that have kernels, large and degenerate ones among them.

By the operation's name: a function from a `numpy.random.Generator` to (arrays, settings).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn.ops.checks import conv_size

Case = tuple[tuple, dict[str, Any]]


def _drawn(rng: np.random.Generator, dtype: Any, *shape: int) -> np.ndarray:
    """Normal numbers; a map lies channels last as often as not."""
    values = rng.standard_normal(shape).astype(dtype)
    if len(shape) == 4 and rng.random() < 0.5:
        return np.ascontiguousarray(values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return values


def _dtype(rng: np.random.Generator) -> Any:
    return np.float32 if rng.random() < 0.6 else np.float64


def _pick(rng: np.random.Generator, *values: int) -> int:
    return int(rng.choice(values))


def for_conv2d(rng: np.random.Generator) -> Case:
    """Any geometry; one in three is a 3x3 of many channels, which is Winograd's in float32."""
    dtype, relu, relu6 = _dtype(rng), bool(rng.random() < 0.5), bool(rng.random() < 0.2)
    if rng.random() < 0.25:
        return _for_depthwise(rng, dtype, relu, relu6)
    if rng.random() < 0.4:
        relu6 = False  # it would hide the largest result, of which Winograd's error is a share
        n, c, o, h, w = 2, 32, _pick(rng, 32, 40), _pick(rng, 16, 23), _pick(rng, 17, 24)
        kernel, stride, padding, dilation, groups = (3, 3), (1, 1), (1, 1), (1, 1), 1
    else:
        groups = _pick(rng, 1, 1, 2)
        n, c, o = _pick(rng, 0, 1, 2), groups * _pick(rng, 1, 3, 8), groups * _pick(rng, 1, 4)
        kernel = (_pick(rng, 1, 2, 3), _pick(rng, 1, 3, 7))
        if rng.random() < 0.3:
            kernel = (1, 1)
        stride = (_pick(rng, 1, 1, 2, 5), _pick(rng, 1, 1, 3))
        padding = (_pick(rng, 0, 1, 2), _pick(rng, 0, 1, 3)) if rng.random() < 0.7 else (0, 0)
        dilation = (_pick(rng, 1, 1, 2), _pick(rng, 1, 1, 2))
        least = [max(d * (k - 1) + 1 - 2 * p, 1) for k, d, p in zip(kernel, dilation, padding)]  # noqa: B905
        h, w = (size + _pick(rng, 0, 1, 6, 30) for size in least)
        if rng.random() < 0.2:  # opposite sides differ
            padding = tuple((p, p + _pick(rng, 0, 1, 3)) for p in padding)
    size = conv_size((h, w), kernel, stride, padding, dilation)
    bias = None if rng.random() < 0.3 else _drawn(rng, dtype, o)
    added = (_drawn(rng, dtype, n, o, *size),) if rng.random() < 0.4 else ()
    arrays = (_drawn(rng, dtype, n, c, h, w), _drawn(rng, dtype, o, c // groups, *kernel), bias)
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return (*arrays, *added), settings | {"relu": relu, "relu6": relu6}


def _for_depthwise(rng: np.random.Generator, dtype: Any, relu: bool, relu6: bool) -> Case:
    """A kernel for each channel; rows of several parts, maps of several blocks, and single places."""
    n, c, k = _pick(rng, 0, 1, 1, 2), _pick(rng, 2, 3, 40), _pick(rng, 1, 3, 3, 5, 5)
    h, w = (_pick(rng, 1, 2, 9, 17, 30) for _ in range(2))
    if rng.random() < 0.2:
        n, c, k, h, w = 1, 96, 5, 23, 40
    kernel, stride = (k, _pick(rng, k, k, 2)), (_pick(rng, 1, 2), _pick(rng, 1, 2, 3))
    dilation = (_pick(rng, 1, 1, 2, 3), _pick(rng, 1, 1, 2))
    padding = tuple(  # none, as much as keeps the size, or more than that; sides alike or not
        (d * (each - 1) * _pick(rng, 1, 1, 2) // 2, d * (each - 1) // 2 + _pick(rng, 0, 1))
        for each, d in zip(kernel, dilation, strict=True)
    )
    h, w = (
        max(m, d * (each - 1) + 1 - sum(p))
        for m, d, each, p in zip((h, w), dilation, kernel, padding, strict=True)
    )
    size = conv_size((h, w), kernel, stride, padding, dilation)
    bias = None if rng.random() < 0.3 else _drawn(rng, dtype, c)
    added = (_drawn(rng, dtype, n, c, *size),) if rng.random() < 0.3 else ()
    arrays = _drawn(rng, dtype, n, c, h, w), _drawn(rng, dtype, c, 1, *kernel), bias, *added
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": c}
    return arrays, settings | {"relu": relu, "relu6": relu6}


def for_conv_transpose2d(rng: np.random.Generator) -> Case:
    """Stamps side by side, with gaps, and over each other."""
    dtype = _dtype(rng)
    n, c, o = _pick(rng, 0, 1, 3), _pick(rng, 1, 5, 40), _pick(rng, 1, 4, 33)
    kernel, stride = (
        (_pick(rng, 2, 3, 4), _pick(rng, 2, 3)),
        (_pick(rng, 1, 2, 3), _pick(rng, 1, 2, 4)),
    )
    padding = tuple(_pick(rng, 0, (k - 1) // 2) for k in kernel)
    extra = tuple(_pick(rng, 0, s - 1) for s in stride)
    groups = _pick(rng, 1, 1, 1, 2)
    c, o = groups * c, groups * o
    bias = None if rng.random() < 0.3 else _drawn(rng, dtype, o)
    x = _drawn(rng, dtype, n, c, _pick(rng, 1, 2, 9), _pick(rng, 1, 7, 14))
    settings = {"stride": stride, "padding": padding, "output_padding": extra, "groups": groups}
    settings["dilation"] = (_pick(rng, 1, 1, 2), _pick(rng, 1, 1, 3))
    settings["relu"] = bool(rng.random() < 0.5)
    return (x, _drawn(rng, dtype, c, o // groups, *kernel), bias), settings


def for_linear(rng: np.random.Generator) -> Case:
    """No row, one, and many."""
    dtype, inputs, outputs = _dtype(rng), _pick(rng, 1, 7, 300), _pick(rng, 1, 5, 129)
    bias = None if rng.random() < 0.3 else _drawn(rng, dtype, outputs)
    x, weight = (_drawn(rng, dtype, n, inputs) for n in (_pick(rng, 0, 1, 3, 257), outputs))
    return (x, weight, bias), {"relu": bool(rng.random() < 0.5)}


def for_group_norm(rng: np.random.Generator) -> Case:
    """Several blocks of a map, several images in a block, one number, and no image."""
    dtype, groups = _dtype(rng), _pick(rng, 1, 2, 8)
    channels = groups * _pick(rng, 1, 4)
    places = ((), (5,), (1, 1), (3, 4), (60, 70))[int(rng.integers(5))]
    shape = (_pick(rng, 0, 1, 3), channels, *places)
    x, weight, bias = (
        _drawn(rng, dtype, *shape),
        _drawn(rng, dtype, channels),
        _drawn(rng, dtype, channels),
    )
    added = (_drawn(rng, dtype, *shape),) if rng.random() < 0.4 else ()
    return (x, weight, bias, *added), {
        "groups": groups,
        "relu": bool(rng.random() < 0.5),
        "eps": 0.1,
    }


_SHAPES = ((), (0,), (7,), (2, 0, 3), (2, 3, 4, 5), (2, 16, 70, 80))


def _any_shape(rng: np.random.Generator) -> np.ndarray:
    return np.asarray(_drawn(rng, _dtype(rng), *_SHAPES[int(rng.integers(len(_SHAPES)))]))


def for_relu(rng: np.random.Generator) -> Case:
    """From one number to a map of several blocks."""
    return (_any_shape(rng),), {}


def for_relu6(rng: np.random.Generator) -> Case:
    """The same, with numbers beyond both ends."""
    return (_any_shape(rng) * 5,), {}


def for_sgd_step(rng: np.random.Generator) -> Case:
    """A parameter, its gradient and its velocity, in the same order in memory or not."""
    parameter = _any_shape(rng)
    others = (np.asarray(_drawn(rng, parameter.dtype, *parameter.shape)) for _ in range(2))
    settings = {"learning_rate": 0.1, "momentum": float(rng.choice([0, 0.9]))}
    return (parameter, *others), settings | {"weight_decay": float(rng.choice([0, 0.01]))}


def for_adamw_step(rng: np.random.Generator) -> Case:
    """A parameter, its gradient, and both running means; squares are not negative."""
    parameter = _any_shape(rng)
    gradient, mean, square = (
        np.asarray(_drawn(rng, parameter.dtype, *parameter.shape)) for _ in range(3)
    )
    settings = {"step": int(rng.integers(1, 9)), "learning_rate": 0.1, "beta1": 0.9}
    settings |= {"beta2": 0.999, "weight_decay": float(rng.choice([0, 0.01])), "eps": 1e-8}
    return (parameter, gradient, mean, np.abs(square)), settings


def for_flatten(rng: np.random.Generator) -> Case:
    """What has a first axis."""
    shapes = [shape for shape in _SHAPES if shape]
    return (_drawn(rng, _dtype(rng), *shapes[int(rng.integers(len(shapes)))]),), {}


def for_arranged(rng: np.random.Generator) -> Case:
    """Weights of one, two and four axes."""
    shape = ((5,), (3, 4), (4, 3, 1, 1), (8, 5, 3, 3), (0, 3, 2, 2))[int(rng.integers(5))]
    return (_drawn(rng, _dtype(rng), *shape),), {}


CASES: dict[str, Callable[[np.random.Generator], Case]] = {
    "adamw_step": for_adamw_step,
    "arranged": for_arranged,
    "conv2d": for_conv2d,
    "conv_transpose2d": for_conv_transpose2d,
    "flatten": for_flatten,
    "group_norm": for_group_norm,
    "linear": for_linear,
    "relu": for_relu,
    "relu6": for_relu6,
    "sgd_step": for_sgd_step,
}
