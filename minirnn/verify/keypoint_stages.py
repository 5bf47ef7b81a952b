"""The keypoint head's stages, as `stages` has those of the others: targets, loss and reading."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minirnn.verify import stage_draws as draw
from minirnn.verify.drawing import case, normal
from minirnn.verify.subject import Subject, found_at


def keypoint_loss(logits: Any, keypoints: np.ndarray, boxes: np.ndarray) -> Any:
    """The stage, of the keypoints themselves: their cells are found on the way."""
    from minirnn.heads import keypoint

    cells = keypoint.keypoint_cells(keypoints, boxes, logits.shape[-1])
    return keypoint.keypoint_loss(logits, cells)


def _regions(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (R, 5, 3) in, on the edge of, and outside of boxes (R, 4); some not labelled."""
    corner = rng.integers(0, 20, (count, 2))
    boxes = np.concatenate([corner, corner + rng.integers(1, 12, (count, 2))], 1).astype(float)
    keypoints = np.empty((count, 5, 3))
    keypoints[..., :2] = corner[:, None] + rng.integers(-2, 13, (count, 5, 2))
    keypoints[:, ::2, :2] += rng.uniform(0, 1, (count, 3, 2))
    keypoints[..., 2] = rng.integers(0, 3, (count, 5))
    return keypoints, boxes


def _cells(rng: np.random.Generator, count: int, size: int) -> Any:
    return (*_regions(rng, count), size), {}


def _loss(rng: np.random.Generator, count: int, labelled: bool = True) -> Any:
    keypoints, boxes = _regions(rng, count)
    keypoints[..., 2] *= labelled
    return (rng.normal(0, 2, (count, 5, 6, 6)), keypoints, boxes), {}


def _maps(rng: np.random.Generator, count: int, narrow: bool = False) -> Any:
    _, boxes = _regions(rng, count)
    boxes[:, 2:] = boxes[:, :2] + rng.uniform(0.1, 0.9 if narrow else 12, (count, 2))
    return (rng.normal(0, 2, (count, 5, 6, 6)), boxes), {}


KEYPOINT_STAGES: tuple[Subject, ...] = (
    Subject(
        *("heads", "keypoint_cells", found_at("heads.keypoint.keypoint_cells")),
        [partial(_cells, count=n, size=s) for n, s in ((9, 6), (0, 6))],
    ),
    Subject(
        *("heads", "keypoint_loss", lambda: keypoint_loss),
        [
            *(partial(_loss, count=n) for n in (4, 1)),
            partial(_loss, count=3, labelled=False),
            partial(_loss, count=0),
        ],
        differentiable=(0,),
    ),
    Subject(
        *("heads", "keypoints_of_maps", found_at("heads.keypoint.keypoints_of_maps")),
        [*(partial(_maps, count=n) for n in (5, 1, 0)), partial(_maps, count=4, narrow=True)],
        single=True,  # torchvision's places are
    ),
    Subject(
        *("heads", "bicubic", found_at("ops.bicubic.bicubic")),
        [
            case(normal(2, 3, 5, 7), size=(11, 4)),
            case(normal(1, 1, 1, 1), size=(3, 2)),
            case(normal(0, 3, 5, 7), size=(2, 2)),
        ],
    ),
    Subject(
        *("transform", "scale_keypoints", found_at("transform.scale_keypoints")),
        [
            lambda rng: ((draw.boxes(9)(rng)[:, :3].reshape(3, 3, 3), (80, 100), (133, 201)), {}),
            case(np.zeros((0, 17, 3)), (80, 100), (133, 201)),
        ],
        single=True,  # the two ratios, as in torchvision
    ),
)
