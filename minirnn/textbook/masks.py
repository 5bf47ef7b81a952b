"""Masks as plain loops: targets, pasting and run lengths, one pixel at a time; then `minirnn.masks`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def crop(
    masks: np.ndarray,
    boxes: np.ndarray,
    gt_index: np.ndarray,
    size: int = 28,
    *,
    aligned: bool = False,
) -> np.ndarray:
    """Mask targets: each proposal's part of its object's mask, read as RoIAlign reads features.

    Args:
        masks: (G, H, W) bool, the objects' masks in the image.
        boxes: (P, 4), the proposals.
        gt_index: (P,), the number of each proposal's object.
        size: cells of the result, vertically and horizontally.
        aligned: with the half-pixel shift, or without (torchvision's first way).

    Returns:
        (P, size, size) in 0…1.

    Source: He et al., Mask R-CNN (arXiv 1703.06870), section 3: "The mask target is the
    intersection between an RoI and its associated ground-truth mask".
    """
    targets = np.zeros((len(boxes), size, size), boxes.dtype)
    half = 0.5 if aligned else 0.0
    for r in range(len(boxes)):
        mask = masks[gt_index[r]]
        x1, y1, x2, y2 = boxes[r] - boxes.dtype.type(half)
        w, h = x2 - x1, y2 - y1
        if not aligned:
            w, h = max(w, boxes.dtype.type(1)), max(h, boxes.dtype.type(1))
        step_x, step_y = w / size, h / size
        samples_x, samples_y = math.ceil(step_x), math.ceil(step_y)
        if samples_x <= 0 or samples_y <= 0:
            continue
        for i in range(size):
            for j in range(size):
                total = 0.0
                for k in range(samples_y):
                    for l in range(samples_x):  # noqa: E741
                        y = y1 + i * step_y + (k + 0.5) * step_y / samples_y
                        x = x1 + j * step_x + (l + 0.5) * step_x / samples_x
                        total += _read(mask, y, x)
                targets[r, i, j] = total / (samples_y * samples_x)
    return targets


def _read(mask: np.ndarray, y: float, x: float) -> float:
    """The mask at a point between pixels; its border value up to one pixel outside, then 0."""
    height, width = mask.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    fy, fx = y - top, x - left
    upper = (1 - fx) * mask[top, left] + fx * mask[top, right]
    lower = (1 - fx) * mask[bottom, left] + fx * mask[bottom, right]
    return float((1 - fy) * upper + fy * lower)


def best_thresholds(mask_probabilities: np.ndarray) -> np.ndarray:
    """For each mask the threshold of the largest expected IoU, by trying each of its probabilities.

    Args:
        mask_probabilities: (D, M, M) in 0…1.

    Returns:
        (D,), 1 for a mask of zeros.

    Source: Nowozin, "Optimal decisions from probabilistic models: the intersection-over-union case", 2014.
    """
    thresholds = np.ones(len(mask_probabilities), mask_probabilities.dtype)
    for d, mask in enumerate(mask_probabilities):
        most = 0.0
        for threshold in mask.flat:
            intersection, union = 0.0, 0.0
            for p in mask.flat:
                if p >= threshold:
                    intersection += p
                union += 1 if p >= threshold else p
            if union and intersection / union > most:
                most, thresholds[d] = intersection / union, threshold
    return thresholds


def paste(
    mask_probabilities: np.ndarray,
    boxes: np.ndarray,
    height: int,
    width: int,
    *,
    threshold: float = 0.5,
    mode: str = "continuous",
) -> np.ndarray:
    """Predicted masks in the image: each pixel asks its box which cells it lies between.

    Args:
        mask_probabilities: (D, M, M) in 0…1.
        boxes: (D, 4) in pixels of the image.
        height: of the image, pixels.
        width: of the image, pixels.
        threshold: a pixel belongs to the mask from this probability on.
        mode: "continuous" reads at the centres of pixels, in the box as it is; "legacy", torchvision's
            way, rounds the box to whole pixels first, and takes what is above the threshold.

    Returns:
        (D, height, width) bool.

    Source: He et al., Mask R-CNN (arXiv 1703.06870), section 3.1: "The m×m floating-number mask
    output is then resized to the RoI size, and binarized at a threshold of 0.5".
    """
    masks = np.zeros((len(boxes), height, width), bool)
    for d in range(len(boxes)):
        read = _read_continuous if mode == "continuous" else _read_legacy
        for y in range(height):
            for x in range(width):
                value = read(mask_probabilities[d], boxes[d], y, x)
                masks[d, y, x] = value >= threshold if mode == "continuous" else value > threshold
    return masks


def _read_continuous(cells: np.ndarray, box: np.ndarray, y: int, x: int) -> float:
    """The probability at the centre of pixel (y, x); the box has size x size cells."""
    x1, y1, x2, y2 = box.tolist()
    size = len(cells)
    if x2 <= x1 or y2 <= y1:
        return 0.0
    u = (x + 0.5 - x1) / (x2 - x1) * size - 0.5
    v = (y + 0.5 - y1) / (y2 - y1) * size - 0.5
    value = 0.0
    for i in (math.floor(v), math.floor(v) + 1):
        for j in (math.floor(u), math.floor(u) + 1):
            if 0 <= i < size and 0 <= j < size:  # a cell outside the box is 0
                value += (1 - abs(v - i)) * (1 - abs(u - j)) * float(cells[i, j])
    return value


def _read_legacy(cells: np.ndarray, box: np.ndarray, y: int, x: int) -> float:
    """The same in a box of whole pixels, with a ring of zero cells around the cells."""
    size = len(cells) + 2
    padded = np.zeros((size, size))
    padded[1:-1, 1:-1] = cells
    scale = box.dtype.type(size / (size - 2))
    half_width, half_height = (box[2:] - box[:2]) / 2 * scale
    centre_x, centre_y = (box[2:] + box[:2]) / 2
    left, right = int(centre_x - half_width), int(centre_x + half_width)
    top, bottom = int(centre_y - half_height), int(centre_y + half_height)
    if not (left <= x <= right and top <= y <= bottom):
        return 0.0
    u = (x - left + 0.5) * size / (right - left + 1) - 0.5
    v = (y - top + 0.5) * size / (bottom - top + 1) - 0.5
    return _read(padded, min(max(v, 0.0), size - 1.0), min(max(u, 0.0), size - 1.0))


def encode(mask: np.ndarray, *, compressed: bool = True) -> dict[str, Any]:
    """Run lengths of a mask (H, W), column by column, starting with the pixels that are off.

    Args:
        mask: (H, W) bool.
        compressed: the counts as COCO's text; False for a list.

    Returns:
        {"size": [H, W], "counts": …}

    Source: the format of COCO's annotation files.
    """
    height, width = mask.shape
    counts, current, run = [], False, 0
    for x in range(width):
        for y in range(height):
            if bool(mask[y, x]) != current:
                counts.append(run)
                current, run = not current, 0
            run += 1
    counts.append(run)
    return {"size": [height, width], "counts": _to_text(counts) if compressed else counts}


def encode_many(masks: np.ndarray, *, compressed: bool = True) -> list[dict[str, Any]]:
    """`encode` of each mask."""
    return [encode(mask, compressed=compressed) for mask in masks]


def decode(rle: dict[str, Any]) -> np.ndarray:
    """The mask (H, W) of run lengths: paint each run, flip the colour, go on.

    Source: the format of COCO's annotation files.
    """
    height, width = rle["size"]
    mask = np.zeros((height, width), bool)
    at, on = 0, False
    for run in _to_counts(rle["counts"]):
        for _ in range(run):
            mask[at % height, at // height] = on
            at += 1
        on = not on
    return mask


def area(rle: dict[str, Any]) -> int:
    """Pixels that are on: every second run."""
    total = 0
    for i, run in enumerate(_to_counts(rle["counts"])):
        if i % 2 == 1:
            total += run
    return total


def _to_text(counts: list[int]) -> str:
    """Each count as characters of five bits, the lowest first; a sixth bit says that more follow.

    From the fourth on, it is the difference to the count before the last that is written.
    """
    text = ""
    for i, count in enumerate(counts):
        left = count - counts[i - 2] if i > 2 else count
        while True:
            bits = left & 31
            left >>= 5
            # Done when all that is left is copies of the sign, the group's highest bit.
            done = left == (-1 if bits & 16 else 0)
            text += chr(48 + bits + (0 if done else 32))
            if done:
                break
    return text


def _to_counts(counts: str | bytes | list[int]) -> list[int]:
    """The way back from `_to_text`; a list is given back as it is."""
    if isinstance(counts, list):
        return counts
    text = counts.decode() if isinstance(counts, bytes) else counts
    result: list[int] = []
    number, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        if len(result) > 2:
            number += result[-2]
        result.append(number)
        number, shift = 0, 0
    return result
