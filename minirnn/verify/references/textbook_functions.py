"""The textbook loops, and loops for the operations that are too small for a textbook."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from minirnn.textbook import (  # fmt: skip
    activation,
    anchors,
    arithmetic,
    boxes,
    convolution,
    heads,
    levels,
    losses,
    masks,
    matching,
    normalisation,
    pooling,
    resize,
    roi_align,
    roi_pool,
    roi_warp,
    rpn,
    training,
    transform,
)
from minirnn.training.settings import TrainingSettings
from minirnn.verify.training_stages import clip_with, take_steps


def _each(number: Callable) -> Callable:
    """Element by element, of inputs that are broadcast against each other."""

    def run(*inputs: np.ndarray, **settings: Any) -> np.ndarray:
        shape = np.broadcast_shapes(*(x.shape for x in inputs))
        wide = [np.broadcast_to(x, shape) for x in inputs]
        result = np.zeros(shape, inputs[-1].dtype)
        for index in np.ndindex(*shape):
            result[index] = number(*(x[index].item() for x in wide), **settings)
        return result

    return run


def _learning_rates(**settings: Any) -> np.ndarray:
    run = TrainingSettings(**settings)
    return np.array([training.learning_rate(step, run) for step in range(run.steps)])


def _rows(row: Callable) -> Callable:
    """A function of one row, along an axis."""

    def run(x: np.ndarray, *, axis: int = -1) -> np.ndarray:
        last = np.moveaxis(x, axis, -1)
        result = np.zeros_like(last)
        for index in np.ndindex(*last.shape[:-1]):
            result[index] = row(last[index])
        return np.moveaxis(result, -1, axis)

    return run


def _reduction(number: Callable) -> Callable:
    """A function of a list of numbers: those that differ only in the axes that go."""

    def run(x: np.ndarray, *, axis: Any = None, keepdims: bool = False) -> np.ndarray:
        axes = range(x.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
        gone = {a % x.ndim for a in axes}
        shape = [1 if a in gone else n for a, n in enumerate(x.shape)]
        result = np.zeros(shape, x.dtype)
        for index in np.ndindex(*shape):
            members = [range(n) if a in gone else [index[a]] for a, n in enumerate(x.shape)]
            result[index] = number([x[i].item() for i in _product(members)])
        kept = [n for a, n in enumerate(x.shape) if a not in gone]
        return result if keepdims else result.reshape(kept)

    return run


def _product(lists: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    if not lists:
        return [()]
    return [(first, *rest) for first in lists[0] for rest in _product(lists[1:])]


def _clip(x: float, *, low: float | None = None, high: float | None = None) -> float:
    if low is not None and x < low:
        return low
    return high if high is not None and x > high else x


def _matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    left, right = np.atleast_2d(a), b[:, None] if b.ndim == 1 else b
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left = np.broadcast_to(left, (*batch, *left.shape[-2:]))
    right = np.broadcast_to(right, (*batch, *right.shape[-2:]))
    result = np.zeros((*batch, left.shape[-2], right.shape[-1]))
    for index in np.ndindex(*batch):
        result[index] = arithmetic.matmul(left[index], right[index])
    rows = () if a.ndim == 1 else result.shape[-2:-1]
    columns = () if b.ndim == 1 else result.shape[-1:]
    return result.reshape((*batch, *rows, *columns))


def _reshape(x: np.ndarray, *, shape: Any) -> np.ndarray:
    known = math.prod(n for n in shape if n >= 0)
    result = np.zeros([n if n >= 0 else x.size // known for n in shape], x.dtype)
    for to, at in zip(np.ndindex(*result.shape), np.ndindex(*x.shape), strict=True):
        result[to] = x[at]
    return result


def _flatten(x: np.ndarray) -> np.ndarray:
    return _reshape(x, shape=(len(x), math.prod(x.shape[1:])))


def _transpose(x: np.ndarray, *, axes: Any = None) -> np.ndarray:
    order = [a % x.ndim for a in (axes or range(x.ndim - 1, -1, -1))]
    result = np.zeros([x.shape[a] for a in order], x.dtype)
    for index in np.ndindex(*x.shape):
        result[tuple(index[a] for a in order)] = x[index]
    return result


def _take(x: np.ndarray, *, index: Any) -> np.ndarray:
    """Python says which elements an index means, of their numbers; then each is fetched."""
    numbers = np.arange(x.size).reshape(x.shape)[index]
    flat = x.ravel().tolist()
    return np.array([flat[i] for i in np.ravel(numbers)], x.dtype).reshape(np.shape(numbers))


def _concatenate(*xs: np.ndarray, axis: int = 0) -> np.ndarray:
    axis %= xs[0].ndim
    shape = list(xs[0].shape)
    shape[axis] = sum(x.shape[axis] for x in xs)
    result, start = np.zeros(shape, xs[0].dtype), 0
    for x in xs:
        for index in np.ndindex(*x.shape):
            result[(*index[:axis], index[axis] + start, *index[axis + 1 :])] = x[index]
        start += x.shape[axis]
    return result


def _stack(*xs: np.ndarray, axis: int = 0) -> np.ndarray:
    axis %= xs[0].ndim + 1
    shape = [*xs[0].shape[:axis], len(xs), *xs[0].shape[axis:]]
    result = np.zeros(shape, xs[0].dtype)
    for i, x in enumerate(xs):
        for index in np.ndindex(*x.shape):
            result[(*index[:axis], i, *index[axis:])] = x[index]
    return result


def _pad(x: np.ndarray, *, widths: Any) -> np.ndarray:
    sizes = [before + n + after for n, (before, after) in zip(x.shape, widths, strict=True)]
    result = np.zeros(sizes, x.dtype)
    for index in np.ndindex(*x.shape):
        result[tuple(i + before for i, (before, _) in zip(index, widths, strict=True))] = x[index]
    return result


def _broadcast_to(x: np.ndarray, *, shape: Any) -> np.ndarray:
    result = np.zeros(shape, x.dtype)
    for index in np.ndindex(*shape):
        own = index[len(shape) - x.ndim :]
        result[index] = x[tuple(i if n > 1 else 0 for i, n in zip(own, x.shape, strict=True))]
    return result


_PAIRS = ("stride", "padding", "dilation", "output_padding", "kernel", "output_size")


def _pairs(function: Callable) -> Callable:
    """The textbook wants a number for each axis."""

    def run(*inputs: Any, **settings: Any) -> Any:
        for name in _PAIRS:
            if isinstance(settings.get(name), int):
                settings[name] = (settings[name], settings[name])
        return function(*inputs, **settings)

    return run


def _pool(function: Callable) -> Callable:
    def run(x: np.ndarray, *, kernel: Any, **settings: Any) -> np.ndarray:
        return _pairs(function)(x, **{"stride": kernel, **settings}, kernel=kernel)

    return run


def _maps(function: Callable) -> Callable:
    """The textbook wants (N, C, H, W); axes that are missing are put there."""

    def run(x: np.ndarray, *inputs: Any, **settings: Any) -> np.ndarray:
        wide = x.reshape(*x.shape, *[1] * (4 - x.ndim))
        return function(wide, *inputs, **settings).reshape(x.shape)

    return run


def _layer_norm(x: np.ndarray, *inputs: Any, **settings: Any) -> np.ndarray:
    flat = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return normalisation.layer_norm(flat, *inputs, **settings).reshape(x.shape)


_REGIONS = {
    "roi_pool": roi_pool.roi_pool,
    "roi_warp": roi_warp.roi_warp,
    "roi_align": roi_align.roi_align,
}


def _pyramid_roi(*inputs: Any, operation: Callable, **settings: Any) -> np.ndarray:
    loops = _REGIONS[operation.__name__]
    return _pairs(levels.pyramid_roi)(*inputs, operation=loops, **settings)


def _sample(matches: np.ndarray, count: int, fraction: float, *, seed: int) -> Any:
    return matching.sample(matches, count, fraction, np.random.default_rng(seed))


FUNCTIONS: dict[str, Callable] = {
    "add": _each(lambda a, b: a + b),
    "subtract": _each(lambda a, b: a - b),
    "multiply": _each(lambda a, b: a * b),
    "divide": _each(lambda a, b: a / b),
    "negative": _each(lambda x: -x),
    "power": _each(lambda x, *, exponent: x**exponent),
    "exp": _each(math.exp),
    "log": _each(math.log),
    "sqrt": _each(math.sqrt),
    "absolute": _each(abs),
    "maximum": _each(max),
    "minimum": _each(min),
    "clip": _each(_clip),
    "where": _each(lambda condition, a, b: a if condition else b),
    "matmul": _matmul,
    "reshape": _reshape,
    "flatten": _flatten,
    "transpose": _transpose,
    "take": _take,
    "concatenate": _concatenate,
    "stack": _stack,
    "pad": _pad,
    "broadcast_to": _broadcast_to,
    "sum": _reduction(math.fsum),
    "mean": _reduction(lambda numbers: math.fsum(numbers) / len(numbers) if numbers else 0.0),
    "max": _reduction(max),
    "relu": _each(activation.relu),
    "sigmoid": _each(activation.sigmoid),
    "tanh": _each(activation.tanh),
    "softmax": _rows(activation.softmax),
    "log_softmax": _rows(activation.log_softmax),
    "max_pool2d": _pool(pooling.max_pool2d),
    "avg_pool2d": _pool(pooling.avg_pool2d),
    "global_avg_pool2d": pooling.global_avg_pool2d,
    "nearest": resize.nearest,
    "bilinear": resize.bilinear,
    "group_norm": _maps(normalisation.group_norm),
    "batch_norm": _maps(normalisation.batch_norm),
    "frozen_batch_norm": _maps(normalisation.frozen_batch_norm),
    "layer_norm": _layer_norm,
    "cross_entropy": losses.cross_entropy,
    "binary_cross_entropy_with_logits": losses.binary_cross_entropy_with_logits,
    "smooth_l1": losses.smooth_l1,
    "conv2d": _pairs(convolution.conv2d),
    "conv_transpose2d": _pairs(convolution.conv_transpose2d),
    "linear": convolution.linear,
    **{name: _pairs(function) for name, function in _REGIONS.items()},
    "pyramid_roi": _pyramid_roi,
    "base_anchors": anchors.base_anchors,
    "grid_anchors": anchors.grid_anchors,
    "pyramid_anchors": anchors.pyramid_anchors,
    "inside_image": anchors.inside_image,
    "box_area": boxes.area,
    "box_intersection": boxes.intersection,
    "box_iou": boxes.iou,
    "crowd_iou": boxes.crowd_iou,
    "box_encode": boxes.encode,
    "box_decode": boxes.decode,
    "box_clip": boxes.clip,
    "large_enough": boxes.large_enough,
    "nms": boxes.nms,
    "batched_nms": boxes.batched_nms,
    "from_xywh": boxes.from_xywh,
    "to_xywh": boxes.to_xywh,
    "match": matching.match,
    "ignore_crowds": matching.ignore_crowds,
    "sample": _sample,
    "rpn_flatten": rpn.flatten,
    "rpn_targets": rpn.rpn_targets,
    "rpn_losses": rpn.rpn_losses,
    "proposals_of_image": rpn.proposals_of_image,
    "assign_levels": levels.assign_levels,
    "roi_targets": heads.roi_targets,
    "box_losses": heads.box_losses,
    "detections_of_image": heads.detections_of_image,
    "mask_loss": heads.mask_loss,
    "mask_probabilities": heads.mask_probabilities,
    "mask_crop": masks.crop,
    "mask_paste": masks.paste,
    "rle_encode": masks.encode,
    "rle_decode": masks.decode,
    "rle_area": masks.area,
    "scaled_size": transform.scaled_size,
    "normalise": transform.normalise,
    "scale_boxes": transform.scale_boxes,
    "scale_masks": transform.scale_masks,
    "sgd_steps": partial(take_steps, training.sgd_step),
    "clipped_gradients": partial(clip_with, training.clip_gradients),
    "learning_rates": _learning_rates,
}
