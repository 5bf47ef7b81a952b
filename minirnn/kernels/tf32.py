"""TF32: products that read float32 numbers with 10 bits of mantissa instead of 23, and add in float32.

An NVIDIA GPU from compute capability 8.0 on multiplies so several times as fast. It is never switched on by
itself: `--tf32` does, or MINIRNN_TF32=1 (`minirnn.kernels.cuda.precision` hands it on to cuBLAS).

What it costs can be seen without a GPU. `imitated` rounds, on the processor, the factors of those products
that a GPU would make with cuBLAS, 3×3 convolutions by Winograd's algorithm (`kernels/cuda/winograd.cu`)
among them: there it is the transformed numbers that are rounded. It is for looking at the results; it is
slower, not faster.

Source: NVIDIA, "A100 tensor core GPU architecture", 2020, "TensorFloat-32".
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minirnn.backend import Array
from minirnn.errors import InputError
from minirnn.kernels.table import OPERATIONS, Kernel, plain_only

TF32 = "MINIRNN_TF32"  # in the environment: 1 switches it on
_DROPPED = 23 - 10  # bits of the mantissa
#: What a GPU does with cuBLAS. Depthwise convolution is a kernel of ours, which computes in float32.
PRODUCTS = ("conv2d", "conv_transpose2d", "linear", "matmul")
_TILE = 4


def asked_for() -> bool:
    """Whether the environment asks for TF32."""
    return os.environ.get(TF32) == "1"


def rounded(x: Array) -> Array:
    """The nearest numbers with 10 bits of mantissa, of two the larger; of float32 arrays of NumPy."""
    bits = np.ascontiguousarray(x).view(np.int32)
    half, kept = np.int32(1 << (_DROPPED - 1)), np.int32(-1 << _DROPPED)
    return np.where(np.isfinite(x), ((bits + half) & kept).view(np.float32), x)


@contextmanager
def imitated() -> Iterator[None]:
    """Inside, what is computed on the processor in float32 is computed as with TF32. Forward only.

    Raises:
        InputError: kernels are switched off, and this stands in for operations as a kernel does.
    """
    if plain_only():
        raise InputError("MINIRNN_KERNELS=plain leaves TF32 no place to be imitated in; unset it")
    importlib.import_module("minirnn.ops")  # which enters them
    added = [(OPERATIONS[name], _imitation(name)) for name in PRODUCTS]
    for entry, kernel in added:
        entry.kernels.insert(0, kernel)
    try:
        yield
    finally:
        for entry, kernel in added:
            entry.kernels.remove(kernel)


def _imitation(name: str) -> Kernel:
    entry = OPERATIONS[name]

    def applies(*arrays: Any, **settings: Any) -> bool:
        factors = arrays[:2]
        floats = all(isinstance(x, np.ndarray) and x.dtype == np.float32 for x in factors)
        return floats and not (name == "conv2d" and _is_depthwise(*factors, **settings))

    def compute(*arrays: Any, **settings: Any) -> Any:
        if name == "conv2d" and goes_by_winograd(*arrays[:2], **settings):
            return _winograd(*arrays, **settings), (_no_gradient,) * len(arrays)
        arrays = (*map(rounded, arrays[:2]), *arrays[2:])
        others = [kernel for kernel in entry.kernels if kernel.function is not compute]
        fitting = (
            k.function for k in others if k.device == "cpu" and k.applies(*arrays, **settings)
        )
        y, _ = next(fitting, entry.plain)(*arrays, **settings)
        return y, (_no_gradient,) * len(arrays)

    return Kernel(compute, "cpu", applies, "TF32, imitated", "10 bits of mantissa in each factor")


def _no_gradient(dy: Array) -> Array:
    raise InputError("TF32 is imitated forward only; train without it, or on a GPU")


def _is_depthwise(x: Array, weight: Array, *, groups: int = 1, **_: Any) -> bool:
    return x.shape[1] == groups == len(weight) > 1


def goes_by_winograd(
    x: Array,
    weight: Array,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    **_: Any,
) -> bool:
    """Whether a GPU would compute this convolution by Winograd's algorithm."""
    from minirnn.kernels.cuda import winograd

    return groups == 1 and winograd.suits(x, weight, stride, padding, dilation)


def _winograd(
    x: Array,
    weight: Array,
    bias: Array | None,
    add: Array | None = None,
    *,
    padding: Any = 0,
    relu: bool = False,
    relu6: bool = False,
    **_: Any,
) -> Array:
    """y = Aᵀ [ Σ_c r(G g Gᵀ) · r(Bᵀ d B) ] A with r for `rounded`; see kernels/cpu/winograd.py."""
    from minirnn.kernels.cpu.winograd import A_T, B_T, G
    from minirnn.ops.checks import sides

    ring, (n, channels, height, width), outputs = sides(padding)[0][0], x.shape, len(weight)
    size = height + 2 * ring - 2, width + 2 * ring - 2
    down, across = (-(-length // _TILE) for length in size)
    behind = (
        _TILE * count + 2 - ring - length
        for count, length in zip((down, across), (height, width), strict=True)
    )
    padded = np.pad(x, ((0, 0), (0, 0), *((ring, more) for more in behind)))
    tiles = np.lib.stride_tricks.sliding_window_view(padded, (6, 6), axis=(2, 3))[
        :, :, ::_TILE, ::_TILE
    ]
    values = B_T @ tiles @ B_T.T  # (N, C, down, across, 6, 6)
    v = values.transpose(4, 5, 1, 0, 2, 3).reshape(36, channels, n * down * across)
    u = (G @ weight @ G.T).transpose(2, 3, 0, 1).reshape(36, outputs, channels)
    products = (rounded(u) @ rounded(v)).reshape(6, 6, outputs, n, down, across)
    results = A_T @ products.transpose(3, 2, 4, 5, 0, 1) @ A_T.T  # (N, O, down, across, 4, 4)
    y = results.swapaxes(3, 4).reshape(n, outputs, _TILE * down, _TILE * across)
    y = y[:, :, : size[0], : size[1]]
    y = y if bias is None else y + bias[:, None, None]
    y = y if add is None else y + add
    y = np.maximum(y, 0) if relu or relu6 else y
    return np.minimum(y, 6) if relu6 else y
