"""Processes of one machine that this one starts, and that do one thing together.

    with Processes(program, size=3) as ranks:  # program(ranks) begins in two others
        print(ranks.gather("here"))            # they have to come to the same exchanges

This one is the first. It has a pipe to each of the others: what they exchange goes through there, and
arrays are added up in memory that all see (`minirnn.distributed.shared_memory`). The pipe of a process
that dies ends, so nobody waits for it: the first says which rank it was, and so do those that are left.
"""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

from minirnn.children import Child, packed, unpacked
from minirnn.distributed.communicator import Communicator
from minirnn.distributed.failure import Failure
from minirnn.distributed.shared_memory import SharedMemory
from minirnn.errors import WorkerError, WorkerLost


class Processes(SharedMemory):
    """The first of them, which starts the others.

    Args:
        program: called in each of the others with its communicator; can be pickled.
        size: how many in all, at least 2.
        timeout: the longest that this one waits for another, in seconds; None for as long as it takes.
            Who is late is ended, and told as lost. The others wait for this one as long as it lives.

    Attributes:
        timeout: may be changed.

    Raises:
        InputError: program cannot be pickled.
    """

    def __init__(
        self, program: Callable[[Communicator], Any], size: int, *, timeout: float | None = None
    ) -> None:
        super().__init__(0, size)
        payload = packed(program)
        self.timeout = timeout
        self._children: list[Child] = []
        self._patience = _Patience()
        # Also when nobody closes it: processes should not wait for one that has forgotten them.
        self._end = weakref.finalize(self, _end, self._children, self._patience)
        for number in range(1, size):
            self._children.append(Child(_take_part, number, size))
        for child in self._children:
            self._send(child, payload)

    @property
    def pids(self) -> list[int]:
        """The ids of the others."""
        return [child.pid for child in self._children]

    @property
    def over(self) -> bool:
        """Whether the others have been ended."""
        return not self._end.alive

    def end(self) -> None:
        """End the others now, whatever they are doing."""
        self._end()

    def scatter(self, objs: Sequence[Any] | None) -> Any:
        """See `Communicator`; no rank gets what is another's."""
        return self.broadcast(_Apart(objs or ()))[0]

    def close(self) -> None:
        """See `Communicator`."""
        try:
            super().close()
        finally:
            self._leave()

    def fail(self, error: BaseException) -> None:
        """See `Communicator`."""
        try:
            if not self.over:
                super().fail(error)
        finally:
            self._leave()

    def _leave(self) -> None:
        """Let the others come to their end; those that do not are ended."""
        for child in () if self.over else self._children:
            child.join()
        self.end()

    def _collect(self, envelope: Any) -> list[Any]:
        return [envelope, *(self._receive(k, child) for k, child in enumerate(self._children, 1))]

    def _receive(self, rank: int, child: Child) -> Any:
        try:
            with self._patience.limited_to(self.timeout, child):
                envelope = child.connection.recv()
        except (EOFError, OSError):
            late = self._patience.ended.get(child.pid)
            error: WorkerError = child.obituary()
            if late is not None:
                error = WorkerLost(
                    f"its part took longer than {late:g} s in a helper process (id {child.pid}), "
                    "which has been ended"
                )
            return Failure.of(error, rank, self.size, self.host), None
        child.answered = True
        return envelope

    def _hand_down(self, answer: Any) -> Any:
        failure, value = answer
        if isinstance(value, _Apart):
            payloads: Sequence[bytes] = [pickle.dumps((failure, each)) for each in value[1:]]
        else:
            payloads = [pickle.dumps(answer)] * len(self._children)
        for child, payload in zip(self._children, payloads, strict=True):
            self._send(child, payload)
        return answer

    def _send(self, child: Child, payload: bytes) -> None:
        # Who is gone is missed at the next exchange.
        with (
            contextlib.suppress(OSError),
            self._patience.limited_to(self.timeout, child),
        ):
            child.connection.send_bytes(payload)

    def _abort(self) -> None:
        self.end()


class _Apart(list):
    """An answer of which each rank gets its own."""


class _Patience:
    """Ends a child that is waited for too long, and with it the waiting: its pipe ends.

    A pipe has no time limit of its own that holds in the middle of a message, in both directions, on all
    systems. So a thread looks at the clock now and then.

    Attributes:
        ended: the ids of the children that were late, each with how many seconds it had.
    """

    def __init__(self) -> None:
        self.ended: dict[int, float] = {}
        self._waiting: tuple[float, float, Child] | None = None
        self._over = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    @contextlib.contextmanager
    def limited_to(self, seconds: float | None, child: Child) -> Iterator[None]:
        """Inside, this child is waited for, but no longer than so many seconds."""
        limit = math.inf if seconds is None else seconds
        self._waiting = time.monotonic() + limit, limit, child
        try:
            yield
        finally:
            self._waiting = None

    def stop(self) -> None:
        """Look no more."""
        self._over.set()

    def _look(self) -> None:
        while not self._over.wait(0.2):
            waiting = self._waiting
            if waiting is not None and time.monotonic() > waiting[0]:
                _, limit, child = waiting
                self.ended[child.pid] = limit
                child.kill()


def _end(children: Sequence[Child], patience: _Patience) -> None:
    patience.stop()
    for child in children:
        child.kill()
    for child in children:
        child.join()
        child.connection.close()


# From here on: in the other processes


def _take_part(connection: Connection, rank: int, size: int) -> None:
    # What goes wrong, the first has been told: it says so.
    with contextlib.suppress(Exception), _Started(connection, rank, size) as ranks:
        program = unpacked(connection.recv_bytes())
        program(ranks)


class _Started(SharedMemory):
    """One of those that the first has started."""

    def __init__(self, connection: Connection, rank: int, size: int) -> None:
        super().__init__(rank, size)
        self._first = connection

    def scatter(self, objs: Sequence[Any] | None) -> Any:
        """See `Communicator`; what comes is this one's own."""
        return self.broadcast(None)

    def _collect(self, envelope: Any) -> None:
        try:
            payload = pickle.dumps(envelope)
        except BaseException:
            self._torn = False  # nothing has left: this error can still be told
            raise
        try:
            self._first.send_bytes(payload)
        except OSError:
            self._abort()

    def _hand_down(self, answer: Any) -> Any:
        try:
            return self._first.recv()
        except (EOFError, OSError):
            self._abort()

    def _abort(self) -> None:
        os._exit(1)  # without a word: the first has gone, or will miss this one
