"""What operations are timed on: float32, and lying in memory as one operation of a network hands it on.

They are used in a `case` as the functions of `minirnn.verify.drawing` are.
"""

from __future__ import annotations

import numpy as np

from minirnn.ops.shape import arranged
from minirnn.verify.drawing import Rng, drawn


@drawn
def numbers(rng: Rng, *shape: int) -> np.ndarray:
    """Normal numbers: no zeros that a library could be quick about."""
    return rng.standard_normal(shape, np.float32)


@drawn
def shares(rng: Rng, *shape: int) -> np.ndarray:
    """Numbers from 0 to 1."""
    return rng.random(shape, np.float32)


@drawn
def maps(rng: Rng, n: int, c: int, h: int, w: int) -> np.ndarray:
    """(N, C, H, W), channels last in memory; those of an image (C of 3) in planes."""
    if c == 3:
        return rng.standard_normal((n, c, h, w), np.float32)
    return rng.standard_normal((n, h, w, c), np.float32).transpose(0, 3, 1, 2)


@drawn
def weights(rng: Rng, *shape: int) -> np.ndarray:
    """Weights of a layer, in the order in memory that layers keep them in."""
    return arranged(rng.standard_normal(shape, np.float32))


@drawn
def boxes_in(rng: Rng, count: int, size: tuple[int, int], low: float, high: float) -> np.ndarray:
    """(count, 4) inside an image (height, width), with sides spread evenly over orders of magnitude."""
    height, width = size
    sides = np.exp(rng.uniform(np.log(low), np.log(high), (count, 2)))
    sides = np.minimum(sides, np.array([width, height]) * 0.9)
    corner = rng.uniform(0, 1, (count, 2)) * (np.array([width, height]) - sides)
    return np.concatenate([corner, corner + sides], axis=1).astype(np.float32)


@drawn
def crowds(rng: Rng, count: int, size: tuple[int, int]) -> np.ndarray:
    """(count, 4) boxes in heaps of twenty that overlap, as proposals do."""
    centres = boxes_in(count // 20, size, 16, 256)(rng).repeat(20, axis=0)
    sides = np.tile(centres[:, 2:] - centres[:, :2], 2)
    boxes = (centres + rng.normal(0, 0.08, (count, 4)) * sides).astype(np.float32)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    return boxes


@drawn
def scores(rng: Rng, count: int) -> np.ndarray:
    """(count,) from 0 to 1, no two equal."""
    return (rng.permutation(count).astype(np.float32) + 1) / count
