"""Keypoint head: where in this region are the nose, the left wrist, the right ankle?

From 14×14 features, eight 3×3 convolutions, a transposed convolution to 28×28 and a bilinear resize to
56×56: one map of logits per keypoint. A keypoint is at one place, so its map is one softmax over all
56² cells, and the target is the one cell that the point lies in. A prediction is the place where the map,
resized to the region's own size, is largest.

Source: He et al., "Mask R-CNN", 2017, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minirnn.backend import Array, to_host, xp_of
from minirnn.errors import InputError
from minirnn.heads.head import Found, Head, Pooler, of_each_image
from minirnn.heads.regions import SampledRois
from minirnn.nn import Conv2d, Module
from minirnn.nn.init import kaiming_normal_fan_out
from minirnn.nn.module import parameter
from minirnn.ops.bicubic import bicubic
from minirnn.ops.convolution import conv_transpose2d
from minirnn.ops.losses import LossTerm, cross_entropy
from minirnn.ops.resize import bilinear
from minirnn.ops.shape import reshape
from minirnn.record import note
from minirnn.structures import Target
from minirnn.transform import Batch, scale_keypoints


class KeypointConvolutions(Module):
    """3×3 convolutions with ReLU, under torchvision's names "0", "2", "4", … (its ReLUs are 1, 3, …)."""

    def __init__(
        self, inputs: int, width: int, convolutions: int, *, rng: np.random.Generator
    ) -> None:
        for index in range(convolutions):
            part = Conv2d(inputs if index == 0 else width, width, 3, rng=rng)
            setattr(self, str(2 * index), part)
        self.convolutions = convolutions

    def forward(self, x: Any) -> Any:
        """(R, C, 14, 14) → (R, width, 14, 14)."""
        for index in range(self.convolutions):
            x = getattr(self, str(2 * index))(x, relu=True)
        return x


class ScoreMaps(Module):
    """A 4×4 transposed convolution to twice the size, one map per keypoint: `kps_score_lowres`."""

    def __init__(self, inputs: int, keypoints: int, *, rng: np.random.Generator) -> None:
        self.weight = parameter(kaiming_normal_fan_out((inputs, keypoints, 4, 4), rng))
        self.bias = parameter(np.zeros(keypoints, np.float32))

    def forward(self, x: Any) -> Any:
        """(R, C, S, S) → (R, P, 2S, 2S)."""
        return conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1)


class KeypointPredictor(Module):
    """From features to logits: the transposed convolution, then twice the size by bilinear resize.

    Args:
        inputs: channels of the features.
        keypoints: how many maps.
        rng: draws the initial weights.
    """

    def __init__(self, inputs: int, keypoints: int, *, rng: np.random.Generator) -> None:
        self.kps_score_lowres = ScoreMaps(inputs, keypoints, rng=rng)

    def forward(self, x: Any) -> Any:
        """(R, C, 14, 14) → logits (R, P, 56, 56)."""
        maps = self.kps_score_lowres(x)
        return bilinear(maps, size=(2 * maps.shape[2], 2 * maps.shape[3]))


def keypoint_cells(keypoints: Array, boxes: Array, size: int) -> Array:
    """The cell of each region's map that each of its object's keypoints lies in.

        column = ⌊(x - x1) · size / (x2 - x1)⌋, likewise the row; on the far edge, the last one

    Args:
        keypoints: (R, P, 3) x, y and visibility, in the pixels of the boxes.
        boxes: (R, 4).
        size: side of the maps.

    Returns:
        (R, P) int: row · size + column, or -1 for a point that is not labelled (visibility 0) or not in
        the region.
    """
    xp = xp_of(keypoints)
    places = []
    for axis in (0, 1):
        at, low, high = keypoints[..., axis], boxes[:, axis, None], boxes[:, axis + 2, None]
        cell = xp.floor((at - low) * (size / (high - low))).astype(xp.intp)
        places.append(xp.where(at == high, size - 1, cell))
    column, row = places
    inside = (column >= 0) & (row >= 0) & (column < size) & (row < size)
    return xp.where(inside & (keypoints[..., 2] > 0), row * size + column, -1)


