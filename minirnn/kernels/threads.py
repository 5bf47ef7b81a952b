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

_limit: int | None = None
_of_blas: int | None = None  # BLAS's threads, where `blas_on` has set them


def thread_count() -> int:
    """Threads in use: MINIRNN_THREADS, or as many cores as this process may run on."""
    allowed = _allowed(os.environ.get("MINIRNN_THREADS", ""))
    return min(allowed, _limit or allowed)


@contextmanager
def limited_to(count: int) -> Iterator[None]:
    """Inside, at most so many threads are in use, whichever thread asks; for BLAS's own, just as many."""
    global _limit
    before, _limit = _limit, count
    try:
        with blas_on(count):
            yield
    finally:
        _limit = before


@contextmanager
def blas_on(count: int) -> Iterator[None]:
    """Inside, matrix products take so many threads of BLAS's own."""
    global _of_blas
    if _of_blas == count:  # asking the libraries takes some microseconds
        yield
        return
    libraries = _blas_libraries()
    outer, before = _of_blas, [library.get_num_threads() for library in libraries]
    interrupt = None
    try:
        _of_blas = count
        for library in libraries:
            library.set_num_threads(count)
        yield
    finally:
        while True:  # Ctrl-C in here must not leave the process with one thread for good
            try:
                for library, threads in zip(libraries, before, strict=True):
                    library.set_num_threads(threads)
                _of_blas = outer
                break
            except KeyboardInterrupt as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt


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
