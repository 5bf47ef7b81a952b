"""Other processes that work for this one, and that neither hang nor outlive it.

Each is a `minirnn.children.Child` with a thread of its own here that talks to it: whatever happens to the
process, its pipe ends, and the thread says so.
"""

from __future__ import annotations

import atexit
import pickle
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.connection import Connection
from typing import Any

from minirnn.children import Child, ErrorText, packed, unpacked
from minirnn.errors import WorkerLost


class WorkerPool:
    """Some processes that all compute the same function.

        with WorkerPool(function, count=2) as pool:
            future = pool.submit(argument)
            answer = pool.result(future, timeout=60, what="the answer")

    The function is sent to each process once; arguments and answers go through pipes.

    Args:
        function: what to compute; picklable.
        count: number of processes, at least 1.

    Raises:
        InputError: the function cannot be pickled.
    """

    def __init__(self, function: Callable[[Any], Any], count: int) -> None:
        payload = packed(function)
        self._workers = [_Worker(payload) for _ in range(count)]
        self._next = 0
        atexit.register(self.close)

    def submit(self, argument: Any) -> Future:
        """Have the next process (in turn) compute `function(argument)`."""
        worker = self._workers[self._next]
        self._next = (self._next + 1) % len(self._workers)
        return worker.submit(argument)

    def result(self, future: Future, *, timeout: float | None, what: str) -> Any:
        """Wait for an answer.

        Args:
            future: from `submit`.
            timeout: the longest to wait, in seconds. After it, all processes are ended.
            what: what is waited for, for messages.

        Raises:
            InputError: the function raised it; same message.
            WorkerLost: the process died, or time is up.
            WorkerError: the function raised something else, or the process died before it had answered
                anything: then a new one would die, too.
        """
        try:
            return future.result(timeout)
        except TimeoutError:
            self.close()
            raise WorkerLost(
                f"{what} took longer than {timeout:g} s in a helper process, which has been ended"
            ) from None

    @property
    def pids(self) -> list[int]:
        """The ids of the processes."""
        return [worker.pid for worker in self._workers]

    def close(self) -> None:
        """End all processes now, whatever they are doing."""
        atexit.unregister(self.close)
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.join()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Worker:
    """One process, and the thread that talks to it."""

    def __init__(self, payload: bytes) -> None:
        self._child = Child(_serve)
        self.pid = self._child.pid
        self._payload = payload
        self._requests: queue.SimpleQueue = queue.SimpleQueue()
        # A daemon, so that the interpreter's end never waits for it.
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self._thread.start()

    def submit(self, argument: Any) -> Future:
        future: Future = Future()
        self._requests.put((argument, future))
        return future

    def kill(self) -> None:
        self._child.kill()
        self._requests.put(None)

    def join(self) -> None:
        self._child.join()
        self._thread.join(5)

    def _talk(self) -> None:
        """Answer requests in order; once the process is gone, with an error."""
        gone = self._send(self._payload)
        while (request := self._requests.get()) is not None:
            argument, future = request
            answer: Any = None
            if gone is None:
                gone = self._send(pickle.dumps(argument))
            if gone is None:
                try:
                    answer = self._child.connection.recv()
                    self._child.answered = True
                except (EOFError, OSError) as error:
                    gone = error
                except Exception as error:
                    answer = ErrorText.of(error)
            if gone is not None:
                future.set_exception(self._child.obituary())
            elif isinstance(answer, ErrorText):
                future.set_exception(answer.as_error())
            else:
                future.set_result(answer)
        self._child.connection.close()

    def _send(self, message: bytes) -> Exception | None:
        try:
            self._child.connection.send_bytes(message)
        except OSError as error:
            return error
        return None


# From here on: in the helper process


def _serve(connection: Connection) -> None:
    """Compute until the pipe ends."""
    failure = None
    try:
        function = unpacked(connection.recv_bytes())
    except EOFError:
        return
    except Exception as error:
        failure = ErrorText.of(error)
    while True:
        try:
            argument = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        answer: Any = failure
        if failure is None:
            try:
                answer = function(argument)
            except Exception as error:
                answer = ErrorText.of(error)
        try:
            connection.send(answer)
        except OSError:  # nobody reads it any more
            return
        except Exception as error:  # an answer that cannot be pickled
            connection.send(ErrorText.of(error))
