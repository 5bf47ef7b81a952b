"""What COCO's numbers have to look like, whoever reads them: coordinates, polygons, sizes.

Data sets, results and the functions on masks ask here, so that all of them take and refuse the same.
True and False are no numbers, though Python adds them up.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from minirnn.errors import InputError

#: No image has coordinates near this; beyond it lie infinity and numbers that overflow.
LARGEST = 1e9
#: pycocotools walks along edges in steps of 1/5 pixel: a point far away would take all memory.
FARTHEST = 1_000_000
#: pycocotools has room for six characters a count, too few in larger images; a mask takes a byte a pixel.
MOST_PIXELS = 2**29


class Misfit(InputError):
    """A mask that is well formed but does not fit: its size is not the image's, or not its counts'."""


def is_whole(value: object) -> bool:
    """Whether it is a whole number, of Python's or NumPy's."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_finite(value: object, *, most: float = math.inf) -> bool:
    """Whether it is a finite number, nearer to 0 than `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    return bool(-most < value < most)  # not so for NaN


def are_finite(values: object, *, count: int | None = None, most: float = LARGEST) -> bool:
    """Whether it is a flat list of finite numbers nearer to 0 than `most`, `count` of them if given."""
    if not isinstance(values, Sequence | np.ndarray) or isinstance(values, str | bytes):
        return False
    if count is not None and len(values) != count:
        return False
    return all(is_finite(value, most=most) for value in values)


def polygon_of(values: Any, name: str) -> list[float]:
    """A polygon x1, y1, x2, y2, … as floats.

    Raises:
        InputError: it is no flat list of numbers, has fewer than six or an odd number of them, or a
            coordinate that no image has.
    """
    try:
        numbers = np.asarray(values)
    except ValueError:  # lists of different lengths inside
        raise InputError(f"{name} is not a flat list of numbers") from None
    mixed = isinstance(values, Sequence) and bool in set(map(type, values))
    if numbers.ndim != 1 or numbers.dtype.kind not in "iuf" or mixed:
        raise InputError(f"{name} is not a flat list of numbers")
    if len(numbers) < 6 or len(numbers) % 2:
        raise InputError(
            f"{name} has {len(numbers)} numbers; it should have x and y of at least three points"
        )
    if not (np.abs(numbers) <= FARTHEST).all():  # false for NaN, too
        raise InputError(f"{name} has a coordinate that is not finite or beyond ±{FARTHEST:,}")
    return numbers.astype(np.float64).tolist()


def size_of(size: Any, name: str) -> tuple[int, int]:
    """[height, width] of a mask, as run lengths have it.

    Raises:
        InputError: it is no pair of whole numbers from 0, or of more pixels than a mask can have.
    """
    listed = isinstance(size, Sequence | np.ndarray) and len(size) == 2
    if not listed or not all(is_whole(n) and n >= 0 for n in size):
        raise InputError(f"{name} has size {size!r}; it should be [height, width]")
    height, width = int(size[0]), int(size[1])
    check_pixels(height, width, name)
    return height, width


def check_pixels(height: int, width: int, name: str) -> None:
    """Refuse an image that no mask is made for, before anything asks for the memory.

    Raises:
        InputError: says how large it is.
    """
    if height * width >= MOST_PIXELS:
        raise InputError(f"{name} is in an image of {height} x {width} pixels, which is too large")


def memory() -> int:
    """The bytes of memory that this machine has; where the system does not say, far more than any."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no such function
        return 1 << 62


def check_room(count: int, height: int, width: int, *, advice: str) -> None:
    """Refuse masks that the memory cannot hold, a byte a pixel, before anything asks for it.

    Asked for all the same, it ends in an error that names no image, or in the system ending the process.

    Args:
        count: of masks.
        height: of each, in pixels.
        width: likewise.
        advice: what needs less than this.

    Raises:
        InputError: says how much they need, and how much there is.
    """
    need, have = count * height * width, memory()
    if need > have:
        raise InputError(
            f"{count} masks of {width} x {height} pixels take {need / 1e9:.1f} GB of memory, and there are "
            f"{have / 1e9:.1f} GB: smaller pictures, {advice}"
        )
