"""Which array library an array belongs to, and moving arrays between them.

Stage code never imports `numpy` to compute: it asks its arrays. `xp = xp_of(boxes)` gives `numpy`
for an array on the host and `cupy` for one on a GPU, and the same lines run on both. CuPy is looked
up only after the caller has made a CuPy array, so that `import minirnn` never loads it.
"""

from __future__ import annotations

import math
import sys
import warnings
from typing import Any, TypeAlias

import numpy as np

from minirnn.errors import InputError

# A numpy.ndarray or a cupy.ndarray. There is no common static type for the two.
Array: TypeAlias = Any


def xp_of(*arrays: Any) -> Any:
    """The library (`numpy`, `cupy`) that all the given arrays belong to.

    Python and NumPy scalars and None belong to no library and are passed over; with nothing but
    those, the answer is `numpy`.

    Raises:
        TypeError: one is no array, or arrays of two libraries are mixed. Mixing would copy silently
            over the bus, or fail far from its cause.
    """
    found = None
    for array in arrays:
        if array is None or isinstance(array, (bool, int, float, np.generic)):
            continue
        if isinstance(array, np.ndarray):
            library: Any = np
        elif type(array).__module__.partition(".")[0] == "cupy":
            library = sys.modules["cupy"]
        elif hasattr(array, "__array_namespace__"):
            library = array.__array_namespace__()
        else:
            raise TypeError(f"expected an array of NumPy or CuPy, got {type(array).__name__}")
        if found is not None and library is not found:
            raise TypeError(f"arrays of {found.__name__} and of {library.__name__} are mixed")
        found = library
    return np if found is None else found


def sparse_of(*arrays: Any) -> Any:
    """The sparse-matrix library that goes with the arrays: `scipy.sparse` or `cupyx.scipy.sparse`."""
    xp = xp_of(*arrays)
    if xp is np:
        with (
            warnings.catch_warnings()
        ):  # its first import would put a filter of its own into the process
            import scipy.sparse

        return scipy.sparse
    if xp.__name__ == "cupy":
        import cupyx.scipy.sparse

        return cupyx.scipy.sparse
    return xp.sparse


def to_host(array: Array) -> np.ndarray:
    """A NumPy array with the same content (the array itself if it is one already)."""
    return array if isinstance(array, np.ndarray) else array.get()


def library_of(device: str) -> Any:
    """The array library of a device: "cpu" is `numpy`, "cuda" is `cupy`.

    Raises:
        InputError: the device is unknown, CuPy is not installed, or no GPU answers.
    """
    if device == "cpu":
        return np
    if device != "cuda":
        raise InputError(f"device is {device!r}; it should be 'cpu' or 'cuda'")
    try:
        import cupy
    except ImportError as error:
        raise InputError(
            "device 'cuda' needs CuPy: pip install '.[cuda12]' or '.[cuda13]' in the folder of the clone; "
            "`minirnn devices` says which, and what else is missing"
        ) from error
    if not cupy.cuda.is_available():
        raise InputError(
            "device 'cuda': CuPy is installed, but finds no NVIDIA GPU and driver; "
            "`minirnn devices` says what is missing"
        )
    return cupy


def positive_part(values: Array, out: Array | None = None) -> Array:
    """max(values, 0) of floats.

    Computed by `clip`, which is fast where the limits are numbers: `maximum` of an array and a number
    takes three to four times as long in NumPy. `out` is the array to write to, or None for a new one.
    """
    return values.clip(0, math.inf, out=out)


def by_falling_score(scores: Array) -> Array:
    """Indices (N,) intp of scores (N,), the highest first, of equal ones the lower index first."""
    xp = xp_of(scores)
    falling = -scores
    # CuPy's sort is stable. NumPy's is not, but it is several times as fast as its stable one ...
    order = xp.argsort(falling)
    if xp is np:
        ranked = falling[order]
        if not (ranked[:-1] < ranked[1:]).all():  # ... and gives the same unless two are equal
            order = np.argsort(falling, kind="stable")
    return order.astype(xp.intp, copy=False)


def scatter_add(target: Array, index: Any, values: Array) -> None:
    """`target[index] += values` in place, where an index that occurs twice is added twice."""
    xp_of(target, values).add.at(target, index, values)
