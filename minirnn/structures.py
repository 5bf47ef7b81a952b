"""What the stages hand on to each other about one image: its truth, and what was found in it.

They stand below everything else, so that a head can take a `Target` without knowing of data sets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minirnn.backend import Array


@dataclass
class Target:
    """The ground truth of one image with G instances.

    Attributes:
        boxes: (G, 4) float32, x1, y1, x2, y2 in pixels of the image beside it.
        labels: (G,) intp, 1…K.
        masks: (G, H, W) bool; None for a data set without masks.
        is_crowd: (G,) bool; a crowd region covers many objects and is never a positive. It stays on the
            host: how many crowds there are decides what is computed, and a GPU need not be asked.
        keypoints: (G, P, 3) float32, x and y in pixels, and visibility: 0 not labelled, 1 hidden,
            2 visible; None where there are none.
        image_id: the image's id in the data set.
        file_name: where it came from, for messages.
        proposals: (R, 4) float32 boxes where something might be, for a detector that does not make
            its own; None where there are none.
    """

    boxes: Array
    labels: Array
    masks: Array | None
    is_crowd: Array
    keypoints: Array | None = None
    image_id: int = 0
    file_name: str = ""
    proposals: Array | None = None


@dataclass
class Sample:
    """One image, (H, W, 3) uint8 RGB, and its ground truth."""

    image: np.ndarray
    target: Target


@dataclass
class Detections:
    """What the network found in one image: D detections, by falling score.

    Attributes:
        boxes: (D, 4) float32, x1, y1, x2, y2 in pixels of the image as it was given.
        labels: (D,) intp, 1…K.
        scores: (D,) float32 in [0, 1].
        masks: (D, H, W) bool; None from a network without a mask head.
        keypoints: (D, P, 3) float32, x and y in pixels, and score (a logit); None from a network
            without a keypoint head.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    masks: np.ndarray | None
    keypoints: np.ndarray | None = None
