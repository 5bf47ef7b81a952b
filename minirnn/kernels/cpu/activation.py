"""ReLU and ReLU6 in one walk over memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minirnn.backend import Array, positive_part
from minirnn.kernels.cpu.passes import element_by_element, where_inside, where_positive
from minirnn.kernels.table import kernel
from minirnn.ops import activation


@kernel(
    activation.relu,
    "cpu",
    reason="one walk over memory, on all cores; clip is quicker than maximum",
)
def relu(x: Array) -> tuple[Array, Callable]:
    """`minirnn.ops.activation.relu`."""
    y = np.empty_like(x)  # lies in memory as x does
    element_by_element(lambda out, values: positive_part(values, out=out), y, x, most=None)
    return y, lambda dy: where_positive(dy, y)


@kernel(
    activation.relu6,
    "cpu",
    reason="one walk over memory, on all cores; one clip instead of maximum and minimum",
)
def relu6(x: Array) -> tuple[Array, Callable]:
    """`minirnn.ops.activation.relu6`."""
    y = np.empty_like(x)
    element_by_element(lambda out, values: values.clip(0, 6, out=out), y, x, most=None)
    return y, lambda dy: where_inside(dy, y)
