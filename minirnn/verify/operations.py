"""For every differentiable operation, the inputs on which it and its gradient are checked.

`CASES["relu"]` is a list of cases (`minirnn.verify.drawing`). An operation that is missing here fails the
test suite.

The inputs keep their distance from kinks, where there is no derivative: numbers that are compared with
each other differ by far more than a finite difference moves them, and regions do not start on cells.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minirnn import roi  # which enters every operation into `minirnn.autograd.OPERATIONS`
from minirnn.verify.drawing import (
    Case,
    Rng,
    case,
    chance,
    drawn,
    normal,
    positive,
    share,
    spread,
)


def _elementwise(draw: Callable, **settings: Any) -> list[Case]:
    return [case(draw(*shape), **settings) for shape in ((), (7,), (3, 1, 5), (2, 0, 3))]


def _pairs(draw: Callable, **second: Any) -> list[Case]:
    """Two arrays that are broadcast; the second drawn with some settings of its own."""
    shapes = ((3, 4), (3, 4)), ((3, 1, 5), (4, 1)), ((), (2, 3)), ((2, 3), ()), ((0, 3), (1, 3))
    return [case(draw(*a), draw(*b, **second)) for a, b in shapes]


#: Two arrays of which no two numbers are equal.
_UNEQUAL = _pairs(spread, scale=10, offset=0.03)


@drawn
def _cross_entropy(rng: Rng, rows: int, classes: int, **settings: Any) -> Any:
    labels = rng.integers(0, classes, rows)
    if "ignore" in settings:
        labels[::2] = settings["ignore"]
    return (rng.standard_normal((rows, classes)) * 3, labels), settings


@drawn
def _smooth_l1(rng: Rng, *shape: int, **settings: Any) -> Any:
    # Distances 0.05, 0.15, …: none is 0, and none is a beta of 0.1, 0.2, ….
    target = rng.standard_normal(shape)
    return (target + spread(*shape)(rng), target), settings


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
_IMAGES = np.arange(5) % 2  # the image that each box lies in
_WITHOUT_AREA = np.array([[5.2, 7.3, 5.2, 20.1], [9.1, 3.3, 9.1, 3.3]])


def _roi(draw: Callable, regions: int, boxes: np.ndarray = _BOXES, **settings: Any) -> Case:
    inputs = draw(2, 3, 7, 9), boxes[:regions], _IMAGES[:regions]
    return case(*inputs, spatial_scale=0.25, **settings)


def _pyramid(operation: Callable, regions: int, **settings: Any) -> Case:
    maps = spread(2, 2, 8, 10), spread(2, 2, 4, 5)
    levels = {"spatial_scales": (1 / 4, 1 / 8), "canonical_size": 16, "canonical_level": 3}
    settings = {"operation": operation, "output_size": 2, **levels, **settings}
    return case(*maps, _BOXES[:regions], _IMAGES[:regions], **settings)


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
        case(normal(4), exponent=0),
    ],
    "exp": _elementwise(normal),
    "log": _elementwise(positive),
    "sqrt": _elementwise(positive),
    "absolute": _elementwise(spread),
    "maximum": _UNEQUAL,
    "minimum": _UNEQUAL,
    "clip": [
        *_elementwise(spread, low=-0.2, high=0.3),
        case(spread(9), low=0.1),
        case(spread(9), high=-0.1),
    ],
    "where": [
        case(chance(3, 4), normal(3, 4), normal(3, 4)),
        case(chance(3, 4), normal(4), normal(3, 1)),
        case(chance(4), normal(2, 3, 4), normal()),
        case(chance(0, 3), normal(0, 3), normal(3)),
    ],
    "matmul": [
        case(normal(3, 4), normal(4, 5)),
        case(normal(2, 1, 3, 4), normal(5, 4, 2)),
        case(normal(4), normal(4, 5)),
        case(normal(3, 4), normal(4)),
        case(normal(4), normal(4)),
        case(normal(4), normal(2, 4, 3)),
        case(normal(2, 3, 4), normal(4)),
        case(normal(0, 4), normal(4, 5)),
        case(normal(3, 0), normal(0, 5)),
    ],
    # shape
    "reshape": [case(normal(3, 4), shape=(2, 6)), case(normal(2, 3, 4), shape=(3, -1))],
    "flatten": [case(normal(3, 2, 4)), case(normal(0, 2, 4)), case(normal(3))],
    "transpose": [
        case(normal(2, 3, 4)),
        case(normal(2, 3, 4), axes=(2, 0, 1)),
        case(normal(2, 3, 4), axes=(0, -1, 1)),
    ],
    "take": [
        case(normal(5, 3), index=slice(1, None, 2)),
        case(normal(5, 3), index=(Ellipsis, 1, None)),
        case(normal(4, 3), index=(slice(None), slice(None, None, -1))),
        case(normal(5), index=2),
        case(normal(5, 3), index=np.array([0, 3, 3, 0, 2])),
        case(normal(5, 3), index=(np.array([1, 1, 4]), np.array([0, 0, -1]))),
        case(normal(4, 3, 2), index=(slice(None), np.array([[0, 1], [1, 1]]))),
        case(normal(5, 3), index=chance(5, 3)),
        case(normal(5, 3), index=np.zeros(0, np.int64)),
        case(normal(0, 3), index=np.zeros((0, 3), bool)),
    ],
    "concatenate": [
        case(normal(2, 3), normal(4, 3), normal(0, 3)),
        case(normal(2, 3), normal(2, 1), axis=-1),
        case(normal(2, 3)),
    ],
    "stack": [
        case(normal(2, 3), normal(2, 3)),
        case(normal(2, 3), normal(2, 3), normal(2, 3), axis=-1),
    ],
    "pad": [
        case(normal(3, 4), widths=((1, 0), (2, 3))),
        case(normal(2, 3), widths=((0, 0), (0, 0))),
        case(normal(0, 3), widths=((1, 1), (0, 1))),
    ],
    "broadcast_to": [
        case(normal(3, 1), shape=(2, 3, 4)),
        case(normal(), shape=(2, 3)),
        case(normal(1, 3), shape=(0, 3)),
    ],
    # reduction
    "sum": [
        case(normal(3, 4)),
        case(normal(2, 3, 4), axis=1),
        case(normal(2, 3, 4), axis=(0, -1), keepdims=True),
        case(normal(0, 3)),
    ],
    "mean": [
        case(normal(3, 4)),
        case(normal(2, 3, 4), axis=-1),
        case(normal(2, 3, 4), axis=(0, 2), keepdims=True),
        case(normal(0, 3)),
        case(normal(0, 3), axis=0),
    ],
    "max": [
        case(spread(3, 4)),
        case(spread(2, 3, 4), axis=1),
        case(spread(2, 3, 4), axis=(0, -1), keepdims=True),
        case(spread(0, 3), axis=1),
    ],
    # activation
    "relu": _elementwise(spread),
    "relu6": _elementwise(partial(spread, scale=20)),  # to -7 and 13
    "sigmoid": _elementwise(spread),
    "tanh": _elementwise(normal),
    "softmax": [case(normal(3, 4)), case(normal(2, 3, 4), axis=1), case(normal(0, 4))],
    "log_softmax": [case(normal(3, 4)), case(normal(2, 3, 4), axis=1), case(normal(0, 4))],
    # pooling
    "max_pool2d": [
        case(spread(2, 2, 5, 7), kernel=3, stride=2, padding=1),
        case(spread(1, 2, 6, 5), kernel=2),
        case(spread(1, 2, 5, 6), kernel=1, stride=2, padding=0),
        case(spread(1, 1, 6, 7), kernel=(2, 3), stride=(1, 2), padding=(1, 0)),
        case(spread(2, 2, 6, 8), kernel=3, stride=2, padding=1, ceil_mode=True),
        case(spread(0, 2, 5, 5), kernel=3, stride=2, padding=1),
    ],
    "avg_pool2d": [
        case(normal(2, 2, 5, 7), kernel=3, stride=2, padding=1),
        case(normal(1, 2, 6, 5), kernel=2),
        case(normal(1, 1, 6, 7), kernel=(2, 3), stride=(1, 2), padding=(1, 0)),
        case(normal(2, 2, 6, 8), kernel=3, stride=2, padding=1, ceil_mode=True),
        case(normal(2, 2, 5, 7), kernel=3, stride=2, padding=1, count_include_pad=False),
        case(normal(0, 2, 5, 5), kernel=2),
    ],
    "global_avg_pool2d": [case(normal(2, 3, 4, 5)), case(normal(0, 3, 4, 5))],
    # resize
    "nearest": [
        case(normal(2, 2, 3, 4), size=(6, 8)),
        case(normal(2, 2, 3, 4), size=(5, 7)),
        case(normal(1, 2, 7, 5), size=(3, 5)),
        case(normal(0, 2, 3, 4), size=(6, 8)),
    ],
    "bilinear": [
        case(normal(2, 2, 3, 4), size=(6, 7)),
        case(normal(2, 2, 7, 5), size=(3, 5)),
        case(normal(2, 2, 3, 4), size=(6, 1), align_corners=True),
        case(normal(1, 1, 1, 3), size=(4, 2), align_corners=True),
        case(normal(0, 2, 3, 4), size=(6, 8)),
    ],
    # normalisation: weight and bias; of the frozen one also mean and variance
    "group_norm": [
        case(normal(2, 6, 3, 4), positive(6), normal(6), groups=3),
        case(normal(3, 4, 5), positive(4), normal(4), groups=1),
        case(normal(2, 4, 3, 2), positive(4), normal(4), groups=4, eps=0.1),
        case(normal(0, 4, 3, 2), positive(4), normal(4), groups=2),
    ],
    "batch_norm": [
        case(normal(3, 2, 4, 3), positive(2), normal(2)),
        case(normal(5, 3), positive(3), normal(3)),
        case(normal(0, 3, 2, 2), positive(3), normal(3)),
    ],
    "layer_norm": [
        case(normal(4, 5), positive(5), normal(5)),
        case(normal(2, 3, 6), positive(6), normal(6), eps=0.1),
        case(normal(0, 5), positive(5), normal(5)),
    ],
    "frozen_batch_norm": [
        case(normal(2, 3, 4, 5), positive(3), normal(3), normal(3), positive(3)),
        case(normal(3, 2), positive(2), normal(2), normal(2), positive(2), eps=0.0),
        case(normal(0, 3, 4, 5), positive(3), normal(3), normal(3), positive(3)),
    ],
    # losses
    "cross_entropy": [
        _cross_entropy(5, 4),
        _cross_entropy(5, 1),
        _cross_entropy(6, 3, ignore=-1),
        _cross_entropy(5, 3, class_weights=np.array([0.3, 1.0, 2.0])),
        _cross_entropy(5, 3, reduction="sum"),
        _cross_entropy(0, 3),
    ],
    # Logits of 0 are a kink of the formula's parts (|z|), not of the loss: `spread` keeps away.
    "binary_cross_entropy_with_logits": [
        case(spread(4, 5), share(4, 5)),
        case(spread(4, 5), share(4, 5), reduction="sum"),
        case(spread(2, 3, 4), share(2, 3, 4), reduction="none"),
        case(spread(0, 3), share(0, 3)),
    ],
    "smooth_l1": [
        _smooth_l1(4, 5, beta=0.4),
        _smooth_l1(4, 5, beta=0.0, reduction="sum"),
        _smooth_l1(2, 3, 4, beta=1.0, reduction="none"),
        _smooth_l1(0, 4, beta=0.1),
    ],
    # convolution
    "conv2d": [
        case(normal(2, 3, 5, 6), normal(4, 3, 3, 3), normal(4), padding=1),
        case(normal(2, 3, 7, 6), normal(2, 3, 3, 3), None, stride=2, padding=1),
        case(
            *(normal(1, 2, 8, 9), normal(3, 2, 3, 2), normal(3)),
            stride=(2, 1), padding=(2, 1), dilation=(2, 3),
        ),
        case(normal(2, 4, 5, 5), normal(6, 2, 3, 3), normal(6), padding=1, groups=2),
        case(normal(2, 4, 5, 6), normal(4, 1, 3, 3), None, stride=2, padding=1, groups=4),
        case(normal(2, 3, 4, 5), normal(4, 3, 1, 1), normal(4)),
        case(normal(2, 3, 5, 6), normal(4, 3, 1, 1), normal(4), stride=2),
        case(normal(1, 2, 9, 8), normal(2, 2, 7, 7), None, stride=2, padding=3),
        case(normal(1, 3, 3, 4), normal(2, 3, 3, 4), normal(2)),
        case(normal(2, 3, 5, 6), normal(4, 3, 3, 3), normal(4), padding=1, relu=True),
        case(normal(2, 3, 5, 6), normal(4, 3, 3, 3), normal(4), normal(2, 4, 3, 3), stride=2, padding=1),
        case(normal(2, 3, 4, 5), normal(4, 3, 1, 1), None, normal(2, 4, 4, 5), relu=True),
        case(normal(0, 3, 5, 5), normal(4, 3, 3, 3), normal(4), padding=1),
        # depthwise, with ReLU6, and TensorFlow's padding, more at the lower and right sides
        case(normal(2, 3, 6, 5), normal(3, 1, 3, 3), normal(3), padding=1, groups=3),
        case(
            *(normal(2, 3, 6, 7), normal(3, 1, 5, 5), normal(3)),
            stride=2, padding=((1, 2), (2, 2)), groups=3, relu6=True,
        ),
        case(normal(1, 3, 8, 9), normal(3, 1, 3, 3), None, padding=(2, 1), dilation=2, groups=3),
        case(normal(2, 2, 4, 5), normal(3, 2, 3, 3), normal(3), padding=((0, 1), (3, 0)), relu6=True),
    ],
    "conv_transpose2d": [
        case(normal(2, 3, 3, 4), normal(3, 2, 2, 2), normal(2), stride=2),
        case(normal(2, 3, 3, 4), normal(3, 2, 3, 3), None, stride=2, padding=1, output_padding=1),
        case(normal(1, 2, 4, 3), normal(2, 3, 3, 2), normal(3), stride=(1, 3), padding=(2, 0)),
        case(normal(1, 2, 4, 4), normal(2, 1, 4, 4), normal(1), stride=2, padding=1),
        case(normal(2, 4, 3, 4), normal(4, 3, 3, 2), normal(6), stride=2, dilation=2, groups=2),
        case(normal(0, 3, 3, 4), normal(3, 2, 2, 2), normal(2), stride=2),
    ],
    "linear": [
        case(normal(3, 4), normal(5, 4), normal(5)),
        case(normal(3, 4), normal(1, 4), None),
        case(normal(0, 4), normal(5, 4), normal(5)),
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
        _roi(normal, 2, boxes=_WITHOUT_AREA, output_size=2, aligned=True),
        _roi(normal, 0, output_size=2),
    ],
    "pyramid_roi": [
        _pyramid(roi.roi_align, 5),
        _pyramid(roi.roi_align, 5, sampling_ratio=1, aligned=True),
        _pyramid(roi.roi_pool, 5),
        _pyramid(roi.roi_warp, 5),
        _pyramid(roi.roi_align, 0),
    ],
}  # fmt: skip
