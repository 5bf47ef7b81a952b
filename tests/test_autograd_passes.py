"""What several gradients of one operation have in common."""

from __future__ import annotations

import numpy as np

from minirnn.autograd.tensor import together


def test_together_computes_once_for_each_cotangent() -> None:
    calls: list[np.ndarray] = []

    def gradients(dy: np.ndarray) -> tuple:
        calls.append(dy)
        return dy, 2 * dy, 3 * dy

    vjps = together(gradients, 3)
    one, ten = np.ones(1), np.full(1, 10.0)
    assert [float(vjp(one)[0]) for vjp in vjps] == [1, 2, 3]
    assert len(calls) == 1
    assert [float(vjp(ten)[0]) for vjp in vjps] == [10, 20, 30]
    assert len(calls) == 2
