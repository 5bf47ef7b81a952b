"""An exception on its way to other ranks: as plain text, since not every exception can be pickled."""

from __future__ import annotations

import traceback
from typing import NamedTuple

from minirnn.errors import InputError, WorkerError, WorkerLost


class Failure(NamedTuple):
    """What ended a rank.

    Attributes:
        rank: which.
        size: of how many.
        host: where it was.
        message: of the error.
        kind: what the others raise.
        trace: where it came from; empty where that says nothing.
    """

    rank: int
    size: int
    host: str
    message: str
    kind: type[InputError | WorkerError]
    trace: str

    @classmethod
    def of(cls, error: BaseException, rank: int, size: int, host: str) -> Failure:
        """The error of a rank."""
        named = isinstance(error, InputError | WorkerError)
        message = str(error) if named else f"{type(error).__name__}: {error}"
        for kind in (InputError, WorkerLost):
            if isinstance(error, kind):
                return cls(rank, size, host, message, kind, "")
        trace = "".join(traceback.format_exception(error))
        return cls(rank, size, host, message, WorkerError, trace)

    def as_error(self) -> InputError | WorkerError:
        """What another rank raises."""
        text = f"rank {self.rank} of {self.size}, on {self.host}: {self.message}"
        return self.kind(f"{text}\n\nThere:\n{self.trace}" if self.trace else text)
