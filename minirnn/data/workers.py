"""Other processes that work for this one, and that neither hang nor outlive it.

A pool of concurrent.futures loses an answer that is half written when its process is killed, and
then waits for the other half for ever. Here each process has its own pipe, and a thread that reads
it: whatever happens to the process, the pipe ends, and the thread says so.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from minirnn.errors import InputError, WorkerError, WorkerLost


class _Failure(NamedTuple):
    """An exception as plain text: not every exception survives being pickled."""

    message: str
    is_input: bool
    trace: str

    @classmethod
    def of(cls, error: Exception) -> _Failure:
        named = isinstance(error, InputError | WorkerError)
        message = str(error) if named else f"{type(error).__name__}: {error}"
        return cls(message, isinstance(error, InputError), traceback.format_exc())

    def as_error(self) -> Exception:
        if self.is_input:
            return InputError(self.message)
        return WorkerError(f"{self.message}\n\nIn the helper process:\n{self.trace}")


class WorkerPool:
    """Some processes that all compute the same function.

        with WorkerPool(function, count=2) as pool:
            future = pool.submit(argument)
            answer = pool.result(future, timeout=60, what="the answer")

    The function is sent to each process once; arguments and answers go through pipes. The processes
    are new ones ("spawn"), so they share no thread, lock or open GPU with this one. They use one
    core each, leave Ctrl-C to this process, and end when this process does, however it ends.

    Args:
        function: what to compute; picklable.
        count: number of processes, at least 1.

    Raises:
        InputError: the function cannot be pickled.
    """

    def __init__(self, function: Callable[[Any], Any], count: int) -> None:
        try:
            payload = pickle.dumps(function)
        except Exception as error:
            raise InputError(f"what helper processes work on cannot be pickled: {error}") from error
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
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _ctrl_c_held_back(), _start_method_kept():
            self._process.start()
        theirs.close()  # so that the pipe ends when the process does
        self.pid: int = self._process.pid or 0
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
        self._process.kill()
        self._requests.put(None)

    def join(self) -> None:
        self._process.join(5)
        self._thread.join(5)

    def _talk(self) -> None:
        """Answer requests in order; once the process is gone, with an error."""
        gone = self._send(self._payload)
        answered = False
        while (request := self._requests.get()) is not None:
            argument, future = request
            answer: Any = None
            if gone is None:
                gone = self._send(pickle.dumps(argument))
            if gone is None:
                try:
                    answer = self._connection.recv()
                    answered = True
                except (EOFError, OSError) as error:
                    gone = error
                except Exception as error:
                    answer = _Failure.of(error)
            if gone is not None:
                future.set_exception(self._obituary(answered))
            elif isinstance(answer, _Failure):
                future.set_exception(answer.as_error())
            else:
                future.set_result(answer)
        self._connection.close()

    def _send(self, message: bytes) -> Exception | None:
        try:
            self._connection.send_bytes(message)
        except OSError as error:
            return error
        return None

    def _obituary(self, answered: bool) -> WorkerError:
        self._process.join(5)
        code = self._process.exitcode
        cause = f"exit code {code}"
        if code is not None and code < 0:
            try:
                cause = f"signal {-code}, {signal.Signals(-code).name}"
            except ValueError:
                cause = f"signal {-code}"
        if code == -9:
            cause += "; the system does this when memory runs out"
        text = f"a helper process (id {self.pid}) died ({cause})"
        if answered or (code is not None and code < 0):  # it came to its work, or was killed
            return WorkerLost(text)
        return WorkerError(
            f"{text} before its first answer; a script that uses helper processes has to start its "
            'work under `if __name__ == "__main__":`'
        )


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """A process started in here ignores Ctrl-C from its first moment; this one gets it after."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _start_method_kept() -> Iterator[None]:
    """Starting any process decides for good how Python starts others; that is the program's to decide."""
    before = multiprocessing.get_start_method(allow_none=True)
    try:
        yield
    finally:
        if before is None:
            multiprocessing.set_start_method(None, force=True)


# From here on: in the helper process


def _serve(connection: Connection) -> None:
    """Compute until the pipe ends."""
    _prepare()
    failure = None
    try:
        function = pickle.loads(connection.recv_bytes())
    except EOFError:
        return
    except AttributeError as error:  # pickle knows functions and classes by their names only
        failure = _Failure.of(
            InputError(
                f"a helper process does not find what it is to work on ({error}): what is defined in a "
                "notebook or typed in is in no file; put it into a module, or use no helpers (workers=0)"
            )
        )
    except Exception as error:
        failure = _Failure.of(error)
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
                answer = _Failure.of(error)
        try:
            connection.send(answer)
        except OSError:  # nobody reads it any more
            return
        except Exception as error:  # an answer that cannot be pickled
            connection.send(_Failure.of(error))


def _prepare() -> None:
    """Leave Ctrl-C, a closed terminal and the other cores to the parent, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.environ["MINIRNN_THREADS"] = "1"
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # in the middle of whatever the main thread does
