"""How an anchor becomes a box, as four numbers: what a network regresses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from minirnn.backend import Array, xp_of
from minirnn.boxes.checks import require_boxes
from minirnn.errors import InputError
from minirnn.require import require

# A side may grow by at most 1000 / 16 = 62.5: an anchor of 16 pixels then covers an image of 1000.
SCALE_CLAMP = math.log(1000 / 16)


@dataclass(frozen=True)
class BoxCoder:
    """`encode` and `decode` with their settings, which are given once, where a model is put together.

    Args:
        weights: of dx, dy, dw, dh; four numbers > 0.
        clamp: the largest logarithm of a side's growth.

    Raises:
        InputError: weights are not four numbers > 0.
    """

    weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)
    clamp: float = SCALE_CLAMP

    def __post_init__(self) -> None:
        _require_weights(self.weights)

    def encode(self, anchors: Array, boxes: Array) -> Array:
        """How each anchor (N, 4) becomes its box (N, 4): deltas (N, 4); see `encode`."""
        return encode(anchors, boxes, self.weights)

    def decode(self, anchors: Array, deltas: Array) -> Array:
        """The boxes that anchors (N, 4) become by their deltas (N, 4 · K); see `decode`."""
        return decode(anchors, deltas, self.weights, self.clamp)


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
    require_boxes("anchors", anchors)
    require_boxes("boxes", boxes)
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
    require_boxes("anchors", anchors)
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


def _centre_and_size(boxes: Array) -> tuple[Array, Array]:
    size = boxes[:, 2:] - boxes[:, :2]
    return boxes[:, :2] + size / 2, size


def _require_positive(name: str, size: Array) -> None:
    good = (size > 0).all(axis=1)

    def error() -> InputError:
        i = int(good.argmin())
        width, height = (float(side) for side in size[i])
        return InputError(
            f"{name} has a box without area: row {i} is {width:g} wide and {height:g} high; "
            "both should be > 0"
        )

    require(good.all(), error)


def _require_weights(weights: Sequence[float]) -> None:
    if len(weights) != 4 or not all(w > 0 for w in weights):
        raise InputError(f"weights is {tuple(weights)}; it should be four numbers > 0")
