"""The matrix product as three loops. All other arithmetic is NumPy's own, element by element."""

from __future__ import annotations

import numpy as np


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row i of (M, K) with column j of (K, N): y[i, j] = Σ_k a[i, k] b[k, j]."""
    y = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            for k in range(a.shape[1]):
                y[i, j] += a[i, k] * b[k, j]
    return y
