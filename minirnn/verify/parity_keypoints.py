"""The keypoint head beside torchvision's: its maps, what is read from them, and what a user sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minirnn.heads.keypoint import KeypointHead, keypoints_of_maps
from minirnn.ops.bicubic import bicubic
from minirnn.transform import scale_keypoints
from minirnn.verify.difference import host
from minirnn.verify.parity_rows import Comparison

#: Two places of a map whose logits differ by less, as a part of the map's largest logit, are equal but for
#: rounding: after some sixty layers in float32 neither network can say which is larger.
TIE = 1e-4
#: In pixels: rounding of the box that the point is read in.
POINT_TOLERANCE = 0.05
SCORE_TOLERANCE = 1e-4


def compare_head(
    comparison: Comparison,
    head: KeypointHead,
    pyramid: dict[str, Any],
    theirs: dict[str, Any],
    sizes: Sequence[tuple[tuple[int, int], tuple[int, int]]],
    relative: float,
) -> None:
    """Enter the maps of torchvision's boxes, and the keypoints of torchvision's maps.

    Args:
        comparison: takes the rows.
        head: ours.
        pyramid: maps by name, the same for both.
        theirs: what torchvision's parts returned, see `parity_inference.run_torchvision`.
        sizes: of each image (height, width) in the network, and as it was given.
        relative: tolerance for the maps.
    """
    boxes = [host(of_image["boxes"]) for of_image in theirs["found"]]
    logits = host(theirs["keypoint_logits"])
    comparison.arrays(
        "keypoint head", "keypoint logits", head(pyramid, boxes), logits, relative=relative
    )
    start = 0
    for own, (size, original), wanted in zip(boxes, sizes, theirs["detections"], strict=True):
        maps = logits[start : start + len(own)]
        start += len(own)
        points = scale_keypoints(keypoints_of_maps(maps, own), size, original)
        stage = "keypoints from the same maps"
        comparison.arrays(
            stage, "x and y", points[..., :2], host(wanted["keypoints"])[..., :2], absolute=1e-3
        )
        comparison.arrays(
            stage, "scores", points[..., 2], host(wanted["keypoints_scores"]), absolute=1e-4
        )


def compare_keypoints(
    comparison: Comparison, ours: np.ndarray, points: np.ndarray, scores: np.ndarray
) -> None:
    """Enter the keypoints of the detections that both have, from the pixels on.

    Args:
        comparison: takes the rows.
        ours: (D, P, 3) x, y and score, in the order of theirs.
        points: theirs, (D, P, 3).
        scores: theirs, (D, P).
    """
    stage, apart = "final", np.abs(ours[..., :2] - points[..., :2]).max(axis=2)
    elsewhere = apart > POINT_TOLERANCE
    comparison.number(
        stage, "keypoints: x and y", float(apart[~elsewhere].max(initial=0)),
        cases=int((~elsewhere).sum()), absolute=POINT_TOLERANCE,
    )  # fmt: skip
    comparison.number(
        stage, "share of keypoints elsewhere", float(elsewhere.mean()) if elsewhere.size else 0.0,
        cases=elsewhere.size, absolute=0.005,
        note="where two places of a map are equal but for rounding",
    )  # fmt: skip
    comparison.arrays(stage, "keypoints: scores", ours[..., 2], scores, relative=SCORE_TOLERANCE)


def lead(logits: np.ndarray, box: np.ndarray, points: np.ndarray) -> np.ndarray:
    """By how much each map's largest value leads the value at a given place, at the region's size.

    Args:
        logits: (P, S, S), the maps of one region.
        box: (4,), the region.
        points: (P, 3), the places, in the pixels of the box.

    Returns:
        (P,): 0 where the place is the largest, infinite where it is outside of the region.
    """
    sides = np.maximum(box[2:] - box[:2], 1)
    width, height = np.ceil(sides).astype(int).tolist()
    maps = bicubic(logits, size=(height, width))
    at = np.floor((points[:, :2] - box[:2]) * ([width, height] / sides)).astype(int)
    inside = ((at >= 0) & (at < [width, height])).all(axis=1)
    x, y = np.clip(at, 0, [width - 1, height - 1]).T
    there = maps[np.arange(len(maps)), y, x]
    return np.where(inside, maps.reshape(len(maps), -1).max(axis=1) - there, np.inf)
