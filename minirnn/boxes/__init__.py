"""Boxes: their geometry, the code of a box relative to an anchor, and non-maximum suppression.

A box is a row x1, y1, x2, y2 in pixels, where pixel i covers [i, i + 1). Its width is x2 - x1: no
function here adds 1 to it.
"""

from minirnn.boxes.coder import SCALE_CLAMP, BoxCoder, decode, encode
from minirnn.boxes.geometry import (
    area,
    clip,
    crowd_iou,
    from_xywh,
    intersection,
    iou,
    large_enough,
    to_xywh,
)
from minirnn.boxes.nms import batched_nms, nms

__all__ = [
    "SCALE_CLAMP",
    "BoxCoder",
    "area",
    "batched_nms",
    "clip",
    "crowd_iou",
    "decode",
    "encode",
    "from_xywh",
    "intersection",
    "iou",
    "large_enough",
    "nms",
    "to_xywh",
]
