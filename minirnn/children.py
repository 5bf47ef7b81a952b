"""A process that this one starts, and that neither hangs nor outlives it.

Each child has a pipe of its own: whatever happens to it, the pipe ends, and whoever reads it knows. (A
pool of concurrent.futures loses an answer that is half written when its process is killed, and then waits
for the other half for ever.)
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from minirnn.errors import InputError, WorkerError, WorkerLost


class ErrorText(NamedTuple):
    """An exception on its way to another process: as text, since not every exception can be pickled.

    Attributes:
        message: of the error.
        kind: what the other process raises.
        trace: where it came from; empty where that says nothing.
    """

    message: str
    kind: type[InputError | WorkerError]
    trace: str

    @classmethod
    def of(cls, error: BaseException) -> ErrorText:
        """The text of an error."""
        named = isinstance(error, InputError | WorkerError)
        message = str(error) if named else f"{type(error).__name__}: {error}"
        for kind in (InputError, WorkerLost):
            if isinstance(error, kind):
                return cls(message, kind, "")
        return cls(message, WorkerError, "".join(traceback.format_exception(error)))

    def as_error(self, where: str = "") -> InputError | WorkerError:
        """What the other process raises; `where` stands before the message."""
        text = f"{where}{self.message}"
        return self.kind(f"{text}\n\nThere:\n{self.trace}" if self.trace else text)


class Child:
    """One process, at work.

    It is a new one ("spawn"), so it shares no thread, lock or open GPU with this one. It uses one core,
    leaves Ctrl-C to this process, and ends when this process does, however it ends.

    Args:
        work: called in the child with its end of the pipe and `args`; a function of a module.
        args: small, and sure to be picklable.

    Attributes:
        connection: this process's end of the pipe.
        pid: the child's id.
        answered: whether anything has come from it; whoever reads the pipe says so.
    """

    def __init__(self, work: Callable[..., None], *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_begin, args=(work, theirs, *args), daemon=True)
        with _ctrl_c_held_back(), _start_method_kept():
            self._process.start()
        theirs.close()  # so that the pipe ends when the process does
        self.pid: int = self._process.pid or 0
        self.answered = False

    def kill(self) -> None:
        """End it now, whatever it is doing."""
        self._process.kill()

    def join(self, seconds: float = 5) -> None:
        """Wait for its end, but no longer than this."""
        self._process.join(seconds)

    def obituary(self) -> WorkerError:
        """Why its pipe has ended, as an error: `WorkerLost`, where a new child may do better."""
        self.join()
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
        if self.answered or (code is not None and code < 0):  # it came to its work, or was killed
            return WorkerLost(text)
        return WorkerError(
            f"{text} before its first answer; a script that uses helper processes has to start its "
            'work under `if __name__ == "__main__":`'
        )


def packed(work: Any) -> bytes:
    """What children are to work on, as bytes for `unpacked`.

    Raises:
        InputError: it cannot be pickled.
    """
    try:
        return pickle.dumps(work)
    except Exception as error:
        raise InputError(f"what helper processes work on cannot be pickled: {error}") from error


def unpacked(payload: bytes) -> Any:
    """The same again, in a child.

    Raises:
        InputError: it is in no module.
    """
    try:
        return pickle.loads(payload)
    except AttributeError as error:  # pickle knows functions and classes by their names only
        raise InputError(
            f"a helper process does not find what it is to work on ({error}): what is defined in a "
            "notebook or typed in is in no file; put it into a module, or use no helpers (workers=0)"
        ) from error


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


# From here on: in the child


def _begin(work: Callable[..., None], connection: Connection, *args: Any) -> None:
    """Leave Ctrl-C, a closed terminal and the other cores to the parent, end with it, and work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.environ["MINIRNN_THREADS"] = "1"
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    work(connection, *args)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # in the middle of whatever the main thread does
