"""How many threads this process computes in: for the kernels, and for code that starts processes.

    MINIRNN_THREADS=2 minirnn train …     so many; without it, as many as this process may use cores
    with limited_to(1): …                 inside, so many at most

A process that shares a machine with others should take its part of the cores and no more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

# Several threads of a program may be inside of the two functions below at once, and leave them in any
# order. So each has an entry of its own, which it takes away when it leaves; the last entry counts.
_limits: list[list[int]] = []
_of_blas: list[list[int]] = []
_blas_before: list[int] = []  # BLAS's own numbers of threads, from before the first entry


def thread_count() -> int:
    """Threads in use: MINIRNN_THREADS, or as many cores as this process may run on."""
    allowed = _allowed(os.environ.get("MINIRNN_THREADS", ""))
    limit = _last(_limits)
    return allowed if limit is None else min(allowed, limit)


@contextmanager
def limited_to(count: int) -> Iterator[None]:
    """Inside, at most so many threads are in use, whichever thread asks; for BLAS's own, just as many."""
    own = [count]
    try:
        _limits.append(own)
        with blas_on(count):
            yield
    finally:
        _remove(_limits, own)


@contextmanager
def blas_on(count: int) -> Iterator[None]:
    """Inside, matrix products take so many threads of BLAS's own."""
    if _last(_of_blas) == count:  # asking the libraries takes some microseconds
        yield
        return
    libraries, own, interrupt = _blas_libraries(), [count], None
    if not _of_blas:
        _blas_before[:] = [library.get_num_threads() for library in libraries]
    try:
        _of_blas.append(own)
        for library in libraries:
            library.set_num_threads(count)
        yield
    finally:
        while True:  # Ctrl-C in here must not leave the process with one thread for good
            try:
                _remove(_of_blas, own)
                still = _last(_of_blas)
                for library, threads in zip(libraries, _blas_before, strict=True):
                    library.set_num_threads(threads if still is None else still)
                break
            except KeyboardInterrupt as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt


def _last(entries: list[list[int]]) -> int | None:
    """The number that counts; None if there is none. (A slice, since another thread may take it away.)"""
    for (count,) in entries[-1:]:
        return count
    return None


def _remove(entries: list[list[int]], own: list[int]) -> None:
    """Take this very entry away, if it is there, and none that looks like it."""
    entries[:] = [entry for entry in entries if entry is not own]


@cache
def _allowed(value: str) -> int:
    """The number in MINIRNN_THREADS' value; where it holds none, the cores this process may use."""
    if value.isdecimal() and int(value) > 0:
        return int(value)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _blas_libraries() -> tuple:
    from threadpoolctl import ThreadpoolController

    return tuple(ThreadpoolController().select(user_api="blas").lib_controllers)
