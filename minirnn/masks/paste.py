"""From a small square of probabilities to a mask in the image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minirnn.backend import Array, positive_part, to_host, xp_of
from minirnn.errors import InputError
from minirnn.kernels.cpu.parallel import for_chunks


def paste(
    mask_probabilities: Array,
    boxes: Array,
    height: int,
    width: int,
    *,
    threshold: float = 0.5,
    mode: str = "continuous",
) -> Array:
    """Stretch each predicted mask over its box, read it at the image's pixels, and threshold it.

    "continuous" reads at the pixel centres, in the box as it is (not rounded): the pixel with its
    centre at x + 1/2 reads cell coordinate u = (x + 1/2 - x1) / (x2 - x1) M - 1/2, bilinearly, with
    zeros around the M x M cells, and belongs to the mask where the reading is >= threshold.
    Rounding the box first moves every border by up to a pixel, which costs about half a point of
    mask AP.

    "legacy" does round: a border of one zero cell is added and the box widened to match, its
    corners are cut to whole numbers (towards zero), and the cells are resized to
    (x2 - x1 + 1, y2 - y1 + 1) pixels; what is > threshold belongs to the mask. It is kept to
    compare with torchvision's answers.

    Either way a reading is a row weighting times a column weighting, so that a mask is two small
    matrix products, A @ probabilities @ B.T, over the pixels of its box only.

    Args:
        mask_probabilities: (D, M, M) float in [0, 1].
        boxes: (D, 4) float, in pixels of the image; they may stick out of it on any side. A box
            of no width or height gives an empty mask in "continuous".
        height: of the image, in pixels.
        width: of the image, in pixels.
        threshold: probability from which on a pixel belongs to the mask.
        mode: "continuous" or "legacy".

    Returns:
        (D, height, width) bool.

    Raises:
        InputError: a shape or the mode is wrong, or a box is not finite.

    Source: He et al., Mask R-CNN (arXiv 1703.06870), section 3.1, "Inference"; "continuous" is
    Detectron2's `paste_masks_in_image`, "legacy" torchvision's.
    """
    xp = xp_of(mask_probabilities, boxes)
    _check(mask_probabilities, boxes, height, width, mode)
    masks = xp.zeros((len(boxes), height, width), dtype=bool)
    if masks.size == 0:
        return masks
    if mode == "legacy":
        mask_probabilities, boxes = _add_border(mask_probabilities, boxes)
    corners = to_host(boxes)
    if not np.isfinite(corners).all():
        raise InputError("boxes holds a number that is not finite")
    axis = _continuous_axis if mode == "continuous" else _legacy_axis
    cells, dtype = mask_probabilities.shape[-1], mask_probabilities.dtype

    def work(start: int, stop: int) -> None:
        for i in range(start, stop):
            x1, y1, x2, y2 = corners[i].tolist()
            top, rows = axis(xp, y1, y2, height, cells, dtype)
            left, columns = axis(xp, x1, x2, width, cells, dtype)
            if len(rows) and len(columns):
                read = rows @ mask_probabilities[i] @ columns.T
                inside = read >= threshold if mode == "continuous" else read > threshold
                masks[i, top : top + len(rows), left : left + len(columns)] = inside

    if xp is np:
        for_chunks(work, len(boxes), at_least=8)
    else:
        work(0, len(boxes))
    return masks


def _continuous_axis(
    xp: Any, start: float, stop: float, length: int, cells: int, dtype: np.dtype
) -> tuple[int, Array]:
    """Along one axis: the first pixel that reads anything, and the (pixels, cells) weights."""
    if stop <= start:
        return 0, xp.zeros((0, cells), dtype=dtype)
    # Between the outermost cell centre and half a cell outside the box, readings fall to zero.
    reach = (stop - start) / cells / 2
    low = max(math.floor(start - reach), 0)
    high = min(math.ceil(stop + reach), length)
    if low >= high:
        return 0, xp.zeros((0, cells), dtype=dtype)
    # The scale is folded into two numbers in float64: float32 has too few digits for x - x1 where
    # a box lies far out.
    scale = cells / (stop - start)
    shift = (low + 0.5 - start) * scale - 0.5
    return low, _hat(xp, high - low, scale, shift, cells, dtype, border=False)


def _legacy_axis(
    xp: Any, start: float, stop: float, length: int, cells: int, dtype: np.dtype
) -> tuple[int, Array]:
    """As `_continuous_axis`, for a box whose corners are cut to whole numbers."""
    first, last = int(start), int(stop)
    pixels = max(last - first + 1, 1)
    low, high = max(first, 0), min(last + 1, length)
    if low >= high:
        return 0, xp.zeros((0, cells), dtype=dtype)
    # Where the clip drops pixels, the first one kept is pixel low - first of the resized mask.
    scale = cells / pixels
    shift = (low - first + 0.5) * scale - 0.5
    return low, _hat(xp, high - low, scale, shift, cells, dtype, border=True)


def _hat(
    xp: Any, pixels: int, scale: float, shift: float, cells: int, dtype: np.dtype, border: bool
) -> Array:
    """(pixels, cells): 1 - |u - j| where positive, for u = scale · pixel + shift and each cell j.

    With `border`, the outermost cells reach to infinity; without it, there is nothing outside.
    """
    at = xp.arange(pixels, dtype=dtype) * scale + shift
    if border:
        at = xp.clip(at, 0, cells - 1)
    distance = xp.abs(at[:, None] - xp.arange(cells, dtype=dtype))
    return positive_part(1 - distance)


def _add_border(probabilities: Array, boxes: Array) -> tuple[Array, Array]:
    """A ring of zero cells around each mask, and boxes that are larger by the same factor."""
    xp, cells = xp_of(probabilities, boxes), probabilities.shape[-1]
    padded = xp.zeros((len(boxes), cells + 2, cells + 2), dtype=probabilities.dtype)
    padded[:, 1:-1, 1:-1] = probabilities
    half = (boxes[:, 2:] - boxes[:, :2]) * 0.5 * ((cells + 2) / cells)
    centre = (boxes[:, 2:] + boxes[:, :2]) * 0.5
    return padded, xp.concatenate([centre - half, centre + half], axis=1)


def _check(probabilities: Array, boxes: Array, height: int, width: int, mode: str) -> None:
    if mode not in ("continuous", "legacy"):
        raise InputError(f"mode is {mode!r}; it should be 'continuous' or 'legacy'")
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"boxes has shape {boxes.shape}; it should be (D, 4)")
    shape = probabilities.shape
    if len(shape) != 3 or shape[0] != len(boxes) or shape[1] != shape[2] or shape[1] == 0:
        raise InputError(
            f"mask_probabilities has shape {shape}; it should be ({len(boxes)}, M, M), M at least 1"
        )
    if probabilities.dtype.kind != "f":
        raise InputError(f"mask_probabilities has dtype {probabilities.dtype}; it should be float")
    if height < 0 or width < 0:
        raise InputError(f"height and width are {height} and {width}; they should not be negative")
