"""The optimiser's step on a GPU: all parameters in one launch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minirnn.backend import Array, xp_of
from minirnn.kernels.cuda.launch import addresses, run, suits
from minirnn.kernels.table import kernel
from minirnn.ops.sgd import sgd_steps as plain_sgd_steps


def _applies(*arrays: Array, **_: Any) -> bool:
    changed = (*arrays[0::3], *arrays[2::3])
    return suits(*arrays) and all(array.flags.c_contiguous for array in changed)


@kernel(
    plain_sgd_steps,
    "cuda",
    reason="one launch over a table of addresses, instead of eight for each parameter",
    applies=_applies,
)
def sgd_steps(
    *arrays: Array, learning_rate: float, momentum: float, weight_decays: Sequence[float]
) -> None:
    """`minirnn.ops.sgd.sgd_steps` by sgd.cu."""
    xp, dtype = xp_of(*arrays), arrays[0].dtype
    kept = [xp.ascontiguousarray(array) for array in arrays]  # gradients may lie in any order
    ends = np.cumsum([array.size for array in arrays[0::3]], dtype=np.int64)
    run(
        "sgd.cu", "sgd", int(ends[-1]), addresses(xp, kept), xp.asarray(ends),
        xp.asarray(np.array(weight_decays, np.float64)), len(ends), int(ends[-1]), float(learning_rate),
        float(momentum), dtype=dtype,
    )  # fmt: skip
