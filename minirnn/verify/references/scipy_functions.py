"""SciPy: special functions, convolutions of signals, and reading images between their pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy import ndimage, signal, special

from minirnn.verify.references import READS_POINTS, Skip, without_area


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _dilate(planes: np.ndarray, step: tuple[int, int]) -> np.ndarray:
    """Zeros between the numbers of the last two axes."""
    height, width = planes.shape[-2:]
    result = np.zeros(
        (*planes.shape[:-2], (height - 1) * step[0] + 1, (width - 1) * step[1] + 1), planes.dtype
    )
    result[..., :: step[0], :: step[1]] = planes
    return result


def _conv2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    *add: np.ndarray,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    relu: bool = False,
    relu6: bool = False,
) -> np.ndarray:
    around, (sy, sx) = map(_pair, _pair(padding)), _pair(stride)
    x = np.pad(x, ((0, 0), (0, 0), *around))
    kernel = _dilate(weight, _pair(dilation))
    outputs, channels = weight.shape[:2]
    result = []
    for image in x:
        for output in range(outputs):
            first = output // (outputs // groups) * channels
            own = image[first : first + channels]
            y = signal.correlate(own, kernel[output], "valid", "direct")[0, ::sy, ::sx]
            result.append(y + (0 if bias is None else bias[output]))
    if not result:
        raise Skip("no images to filter")
    y = sum(add, np.stack(result).reshape(len(x), outputs, *result[0].shape))
    if relu6:
        return np.clip(y, 0, 6)
    return np.maximum(y, 0) if relu else y


def _conv_transpose2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> np.ndarray:
    if groups > 1:
        raise Skip("groups are not asked of it")
    weight = _dilate(weight, _pair(dilation))
    wide, (py, px) = _dilate(x, _pair(stride)), _pair(padding)
    n, (channels, outputs) = len(x), weight.shape[:2]
    planes = [
        sum(signal.convolve2d(image[c], weight[c, output]) for c in range(channels))
        for image in wide
        for output in range(outputs)
    ]
    if not planes:
        raise Skip("no images to filter")
    full = np.stack(planes).reshape(n, outputs, *planes[0].shape)
    full = np.pad(full, ((0, 0), (0, 0), *((0, more) for more in _pair(output_padding))))
    full = full[:, :, py : full.shape[2] - py, px : full.shape[3] - px]
    return full if bias is None else full + bias[:, None, None]


def _cross_entropy(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    ignore: int | None = None,
    class_weights: np.ndarray | None = None,
    reduction: str = "mean",
) -> Any:
    used = np.flatnonzero(labels != ignore) if ignore is not None else np.arange(len(labels))
    losses = -special.log_softmax(logits, axis=1)[used, labels[used]]
    if class_weights is not None:
        return np.average(losses, weights=class_weights[labels[used]])
    return _reduced(losses, reduction)


def _reduced(losses: np.ndarray, reduction: str) -> Any:
    if reduction == "none":
        return losses
    if reduction == "mean" and not losses.size:
        raise Skip("the mean of nothing")
    return getattr(losses, reduction)()


def _binary(logits: np.ndarray, targets: np.ndarray, *, reduction: str = "mean") -> Any:
    yes, no = special.log_expit(logits), special.log_expit(-logits)
    return _reduced(-targets * yes - (1 - targets) * no, reduction)


def _smooth_l1(
    prediction: np.ndarray, target: np.ndarray, *, beta: float = 1.0, reduction: str = "mean"
) -> Any:
    if beta == 0:
        raise Skip("scipy.special.huber, divided by beta, has no limit at 0")
    return _reduced(special.huber(beta, prediction - target) / beta, reduction)


def _bilinear(x: np.ndarray, *, size: Any, align_corners: bool = False) -> np.ndarray:
    if align_corners:
        raise Skip("align_corners is not asked of it")
    places = [
        np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
        for before, after in zip(x.shape[2:], size, strict=True)
    ]
    return _read(x, *np.meshgrid(*places, indexing="ij"))


def _read(x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Every map of (N, C, H, W) at places between its cells."""
    planes = [ndimage.map_coordinates(plane, (rows, columns), order=1, mode="nearest")
              for plane in x.reshape(math.prod(x.shape[:2]), *x.shape[2:])]  # fmt: skip
    return np.array(planes).reshape(*x.shape[:2], *rows.shape)


def _roi_align(
    features: np.ndarray,
    boxes: np.ndarray,
    image_index: np.ndarray,
    *,
    output_size: Any,
    spatial_scale: float,
    sampling_ratio: int = 2,
    aligned: bool = False,
    reduce: str = "mean",
) -> np.ndarray:
    bins = _pair(output_size)
    result = np.zeros((len(boxes), features.shape[1], *bins))
    for r, box in enumerate(boxes):
        x1, y1, x2, y2 = box * spatial_scale - (0.5 if aligned else 0)
        if without_area(box[None], aligned):
            raise Skip(READS_POINTS)
        sides = np.array([y2 - y1, x2 - x1])
        sides = sides if aligned else np.maximum(sides, 1)
        places = []
        for start, side, count in zip((y1, x1), sides, bins, strict=True):
            points = sampling_ratio or math.ceil(side / count)
            places.append(start + (np.arange(count * points) + 0.5) * side / (count * points))
        rows, columns = np.meshgrid(*places, indexing="ij")
        read = _read(features[image_index[r] : image_index[r] + 1], rows, columns)[0]
        height, width = features.shape[2:]
        outside = (rows < -1) | (rows > height) | (columns < -1) | (columns > width)
        read = np.where(outside, 0, read)
        parts = read.reshape(-1, bins[0], len(rows) // bins[0], bins[1], len(columns[0]) // bins[1])
        result[r] = getattr(parts, reduce)(axis=(2, 4))
    return result


def _filtered(
    run: Callable,
    outside: float,
    x: np.ndarray,
    *,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    **rules: bool,
) -> np.ndarray:
    """Pooling by a filter, which has a window around every cell: every stride-th whole one is taken."""
    if rules:
        raise Skip(f"{' and '.join(rules)} is not asked of it")
    (ky, kx), (sy, sx), (py, px) = _pair(kernel), _pair(stride or kernel), _pair(padding)
    rows = (x.shape[2] + 2 * py - ky) // sy + 1
    columns = (x.shape[3] + 2 * px - kx) // sx + 1
    wide = np.pad(x, ((0, 0), (0, 0), (py, py), (px, px)), constant_values=outside)
    if not x.size:
        raise Skip("no images to filter")
    y = run(wide, size=(1, 1, ky, kx), mode="constant", cval=outside)
    return y[:, :, ky // 2 :: sy, kx // 2 :: sx][:, :, :rows, :columns]


FUNCTIONS: dict[str, Callable] = {
    "sigmoid": special.expit,
    "softmax": lambda x, *, axis=-1: special.softmax(x, axis=axis),
    "log_softmax": lambda x, *, axis=-1: special.log_softmax(x, axis=axis),
    "cross_entropy": _cross_entropy,
    "binary_cross_entropy_with_logits": _binary,
    "smooth_l1": _smooth_l1,
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "max_pool2d": partial(_filtered, ndimage.maximum_filter, -np.inf),
    "avg_pool2d": partial(_filtered, ndimage.uniform_filter, 0.0),
    "bilinear": _bilinear,
    "roi_align": _roi_align,
}
