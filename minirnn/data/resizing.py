"""Augmentation: a picture made smaller or larger, and its boxes, masks and keypoints with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from minirnn.structures import Sample


def resize(sample: Sample, size: Sequence[int]) -> Sample:
    """The picture scaled to another size.

    Colours are interpolated (and averaged where the picture becomes smaller); a mask's pixel is what the
    mask is at the same place, the pixel's centre. COCO's keypoints are numbers of pixels, so that the
    middle of pixel x is at x + ½: that is what is scaled.

    Args:
        sample: left as it is; the result has arrays of its own.
        size: the new (height, width).

    Returns:
        A sample with as many objects. A mask so thin that no pixel's centre lies on it becomes empty.
    """
    target, (height, width) = sample.target, sample.image.shape[:2]
    # In float64, multiplied first: a box that ends with the picture still does, and not beyond it.
    new, old = np.array([size[1], size[0]] * 2, float), np.array([width, height] * 2, float)
    keypoints = None if target.keypoints is None else target.keypoints.copy()
    if keypoints is not None:
        labelled = keypoints[..., 2:] > 0
        scaled = (keypoints[..., :2] + 0.5) * new[:2] / old[:2] - 0.5
        keypoints[..., :2] = np.where(labelled, scaled, keypoints[..., :2])
    proposals = target.proposals
    if proposals is not None:
        proposals = (proposals * new / old).astype(proposals.dtype)
    picture = Image.fromarray(sample.image).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return Sample(
        np.array(picture),
        replace(
            target,
            boxes=(target.boxes * new / old).astype(target.boxes.dtype),
            masks=None if target.masks is None else _resized_masks(target.masks, size),
            keypoints=keypoints,
            proposals=proposals,
        ),
    )


def _resized_masks(masks: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """(G, H, W) bool → (G, H', W'): each pixel as the mask is at its centre, ⌊(i + ½) · H / H'⌋."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for old, new in zip(masks.shape[1:], size, strict=True)
    )
    return masks[:, rows[:, None], columns]
