"""The errors that are not our bugs: your input, a loss that ran away, a run that was stopped."""

from __future__ import annotations

from collections.abc import Sequence


class InputError(ValueError):
    """Something given from outside is wrong: an argument, a file, an image, an annotation.

    The message names what is wrong (argument, file, image id), what it is and what it should be.
    The command line prints it, and the other errors here, as one line; a bug keeps its traceback.
    """


class DivergenceError(FloatingPointError):
    """A loss or a gradient is not a finite number, and training stopped before using it.

    Attributes:
        term: the loss term, or the parameter whose gradient it is.
        step: the number of the step that was not taken, from 1 as in metrics.jsonl.
        images: the images of its batch, as messages name them.
    """

    def __init__(self, message: str, *, term: str, step: int, images: Sequence[str]) -> None:
        super().__init__(message)
        self.term = term
        self.step = step
        self.images = tuple(images)


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP ended training between two steps, and a checkpoint was written.

    Attributes:
        step: the number of steps that the checkpoint holds.
    """

    def __init__(self, message: str, *, step: int) -> None:
        super().__init__(message)
        self.step = step


class WorkerError(RuntimeError):
    """A helper process died, took too long, or met an error that is not the input's fault."""


class WorkerLost(WorkerError):
    """A helper process died or took too long: its work may well succeed in a new one."""
