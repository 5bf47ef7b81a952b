"""Stopping between two steps, so that nothing of the training is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from minirnn.distributed import Communicator
from minirnn.errors import InputError, TrainingInterrupted, WorkerError

#: Those that ask a program to end; Windows has no SIGHUP.
_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class StopRequest:
    """Turns Ctrl-C, SIGTERM and SIGHUP into a wish that the loop grants between two steps.

    SIGHUP comes when a terminal is closed. The second time, the signal does what it did before.
    Signals that were ignored stay ignored (a job in the background), and outside the main thread,
    which gets no signals, nothing is changed.

    Args:
        silent: say nothing of it: among several ranks the first does.

    Attributes:
        requested: whether such a signal has come.
        cause: an error that it has led to, and that is no news (see `Keeper.saving`); else None.
    """

    def __init__(self, silent: bool = False) -> None:
        self.silent = silent
        self.requested = False
        self.cause: BaseException | None = None
        self._before: dict[int, Any] = {}
        self._process = os.getpid()

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note) or signal.SIG_DFL
        return self

    def __exit__(self, *_: Any) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def heard(self, ranks: Communicator, enough: bool = False) -> bool:
        """Whether to stop now: all ranks hear the same answer, after the same step.

        Args:
            ranks: all of them ask.
            enough: this one wants to stop for a reason of its own.

        Returns:
            Whether one of them has got such a signal (which makes `requested` true in all) or has enough.
        """
        asked = ranks.share((self.requested, enough))
        if any(requested for requested, _ in asked):
            self.requested = True
        return any(any(each) for each in asked)

    def interruption(self, checkpoint: Path, step: int, steps: int) -> TrainingInterrupted:
        """The error of a run that was asked to stop, after telling of it on standard error.

        Args:
            checkpoint: the file, which holds everything.
            step: the number of steps taken.
            steps: of the whole training.
        """
        message = (
            f"stopped after step {step} of {steps}; {checkpoint} holds everything. To go on, "
            "run the same again with --resume (in Python: train(..., resume=True))."
        )
        if not self.silent:
            with contextlib.suppress(OSError):  # the terminal may be closed
                print(message, file=sys.stderr, flush=True)
        return TrainingInterrupted(message, step=step)

    def _note(self, number: int, frame: Any) -> None:
        # A forked child has inherited this handler, but the wish is not meant for it.
        if self.requested or os.getpid() != self._process:
            signal.signal(number, self._before[number])
            signal.raise_signal(number)
            return
        self.requested = True
        if self.silent:
            return
        with contextlib.suppress(OSError):  # print could be in the middle of a line of its own
            os.write(2, b"\nstopping after this step; once more stops at once\n")


def explain_how_to_go_on(error: BaseException, checkpoint: Path, step: int) -> None:
    """Add to an error that ends a run what is kept, and how to go on; its type stays.

    Args:
        error: it is changed.
        checkpoint: the file.
        step: the number of steps that it holds.
    """
    advice = (
        f"{checkpoint} holds the weights after {step} steps. To go on once this is mended, run the same "
        "again with --resume (in Python: train(..., resume=True))."
    )
    if isinstance(error, OSError):
        error.strerror = f"{error.strerror or error}. {advice}"
    elif isinstance(error, InputError | WorkerError):
        error.args = (f"{error}\n{advice}",)
    elif isinstance(error, Exception):
        error.add_note(advice)
