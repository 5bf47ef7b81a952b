"""Two cores for every operation, not only for matrix products.

NumPy runs on one core except inside BLAS. But it lets go of Python's lock while it computes, so
plain threads can each do a part of an operation: `for_chunks` cuts a range in one piece per thread
and has each thread do everything for its piece (copy, multiply, add), with BLAS itself held to one
thread. BLAS's own threads would ask for the cores a second time; and after each product they wait
for the next one by spinning, for tens of milliseconds in which the cores are missing elsewhere.

The pieces depend only on the number of threads, so results repeat bit for bit.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from minirnn.backend import Array

BLOCK = 1 << 16  # elements: 256 KiB of float32, so that three blocks fit in a usual L2 cache
PIECE = 1 << 14  # elements below which a thread costs more than it saves

_inside = threading.local()  # set in threads that already work on a chunk: no nesting
# One parallel region at a time: BLAS's thread count is one for the process.
_lock = threading.Lock()
_limit: int | None = None


def thread_count() -> int:
    """Threads in use: MINIRNN_THREADS, or as many cores as this process may run on."""
    return min(_allowed(), _limit or _allowed())


@contextmanager
def limited_to(count: int) -> Iterator[None]:
    """Inside, so many threads are in use at most, by all threads of this process; BLAS's are, too."""
    global _limit
    before, _limit = _limit, count
    try:
        with _blas_on(count):
            yield
    finally:
        _limit = before


@cache
def _allowed() -> int:
    value = os.environ.get("MINIRNN_THREADS", "")
    if value.isdigit() and int(value) > 0:
        return int(value)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def for_chunks(work: Callable[[int, int], None], n: int, *, at_least: int = 1) -> None:
    """Call `work(start, stop)` for pieces that together cover `range(n)`, one piece a thread.

    Args:
        work: does everything for the indices start…stop-1. Pieces must not write to the same place.
        n: length of the range.
        at_least: a piece is not made shorter than this (a thread costs 20 to 60 µs).
    """
    if _limit == 1 or getattr(_inside, "chunk", False) or not _lock.acquire(blocking=False):
        work(0, n)
        return
    pieces = min(thread_count(), max(n // max(at_least, 1), 1))
    try:
        with _blas_on(1):
            bounds = [n * i // pieces for i in range(pieces + 1)]
            jobs = [
                # In a copy of the context, so that `np.errstate` holds in the threads too.
                _pool().submit(copy_context().run, _work_inside, work, start, stop)
                for start, stop in pairwise(bounds[1:])
            ]
            try:
                _work_inside(work, bounds[0], bounds[1])
            finally:
                for job in jobs:
                    job.result()
    finally:
        _lock.release()


def in_blocks(xp: Any, work: Callable[[int, int], None], count: int, elements: int) -> None:
    """Call `work(start, stop)` for pieces that cover `range(count)` and do not overlap.

    On the host: blocks of the cache's size, on all cores. On a GPU: all at once.

    Args:
        xp: the library of the arrays that `work` works on.
        work: does everything for the rows start…stop-1.
        count: number of rows.
        elements: number of array elements in a row.
    """
    if xp is not np:
        work(0, count)
        return
    elements = max(elements, 1)
    step = max(BLOCK // elements, 1)

    def piece(start: int, stop: int) -> None:
        for first in range(start, stop, step):
            work(first, min(first + step, stop))

    for_chunks(piece, count, at_least=-(-PIECE // elements))


def _work_inside(work: Callable[[int, int], None], start: int, stop: int) -> None:
    _inside.chunk = True
    try:
        work(start, stop)
    finally:
        _inside.chunk = False


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(
        max(_allowed() - 1, thread_count() - 1, 1), thread_name_prefix="minirnn"
    )


@cache
def _blas_libraries() -> tuple:
    from threadpoolctl import ThreadpoolController

    return tuple(ThreadpoolController().select(user_api="blas").lib_controllers)


@contextmanager
def _blas_on(count: int) -> Iterator[None]:
    before = [library.get_num_threads() for library in _blas_libraries()]
    for library in _blas_libraries():
        library.set_num_threads(count)
    try:
        yield
    finally:
        for library, threads in zip(_blas_libraries(), before, strict=True):
            library.set_num_threads(threads)


def _after_fork() -> None:
    """A forked child has none of its parent's threads: start again with nothing."""
    global _lock
    _lock = threading.Lock()
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def matmul(a: Array, b: Array) -> Array:
    """`a @ b` of two matrices (M, K) and (K, N), cut along the longer side of the result.

    Inside a chunk, or on a GPU, this is a plain product.
    """
    if not isinstance(a, np.ndarray):
        return a @ b
    out = np.empty((a.shape[0], b.shape[1]), np.result_type(a, b))

    def rows(start: int, stop: int) -> None:
        np.matmul(a[start:stop], b, out=out[start:stop])

    def columns(start: int, stop: int) -> None:
        np.matmul(a, b[:, start:stop], out=out[:, start:stop])

    if a.shape[0] >= b.shape[1]:
        for_chunks(rows, len(a), at_least=8)
    else:
        for_chunks(columns, b.shape[1], at_least=8)
    return out
