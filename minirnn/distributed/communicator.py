"""What processes that work together need of each other, whatever carries it.

All of them (*ranks*, numbered from 0) run the same program and come to the same exchanges in the same
order. Each exchange is one of four: all tell the first something (`gather`), the first tells all
(`broadcast`) or each something of its own (`scatter`), or arrays are added up so that all have the sum
(`all_reduce`).

    with communicator() as ranks:
        mine = range(ranks.rank, count, ranks.size)
        found = ranks.gather([look_at(i) for i in mine])  # a list of lists in the first, None elsewhere

Errors travel by `gather` and `broadcast`, so that no rank waits for one that is gone: a rank that leaves
the `with` block by an exception takes part in the next of them all the same, and there the others raise an
error that says which rank it was, on which host, and what went wrong.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minirnn.backend import Array


class Communicator(abc.ABC):
    """One of several processes, as it sees itself among them.

    Attributes:
        rank: its number, from 0. The first is the one that speaks and writes files.
        size: how many there are.
        host: the name of its machine, for messages.
        local_rank: its number among those of the same machine.
        local_size: how many those are.
        on_device: whether `all_reduce` takes arrays of a GPU. Else they are copied to the host first, by
            whoever wants them added.
    """

    rank: int = 0
    size: int = 1
    host: str = ""
    local_rank: int = 0
    local_size: int = 1
    on_device: bool = False

    @abc.abstractmethod
    def gather(self, obj: Any) -> list[Any] | None:
        """What every rank hands in, in order of rank, in the first; None in the others.

        Args:
            obj: anything that can be pickled.

        Raises:
            InputError: so has another rank; says which, and on which host.
            WorkerError: another rank has ended by another error; says the same.
        """

    @abc.abstractmethod
    def broadcast(self, obj: Any) -> Any:
        """What the first rank hands in, in all of them; what the others hand in is left aside.

        Raises:
            InputError: as `gather`.
            WorkerError: as `gather`.
        """

    def scatter(self, objs: Sequence[Any] | None) -> Any:
        """Of what the first rank hands in, one for each, this rank's own; the others hand in None.

        Raises:
            InputError: as `gather`.
            WorkerError: as `gather`.
        """
        return self.broadcast(objs)[self.rank]

    def buffer(self, size: int, dtype: Any, xp: Any = None) -> Array:
        """Room for a flat array that is going to be added up again and again; all ranks ask for it alike.

        Other arrays are added up as well, but they may have to be copied each time.

        Args:
            size: elements, at first 0.
            dtype: of them.
            xp: NumPy or CuPy, whose arrays are put into it; None is NumPy.
        """
        import numpy as np  # not above: every command line comes by here, and --help computes nothing

        return (xp or np).zeros(size, dtype)

    @abc.abstractmethod
    def begin_all_reduce(self, buffer: Array) -> Callable[[], None]:
        """Begin to add up a flat array of all ranks, and do something else meanwhile.

        All ranks come to the same beginnings and waits in the same order. The order of addition depends on
        nothing but the number of ranks and the buffer's size, and all ranks get the same bits.

        Args:
            buffer: (n,) contiguous, of the same size and kind in all ranks; nobody touches it meanwhile.
                See `buffer`.

        Returns:
            A function that waits for the end; from there on the buffer holds the sum.
        """

    def all_reduce(self, buffer: Array) -> None:
        """Replace a flat array by the sum over all ranks, see `begin_all_reduce`."""
        self.begin_all_reduce(buffer)()

    def share(self, obj: Any) -> list[Any]:
        """What every rank hands in, in order of rank, in all of them."""
        return self.broadcast(self.gather(obj))

    def progress(self) -> None:  # noqa: B027 - most need no help
        """Help on what has begun, where nobody else does; for the middle of long work."""

    @abc.abstractmethod
    def close(self) -> None:
        """Wait until all ranks are here, and let go.

        Raises:
            InputError: as `gather`.
            WorkerError: as `gather`.
        """

    def fail(self, error: BaseException) -> None:  # noqa: B027 - alone there is nobody to tell
        """Tell the others, at the next exchange, that this rank is leaving."""

    def __enter__(self) -> Communicator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.fail(error)
