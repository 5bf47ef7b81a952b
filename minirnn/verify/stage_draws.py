"""Drawn inputs for the stages: boxes in and around an image, objects, maps, masks, annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minirnn.data.sample import Target
from minirnn.textbook import masks as mask_loops
from minirnn.textbook.boxes import encode
from minirnn.verify.drawing import Rng, drawn

Call = tuple[tuple[Any, ...], dict[str, Any]]
SIZE = (80, 100)  # height and width of the image


@drawn
def boxes(rng: Rng, count: int, size: float = 60) -> np.ndarray:
    """(count, 4) boxes with sides up to `size`, some of which stick out of an image of 80 × 100."""
    corner = rng.uniform(-10, 75, (count, 2))
    return np.hstack([corner, corner + rng.uniform(1, size, (count, 2))])


def edge_boxes() -> np.ndarray:
    """Boxes that touch, are equal, have no width, no height or neither, or lie outside the image."""
    return np.array(
        [
            [10, 10, 30, 30],
            [10, 10, 30, 30],
            [30, 10, 50, 30],
            [20, 20, 20, 40],
            [20, 20, 40, 20],
            [15, 15, 15, 15],
            [-40, -30, -5, -8],
            [200, 200, 220, 240],
            [-10, -10, 300, 300],
        ],
        np.float64,
    )


@drawn
def nms(
    rng: Rng, *, count: int, threshold: float, groups: int | None = None, ties: bool = False
) -> Call:
    """Boxes that overlap often; with `ties`, of equal scores and some of them equal."""
    own = boxes(count, size=40)(rng)
    own -= 0.6 * np.hstack([own[:, :2], own[:, :2]])  # nearer to each other, with the same sides
    scores = rng.integers(0, 5, count) / 5 if ties else rng.random(count)
    if ties:
        own[count // 2 :] = own[: count - count // 2]
    group = () if groups is None else (rng.integers(0, groups, count),)
    return (own, scores, *group, threshold), {}


@drawn
def target(rng: Rng, objects: int, crowds: int) -> Target:
    """The truth of an image: objects, and crowd regions anywhere between them."""
    is_crowd = rng.permutation(np.arange(objects + crowds) < crowds)
    count = objects + crowds
    return Target(boxes(count, size=50)(rng), rng.integers(1, 4, count), None, is_crowd)


@drawn
def rpn_maps(rng: Rng, *, images: int) -> Call:
    """Logits and deltas of two levels with three anchors a cell."""
    sizes = ((4, 5), (2, 3))
    return (
        [rng.normal(size=(images, 3, *size)) for size in sizes],
        [rng.normal(size=(images, 12, *size)) for size in sizes],
    ), {}


@drawn
def rpn_targets(rng: Rng, *, objects: int, crowds: int, **settings: Any) -> Call:
    """Anchors, some of them close to objects."""
    truth = target(objects, crowds)(rng)
    anchors = np.vstack([boxes(60)(rng), truth.boxes + rng.uniform(-4, 4, truth.boxes.shape)])
    return (anchors, truth, SIZE), settings


def clear_of_bends(deltas: np.ndarray, goal: np.ndarray, beta: float) -> np.ndarray:
    """The deltas, moved a little where a difference quotient would span smooth-L1's bend at beta."""
    near = np.abs(np.abs(deltas - goal) - beta) < 1e-3
    return np.where(near, deltas + 3e-3, deltas)


