"""What boxes, scores and groups should look like, said where they do not."""

from __future__ import annotations

from minirnn.backend import Array
from minirnn.errors import InputError


def require_boxes(name: str, boxes: Array) -> None:
    """Raise an InputError that names the argument unless `boxes` is a float array (N, 4)."""
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"{name} has shape {tuple(boxes.shape)}; it should be (N, 4)")
    require_float(name, boxes)


def require_two_sets(a: Array, b: Array) -> None:
    """Raise an InputError unless both are float arrays (·, 4)."""
    require_boxes("a", a)
    require_boxes("b", b)


def require_float(name: str, array: Array) -> None:
    """Raise an InputError that names the argument unless its dtype is float."""
    if array.dtype.kind != "f":
        raise InputError(f"{name} has dtype {array.dtype}; it should be float32 or float64")


def require_nms_input(boxes: Array, scores: Array, iou_threshold: float) -> None:
    """Raise an InputError that names what does not fit."""
    require_boxes("boxes", boxes)
    if scores.shape != boxes.shape[:1]:
        raise InputError(
            f"scores has shape {tuple(scores.shape)}; it should be ({boxes.shape[0]},), "
            "one score for each box"
        )
    require_float("scores", scores)
    if not 0 <= iou_threshold <= 1:
        raise InputError(f"iou_threshold is {iou_threshold}; it should be in [0, 1]")


def require_batched_nms_input(
    boxes: Array, scores: Array, groups: Array, iou_threshold: float, at_most: int | None = None
) -> None:
    """The same, and one integer for each box, and at_most None or >= 0."""
    require_nms_input(boxes, scores, iou_threshold)
    if groups.shape != scores.shape or groups.dtype.kind not in "iu":
        raise InputError(
            f"groups has shape {tuple(groups.shape)} and dtype {groups.dtype}; it should be "
            f"{tuple(scores.shape)}, one integer for each box"
        )
    if at_most is not None and at_most < 0:
        raise InputError(f"at_most is {at_most}; it should be >= 0")
