"""Sums in memory that all ranks of one machine see.

Each rank has room for its buffer there. Once all have handed in, rank r adds up the r-th part of all
buffers, in the order rank 0 + 1 + 2 + …, and writes the sum into each of them. So every rank does a part
of the work, and all have the same bits: those of one process that adds rank after rank.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn.backend import Array
from minirnn.distributed.exchange import Exchanging
from minirnn.distributed.shared_arrays import SharedArrays
from minirnn.errors import InputError


class SharedMemory(Exchanging):
    """One of several ranks of one machine; how objects get from one to the other is left open.

    Args:
        rank: of this one.
        size: how many there are.
    """

    def __init__(self, rank: int, size: int) -> None:
        super().__init__()
        self.rank = self.local_rank = rank
        self.size = self.local_size = size
        self.host = socket.gethostname()
        self._room: dict[int, list[Array]] = {}  # of all ranks, by the id of this one's
        self._spare: dict[Any, list[Array]] = {}
        self._begun: list[list[Array]] = []

    def buffer(self, size: int, dtype: Any, xp: Any = np) -> Array:
        """See `Communicator`: in shared memory, so that nothing is copied."""
        own = SharedArrays([np.empty(size, dtype)], self.size) if self.rank == 0 else None
        try:
            memory: SharedArrays = self.broadcast(own)
            of_all = [memory.arrays(rank)[0] for rank in range(self.size)]
            self.gather(None)  # all have it in view, and need its file no longer
        finally:
            if own:
                own.remove()
        mine = of_all[self.rank]
        self._room[id(mine)] = of_all
        return mine

    def begin_all_reduce(self, buffer: Array) -> Callable[[], None]:
        """See `Communicator`; all is done in the wait for the first of those that have begun.

        Raises:
            InputError: the buffer is not on the host.
        """
        if not isinstance(buffer, np.ndarray):
            raise InputError("processes add up arrays of the host; copy a GPU's to there first")
        if of_all := self._room.get(id(buffer)):
            self._begun.append(of_all)
            return lambda: self._add_up(of_all)
        spare = self._spare.setdefault((buffer.size, buffer.dtype), [])
        room = spare.pop() if spare else self.buffer(buffer.size, buffer.dtype)
        room[...] = buffer
        wait_for_room = self.begin_all_reduce(room)

        def wait() -> None:
            wait_for_room()
            buffer[...] = room
            spare.append(room)

        return wait

    def _add_up(self, wanted: list[Array]) -> None:
        """Add up all that has begun, unless what is wanted has been added up with another."""
        if not any(of_all is wanted for of_all in self._begun):
            return
        self.gather(None)  # everyone has handed in
        for of_all in self._begun:
            length = len(of_all[0])
            part = slice(*(length * rank // self.size for rank in (self.rank, self.rank + 1)))
            first, *others = (buffer[part] for buffer in of_all)
            for other in others:
                first += other
            for other in others:
                other[...] = first
        self._begun = []
        self.gather(None)  # everyone's part is there
