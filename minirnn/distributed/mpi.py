"""Processes that `mpiexec` has started, on one machine or many: they exchange by MPI.

MPI is the interface that clusters have had since 1994; mpi4py brings it to Python, and the `mpich` wheel an
implementation with its `mpiexec`, so that nothing needs installing by hand (extra `[mpi]`).

Objects and errors are exchanged as `minirnn.distributed.exchange` says. Sums of arrays have no envelope, in
which an error could travel: whoever adds up has exchanged objects just before.

Waiting is patient. MPI itself looks for news without pause, which takes a whole core from those who still
work; so all arrive at a barrier first, which is looked at now and then.

Source: MPI Forum, "MPI: A Message-Passing Interface Standard", version 4.1, 2023, chapter 6.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from mpi4py import MPI

from minirnn.backend import Array
from minirnn.distributed.exchange import Exchanging
from minirnn.errors import InputError

_LOOKS = 200  # at a request without pause, which is some 0.1 ms
_PAUSE = 1e-4  # seconds between two looks from then on


class Mpi(Exchanging):
    """One rank of those that MPI has started.

    MPI's order of addition depends on the number of ranks, how they lie on hosts, and the size of the
    buffer, not on who comes first: the same run gives the same bits again.
    """

    def __init__(self) -> None:
        super().__init__()
        # A copy, so that no other user of MPI in this process is in the way.
        self._world = MPI.COMM_WORLD.Dup()
        self.rank, self.size = self._world.rank, self._world.size
        self.host = MPI.Get_processor_name()
        here = self._world.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = here.rank, here.size
        here.Free()
        self._pending: list[Any] = []

    def begin_all_reduce(self, buffer: Array) -> Callable[[], None]:
        """See `Communicator`; the buffer lies on the host.

        Raises:
            InputError: it does not. MPICH's wheels know no CUDA, and would crash.
        """
        if not isinstance(buffer, np.ndarray):
            raise InputError("MPI adds up arrays of the host; copy a GPU's to there first")
        request = self._world.Iallreduce(MPI.IN_PLACE, buffer, MPI.SUM)
        self._pending.append(request)

        def wait() -> None:
            _patiently(request)
            self._pending.remove(request)

        return wait

    def progress(self) -> None:
        """Let MPI send on: it does so only while it is asked something."""
        if self._pending:
            MPI.Request.Testall(self._pending)

    def fail(self, error: BaseException) -> None:
        """See `Communicator`."""
        self._torn |= isinstance(error, MPI.Exception)
        super().fail(error)

    def _collect(self, envelope: Any) -> list[Any] | None:
        _patiently(self._world.Ibarrier())
        return self._world.gather(envelope)

    def _hand_down(self, answer: Any) -> Any:
        return self._world.bcast(answer)

    def _abort(self) -> None:
        self._world.Abort(1)


def _patiently(request: Any) -> None:
    """Wait for a request, and leave the core to others."""
    looks = 0
    while not request.Test():
        looks += 1
        if looks > _LOOKS:
            time.sleep(_PAUSE)
