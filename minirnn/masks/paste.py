"""From a small square of probabilities to a mask in the image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minirnn.backend import Array, xp_of
from minirnn.errors import InputError
from minirnn.kernels.table import operation
from minirnn.ops.interpolation import bilinear_weights
from minirnn.require import require


def _check(
    mask_probabilities: Array,
    boxes: Array,
    height: int,
    width: int,
    *,
    threshold: float = 0.5,
    mode: str = "continuous",
) -> None:
    if mode not in ("continuous", "legacy"):
        raise InputError(f"mode is {mode!r}; it should be 'continuous' or 'legacy'")
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"boxes has shape {boxes.shape}; it should be (D, 4)")
    shape = mask_probabilities.shape
    if len(shape) != 3 or shape[0] != len(boxes) or shape[1] != shape[2] or shape[1] == 0:
        raise InputError(
            f"mask_probabilities has shape {shape}; it should be ({len(boxes)}, M, M), M at least 1"
        )
    if mask_probabilities.dtype.kind != "f":
        raise InputError(
            f"mask_probabilities has dtype {mask_probabilities.dtype}; it should be float"
        )
    if height < 0 or width < 0:
        raise InputError(f"height and width are {height} and {width}; they should not be negative")
    if not (threshold > 0 or (mode == "legacy" and threshold == 0)):
        raise InputError(
            f"threshold is {threshold}; it should be > 0: far from its box, a mask is 0"
        )
    require(
        xp_of(mask_probabilities, boxes).isfinite(boxes).all(),
        lambda: InputError("boxes holds a number that is not finite"),
    )


@operation(check=_check)
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

    Either way a reading is a weighting of rows times a weighting of columns, so that a mask is two small
    matrix products: A @ probabilities @ B.T.

    Args:
        mask_probabilities: (D, M, M) float in [0, 1].
        boxes: (D, 4) float, in pixels of the image; they may stick out of it on any side. A box
            of no width or height gives an empty mask in "continuous".
        height: of the image, in pixels.
        width: of the image, in pixels.
        threshold: probability from which on a pixel belongs to the mask; > 0, in "legacy" >= 0.
        mode: "continuous" or "legacy".

    Returns:
        (D, height, width) bool.

    Raises:
        InputError: a shape, the mode or the threshold is wrong, or a box is not finite.

    Source: He et al., Mask R-CNN (arXiv 1703.06870), section 3.1, "Inference"; "continuous" is
    Detectron2's `paste_masks_in_image`, "legacy" torchvision's.
    """
    xp = xp_of(mask_probabilities, boxes)
    if mode == "legacy":
        mask_probabilities, boxes = with_border(mask_probabilities, boxes)
    masks = xp.zeros((len(boxes), height, width), bool)
    cells = mask_probabilities.shape[2]
    ys, xs = (place(boxes[:, k], boxes[:, k + 2], cells, mode) for k in (1, 0))
    # One by one: the readings of all together would take four times the memory of the masks.
    for i in range(len(boxes)):
        rows = weights_of(ys, i, xp.arange(height), mask_probabilities)
        columns = weights_of(xs, i, xp.arange(width), mask_probabilities)
        read = rows @ mask_probabilities[i] @ columns.T
        masks[i] = read > threshold if mode == "legacy" else read >= threshold
    return masks


class Place(NamedTuple):
    """Which pixels of one axis read the cells of D masks, and where: (D,) float64 each.

    Attributes:
        first: the first pixel that reads anything.
        last: one past the last pixel that does; not above `first` where nothing is read.
        scale: pixel p reads at cell scale · p + shift (in float64: far out, float32 has too few digits).
        shift: see `scale`.
        border: whether pixels beyond the outermost cells' centres read those cells; else they fall to 0.
    """

    first: Array
    last: Array
    scale: Array
    shift: Array
    border: bool


def place(start: Array, stop: Array, cells: int, mode: str) -> Place:
    """The sides start…stop of D boxes, (D,) in pixels, as `paste` reads them along one axis."""
    xp = xp_of(start)
    start, stop = start.astype(np.float64), stop.astype(np.float64)
    if mode == "legacy":
        first, last = xp.trunc(start), xp.trunc(stop) + 1
        scale = cells / xp.maximum(last - first, 1)
        return Place(first, last, scale, (0.5 - first) * scale - 0.5, True)
    size = xp.where(stop > start, stop - start, 1)
    half = size / cells / 2  # so far outside of the box readings fall to 0
    last = xp.where(stop > start, xp.ceil(stop + half), -1)
    scale = cells / size
    return Place(xp.floor(start - half), last, scale, (0.5 - start) * scale - 0.5, False)


def weights_of(place: Place, i: int, pixels: Array, probabilities: Array) -> Array:
    """(pixels, cells): what each pixel reads of the cells of mask i, along one axis."""
    reads = (pixels >= place.first[i]) & (pixels < place.last[i])
    return weights_within(place, i, pixels, probabilities) * reads[:, None]


def weights_within(place: Place, i: int, pixels: Array, probabilities: Array) -> Array:
    """`weights_of`, for pixels that all lie in `place.first[i]` … `place.last[i]`."""
    xp, cells = xp_of(pixels), probabilities.shape[2]
    at = place.scale[i] * pixels + place.shift[i]
    if place.border:
        at = xp.clip(at, 0, cells - 1)
    return bilinear_weights(at.astype(probabilities.dtype), cells)


def with_border(probabilities: Array, boxes: Array) -> tuple[Array, Array]:
    """A ring of zero cells around each mask, and boxes that are larger by the same factor."""
    xp, cells = xp_of(probabilities, boxes), probabilities.shape[-1]
    padded = xp.zeros((len(boxes), cells + 2, cells + 2), dtype=probabilities.dtype)
    padded[:, 1:-1, 1:-1] = probabilities
    half = (boxes[:, 2:] - boxes[:, :2]) * 0.5 * ((cells + 2) / cells)
    centre = (boxes[:, 2:] + boxes[:, :2]) * 0.5
    return padded, xp.concatenate([centre - half, centre + half], axis=1)
