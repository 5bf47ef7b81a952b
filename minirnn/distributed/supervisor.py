"""A rank's sudden end is told by a process that outlives it.

When the system ends a rank (its memory has run out), `mpiexec` ends all the others at once, and does not
say which was the first. So under a launcher each rank is two processes: one that waits, and its child that
works. The one that waits passes signals on, and when its child has been ended by one, it says so before
`mpiexec` can know. It also says when its child has been stopped (SIGSTOP): all others wait for it then.

    supervised()  # from here on this is the child

MPI must not have begun by then, nor threads, which a fork does not take along.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from typing import Any, NoReturn

from minirnn.distributed.find import launched

#: Those that ask a program for something; the child gets them from its supervisor alone.
PASSED_ON = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")


def supervised() -> None:
    """Go on in a child of this process, if a launcher has started it as one of several."""
    rank, size = launched()
    if size == 1 or not hasattr(os, "fork"):
        return
    end, kept = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        os.close(end)
        _supervise(child, f"rank {rank} of {size}, on {socket.gethostname()} (process {child})")
    os.close(kept)  # the supervisor alone holds it open, and lets go of it however it ends
    os.setpgid(0, 0)  # what is sent to the supervisor's group should not come twice
    threading.Thread(target=_end_with_supervisor, args=(end,), daemon=True).start()


def _supervise(child: int, name: str) -> NoReturn:
    """Wait for the child's end, and end as it did."""

    def pass_on(number: int, frame: Any) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for number in PASSED_ON:
        signal.signal(getattr(signal, number), pass_on)
    while True:
        _, status = os.waitpid(child, os.WUNTRACED | os.WCONTINUED)
        if os.WIFSTOPPED(status):
            _say(
                f"{name}, has been stopped by {signal.Signals(os.WSTOPSIG(status)).name}, and the others "
                f"wait for it; `kill -CONT {child}` there lets it go on"
            )
        elif os.WIFCONTINUED(status):
            _say(f"{name}, goes on")
        else:
            break
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        memory = "; the system does this when memory runs out" if code == -signal.SIGKILL else ""
        _say(
            f"error: {name}, was ended by {signal.Signals(-code).name}{memory}. The others end "
            "with it. A training goes on from its last checkpoint with --resume."
        )
    os._exit(code if code >= 0 else 128 - code)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"\nminirnn: {text}\n".encode())


def _end_with_supervisor(end: int) -> None:
    os.read(end, 1)  # nothing is ever written: it returns when the other end is closed
    os._exit(1)
