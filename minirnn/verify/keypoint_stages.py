"""The keypoint head's stages, as `stages` has those of the others: targets, loss and reading."""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.verify.drawing import Rng, case, drawn, normal
from minirnn.verify.stage_draws import boxes
from minirnn.verify.subject import Subject, stage


def keypoint_loss(logits: Any, keypoints: np.ndarray, boxes: np.ndarray) -> Any:
    """The loss of keypoints in pixels; the library's takes the cells that they lie in."""
    from minirnn.heads import keypoint

    cells = keypoint.keypoint_cells(keypoints, boxes, logits.shape[-1])
    return keypoint.keypoint_loss(logits, cells)


def _regions(rng: Rng, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (R, 5, 3) in, on the edge of, and outside of boxes (R, 4); some not labelled."""
    corner = rng.integers(0, 20, (count, 2))
    boxes = np.concatenate([corner, corner + rng.integers(1, 12, (count, 2))], 1).astype(float)
    keypoints = np.empty((count, 5, 3))
    keypoints[..., :2] = corner[:, None] + rng.integers(-2, 13, (count, 5, 2))
    keypoints[:, ::2, :2] += rng.uniform(0, 1, (count, 3, 2))
    keypoints[..., 2] = rng.integers(0, 3, (count, 5))
    return keypoints, boxes


@drawn
def _cells(rng: Rng, count: int, size: int) -> Any:
    return (*_regions(rng, count), size), {}


@drawn
def _loss(rng: Rng, count: int, labelled: bool = True) -> Any:
    keypoints, boxes = _regions(rng, count)
    keypoints[..., 2] *= labelled
    return (rng.normal(0, 2, (count, 5, 6, 6)), keypoints, boxes), {}


@drawn
def _maps(rng: Rng, count: int, narrow: bool = False) -> Any:
    _, boxes = _regions(rng, count)
    boxes[:, 2:] = boxes[:, :2] + rng.uniform(0.1, 0.9 if narrow else 12, (count, 2))
    return (rng.normal(0, 2, (count, 5, 6, 6)), boxes), {}


@drawn
def _points(rng: Rng) -> np.ndarray:
    return boxes(9)(rng)[:, :3].reshape(3, 3, 3)


KEYPOINT_STAGES: tuple[Subject, ...] = (
    stage("heads.keypoint.keypoint_cells", _cells(9, 6), _cells(0, 6)),
    Subject(
        *("heads", "keypoint_loss", lambda: keypoint_loss),
        [_loss(4), _loss(1), _loss(3, labelled=False), _loss(0)],
        differentiable=(0,),
    ),
    stage(
        "heads.keypoint.keypoints_of_maps",
        *(_maps(n) for n in (5, 1, 0)),
        _maps(4, narrow=True),
        single=True,  # torchvision's places are float32
    ),
    stage(
        "ops.bicubic.bicubic",
        case(normal(2, 3, 5, 7), size=(11, 4)),
        case(normal(1, 1, 1, 1), size=(3, 2)),
        case(normal(0, 3, 5, 7), size=(2, 2)),
        heading="heads",
    ),
    stage(
        "transform.scale_keypoints",
        case(_points(), (80, 100), (133, 201)),
        case(np.zeros((0, 17, 3)), (80, 100), (133, 201)),
        single=True,  # its two ratios are float32, as in torchvision
    ),
)
