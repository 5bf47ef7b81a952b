"""A command that several processes run together: `mpiexec -n 4 minirnn evaluate …`."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any


def shared_out(command: Callable[..., None]) -> Callable[..., None]:
    """Call a command with the processes that it was started with, as its argument `ranks`.

    All of them end together: an error of one is the error of all, and the first says which it was. The
    others then end in silence, or a missing file would be complained of once by each.
    """

    @functools.wraps(command)
    def run(**options: Any) -> None:
        from minirnn.distributed import communicator
        from minirnn.distributed.cores import own_cores

        ranks = communicator()
        try:
            with ranks, own_cores(ranks):
                command(ranks=ranks, **options)
        except Exception:
            if ranks.rank:
                sys.exit(1)
            raise

    return run
