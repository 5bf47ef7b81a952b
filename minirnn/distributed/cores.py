"""Which part of a machine's cores a rank takes, where several ranks share the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from minirnn.distributed.communicator import Communicator
from minirnn.kernels import limited_to


@contextmanager
def own_cores(ranks: Communicator) -> Iterator[None]:
    """Inside, each rank takes its part of the cores of its machine, and no core from another.

    Where MINIRNN_THREADS says how many threads each takes, that counts.

    Args:
        ranks: all of them call this.
    """
    if ranks.size == 1 or os.environ.get("MINIRNN_THREADS", "").isdecimal():
        yield
        return
    here = set().union(
        *(cores for host, cores in ranks.share((ranks.host, _cores())) if host == ranks.host)
    )
    with limited_to(max(len(here) // ranks.local_size, 1)):
        yield


def _cores() -> set[int]:
    """Those that this process may run on: all, or what the launcher left to it (as Slurm does)."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
