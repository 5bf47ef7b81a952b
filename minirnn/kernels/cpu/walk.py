"""Walking over arrays in blocks, on all cores: the one way in which the kernels here do it.

Two things make a kernel faster than the same lines over whole arrays.

- **Blocks.** A processor computes several additions in the time in which one number arrives from memory.
  So what takes several steps is done step after step for a block that stays in a core's cache, and only
  then for the next: one walk over memory instead of one for each step.
- **Threads.** NumPy runs on one core except inside BLAS. But it lets go of Python's lock while it computes,
  so that plain threads can each do some of the blocks, with BLAS itself held to one thread. BLAS's own
  threads would ask for the cores a second time; and after each product they wait for the next one by
  spinning, for tens of milliseconds in which the cores are missing elsewhere.

Each thread gets a run of neighbouring blocks, as many as every other. Blocks and runs depend only on the
sizes and the number of threads, so results repeat bit for bit.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from itertools import pairwise

from minirnn.kernels.threads import blas_on, thread_count

BLOCK = 1 << 16  # numbers: 256 KiB of float32, so that three blocks fit in a usual L2 cache
PIECE = 1 << 14  # numbers, below which a thread (20 to 60 µs) costs more than it saves

_inside = threading.local()  # set in threads that already work on a run of blocks: no nesting
# One walk in threads at a time: BLAS's thread count is one for the process.
_walker: dict[str, int] = {}  # "thread": the one that walks now


def walk(
    work: Callable[..., object],
    *axes: int,
    numbers: int = 1,
    most: int | None = BLOCK,
    least: int = PIECE,
) -> None:
    """Call `work` for blocks that together cover an index space, each index once, on all cores.

        walk(lambda images, rows: relu(maps[images, rows]), n, height, numbers=width * channels)

    Args:
        work: does everything for one block, given as one slice for each axis. Blocks are worked on at the
            same time, and must not write to the same place. For an empty space it is not called.
        axes: lengths of the index space, such as images and rows. A block is a part of the last axis or,
            where that is short, several whole ones, a part of the axis before.
        numbers: array elements that one index stands for, width · channels of a row.
        most: numbers of a block, at most; but it has one index at least. None is one block a thread: for
            what takes one step alone, or keeps something from one index to the next.
        least: numbers for each thread, at least: for fewer, no further thread is asked.

    Inside of `work`, a walk stays in its thread; and where another thread is walking already, this one
    does all blocks itself.
    """
    total = math.prod(axes) * max(numbers, 1)
    if total == 0:
        return
    threads = 1 if getattr(_inside, "block", False) else thread_count()
    threads = min(threads, max(total // max(least, 1), 1))
    count = 1 if most is None else -(-total // most)
    count = -(-count // threads) * threads  # as many blocks for every thread
    size = -(-total // (count * max(numbers, 1)))
    if most is not None:
        size = max(min(size, most // max(numbers, 1)), 1)
    _in_threads(work, blocks(axes, steps_of(axes, size)), threads)


def steps_of(axes: Sequence[int], size: int) -> list[int]:
    """How many indices of each axis a block of `size` indices has: whole inner axes where there is room."""
    inner = [math.prod(axes[k + 1 :]) for k in range(len(axes))]
    return [max(size // max(n, 1), 1) for n in inner]


def blocks(axes: Sequence[int], steps: Sequence[int]) -> list[tuple[slice, ...]]:
    """An index space cut in blocks of about equal size, each axis at most by its step; in reading order."""
    cuts = []
    for length, step in zip(axes, steps, strict=True):
        parts = -(-length // step)
        bounds = [length * i // parts for i in range(parts + 1)] if parts else []
        cuts.append([slice(start, stop) for start, stop in pairwise(bounds)])
    return list(itertools.product(*cuts))


def _in_threads(work: Callable, places: Sequence[tuple[slice, ...]], threads: int) -> None:
    """Call `work(*place)` for all places, the first run of them in this thread."""
    threads = min(threads, len(places))
    if getattr(_inside, "block", False) or not _is_ours():
        for place in places:
            work(*place)
        return
    try:
        with blas_on(1):
            if threads == 1:
                _run(work, places)
                return
            bounds = [len(places) * i // threads for i in range(threads + 1)]
            first, *others = [places[start:stop] for start, stop in pairwise(bounds)]
            # In a copy of the context, so that `np.errstate` holds in the threads too.
            pool = _pool(thread_count())
            jobs = [pool.submit(copy_context().run, _run, work, part) for part in others]
            try:
                _run(work, first)
            finally:
                for job in jobs:
                    job.result()
    finally:
        _walker.clear()


def _is_ours() -> bool:
    """Whether this thread may walk in threads, since no other does.

    Asking and taking is one operation, which Ctrl-C cannot part; and what it leaves behind after that is
    this thread's own, and found by it the next time.
    """
    own = threading.get_ident()
    return _walker.setdefault("thread", own) == own


def _run(work: Callable, places: Sequence[tuple[slice, ...]]) -> None:
    _inside.block = True
    try:
        for place in places:
            work(*place)
    finally:
        _inside.block = False


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that wait for work: one fewer, since the caller does the first part itself."""
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="minirnn")


def _after_fork() -> None:
    """A forked child has none of its parent's threads: start again with nothing."""
    _walker.clear()
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
