"""Augmentation: a picture in a mirror, and its boxes, masks and keypoints with it.

In continuous coordinates a picture of width W reaches from 0 to W, and flipping takes x to W - x.
That is what happens to boxes. COCO's keypoints are numbers of pixels: the first is 0, the last
W - 1, and flipping takes x to W - 1 - x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minirnn.data.people import KEYPOINTS
from minirnn.structures import Sample


def horizontal_flip(sample: Sample, keypoint_names: Sequence[str] = KEYPOINTS) -> Sample:
    """The picture in a mirror: right becomes left.

    A mirrored person's left hand looks like a right hand, so `left_…` and `right_…` keypoints
    change places. Keypoints that are not labelled (visibility 0) stay at 0, 0.

    Args:
        sample: left as it is; the result has its own picture, boxes, masks and keypoints.
        keypoint_names: the names of the P keypoints, if the sample has any.

    Returns:
        A new sample of the same shapes and types.

    Raises:
        ValueError: the sample has another number of keypoints than there are names.
    """
    target = sample.target
    keypoints = target.keypoints
    if keypoints is not None:
        if keypoints.shape[1:] != (len(keypoint_names), 3):
            raise ValueError(
                f"keypoints has shape {keypoints.shape}; it should be (G, {len(keypoint_names)}, 3)"
            )
        keypoints = keypoints[:, _other_side(keypoint_names)]
    return _flipped(sample, axis=1, keypoints=keypoints)


def vertical_flip(sample: Sample) -> Sample:
    """The picture upside down, as on water; left stays left."""
    keypoints = sample.target.keypoints
    return _flipped(sample, axis=0, keypoints=None if keypoints is None else keypoints.copy())


def _flipped(sample: Sample, axis: int, keypoints: np.ndarray | None) -> Sample:
    """Flip image axis 0 (rows) or 1 (columns); `keypoints` is changed in place."""
    length = sample.image.shape[axis]
    low = 1 - axis  # the box's column with the lower coordinate: x1 is 0, y1 is 1
    masks, proposals = sample.target.masks, sample.target.proposals
    boxes = _mirrored(sample.target.boxes, length, low)
    if masks is not None:
        masks = np.flip(masks, axis + 1).copy()
    if keypoints is not None:
        labelled = keypoints[:, :, 2] > 0
        keypoints[:, :, low] = np.where(
            labelled, length - 1 - keypoints[:, :, low], keypoints[:, :, low]
        )
    return Sample(
        np.flip(sample.image, axis).copy(),
        replace(
            sample.target,
            boxes=boxes,
            masks=masks,
            keypoints=keypoints,
            proposals=None if proposals is None else _mirrored(proposals, length, low),
        ),
    )


def _mirrored(boxes: np.ndarray, length: int, low: int) -> np.ndarray:
    """Boxes (N, 4) in a picture of `length` flipped along the axis whose columns are low, low + 2."""
    boxes = boxes.copy()
    boxes[:, [low, low + 2]] = length - boxes[:, [low + 2, low]]
    return boxes


def _other_side(names: Sequence[str]) -> list[int]:
    """For each name the position of its opposite: left_eye's of right_eye, nose's of nose."""
    opposite = {"left": "right", "right": "left"}
    position = {name: i for i, name in enumerate(names)}
    swapped = []
    for name in names:
        side, _, rest = name.partition("_")
        swapped.append(position.get(f"{opposite[side]}_{rest}" if side in opposite else name))
    return [i if other is None else other for i, other in enumerate(swapped)]
