"""Whether cuBLAS may read float32 factors with 10 bits of mantissa (TF32, see `minirnn.kernels.tf32`).

CuPy's own switch, CUPY_TF32=1, reaches the products of two matrices only: those of several at once, which
are nearly all of a convolution's, CuPy 14 asks of cuBLAS without it. What reaches all of them is the mode
of the handle that CuPy talks to cuBLAS with; each thread and GPU has one of its own. So both are set here,
and `digits_of_products` computes what has become of it, since no one asks cuBLAS what it did.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minirnn.backend import Array, to_host
from minirnn.errors import InputError

#: 2⁻¹²: beside 1, float32 has a bit for it and TF32 has none.
_LOST = 2.0**-12


def set_tf32(xp: Any, on: bool) -> None:
    """Let this thread's products of float32 on this GPU be made with TF32, or no longer.

    Args:
        xp: `cupy`.
        on: whether.
    """
    from cupy._core import _routines_linalg as of_two
    from cupy_backends.cuda.libs import cublas

    kind = of_two.COMPUTE_TYPE_TF32 if on else of_two.COMPUTE_TYPE_DEFAULT
    of_two.set_compute_type(np.float32, kind)
    mode = cublas.CUBLAS_TF32_TENSOR_OP_MATH if on else cublas.CUBLAS_DEFAULT_MATH
    cublas.setMathMode(xp.cuda.get_cublas_handle(), mode)


@contextmanager
def tf32(xp: Any, on: bool = True) -> Iterator[None]:
    """Inside, as `set_tf32` says, and afterwards without.

    Raises:
        InputError: TF32 is asked for, and products are made in float32 all the same.
    """
    set_tf32(xp, on)
    try:
        if on:
            require_tf32(xp)
        yield
    finally:
        set_tf32(xp, False)


def require_tf32(xp: Any) -> None:
    """Refuse to go on where TF32 was switched on and has no effect.

    Raises:
        InputError: names the products that are made in float32.
    """
    exact = [name for name, kind in digits_of_products(xp).items() if kind != "TF32"]
    if exact:
        raise InputError(
            f"TF32 has no effect on {' and '.join(exact)}: a GPU of compute capability 8.0 or more is "
            "needed (`minirnn devices` says which one this is), and NVIDIA_TF32_OVERRIDE=0 must not be set"
        )


def digits_of_products(xp: Any) -> dict[str, str]:
    """How products are made, "float32" or "TF32", by what is multiplied; computes three and waits.

    Args:
        xp: the array library.

    Returns:
        by name: of two matrices, of many at once, and of many with one that they share.
    """
    # (1 + 2⁻¹²) · 1, and zeros beside it: nothing else can be rounded.
    one, many = xp.eye(64, dtype=xp.float32), xp.zeros((4, 64, 64), xp.float32)
    many += one * xp.float32(1 + _LOST)
    products = {
        "products of two matrices": many[0] @ one,
        "products of many matrices": many @ (xp.zeros_like(many) + one),
        "products with a shared matrix": one @ many,
    }
    return {name: _digits(product) for name, product in products.items()}


def _digits(product: Array) -> str:
    corner = float(to_host(product).ravel()[0])
    return "float32" if corner == 1 + _LOST else "TF32"
