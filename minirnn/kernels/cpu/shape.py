"""Moving numbers on all cores, and weights as BLAS reads them."""

from __future__ import annotations

import math
from collections.abc import Callable

from minirnn.backend import Array
from minirnn.kernels.cpu.layout import hwio_of, oihw_of, planes_of
from minirnn.kernels.table import kernel
from minirnn.ops import shape


@kernel(shape.arranged, "cpu", reason="outputs side by side: a factor of the product as it lies")
def arranged(weight: Array) -> Array:
    """`minirnn.ops.shape.arranged`."""
    return oihw_of(hwio_of(weight)) if weight.ndim > 1 else weight


@kernel(
    shape.flatten, "cpu", reason="the copy of a map with its channels last is made on all cores"
)
def flatten(x: Array) -> tuple[Array, Callable]:
    """`minirnn.ops.shape.flatten`."""
    before = x.shape
    planes = planes_of(x) if x.ndim == 4 else x
    return planes.reshape(before[0], math.prod(before[1:])), lambda dy: dy.reshape(before)