@drawn
def rpn_losses(rng: Rng, *, objects: Sequence[int], **settings: Any) -> Call:
    """Images with anchors that are sampled at random."""
    anchors, images = boxes(30)(rng), len(objects)
    anchors[:, 2:] += 15  # small ones would make goals so large that slopes drown in rounding
    targets = [target(n, 0)(rng) for n in objects]
    matches = [rng.integers(-2, n, 30) if n else np.full(30, -1) for n in objects]
    sampled = [
        (rng.permutation(np.flatnonzero(m >= 0))[:4], rng.permutation(np.flatnonzero(m == -1))[:9])
        for m in matches
    ]
    logits, deltas = rng.normal(0, 2, (images, 30)), rng.normal(0, 1, (images, 30, 4))
    for image, (truth, match) in enumerate(zip(targets, matches, strict=True)):
        if len(truth.boxes):
            own = truth.boxes[np.maximum(match, 0)]
            goal = encode(anchors, own, settings.get("weights", (1.0, 1.0, 1.0, 1.0)))
            deltas[image] = clear_of_bends(deltas[image], goal, settings.get("beta", 1 / 9))
    return (logits, deltas, anchors, targets, matches, sampled), settings


@drawn
def proposals(rng: Rng, *, sizes: Sequence[int], **settings: Any) -> Call:
    """Anchors of some levels that move a little and often end on each other."""
    count = sum(sizes)
    anchors = boxes(count, size=40)(rng)
    return (
        rng.normal(0, 2, count),
        rng.normal(0, 0.3, (count, 4)),
        anchors,
        tuple(sizes),
        SIZE,
    ), settings


@drawn
def box_losses(rng: Rng, *, regions: int, positives: int, **settings: Any) -> Call:
    """Regions of which the first are objects of three classes."""
    labels = np.zeros(regions, np.int64)
    labels[:positives] = rng.integers(1, 4, positives)
    own = boxes(regions)(rng)
    matched = own + rng.uniform(-0.4, 0.4, own.shape)
    goal = np.tile(encode(own, matched, settings.get("weights", (10.0, 10.0, 5.0, 5.0))), 4)
    deltas = rng.normal(0, 1, (regions, 16))
    deltas = clear_of_bends(deltas, goal, settings.get("beta", 1 / 9))
    return (rng.normal(0, 2, (regions, 4)), deltas, own, labels, matched), settings


@drawn
def detections(rng: Rng, *, proposals: int, **settings: Any) -> Call:
    """Probabilities of three classes and background, and small moves."""
    powers = np.exp(rng.normal(0, 1.5, (proposals, 4)))
    return (
        powers / powers.sum(1, keepdims=True),
        rng.normal(0, 0.5, (proposals, 16)),
        boxes(proposals, size=50)(rng),
        SIZE,
    ), settings


@drawn
def mask_loss(rng: Rng, *, positives: int) -> Call:
    """Masks of 5 × 5 cells for three classes and background."""
    return (
        rng.normal(0, 3, (positives, 4, 5, 5)),
        rng.random((positives, 5, 5)),
        rng.integers(1, 4, positives),
    ), {}


@drawn
def crop(rng: Rng, *, regions: int, **settings: Any) -> Call:
    """Blobs in the image, and regions of which some lie half outside."""
    masks = np.stack([blob(40, 50)(rng) for _ in range(3)])
    own = boxes(regions, size=30)(rng) * 0.5
    return (masks, own, rng.integers(0, 3, regions), 7), settings


@drawn
def paste(rng: Rng, *, count: int, **settings: Any) -> Call:
    """Probabilities of 7 × 7 cells, for boxes in and around an image of 30 × 40."""
    return (rng.random((count, 7, 7)), boxes(count, size=50)(rng) * 0.4, 30, 40), settings


@drawn
def photograph(rng: Rng, height: int, width: int) -> np.ndarray:
    """Noise, as bytes."""
    return rng.integers(0, 256, (height, width, 3)).astype(np.uint8)


@drawn
def blob(rng: Rng, height: int, width: int) -> np.ndarray:
    """An ellipse with a hole."""
    y, x = np.mgrid[:height, :width] + 0.5
    centre = rng.uniform(0.3, 0.7, 2) * (height, width)
    far = np.hypot((y - centre[0]) / (0.35 * height), (x - centre[1]) / (0.3 * width))
    return (far < 1) & (far > rng.uniform(0, 0.4))


