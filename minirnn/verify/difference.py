"""How far apart two answers are: the one comparison behind `verify`, `parity` and `bench`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Errors are relative to the largest number of the reference's answer, or to this where it is larger:
#: a result that is 0 but for rounding has no digits to compare.
SMALLEST_SCALE = 1e-3


@dataclass(frozen=True)
class Difference:
    """How far an answer is from the reference's.

    Attributes:
        absolute: largest difference of two numbers; NaN if one of them is NaN, and infinite where
            the arrays cannot be subtracted.
        relative: the same over the largest number of the reference's array; of several arrays, the
            largest such ratio.
        exact: whether there are only whole numbers and masks, which must be equal.
        note: why the arrays cannot be subtracted, where they cannot.
    """

    absolute: float = 0.0
    relative: float = 0.0
    exact: bool = True
    note: str = ""


def difference(ours: Any, theirs: Any, smallest_scale: float = SMALLEST_SCALE) -> Difference:
    """Compare two answers, number by number, in float64.

    Args:
        ours: an array or a number, of NumPy or torch, or a list or tuple of such.
        theirs: the reference's, in the same form.
        smallest_scale: what a difference is divided by if all of the reference's numbers are smaller.
            With 0, only an array of zeros is treated so: its differences are taken as they are.
            Whole numbers are always compared as they are.

    Returns:
        The largest differences. Other shapes, or another number of arrays, are infinitely far apart.
    """
    mine, other = as_arrays(ours), as_arrays(theirs)
    if len(mine) != len(other):
        return _cannot(f"{len(mine)} results and {len(other)}")
    absolute, relative, exact = 0.0, 0.0, True
    for a, b in zip(mine, other, strict=True):
        if a.shape != b.shape:
            return _cannot(f"shapes {a.shape} and {b.shape}")
        whole = a.dtype.kind != "f" and b.dtype.kind != "f"
        exact &= whole
        if not a.size:
            continue
        apart = float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())
        scale = 1.0 if whole else max(float(np.abs(b).max()), smallest_scale) or 1.0
        # np.maximum, because max() would forget a NaN.
        absolute = float(np.maximum(absolute, apart))
        relative = float(np.maximum(relative, apart / scale))
    return Difference(absolute, relative, exact)


def as_arrays(answer: Any) -> list[np.ndarray]:
    """Arrays of whatever a function returns: numbers, arrays, tensors, run lengths, several of them.

    Of a data class, its fields in order; what is None is left out.
    """
    if dataclasses.is_dataclass(answer):
        answer = [getattr(answer, field.name) for field in dataclasses.fields(answer)]
        answer = [part for part in answer if part is not None]
    if isinstance(answer, (list, tuple)):
        return [array for part in answer for array in as_arrays(part)]
    if isinstance(answer, dict):  # run lengths: height and width, then the characters
        counts = answer["counts"]
        counts = counts.encode() if isinstance(counts, str) else counts
        return [np.asarray(answer["size"]), np.frombuffer(counts, np.uint8)]
    return [host(answer)]


def host(array: Any) -> np.ndarray:
    """A NumPy array of an array, which may lie on a GPU, of a torch tensor, or of a `Tensor`."""
    if hasattr(array, "detach"):  # both kinds of tensor; torch's may lie on another device
        array = array.detach()
        array = array.cpu().numpy() if hasattr(array, "cpu") else array
    return np.asarray(array.get() if hasattr(array, "get") else array)


def _cannot(note: str) -> Difference:
    return Difference(float("inf"), float("inf"), True, note)
