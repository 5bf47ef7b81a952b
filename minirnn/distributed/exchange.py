"""Exchanges of objects, and of errors, the same whatever carries them.

All ranks hand the first an envelope, and the first answers all. An envelope holds a value, or what ended
that rank (`Failure`); the answer, too. So a rank that is failing meets the others wherever they are. From
then on nobody comes to an exchange any more: each further one raises the same error.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable
from typing import Any

from minirnn.distributed.communicator import Communicator
from minirnn.distributed.failure import Failure
from minirnn.errors import InputError, TrainingInterrupted, WorkerError
from minirnn.progress import tell


class Exchanging(Communicator):
    """A communicator that has to say only how envelopes come to the first rank, and answers from it."""

    def __init__(self) -> None:
        self._failed: Failure | None = None  # was told: nobody comes to another exchange
        self._closed = False
        self._torn = False  # this rank has left in the middle of one: nobody can meet it any more

    @abc.abstractmethod
    def _collect(self, envelope: Any) -> list[Any] | None:
        """The envelopes of all ranks, in order, in the first; None elsewhere."""

    @abc.abstractmethod
    def _hand_down(self, answer: Any) -> Any:
        """What the first hands in."""

    @abc.abstractmethod
    def _abort(self) -> None:
        """End all ranks, since they cannot be met."""

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
        if self._torn or hurried:
            tell(f"rank {self.rank} of {self.size}, on {self.host}: {error!r}")
            self._abort()
        elif not self._failed:
            failure = Failure.of(error, self.rank, self.size, self.host)
            # What comes back is this failure or another's; ours is on its way already.
            with contextlib.suppress(InputError, WorkerError):
                self._exchange(None, lambda everyone: None, failure)

    def _exchange(
        self,
        up: Any,
        answer: Callable[[Any], Any],
        failure: Failure | None = None,
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
        envelopes = self._collect((failure, up))
        everyone: list[Any] | None = None
        down: Any = None
        if envelopes:
            first_failure = next((failure for failure, _ in envelopes if failure), None)
            everyone = [value for _, value in envelopes]
            down = first_failure, None if first_failure else answer(everyone)
        self._failed, down = self._hand_down(down)
        self._torn = False
        if self._failed:
            raise self._failed.as_error()
        return everyone, down
