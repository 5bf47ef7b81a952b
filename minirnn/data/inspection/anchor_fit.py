"""How well a network's anchors fit the objects of a data set, and which would fit better.

An anchor learns an object from a certain IoU on. An object whose best anchor has an IoU under 0.5 is
learned only because the rule "the best anchor of each object is positive" takes it in. So what counts is
the share of objects whose best anchor has an IoU of 0.5 or more, after the resize that the network does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn.anchors import AnchorGenerator, base_anchors
from minirnn.transform import Transform, scaled_size

ENOUGH = 0.5
#: A suggestion is made from this gain in the share of objects on.
WORTH = 0.02
#: Sizes and ratios are at least this part of an octave apart.
_APART = {"sizes": 0.25, "ratios": 0.2}


@dataclass(frozen=True)
class Detector:
    """What of a network decides over its anchors.

    Attributes:
        name: of the preset.
        transform: how photographs are resized.
        anchors: sizes and ratios.
        strides: of each map, in pixels, finest first.
    """

    name: str
    transform: Transform
    anchors: AnchorGenerator
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Objects:
    """Objects as a network sees them.

    Attributes:
        boxes: (N, 4) in the pixels of the resized image.
        canvases: (N, 2) height and width of the network's input.
    """

    boxes: np.ndarray
    canvases: np.ndarray

    @property
    def sides(self) -> np.ndarray:
        """(N, 2) width and height."""
        return self.boxes[:, 2:] - self.boxes[:, :2]


@dataclass(frozen=True)
class Fit:
    """The anchors of a network, beside some that fit better.

    Attributes:
        detector: the network.
        objects: by split.
        best: by split, (N,) IoU of each object with its best anchor.
        suggestion: anchors that fit better; None if there are none worth the change.
        suggested: by split, the same as `best` with the suggestion; empty without one.
    """

    detector: Detector
    objects: dict[str, Objects]
    best: dict[str, np.ndarray]
    suggestion: AnchorGenerator | None
    suggested: dict[str, np.ndarray]

    def options(self) -> list[str]:
        """The suggestion as `--set` takes it."""
        if self.suggestion is None:
            return []
        sizes = tuple(map(tuple, self.suggestion.sizes))
        values = {"anchor_sizes": sizes, "anchor_ratios": tuple(self.suggestion.ratios)}
        return [f"{name}={_plain(value)}" for name, value in values.items()]


def _plain(value: Any) -> str:
    """Tuples of numbers without what is not needed: ((16,),(32,)) and (0.55,1.36)."""
    if isinstance(value, tuple):
        return f"({','.join(map(_plain, value))}{',' if len(value) == 1 else ''})"
    return f"{value:g}"


def share(best: np.ndarray) -> float:
    """The share of objects whose best anchor has an IoU of ENOUGH or more; 0 without objects."""
    return float((best >= ENOUGH).mean()) if len(best) else 0.0


def seen_by(boxes: np.ndarray, sizes: np.ndarray, transform: Transform) -> Objects:
    """Objects after the resize that a network does when it is not drawn at random.

    Args:
        boxes: (N, 4) in the photographs.
        sizes: (N, 2) height and width of their photographs.
        transform: the network's.
    """
    new = np.array(
        [scaled_size(int(h), int(w), transform.min_sizes[-1], transform.max_size) for h, w in sizes]
    ).reshape(-1, 2)
    scale = new / sizes
    canvases = -(-new // transform.divisor) * transform.divisor
    return Objects(boxes * scale[:, [1, 0, 1, 0]], canvases)


def best_ious(objects: Objects, anchors: AnchorGenerator, strides: Sequence[int]) -> np.ndarray:
    """The IoU of each object with the best of all anchors, without making them all.

    Of anchors of one shape, the best is the one nearest to the object: the part that two boxes share
    shrinks with the distance of their centres along either axis. So on each level only the anchors at
    the place that is nearest to the object's centre are compared.

    Returns:
        (N,) float.
    """
    boxes, best = objects.boxes, np.zeros(len(objects.boxes))
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    for stride, sizes in zip(strides, anchors.sizes, strict=True):
        cell = stride if anchors.cell_rounded else None
        base = base_anchors(sizes, anchors.ratios, rounded=anchors.rounded, cell=cell)
        cells = -(-objects.canvases // stride)
        step = objects.canvases // cells if anchors.integer_strides else np.full_like(cells, stride)
        cells, step = cells[:, ::-1], step[:, ::-1]  # x before y, as in boxes
        nearest = np.clip(np.rint(centres / step - anchors.offset), 0, cells - 1)
        places = np.tile((nearest + anchors.offset) * step, 2)
        for shape in base:
            best = np.maximum(best, _iou_of_pairs(boxes, places + shape))
    return best


def _iou_of_pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The IoU of each box (N, 4) with the one of the same row."""
    shared = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    both = np.clip(shared, 0, None).prod(axis=1)
    areas = (a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1)
    return both / (areas - both)


