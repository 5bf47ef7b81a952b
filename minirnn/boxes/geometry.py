"""The geometry of boxes: their area, their overlap, and the edge of the image.

A box is a row x1, y1, x2, y2 in pixels, where pixel i covers [i, i + 1). Its width is x2 - x1: no
function here adds 1 to it. A box with x2 <= x1 or y2 <= y1 is allowed everywhere; it has area 0 and
overlaps nothing. Coordinates are finite.
"""

from __future__ import annotations

from minirnn.backend import Array, positive_part, xp_of
from minirnn.boxes.checks import require_boxes, require_float, require_two_sets
from minirnn.errors import InputError
from minirnn.kernels.table import operation


def area(boxes: Array) -> Array:
    """How many square pixels each box covers: (x2 - x1) · (y2 - y1), and 0 where a side is not > 0.

    Args:
        boxes: (N, 4) float, pixels.

    Returns:
        (N,), in the boxes' dtype.

    Raises:
        InputError: the shape is not (N, 4), or the dtype is not float.
    """
    require_boxes("boxes", boxes)
    width = positive_part(boxes[:, 2] - boxes[:, 0])
    height = positive_part(boxes[:, 3] - boxes[:, 1])
    return width * height


@operation(check=require_two_sets)
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
    xp = xp_of(a, b)
    starts = xp.maximum(a[:, None, :2], b[None, :, :2])  # (N, M, 2)
    ends = xp.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = positive_part(ends - starts)
    return sides[..., 0] * sides[..., 1]


@operation(check=require_two_sets)
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
    shared = intersection(a, b)
    area_a, area_b = (area(boxes.astype(shared.dtype, copy=False)) for boxes in (a, b))
    union = area_a[:, None] + area_b - shared
    return shared / (union + (union == 0))


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
    require_boxes("boxes", boxes)
    require_boxes("crowds", crowds)
    shared = intersection(boxes, crowds)
    own = area(boxes)
    own += own == 0
    shared /= own[:, None]
    return shared


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
    require_float("boxes", boxes)
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
    require_boxes("boxes", boxes)
    if not min_size >= 0:
        raise InputError(f"min_size is {min_size}; it should be >= 0")
    shortest = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
    return (shortest >= min_size) & (shortest > 0)


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
    require_boxes("boxes", boxes)
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
    require_boxes("boxes", boxes)
    return xp.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
