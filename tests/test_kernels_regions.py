"""Every kernel of an operation on boxes, regions and masks equals the plain form, bit for bit or nearly."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_cases_regions import CASES

import minirnn.boxes
import minirnn.kernels.cpu
import minirnn.ops  # noqa: F401
from minirnn import kernels
from minirnn.kernels.table import OPERATIONS

DRAWS = 60


def values_and_gradients(name, arrays, settings, seed):
    """The result of an operation, and where it is differentiable the gradient of each array."""
    result = OPERATIONS[name].chosen(arrays, settings)(*arrays, **settings)
    if not isinstance(result, tuple):
        return [result]
    value, vjps = result
    dy = np.random.default_rng(seed).normal(size=value.shape).astype(value.dtype)
    vjps = vjps if isinstance(vjps, tuple) else (vjps,)
    return [value, *(vjp(dy) for vjp in vjps if vjp is not None)]


@pytest.mark.parametrize("name", CASES)
def test_kernels_equal_their_plain_form(name):
    taken = set()
    for seed in range(DRAWS):
        arrays, settings = CASES[name](np.random.default_rng(seed))
        taken.add(OPERATIONS[name].chosen(arrays, settings))
        fast = values_and_gradients(name, arrays, settings, seed)
        with kernels.plain():
            slow = values_and_gradients(name, arrays, settings, seed)
        assert len(fast) == len(slow)
        for a, b in zip(fast, slow, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape), (seed, settings)
            where = f"seed {seed}, {settings}"
            if a.dtype.kind != "f" or name in ("iou", "intersection"):
                np.testing.assert_array_equal(a, b, err_msg=where)
                continue
            most = max(float(np.abs(b).max(initial=0)), 1) * 60 * float(np.finfo(b.dtype).eps)
            np.testing.assert_allclose(a, b, rtol=0, atol=most, err_msg=where)
    # What reads the points of RoIAlign and RoIWarp is an operation of its own, and has the kernel.
    assert OPERATIONS[name].kernels or name in ("roi_align", "roi_warp"), f"{name} has no kernel"
    assert {k.function for k in OPERATIONS[name].kernels if k.device == "cpu"} <= taken