def fit_anchors(detector: Detector, objects: dict[str, Objects]) -> Fit:
    """Compare the network's anchors with objects, and look for better ones.

    The sizes are the centres of a k-means over log √(width · height), as many as the network has; the
    ratios the same over log (height / width). Either alone is tried, too. They are made for the objects
    of the first split, and the best of them by the share of these objects is taken.

    Args:
        detector: the network.
        objects: by split.
    """
    anchors, strides = detector.anchors, detector.strides
    best = {name: best_ious(own, anchors, strides) for name, own in objects.items()}
    first = next(iter(objects), None)
    if first is None or not len(objects[first].boxes):
        return Fit(detector, objects, best, None, {})
    winner, most = None, share(best[first]) + WORTH
    for candidate in _candidates(objects[first].sides, anchors):
        reached = share(best_ious(objects[first], candidate, strides))
        if reached >= most:
            winner, most = candidate, reached + 1e-9
    if winner is None:
        return Fit(detector, objects, best, None, {})
    suggested = {name: best_ious(own, winner, strides) for name, own in objects.items()}
    return Fit(detector, objects, best, winner, suggested)


def _candidates(sides: np.ndarray, anchors: AnchorGenerator) -> list[AnchorGenerator]:
    """New sizes, new ratios, both: the smaller change first."""
    width, height = np.maximum(sides, 1e-3).T
    levels, each = len(anchors.sizes), len(anchors.sizes[0])
    octaves = k_means(np.log2(width * height) / 2, levels * each, _APART["sizes"])
    whole = [max(round(float(2**octave)), 1) for octave in octaves]
    sizes = tuple(tuple(whole[i * each : (i + 1) * each]) for i in range(levels))
    octaves = k_means(np.log2(height / width), len(anchors.ratios), _APART["ratios"])
    ratios = tuple(round(float(2**octave), 2) for octave in octaves)
    changes: list[dict] = [{"sizes": sizes}, {"ratios": ratios}, {"sizes": sizes, "ratios": ratios}]
    return [dataclasses.replace(anchors, **change) for change in changes]


def k_means(values: np.ndarray, count: int, apart: float) -> np.ndarray:
    """The centres of `count` groups of numbers (Lloyd's algorithm from evenly spaced quantiles).

    Args:
        values: (N,), at least one.
        count: of centres.
        apart: centres that come nearer are pushed apart, so that each is of use.

    Returns:
        (count,) in rising order.
    """
    centres = np.quantile(values, (np.arange(count) + 0.5) / count)
    for _ in range(100):
        group = np.abs(values[:, None] - centres).argmin(axis=1)
        new = np.array(
            [values[group == i].mean() if (group == i).any() else centres[i] for i in range(count)]
        )
        if np.array_equal(new, centres):
            break
        centres = new
    centres = np.sort(centres)
    spread = np.maximum.accumulate(centres - apart * np.arange(count)) + apart * np.arange(count)
    return spread - (spread - centres).mean()