@drawn
def rle(
    rng: Rng, *, encoded: bool, density: float | None, size: tuple[int, int] = (17, 23)
) -> Call:
    """A mask of noise, or of a blob where no density is given; or the run lengths of it."""
    mask = blob(*size)(rng) if density is None else rng.random(size) < density
    if not encoded:
        return (mask,), {}
    return (mask_loops.encode(mask),), {}


@drawn
def region(rng: Rng, number: int, height: int = 60, width: int = 80) -> dict[str, Any]:
    """An annotation with box, mask and keypoints, of a size that is small, medium or large."""
    sides = rng.choice([3, 9, 20, 34, 55], 2)
    x, y = (int(rng.integers(0, limit - side)) for limit, side in zip((80, 60), sides, strict=True))
    mask = np.zeros((height, width), bool)
    mask[y : y + sides[1], x : x + max(sides[0] * 3 // 4, 1)] = True
    xy = rng.uniform(0, 1, (17, 2)) * sides + (x, y)
    flags = rng.integers(0, 3, 17) if rng.random() < 0.8 else np.zeros(17)
    return {
        "id": number,
        "image_id": 1,
        "category_id": 1,
        "bbox": [float(v) for v in (x, y, *sides)],
        "area": float(mask.sum()),
        "iscrowd": 0,
        "segmentation": mask_loops.encode(mask),
        "keypoints": np.column_stack([xy, flags]).ravel().tolist(),
        "num_keypoints": int((flags > 0).sum()),
    }


@drawn
def finding(rng: Rng, truth: dict[str, Any], score: float) -> dict[str, Any]:
    """A detection near a truth: a box that is a little off, keypoints that are, and the mask."""
    x, y, width, height = truth["bbox"]
    points = np.reshape(truth["keypoints"], (17, 3)).astype(np.float64)
    points[:, :2] += rng.normal(0, rng.choice([0.5, 3, 10]), (17, 2))
    moved = rng.uniform(-0.1, 0.1, 2) * (width, height)
    return {
        "image_id": truth["image_id"],
        "category_id": truth["category_id"],
        "bbox": [float(x + moved[0]), float(y + moved[1]), width, height],
        "segmentation": region(0)(rng)["segmentation"]
        if rng.random() < 0.3
        else truth["segmentation"],
        "keypoints": points.ravel().tolist(),
        "score": score,
    }


@drawn
def regions(rng: Rng, *, detections: int, truths: int) -> Call:
    """Detections by falling score and truths of one image, some of the truths crowds."""
    own = [region(i + 1)(rng) | {"iscrowd": int(rng.random() < 0.3)} for i in range(truths)]
    scores = np.sort(rng.random(detections))[::-1]
    found = [finding(own[int(rng.integers(truths))], float(score))(rng) for score in scores]
    return (found, own), {}


@drawn
def evaluation(rng: Rng, *, kind: str, images: int, found: bool = True) -> Call:
    """A small data set with crowds, objects of all sizes, two categories, and detections, with ties."""
    truths: list[dict[str, Any]] = []
    results = []
    for image_id in range(1, images + 1):
        for _ in range(int(rng.integers(1, 7))):
            truth = region(len(truths) + 1)(rng)
            truth |= {"image_id": image_id, "category_id": int(rng.choice([3, 7]))}
            truth["iscrowd"] = int(rng.random() < 0.15)
            truths.append(truth)
            results += [
                finding(truth, float(rng.integers(1, 9)) / 10)(rng)
                for _ in range(int(rng.integers(0, 4)) if found else 0)
            ]
    data_set = {
        "images": [{"id": i, "height": 60, "width": 80} for i in range(1, images + 1)],
        "categories": [{"id": c, "name": str(c)} for c in (3, 7)],
        "annotations": truths,
    }
    return (data_set, results, kind), {}
