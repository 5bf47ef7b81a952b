"""For every differentiable operation, the inputs on which its gradient is checked.

`CASES["relu"]` is a list of functions: each takes a random generator and returns the inputs (by
position) and the settings (by keyword). An operation that is missing here fails the test suite.

The inputs keep their distance from kinks, where there is no derivative: numbers that are compared with
each other differ by far more than a finite difference moves them, and regions do not start on cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

Inputs = tuple[Any, ...]
Case = Callable[[np.random.Generator], tuple[Inputs, dict[str, Any]]]

#: Modules that define operations. Importing them fills `minirnn.autograd.OPERATIONS`.
MODULES = (
    "minirnn.ops.activation",
    "minirnn.ops.arithmetic",
    "minirnn.ops.convolution",
    "minirnn.ops.losses",
    "minirnn.ops.normalisation",
    "minirnn.ops.pooling",
    "minirnn.ops.reduction",
    "minirnn.ops.resize",
    "minirnn.ops.shape",
    "minirnn.roi",
)


def load_operations() -> dict[str, Callable]:
    """Import every module that defines operations; returns them by name."""
    from minirnn.autograd import OPERATIONS

    for module in MODULES:
        import_module(module)
    return OPERATIONS


def on_device(value: Any, xp: Any, dtype: Any = None) -> Any:
    """Inputs or settings with every array in them moved to `xp`, floats as `dtype` if given."""
    if isinstance(value, np.ndarray):
        is_float = dtype is not None and value.dtype.kind == "f"
        return xp.asarray(value.astype(dtype) if is_float else value)
    if isinstance(value, tuple):
        return tuple(on_device(item, xp, dtype) for item in value)
    if isinstance(value, dict):
        return {key: on_device(item, xp, dtype) for key, item in value.items()}
    return value


def spread(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers in random order that all differ by 0.1 or more, none nearer to 0 than 0.05."""
    size = math.prod(shape)
    return ((rng.permutation(size) - size // 2) * 0.1 + 0.05).reshape(shape)


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Normally distributed numbers."""
    return np.asarray(rng.standard_normal(shape))


def positive(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers from 0.5 to 2, for what has a pole or an end at 0."""
    return np.asarray(rng.uniform(0.5, 2, shape))


def _one(draw: Callable, *shape: int, **settings: Any) -> Case:
    """A case with one input."""
    return lambda rng: ((draw(rng, *shape),), settings)


def _some(draw: Callable, *shapes: tuple[int, ...], **settings: Any) -> Case:
    """A case with several inputs, drawn alike."""
    return lambda rng: (tuple(draw(rng, *shape) for shape in shapes), settings)


def _elementwise(draw: Callable, **settings: Any) -> list[Case]:
    return [_one(draw, *shape, **settings) for shape in ((), (7,), (3, 1, 5), (2, 0, 3))]


_BROADCAST = [((3, 4), (3, 4)), ((3, 1, 5), (4, 1)), ((), (2, 3)), ((2, 3), ()), ((0, 3), (1, 3))]


def _pairs(draw: Callable) -> list[Case]:
    return [_some(draw, *shapes) for shapes in _BROADCAST]


def _distinct_pairs() -> list[Case]:
    """Two arrays of which no two numbers are equal."""

    def case(first: tuple[int, ...], second: tuple[int, ...]) -> Case:
        return lambda rng: ((spread(rng, *first), np.asarray(spread(rng, *second) * 10 + 0.03)), {})

    return [case(*shapes) for shapes in _BROADCAST]


def _where(shape: tuple[int, ...], a: tuple[int, ...], b: tuple[int, ...]) -> Case:
    return lambda rng: ((rng.random(shape) < 0.5, normal(rng, *a), normal(rng, *b)), {})


def _take(index: Callable[[np.random.Generator], Any], *shape: int) -> Case:
    return lambda rng: ((normal(rng, *shape),), {"index": index(rng)})


def _convolution(
    x: tuple[int, ...], weight: tuple[int, ...], bias: int | None, **settings: Any
) -> Case:
    def case(rng: np.random.Generator) -> tuple[Inputs, dict[str, Any]]:
        return (
            normal(rng, *x),
            normal(rng, *weight),
            None if bias is None else normal(rng, bias),
        ), (settings)

    return case


def _normalisation(*shape: int, axis: int = 1, **settings: Any) -> Case:
    def case(rng: np.random.Generator) -> tuple[Inputs, dict[str, Any]]:
        size = shape[axis]
        return (normal(rng, *shape), positive(rng, size), normal(rng, size)), settings

    return case


def _frozen(*shape: int, **settings: Any) -> Case:
    def case(rng: np.random.Generator) -> tuple[Inputs, dict[str, Any]]:
        constants = (draw(rng, shape[1]) for draw in (positive, normal, normal, positive))
        return (normal(rng, *shape), *constants), settings

    return case


def _cross_entropy(rows: int, classes: int, **settings: Any) -> Case:
    def case(rng: np.random.Generator) -> tuple[Inputs, dict[str, Any]]:
        labels = rng.integers(0, classes, rows)
        if "ignore" in settings:
            labels[::2] = settings["ignore"]
        return (normal(rng, rows, classes) * 3, labels), settings

    return case


def _binary(*shape: int, **settings: Any) -> Case:
    # Logits of 0 are a kink of the formula's parts (|z|), not of the loss: `spread` keeps away.
    return lambda rng: ((spread(rng, *shape), rng.random(shape)), settings)


def _smooth_l1(*shape: int, beta: float, **settings: Any) -> Case:
    def case(rng: np.random.Generator) -> tuple[Inputs, dict[str, Any]]:
        # Distances 0.05, 0.15, …: none is 0, and none is a beta of 0.1, 0.2, ….
        target = normal(rng, *shape)
        return (target + spread(rng, *shape), target), {"beta": beta, **settings}

    return case


# Boxes in pixels of an image whose maps have 1/4 of its size. Their edges stay clear of multiples of
# the stride and of samples on cell centres; one is larger than the map, one lies outside of it.
_BOXES = np.array(
    [
        [1.3, 2.1, 17.7, 22.9],
        [5.9, 3.7, 12.2, 9.4],
        [-6.3, -4.7, 45.1, 33.8],
        [10.7, 11.3, 11.9, 25.6],
        [70.3, 70.9, 90.1, 88.2],
    ]
)


def _roi(draw: Callable, regions: int, **settings: Any) -> Case:
    def case(rng: np.random.Generator) -> tuple[Inputs, dict[str, Any]]:
        boxes = _BOXES[:regions]
        index = np.arange(regions, dtype=np.int64) % 2
        return (draw(rng, 2, 3, 7, 9), boxes, index), {"spatial_scale": 0.25, **settings}

    return case


def _pyramid(operation: str, regions: int, **settings: Any) -> Case:
    def case(rng: np.random.Generator) -> tuple[Inputs, dict[str, Any]]:
        from minirnn import roi

        maps = (spread(rng, 2, 2, 8, 10), spread(rng, 2, 2, 4, 5))
        index = np.arange(regions, dtype=np.int64) % 2
        return (*maps, _BOXES[:regions], index), {
            "operation": getattr(roi, operation),
            "output_size": 2,
            "spatial_scales": (1 / 4, 1 / 8),
            "canonical_size": 16,
            "canonical_level": 3,
            **settings,
        }

    return case


CASES: dict[str, list[Case]] = {
    # arithmetic
    "add": _pairs(normal),
    "subtract": _pairs(normal),
    "multiply": _pairs(normal),
    "divide": _pairs(positive),
    "negative": _elementwise(normal),
    "power": [
        *_elementwise(normal, exponent=3),
        *_elementwise(positive, exponent=-0.5),
        _one(normal, 4, exponent=0),
    ],
    "exp": _elementwise(normal),
    "log": _elementwise(positive),
    "sqrt": _elementwise(positive),
    "absolute": _elementwise(spread),
    "maximum": _distinct_pairs(),
    "minimum": _distinct_pairs(),
    "clip": [
        *_elementwise(spread, low=-0.2, high=0.3),
        _one(spread, 9, low=0.1),
        _one(spread, 9, high=-0.1),
    ],
    "where": [
        _where((3, 4), (3, 4), (3, 4)),
        _where((3, 4), (4,), (3, 1)),
        _where((4,), (2, 3, 4), ()),
        _where((0, 3), (0, 3), (3,)),
    ],
    "matmul": [
        _some(normal, (3, 4), (4, 5)),
        _some(normal, (2, 1, 3, 4), (5, 4, 2)),
        _some(normal, (4,), (4, 5)),
        _some(normal, (3, 4), (4,)),
        _some(normal, (4,), (4,)),
        _some(normal, (4,), (2, 4, 3)),
        _some(normal, (2, 3, 4), (4,)),
        _some(normal, (0, 4), (4, 5)),
        _some(normal, (3, 0), (0, 5)),
    ],
    # shape
    "reshape": [_one(normal, 3, 4, shape=(2, 6)), _one(normal, 2, 3, 4, shape=(3, -1))],
    "flatten": [_one(normal, 3, 2, 4), _one(normal, 0, 2, 4), _one(normal, 3)],
    "transpose": [
        _one(normal, 2, 3, 4),
        _one(normal, 2, 3, 4, axes=(2, 0, 1)),
        _one(normal, 2, 3, 4, axes=(0, -1, 1)),
    ],
    "take": [
        _take(lambda rng: slice(1, None, 2), 5, 3),
        _take(lambda rng: (Ellipsis, 1, None), 5, 3),
        _take(lambda rng: (slice(None), slice(None, None, -1)), 4, 3),
        _take(lambda rng: 2, 5),
        _take(lambda rng: np.array([0, 3, 3, 0, 2]), 5, 3),
        _take(lambda rng: (np.array([1, 1, 4]), np.array([0, 0, -1])), 5, 3),
        _take(lambda rng: (slice(None), np.array([[0, 1], [1, 1]])), 4, 3, 2),
        _take(lambda rng: rng.random((5, 3)) < 0.5, 5, 3),
        _take(lambda rng: np.zeros(0, np.int64), 5, 3),
        _take(lambda rng: np.zeros((0, 3), bool), 0, 3),
    ],
    "concatenate": [
        _some(normal, (2, 3), (4, 3), (0, 3)),
        _some(normal, (2, 3), (2, 1), axis=-1),
        _some(normal, (2, 3)),
    ],
    "stack": [_some(normal, (2, 3), (2, 3)), _some(normal, (2, 3), (2, 3), (2, 3), axis=-1)],
    "pad": [
        _one(normal, 3, 4, widths=((1, 0), (2, 3))),
        _one(normal, 2, 3, widths=((0, 0), (0, 0))),
        _one(normal, 0, 3, widths=((1, 1), (0, 1))),
    ],
    "broadcast_to": [
        _one(normal, 3, 1, shape=(2, 3, 4)),
        _one(normal, shape=(2, 3)),
        _one(normal, 1, 3, shape=(0, 3)),
    ],
    # reduction
    "sum": [
        _one(normal, 3, 4),
        _one(normal, 2, 3, 4, axis=1),
        _one(normal, 2, 3, 4, axis=(0, -1), keepdims=True),
        _one(normal, 0, 3),
    ],
    "mean": [
        _one(normal, 3, 4),
        _one(normal, 2, 3, 4, axis=-1),
        _one(normal, 2, 3, 4, axis=(0, 2), keepdims=True),
        _one(normal, 0, 3),
        _one(normal, 0, 3, axis=0),
    ],
    "max": [
        _one(spread, 3, 4),
        _one(spread, 2, 3, 4, axis=1),
        _one(spread, 2, 3, 4, axis=(0, -1), keepdims=True),
        _one(spread, 0, 3, axis=1),
    ],
    # activation
    "relu": _elementwise(spread),
    "sigmoid": _elementwise(spread),
    "tanh": _elementwise(normal),
    "softmax": [_one(normal, 3, 4), _one(normal, 2, 3, 4, axis=1), _one(normal, 0, 4)],
    "log_softmax": [_one(normal, 3, 4), _one(normal, 2, 3, 4, axis=1), _one(normal, 0, 4)],
    # pooling
    "max_pool2d": [
        _one(spread, 2, 2, 5, 7, kernel=3, stride=2, padding=1),
        _one(spread, 1, 2, 6, 5, kernel=2),
        _one(spread, 1, 2, 5, 6, kernel=1, stride=2, padding=0),
        _one(spread, 1, 1, 6, 7, kernel=(2, 3), stride=(1, 2), padding=(1, 0)),
        _one(spread, 0, 2, 5, 5, kernel=3, stride=2, padding=1),
    ],
    "avg_pool2d": [
        _one(normal, 2, 2, 5, 7, kernel=3, stride=2, padding=1),
        _one(normal, 1, 2, 6, 5, kernel=2),
        _one(normal, 1, 1, 6, 7, kernel=(2, 3), stride=(1, 2), padding=(1, 0)),
        _one(normal, 0, 2, 5, 5, kernel=2),
    ],
    "global_avg_pool2d": [_one(normal, 2, 3, 4, 5), _one(normal, 0, 3, 4, 5)],
    # resize
    "nearest": [
        _one(normal, 2, 2, 3, 4, size=(6, 8)),
        _one(normal, 2, 2, 3, 4, size=(5, 7)),
        _one(normal, 1, 2, 7, 5, size=(3, 5)),
        _one(normal, 0, 2, 3, 4, size=(6, 8)),
    ],
    "bilinear": [
        _one(normal, 2, 2, 3, 4, size=(6, 7)),
        _one(normal, 2, 2, 7, 5, size=(3, 5)),
        _one(normal, 2, 2, 3, 4, size=(6, 1), align_corners=True),
        _one(normal, 1, 1, 1, 3, size=(4, 2), align_corners=True),
        _one(normal, 0, 2, 3, 4, size=(6, 8)),
    ],
    # normalisation
    "group_norm": [
        _normalisation(2, 6, 3, 4, groups=3),
        _normalisation(3, 4, 5, groups=1),
        _normalisation(2, 4, 3, 2, groups=4, eps=0.1),
        _normalisation(0, 4, 3, 2, groups=2),
    ],
    "batch_norm": [_normalisation(3, 2, 4, 3), _normalisation(5, 3), _normalisation(0, 3, 2, 2)],
    "layer_norm": [
        _normalisation(4, 5, axis=-1),
        _normalisation(2, 3, 6, axis=-1, eps=0.1),
        _normalisation(0, 5, axis=-1),
    ],
    "frozen_batch_norm": [_frozen(2, 3, 4, 5), _frozen(3, 2, eps=0.0), _frozen(0, 3, 4, 5)],
    # losses
    "cross_entropy": [
        _cross_entropy(5, 4),
        _cross_entropy(5, 1),
        _cross_entropy(6, 3, ignore=-1),
        _cross_entropy(0, 3),
    ],
    "binary_cross_entropy_with_logits": [
        _binary(4, 5),
        _binary(4, 5, reduction="sum"),
        _binary(2, 3, 4, reduction="none"),
        _binary(0, 3),
    ],
    "smooth_l1": [
        _smooth_l1(4, 5, beta=0.4),
        _smooth_l1(4, 5, beta=0.0, reduction="sum"),
        _smooth_l1(2, 3, 4, beta=1.0, reduction="none"),
        _smooth_l1(0, 4, beta=0.1),
    ],
    # convolution
    "conv2d": [
        _convolution((2, 3, 5, 6), (4, 3, 3, 3), 4, padding=1),
        _convolution((2, 3, 7, 6), (2, 3, 3, 3), None, stride=2, padding=1),
        _convolution((1, 2, 8, 9), (3, 2, 3, 2), 3, stride=(2, 1), padding=(2, 1), dilation=(2, 3)),
        _convolution((2, 4, 5, 5), (6, 2, 3, 3), 6, padding=1, groups=2),
        _convolution((2, 4, 5, 6), (4, 1, 3, 3), None, stride=2, padding=1, groups=4),
        _convolution((2, 3, 4, 5), (4, 3, 1, 1), 4),
        _convolution((2, 3, 5, 6), (4, 3, 1, 1), 4, stride=2),
        _convolution((1, 2, 9, 8), (2, 2, 7, 7), None, stride=2, padding=3),
        _convolution((1, 3, 3, 4), (2, 3, 3, 4), 2),
        _convolution((0, 3, 5, 5), (4, 3, 3, 3), 4, padding=1),
    ],
    "conv_transpose2d": [
        _convolution((2, 3, 3, 4), (3, 2, 2, 2), 2, stride=2),
        _convolution((2, 3, 3, 4), (3, 2, 3, 3), None, stride=2, padding=1, output_padding=1),
        _convolution((1, 2, 4, 3), (2, 3, 3, 2), 3, stride=(1, 3), padding=(2, 0)),
        _convolution((1, 2, 4, 4), (2, 1, 4, 4), 1, stride=2, padding=1),
        _convolution((0, 3, 3, 4), (3, 2, 2, 2), 2, stride=2),
    ],
    "linear": [
        _some(normal, (3, 4), (5, 4), (5,)),
        lambda rng: ((normal(rng, 3, 4), normal(rng, 1, 4), None), {}),
        _some(normal, (0, 4), (5, 4), (5,)),
    ],
    # regions
    "roi_pool": [_roi(spread, 5, output_size=(2, 3)), _roi(spread, 0, output_size=2)],
    "roi_warp": [
        _roi(normal, 5, output_size=(2, 3)),
        _roi(spread, 5, output_size=2, reduce="max"),
        _roi(normal, 5, output_size=3, sampling_ratio=0),
        _roi(normal, 0, output_size=2),
    ],
    "roi_align": [
        _roi(normal, 5, output_size=(2, 3)),
        _roi(normal, 5, output_size=2, aligned=True),
        _roi(normal, 5, output_size=2, sampling_ratio=0, aligned=True),
        _roi(spread, 5, output_size=2, sampling_ratio=1, reduce="max"),
        _roi(normal, 0, output_size=2),
    ],
    "pyramid_roi": [
        _pyramid("roi_align", 5),
        _pyramid("roi_align", 5, sampling_ratio=1, aligned=True),
        _pyramid("roi_pool", 5),
        _pyramid("roi_warp", 5),
        _pyramid("roi_align", 0),
    ],
}  # fmt: skip
