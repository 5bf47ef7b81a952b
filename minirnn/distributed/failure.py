"""What ended a rank, on its way to the others."""

from __future__ import annotations

from typing import NamedTuple

from minirnn.children import ErrorText
from minirnn.errors import InputError, WorkerError


class Failure(NamedTuple):
    """What ended a rank.

    Attributes:
        rank: which.
        size: of how many.
        host: where it was.
        error: what it met.
    """

    rank: int
    size: int
    host: str
    error: ErrorText

    @classmethod
    def of(cls, error: BaseException, rank: int, size: int, host: str) -> Failure:
        """The error of a rank."""
        return cls(rank, size, host, ErrorText.of(error))

    def as_error(self) -> InputError | WorkerError:
        """What another rank raises."""
        return self.error.as_error(f"rank {self.rank} of {self.size}, on {self.host}: ")
