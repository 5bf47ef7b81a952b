"""Processes that `mpiexec` has started, on one machine or many: they exchange by MPI.

MPI is the interface that clusters have had since 1994; mpi4py brings it to Python, and the `mpich` wheel an
implementation with its `mpiexec`, so that nothing needs installing by hand (extra `[mpi]`).

Each exchange of objects is the same on the wire: all hand the first an envelope, and the first answers all.
An envelope holds a value, or what ended that rank (`Failure`); the answer, too. So a rank that is failing
meets the others wherever they are. Sums of arrays have no envelope: whoever adds up has exchanged objects
just before.

Waiting is patient. MPI itself looks for news without pause, which takes a whole core from those who still
work; so all arrive at a barrier first, which is looked at now and then.

Source: MPI Forum, "MPI: A Message-Passing Interface Standard", version 4.1, 2023, chapter 6.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from mpi4py import MPI

from minirnn.backend import Array
from minirnn.distributed.communicator import Communicator
from minirnn.distributed.failure import Failure
from minirnn.errors import InputError, TrainingInterrupted, WorkerError
from minirnn.progress import tell

_LOOKS = 200  # at a request without pause, which is some 0.1 ms
_PAUSE = 1e-4  # seconds between two looks from then on


class Mpi(Communicator):
    """One rank of those that MPI has started.

    MPI's order of addition depends on the number of ranks, how they lie on hosts, and the size of the
    buffer, not on who comes first: the same run gives the same bits again.
    """

    def __init__(self) -> None:
        # A copy, so that no other user of MPI in this process is in the way.
        self._world = MPI.COMM_WORLD.Dup()
        self.rank, self.size = self._world.rank, self._world.size
        self.host = MPI.Get_processor_name()
        here = self._world.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = here.rank, here.size
        here.Free()
        self._pending: list[Any] = []
        self._failed: Failure | None = None  # was told: nobody comes to another exchange
        self._closed = False
        self._torn = False  # this rank has left in the middle of one: nobody can meet it any more

    def gather(self, obj: Any) -> list[Any] | None:
        """See `Communicator`."""
        everyone, _ = self._exchange(obj, lambda everyone: None)
        return everyone

    def broadcast(self, obj: Any) -> Any:
        """See `Communicator`."""
        return self._exchange(None, lambda everyone: obj)[1]

    def share(self, obj: Any) -> list[Any]:
        """See `Communicator`: one exchange, up and down."""
        return self._exchange(obj, lambda everyone: everyone)[1]

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

    def close(self) -> None:
        """See `Communicator`."""
        if not self._closed:
            self._exchange(None, lambda everyone: None)
            self._closed = True

    def fail(self, error: BaseException) -> None:
        """Tell the others. Where they cannot be met any more, or a person is in a hurry, end them all."""
        hurried = isinstance(error, KeyboardInterrupt) and not isinstance(
            error, TrainingInterrupted
        )
        if self._torn or hurried or isinstance(error, MPI.Exception):
            tell(f"rank {self.rank} of {self.size}, on {self.host}: {error!r}")
            self._world.Abort(1)
        if not self._failed:
            failure = Failure.of(error, self.rank, self.size, self.host)
            # What comes back is this failure or another's; ours is on its way already.
            with contextlib.suppress(InputError, WorkerError):
                self._exchange(None, lambda everyone: None, failure)

    def _exchange(
        self, up: Any, answer: Callable[[Any], Any], failure: Failure | None = None
    ) -> tuple[list[Any] | None, Any]:
        """One meeting of all ranks.

        Args:
            up: what this one hands to the first.
            answer: of what all have handed up, what the first hands to all.
            failure: why this rank is leaving.

        Returns:
            What all have handed up, in the first rank; and its answer.
        """
        if self._failed:
            raise self._failed.as_error()
        self._torn = True
        _patiently(self._world.Ibarrier())
        envelopes = self._world.gather((failure, up))
        everyone = down = first_failure = None
        if envelopes:
            failures = [failure for failure, _ in envelopes if failure]
            everyone = [value for _, value in envelopes]
            first_failure = failures[0] if failures else None
            down = None if failures else answer(everyone)
        self._failed, down = self._world.bcast((first_failure, down))
        self._torn = False
        if self._failed:
            raise self._failed.as_error()
        return everyone, down


def _patiently(request: Any) -> None:
    """Wait for a request, and leave the core to others."""
    looks = 0
    while not request.Test():
        looks += 1
        if looks > _LOOKS:
            time.sleep(_PAUSE)
