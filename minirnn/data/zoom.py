"""Augmentation: nearer or farther, in a picture of the same size ("large-scale jitter").

The picture is scaled by a factor that is drawn, and what does not fit into its old size is cut off, or what
is missing is filled. The network scales every picture to one size anyway (`min_size`), and so a part that
is cut out need not be enlarged here: it keeps the picture's proportions, and is enlarged there.

Source: Ghiasi and others, "Simple Copy-Paste is a Strong Data Augmentation Method for Instance
Segmentation", CVPR 2021, section 3; they draw factors from 0.1 to 2 for large-scale jitter, and from 0.8 to
1.25 for the usual one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minirnn.data.cropping import crop, start_of_window, the_object_to_show
from minirnn.data.objects import kept, shifted
from minirnn.data.resizing import resize
from minirnn.errors import InputError
from minirnn.structures import Sample

#: The two factors that leave a picture as it is.
NO_ZOOM = (1.0, 1.0)

#: No picture is scaled by less than this, nor by more than one over it.
SMALLEST = 0.1


def check_zoom(zoom: Sequence[float], name: str = "zoom") -> None:
    """Refuse what is no pair of factors, the smaller first.

    Raises:
        InputError: see above; names the setting.
    """
    if len(zoom) != 2 or not SMALLEST <= zoom[0] <= zoom[1] <= 1 / SMALLEST:
        raise InputError(
            f"{name} is {tuple(zoom)}; it should be two factors, the smaller first, "
            f"from {SMALLEST:g} to {1 / SMALLEST:g}"
        )


def random_zoom(
    sample: Sample,
    rng: np.random.Generator,
    zoom: Sequence[float] = (0.5, 2.0),
    *,
    focus: float = 0.0,
    min_visible: float = 0.0,
) -> Sample:
    """The picture scaled by a random factor.

    Args:
        sample: left as it is.
        rng: draws the factor, so that it is as likely to be between 1/2 and 1 as between 1 and 2; and the
            place of the window, or that of the smaller picture.
        zoom: the smallest and the largest factor. Above 1 a window of that part of each side is cut
            out; below 1 the picture is made smaller, on a ground of its mean colour, of its old size.
        focus: probability that the window is laid where an object is, see `random_crop`.
        min_visible: see `crop`.

    Raises:
        InputError: zoom is no pair of factors, see `check_zoom`.
    """
    check_zoom(zoom)
    factor = float(np.exp(rng.uniform(*np.log(zoom))))
    height, width = sample.image.shape[:2]
    if factor < 1:
        smaller = [max(round(side * factor), 1) for side in (height, width)]
        top, left = (
            int(rng.integers(side - new + 1))
            for side, new in zip((height, width), smaller, strict=True)
        )
        return laid(resize(sample, smaller), (height, width), left, top)
    shown = the_object_to_show(sample, rng, focus)
    spans = []
    for axis, side in enumerate((width, height)):
        length = max(round(side / factor), 1)
        start = start_of_window(side, length, rng, None if shown is None else shown[axis::2])
        spans.append((start, start + length))
    (left, right), (top, bottom) = spans
    return crop(sample, (left, top, right, bottom), min_visible)


def laid(sample: Sample, size: tuple[int, int], left: int, top: int) -> Sample:
    """The picture on a larger ground of its mean colour, `left` and `top` pixels from its corner.

    Objects whose masks have no pixel (any longer) are dropped.
    """
    height, width = sample.image.shape[:2]
    rows, columns = slice(top, top + height), slice(left, left + width)
    mean = sample.image.mean(axis=(0, 1))
    image = np.empty((*size, 3), np.uint8)
    image[:] = np.rint(mean)
    image[rows, columns] = sample.image
    target, masks = shifted(sample.target, left, top), sample.target.masks
    if masks is not None:
        ground = np.zeros((len(masks), *size), bool)
        ground[:, rows, columns] = masks
        target = kept(replace(target, masks=ground), masks.any(axis=(1, 2)))
    return Sample(image, target)