def keypoint_loss(logits: Any, cells: Array) -> Any:
    """Mean over the points that have a cell of -log softmax over the map's cells.

    Args:
        logits: (R, P, S, S), of the positive regions.
        cells: (R, P), from `keypoint_cells`.

    Returns:
        One number; 0 where no point has a cell.
    """
    count, points, height, width = logits.shape
    rows = reshape(logits, shape=(count * points, height * width))
    return cross_entropy(rows, cells.reshape(-1), ignore=-1)


def keypoints_of_maps(logits: Array, boxes: Array) -> Array:
    """Where each map is largest, once it has been brought to its region's size in whole pixels.

    Args:
        logits: (D, P, S, S).
        boxes: (D, 4).

    Returns:
        (D, P, 3): x and y of the centre of the pixel with the largest logit, in the pixels of the boxes,
        and that logit.
    """
    xp = xp_of(logits)
    points = xp.zeros((*logits.shape[:2], 3), logits.dtype)
    sides = np.maximum(to_host(boxes[:, 2:] - boxes[:, :2]), 1)
    whole = np.ceil(sides).astype(int)
    for d in range(len(boxes)):  # one after the other: a large region's maps are megabytes
        (width, height), (across, down) = whole[d].tolist(), (sides[d] / whole[d]).tolist()
        maps = bicubic(logits[d], size=(height, width)).reshape(logits.shape[1], -1)
        best = maps.argmax(axis=1)
        points[d, :, 0] = (best % width + 0.5) * across + boxes[d, 0]
        points[d, :, 1] = (best // width + 0.5) * down + boxes[d, 1]
        points[d, :, 2] = maps[xp.arange(len(best)), best]
    return points


class KeypointHead(Head):
    """The keypoint head as a part of the detector.

    Args:
        pooler: reads the regions' features.
        keypoint_head: features (R, C, 14, 14) → (R, width, 14, 14), under that name in torchvision.
        keypoint_predictor: (R, width, 14, 14) → logits (R, P, 56, 56), likewise.
        count: P, how many keypoints.
    """

    finds = "keypoints"

    def __init__(
        self, pooler: Pooler, keypoint_head: Module, keypoint_predictor: Module, *, count: int
    ) -> None:
        self.pooler, self.count = pooler, count
        self.keypoint_head, self.keypoint_predictor = keypoint_head, keypoint_predictor

    def forward(self, features: dict[str, Any], boxes: Sequence[Array]) -> Any:
        """Boxes (R_i, 4) of each image → logits (R, P, 56, 56)."""
        logits = self.keypoint_predictor(self.keypoint_head(self.pooler(features, boxes)))
        note("keypoint_logits", logits)
        return logits

    def check(self, target: Target) -> None:
        """Refuse a target without keypoints, or with another number of them; names the image."""
        points = target.keypoints
        if points is None or points.shape[1:] != (self.count, 3):
            there = "none" if points is None else f"an array of shape {points.shape}"
            raise InputError(
                f"image {target.image_id}: the model has a keypoint head for {self.count} keypoints "
                f"an object, but the target has {there}"
            )

    def losses(
        self, features: dict[str, Any], regions: Sequence[SampledRois], truth: Sequence[Target]
    ) -> dict[str, LossTerm]:
        """keypoint, see `keypoint_loss`, over the regions that are objects."""
        boxes = [each.boxes[: each.positives] for each in regions]
        logits = self(features, boxes)
        cells: Any = []
        for each, own, target in zip(regions, boxes, truth, strict=True):
            assert target.keypoints is not None  # see `check`
            points = target.keypoints[each.matched[: each.positives]]
            cells.append(keypoint_cells(points, own, logits.shape[2]))
        cells = xp_of(boxes[0]).concatenate(cells)
        note("keypoint_targets", cells)
        return {"keypoint": LossTerm(keypoint_loss(logits, cells), int((cells >= 0).sum()))}

    def predict(
        self, features: dict[str, Any], found: list[Found], batch: Batch, **_: Any
    ) -> list[Found]:
        """The detections with their keypoints: already in the pixels of the image as it was given."""
        boxes = [each.boxes for each in found]
        logits = of_each_image(self(features, boxes), boxes)
        sizes = zip(batch.sizes, batch.original_sizes, strict=True)
        for each, own, (size, original) in zip(found, logits, sizes, strict=True):
            each.keypoints = scale_keypoints(keypoints_of_maps(own, each.boxes), size, original)
        return found
