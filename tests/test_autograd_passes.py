"""Walking over large arrays in blocks."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from standin import standin

from minirnn.autograd.tensor import together
from minirnn.kernels.cpu.passes import in_blocks


@given(st.integers(0, 300), st.integers(0, 100_000))
@settings(max_examples=60, deadline=None)
def test_blocks_cover_every_row_once(count: int, elements: int) -> None:
    visited = np.zeros(count, int)
    longest, lock = [0], threading.Lock()

    def work(start: int, stop: int) -> None:
        visited[start:stop] += 1
        with lock:
            longest[0] = max(longest[0], stop - start)

    in_blocks(np, work, count, elements)
    assert (visited == 1).all()
    assert longest[0] * elements <= max(1 << 16, elements)  # a block fits the cache, or is one row


def test_a_gpu_gets_everything_at_once() -> None:
    calls: list[Any] = []
    in_blocks(standin, lambda start, stop: calls.append((start, stop)), 1000, 100_000)
    assert calls == [(0, 1000)]


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
