"""A communicator that notes how much is exchanged, and how long this process is busy with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minirnn.backend import Array
from minirnn.distributed import Communicator


class Watched(Communicator):
    """Another communicator, watched.

    Args:
        ranks: that does the work.

    Attributes:
        added: bytes that were handed in to be added up.
        adding: seconds spent in that: sending, adding, and waiting for what is still on its way. What the
            network does meanwhile by itself, behind the computing, is not in it.
        talking: seconds spent in exchanges of objects, most of them waiting for who comes later.
    """

    def __init__(self, ranks: Communicator) -> None:
        self._ranks = ranks
        self.rank, self.size, self.host = ranks.rank, ranks.size, ranks.host
        self.local_rank, self.local_size = ranks.local_rank, ranks.local_size
        self.on_device = ranks.on_device
        self.forget()

    def forget(self) -> None:
        """Begin to count anew."""
        self.added, self.adding, self.talking = 0, 0.0, 0.0

    def gather(self, obj: Any) -> list[Any] | None:
        """See `Communicator`."""
        with self._noting("talking"):
            return self._ranks.gather(obj)

    def broadcast(self, obj: Any) -> Any:
        """See `Communicator`."""
        with self._noting("talking"):
            return self._ranks.broadcast(obj)

    def share(self, obj: Any) -> list[Any]:
        """See `Communicator`."""
        with self._noting("talking"):
            return self._ranks.share(obj)

    def scatter(self, objs: Sequence[Any] | None) -> Any:
        """See `Communicator`."""
        with self._noting("talking"):
            return self._ranks.scatter(objs)

    def buffer(self, size: int, dtype: Any, xp: Any = np) -> Array:
        """See `Communicator`."""
        return self._ranks.buffer(size, dtype, xp)

    def begin_all_reduce(self, buffer: Array) -> Callable[[], None]:
        """See `Communicator`."""
        self.added += buffer.nbytes
        with self._noting("adding"):
            end = self._ranks.begin_all_reduce(buffer)

        def wait() -> None:
            with self._noting("adding"):
                end()

        return wait

    def progress(self) -> None:
        """See `Communicator`."""
        with self._noting("adding"):
            self._ranks.progress()

    def close(self) -> None:
        """See `Communicator`."""
        self._ranks.close()

    def fail(self, error: BaseException) -> None:
        """See `Communicator`."""
        self._ranks.fail(error)

    @contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, what, getattr(self, what) + time.perf_counter() - begun)
