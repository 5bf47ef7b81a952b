"""Boxes: their area, overlap and code, and non-maximum suppression.

A box is a row x1, y1, x2, y2 in pixels, where pixel i covers [i, i + 1). Its width is x2 - x1: no
function here adds 1 to it. A box with x2 <= x1 or y2 <= y1 is allowed everywhere but in `encode`;
it has area 0 and overlaps nothing. Coordinates are finite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from minirnn.backend import Array, by_falling_score, positive_part, to_host, xp_of
from minirnn.errors import InputError
from minirnn.kernels.cpu.parallel import in_blocks

# A side may grow by at most 1000 / 16 = 62.5: an anchor of 16 pixels then covers an image of 1000.
SCALE_CLAMP = math.log(1000 / 16)

# NMS compares so many boxes with all that are left at a time. More waste tests on boxes that are dropped
# anyway, fewer spend their time in calls: 64 was fastest for 1000 to 5000 boxes, and is the most that
# `_settle` takes ...
_BLOCK = 64
# ... and with so many of those at a time, for the sake of memory.
_COLUMNS = 4096


def area(boxes: Array) -> Array:
    """How many square pixels each box covers: (x2 - x1) · (y2 - y1), and 0 where a side is not > 0.

    Args:
        boxes: (N, 4) float, pixels.

    Returns:
        (N,), in the boxes' dtype.

    Raises:
        InputError: the shape is not (N, 4), or the dtype is not float.
    """
    _require_boxes("boxes", boxes)
    width = positive_part(boxes[:, 2] - boxes[:, 0])
    height = positive_part(boxes[:, 3] - boxes[:, 1])
    return width * height


def intersection(a: Array, b: Array) -> Array:
    """The area that each box of `a` shares with each box of `b`.

    The shared part of two boxes is a box again: it starts at the larger x1 and y1 and ends at the
    smaller x2 and y2. Where it would end before it starts, nothing is shared.

    Args:
        a: (N, 4) float, pixels.
        b: (M, 4) float, pixels.

    Returns:
        (N, M), square pixels.

    Raises:
        InputError: a shape is not (·, 4), or a dtype is not float.
    """
    _require_boxes("a", a)
    _require_boxes("b", b)
    return _table(a, b, _shared)


def iou(a: Array, b: Array) -> Array:
    """Intersection over union: 1 for equal boxes, 0 for boxes that share nothing.

    iou = |a ∩ b| / (|a| + |b| - |a ∩ b|). Two boxes without area have 0 / 0 here, which is taken
    as 0: they match nothing, not even themselves.

    Args:
        a: (N, 4) float, pixels.
        b: (M, 4) float, pixels.

    Returns:
        (N, M), in [0, 1], never NaN.

    Raises:
        InputError: a shape is not (·, 4), or a dtype is not float.

    Source: Everingham et al., The PASCAL Visual Object Classes Challenge (2010), section 4.2.
    """
    _require_boxes("a", a)
    _require_boxes("b", b)
    return _table(a, b, _iou)


def crowd_iou(boxes: Array, crowds: Array) -> Array:
    """The part of each box that lies inside each crowd region: |box ∩ crowd| / |box|.

    A crowd region covers many objects, so a box on one of them is much smaller than it. With the
    union in the denominator even a perfect box would count as a miss. A box without area has 0.

    Args:
        boxes: (N, 4) float, pixels: anchors, proposals or detections.
        crowds: (M, 4) float, pixels.

    Returns:
        (N, M), in [0, 1], never NaN.

    Raises:
        InputError: a shape is not (·, 4), or a dtype is not float.

    Source: COCO's evaluation, `iscrowd` in its bbIou.
    """
    _require_boxes("boxes", boxes)
    _require_boxes("crowds", crowds)
    shared = intersection(boxes, crowds)
    own = area(boxes)
    own += own == 0
    shared /= own[:, None]
    return shared


def encode(anchors: Array, boxes: Array, weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)) -> Array:
    """How to move and stretch each anchor so that it becomes its box: what the network regresses.

    With centre x, y and sides w, h of the box, and xa, ya, wa, ha of the anchor:
    dx = (x - xa) / wa, dy = (y - ya) / ha, dw = log(w / wa), dh = log(h / ha), each times its
    weight. Divided by the anchor's sides, the same four numbers mean the same at every scale.

    Args:
        anchors: (N, 4) float, pixels.
        boxes: (N, 4) float, pixels; row i belongs to anchor i.
        weights: of dx, dy, dw, dh. Ours (torchvision's too): all 1 in the RPN, and 10, 10, 5, 5 in
            the box head, where the deltas are small because proposals are already close.

    Returns:
        (N, 4), no unit.

    Raises:
        InputError: the shapes are not (N, 4) and equal, a side is not > 0 (its logarithm would be
            infinite), or weights are not four numbers > 0.

    Source: Girshick et al., Rich feature hierarchies (2014), appendix C; Ren et al., Faster R-CNN
    (2015), equation 2.
    """
    xp = xp_of(anchors, boxes)
    _require_boxes("anchors", anchors)
    _require_boxes("boxes", boxes)
    if anchors.shape != boxes.shape:
        raise InputError(
            f"boxes has shape {tuple(boxes.shape)}; it should be {tuple(anchors.shape)}, "
            "one box for each anchor"
        )
    _require_weights(weights)
    anchor_centre, anchor_size = _centre_and_size(anchors)
    box_centre, box_size = _centre_and_size(boxes)
    _require_positive("anchors", anchor_size)
    _require_positive("boxes", box_size)
    move = (box_centre - anchor_centre) / anchor_size
    stretch = xp.log(box_size / anchor_size)
    deltas = xp.concatenate([move, stretch], axis=1)
    return deltas * xp.asarray(weights, dtype=deltas.dtype)


def decode(
    anchors: Array,
    deltas: Array,
    weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    clamp: float = SCALE_CLAMP,
) -> Array:
    """The box that each anchor becomes when it is moved and stretched by its deltas.

    The inverse of `encode`: x = dx · wa + xa, w = wa · exp(dw), likewise y and h, with each delta
    divided by its weight first. dw and dh stop at `clamp`, because one wild value early in
    training would otherwise make exp overflow and every loss after it NaN.

    Args:
        anchors: (N, 4) float, pixels.
        deltas: (N, 4), or (N, 4 · K) with one set of four for each of K classes.
        weights: the same that `encode` had.
        clamp: largest log-growth of a side.

    Returns:
        Boxes in the shape of the deltas, pixels, not clipped to the image.

    Raises:
        InputError: a shape does not fit, or weights are not four numbers > 0.

    Source: Girshick et al. (2014), appendix C; the clamp is Detectron's (2018).
    """
    xp = xp_of(anchors, deltas)
    _require_boxes("anchors", anchors)
    n = anchors.shape[0]
    if deltas.ndim != 2 or deltas.shape[0] != n or deltas.shape[1] % 4 or not deltas.shape[1]:
        raise InputError(
            f"deltas has shape {tuple(deltas.shape)}; it should be ({n}, 4) or ({n}, 4 * classes), "
            "one row for each anchor"
        )
    _require_weights(weights)
    centre, size = _centre_and_size(anchors)
    centre, size = centre[:, None, :], size[:, None, :]  # the same anchor for every class
    scaled = deltas.reshape(n, deltas.shape[1] // 4, 4) / xp.asarray(weights, dtype=deltas.dtype)
    new_centre = scaled[..., :2] * size + centre
    half = xp.exp(xp.minimum(scaled[..., 2:], clamp)) * size / 2
    boxes = xp.concatenate([new_centre - half, new_centre + half], axis=2)
    return boxes.reshape(deltas.shape)


def clip(boxes: Array, height: float, width: float) -> Array:
    """Cut boxes off at the image's edge: x into [0, width], y into [0, height].

    A box wholly outside ends without area on the nearest edge; `large_enough` finds it.

    Args:
        boxes: (..., 4) float, pixels.
        height: of the image itself, without padding, pixels.
        width: likewise.

    Returns:
        New boxes in the same shape.

    Raises:
        InputError: the last axis is not 4, the dtype is not float, or the image is not of size > 0.
    """
    xp = xp_of(boxes)
    if not boxes.ndim or boxes.shape[-1] != 4:
        raise InputError(f"boxes has shape {tuple(boxes.shape)}; it should be (..., 4)")
    _require_float("boxes", boxes)
    if not (height > 0 and width > 0):
        raise InputError(f"height and width are {height} and {width}; both should be > 0")
    limits = xp.asarray([width, height, width, height], dtype=boxes.dtype)
    return xp.minimum(xp.maximum(boxes, 0), limits)


def large_enough(boxes: Array, min_size: float) -> Array:
    """Which boxes have both sides >= min_size (and > 0: a box without area is never large enough).

    The second condition matters for `min_size=0` alone, where ">= 0" would let everything pass.
    A box with a NaN in it is not large enough either.

    Args:
        boxes: (N, 4) float, pixels.
        min_size: shortest side, pixels.

    Returns:
        (N,) bool.

    Raises:
        InputError: the shape is not (N, 4), the dtype is not float, or min_size is not >= 0.
    """
    _require_boxes("boxes", boxes)
    if not min_size >= 0:
        raise InputError(f"min_size is {min_size}; it should be >= 0")
    shortest = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
    return (shortest >= min_size) & (shortest > 0)


def nms(boxes: Array, scores: Array, iou_threshold: float) -> Array:
    """Greedy non-maximum suppression: keep the best box, drop what overlaps it, and go on.

    Boxes are visited by falling score (of equal scores, the lower index first). A box is kept
    unless its IoU with a box kept before is greater than the threshold; equal is not enough.

    Each box's fate hangs on those before it, so the walk is one of many small steps. It runs on
    the host for boxes on a GPU too, and returns its answer there.

    Args:
        boxes: (N, 4) float, pixels.
        scores: (N,) float.
        iou_threshold: in [0, 1].

    Returns:
        (D,) int64, indices of the kept boxes by falling score.

    Raises:
        InputError: a shape or dtype does not fit, or the threshold is outside [0, 1].

    Source: Felzenszwalb et al., Object Detection with Discriminatively Trained Part-Based Models
    (2010), section 7.2; Ren et al. (2015), section 3.3.
    """
    xp = xp_of(boxes, scores)
    _require_nms_input(boxes, scores, iou_threshold)
    order = by_falling_score(to_host(scores))
    with _row_by_row():
        return xp.asarray(_walk(to_host(boxes), order, iou_threshold))


def batched_nms(
    boxes: Array, scores: Array, groups: Array, iou_threshold: float, at_most: int | None = None
) -> Array:
    """NMS inside each group: boxes of different classes or levels never suppress each other.

    The groups are walked one by one. Shifting every group to a place of its own and walking once
    is a common shortcut, but the shifted float32 coordinates are rounded, and a box whose IoU is
    near the threshold would then be kept or dropped depending on its group's number.

    Args:
        boxes: (N, 4) float, pixels.
        scores: (N,) float.
        groups: (N,) integers, any values.
        iou_threshold: in [0, 1].
        at_most: stop when so many are kept; None for all.

    Returns:
        (D,) int64, indices of the kept boxes of all groups together, by falling score.

    Raises:
        InputError: a shape or dtype does not fit, the threshold is outside [0, 1], or at_most is
            negative.
    """
    xp = xp_of(boxes, scores, groups)
    _require_nms_input(boxes, scores, iou_threshold)
    if groups.shape != scores.shape or groups.dtype.kind not in "iu":
        raise InputError(
            f"groups has shape {tuple(groups.shape)} and dtype {groups.dtype}; it should be "
            f"{tuple(scores.shape)}, one integer for each box"
        )
    order = by_falling_score(to_host(scores))
    at_most = len(order) if at_most is None else at_most
    if at_most < 0:
        raise InputError(f"at_most is {at_most}; it should be >= 0")
    host_boxes, host_groups = to_host(boxes), to_host(groups)
    # A box's fate hangs only on those before it. So the best that are kept of all are the best that are
    # kept of the first few, if they are enough; mostly half of them are.
    first = 2 * at_most
    while (
        len(kept := _walk_groups(host_boxes, host_groups, order[:first], iou_threshold)) < at_most
    ):
        if first >= len(order):
            break
        first *= 2
    return xp.asarray(kept[:at_most])


def from_xywh(boxes: Array) -> Array:
    """COCO's x, y, width, height as x1, y1, x2, y2.

    Args:
        boxes: (N, 4) float, pixels: left, top, width, height.

    Returns:
        (N, 4) in the same dtype.

    Raises:
        InputError: the shape is not (N, 4), or the dtype is not float.
    """
    xp = xp_of(boxes)
    _require_boxes("boxes", boxes)
    return xp.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def to_xywh(boxes: Array) -> Array:
    """x1, y1, x2, y2 as COCO's x, y, width, height; the inverse of `from_xywh`.

    Args:
        boxes: (N, 4) float, pixels.

    Returns:
        (N, 4) in the same dtype: left, top, width, height.

    Raises:
        InputError: the shape is not (N, 4), or the dtype is not float.
    """
    xp = xp_of(boxes)
    _require_boxes("boxes", boxes)
    return xp.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _walk(boxes: np.ndarray, order: np.ndarray, iou_threshold: float) -> np.ndarray:
    """The part of `order` (indices, best first) that greedy NMS keeps.

    A block of the best boxes that are left is compared with all that are left. That settles which of the
    block are kept, and what those drop behind it.
    """
    limit = _round_down(iou_threshold, boxes.dtype)
    kept = []
    sides = _sides(boxes.take(order, axis=0))
    while len(order) > 1:
        block, left = sides[:, :_BLOCK], len(order)
        clash = np.empty((block.shape[1], left), bool)
        for at in range(0, left, _COLUMNS):
            part = slice(at, at + _COLUMNS)
            np.greater(_iou(block, sides[:, part]), limit, out=clash[:, part])
        own = _settle(clash[:, :_BLOCK])
        kept.append(order.take(own))
        if left <= _BLOCK:
            return np.concatenate(kept)
        dropped = np.logical_or.reduce(clash.take(own, axis=0))
        dropped[:_BLOCK] = True
        stay = np.flatnonzero(~dropped)
        order, sides = order.take(stay), sides.take(stay, axis=1)
    return np.concatenate([*kept, order])  # a last one that is left has nothing more to fear


def _walk_groups(
    boxes: np.ndarray, groups: np.ndarray, order: np.ndarray, iou_threshold: float
) -> np.ndarray:
    """The part of `order` that is kept where each group is walked by itself."""
    by_group = order[np.argsort(groups[order], kind="stable")]  # falling score inside a group
    bounds = np.flatnonzero(np.diff(groups[by_group])) + 1
    kept = np.zeros(len(boxes), dtype=bool)
    with _row_by_row():
        for members in np.split(by_group, bounds):
            kept[_walk(boxes, members, iou_threshold)] = True
    return order[kept[order]]


def _sides(boxes: Array) -> Array:
    """x1, x2, y1, y2 and the area of each box, as rows (5, N); no x2 < x1, no y2 < y1 and no area of 0.

    One contiguous row per coordinate: a table of all pairs is made of them with few steps. Instead of 0
    an area is the least number above it, 1e-45 in float32. So no union is 0, since rounding never makes it
    smaller than what is shared, and two boxes without area have an IoU of 0 with no case of its own.
    """
    xp = xp_of(boxes)
    sides = xp.empty((5, len(boxes)), boxes.dtype)
    starts, ends = sides[:4:2], sides[1:4:2]
    starts[...] = boxes[:, :2].T
    xp.maximum(starts, boxes[:, 2:].T, out=ends)
    areas = xp.multiply(*(ends - starts), out=sides[4])
    areas.clip(np.finfo(areas.dtype).smallest_subnormal, math.inf, out=areas)
    return sides


def _table(a: Array, b: Array, pairs: Callable[[Array, Array], Array]) -> Array:
    """(N, M), `pairs` of boxes' `_sides`, made in blocks and in one dtype; symmetric in a and b."""
    if len(b) < len(a):  # long rows are quicker than many
        return _table(b, a, pairs).T
    xp = xp_of(a, b)
    dtype = xp.result_type(a, b)
    of_a, of_b = (_sides(boxes.astype(dtype, copy=False)) for boxes in (a, b))
    table = xp.empty((len(a), len(b)), dtype)

    def columns(start: int, stop: int) -> None:
        table[:, start:stop] = pairs(of_a, of_b[:, start:stop])

    with _row_by_row():
        in_blocks(xp, columns, len(b), len(a))
    return table


def _shared(a: Array, b: Array) -> Array:
    """The areas (N, M) that boxes share, from `_sides`.

    Both ends of b are brought into a, where they do not lie in it: what is between them then is the part
    that they share, and nothing if b lies beside a. `clip` does that with two numbers of `a` and a row
    of `b`, which is its fast way (see `_row_by_row`). A row is all starts and all ends: beginning one takes
    as long as bringing in four hundred numbers.
    """
    n, m = a.shape[1], b.shape[1]
    brought = xp_of(a, b).empty((2, n, 2 * m), a.dtype)  # (x or y, N, starts and ends)
    b[:4].reshape(2, 1, 2 * m).clip(a[:4:2, :, None], a[1:4:2, :, None], out=brought)
    sides = brought[:, :, m:] - brought[:, :, :m]
    shared = sides[0]
    shared *= sides[1]
    return shared


def _iou(a: Array, b: Array) -> Array:
    """The IoU (N, M) of boxes, from `_sides`."""
    shared = _shared(a, b)
    union = a[4][:, None] + b[4]
    union -= shared
    shared /= union
    return shared


@contextmanager
def _row_by_row() -> Iterator[None]:
    """Inside, NumPy makes tables row by row, from the arrays as they lie.

    Where rows have less than two or three thousand numbers it would first copy what is broadcast along
    them to buffers; and `clip` with a buffer of limits takes seven times as long as with two numbers.
    """
    with np.errstate():  # which gives the buffers their size back, too
        np.setbufsize(16)
        yield


def _settle(clash: np.ndarray) -> np.ndarray:
    """The rows that greedy NMS keeps, given which pairs clash: (n, n) bool, n up to 64."""
    # A row of the table becomes one Python integer whose bit j says "clashes with j": to drop all
    # of them is then a single `|`, far cheaper than an array operation on so few elements.
    table = np.zeros((len(clash), 64), bool)
    table[:, : len(clash)] = clash
    words = np.packbits(table, axis=1, bitorder="little").view("<u8")
    dropped = 0
    kept = []
    for i, word in enumerate(words[:, 0].tolist()):
        if not dropped >> i & 1:
            kept.append(i)
            dropped |= word
    return np.array(kept)


def _round_down(threshold: float, dtype: np.dtype) -> np.floating:
    """The largest number of `dtype` that is <= threshold, so that > means what it says.

    The float32 nearest to 0.3 is a little larger than 0.3. An IoU of just that value is greater
    than the threshold, and would be missed by comparing with the rounded threshold.
    """
    nearest = dtype.type(threshold)
    return np.nextafter(nearest, dtype.type(-1)) if float(nearest) > threshold else nearest


def _centre_and_size(boxes: Array) -> tuple[Array, Array]:
    size = boxes[:, 2:] - boxes[:, :2]
    return boxes[:, :2] + size / 2, size


def _require_boxes(name: str, boxes: Array) -> None:
    """Raise an InputError that names the argument unless `boxes` is a float array (N, 4)."""
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"{name} has shape {tuple(boxes.shape)}; it should be (N, 4)")
    _require_float(name, boxes)


def _require_float(name: str, array: Array) -> None:
    if array.dtype.kind != "f":
        raise InputError(f"{name} has dtype {array.dtype}; it should be float32 or float64")


def _require_positive(name: str, size: Array) -> None:
    bad = ~(size > 0).all(axis=1)
    if bad.any():
        i = int(bad.argmax())
        width, height = (float(side) for side in size[i])
        raise InputError(
            f"{name} has a box without area: row {i} is {width:g} wide and {height:g} high; "
            "both should be > 0"
        )


def _require_weights(weights: Sequence[float]) -> None:
    if len(weights) != 4 or not all(w > 0 for w in weights):
        raise InputError(f"weights is {tuple(weights)}; it should be four numbers > 0")


def _require_nms_input(boxes: Array, scores: Array, iou_threshold: float) -> None:
    _require_boxes("boxes", boxes)
    if scores.shape != boxes.shape[:1]:
        raise InputError(
            f"scores has shape {tuple(scores.shape)}; it should be ({boxes.shape[0]},), "
            "one score for each box"
        )
    _require_float("scores", scores)
    if not 0 <= iou_threshold <= 1:
        raise InputError(f"iou_threshold is {iou_threshold}; it should be in [0, 1]")
