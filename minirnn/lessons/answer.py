"""Calling a reader's function so that nothing it does stops the notebook: errors, endless loops, texts."""

from __future__ import annotations

import copy
import ctypes
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

LIMIT_S = 10.0  # for all cases of an exercise together


@dataclass(frozen=True)
class Complaint:
    """Why an answer cannot be compared with the truth, as the end of a sentence: "your function …"."""

    text: str


class _TooLong(BaseException):
    """Not an Exception, so that a reader's own `except Exception` does not swallow it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Inside, `_TooLong` is raised after so many seconds, also in the middle of an endless loop.

    It is sent to this thread by another one, which works on every platform and in every thread. A
    single call into compiled code is not interrupted before it returns.
    """
    thread = threading.get_ident()
    lock, over = threading.Lock(), False

    def interrupt() -> None:
        with lock:
            if not over:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread), ctypes.py_object(_TooLong)
                )

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            over = True
        timer.cancel()


def answers(
    function: Callable, cases: Sequence[tuple], like: Sequence[Any], limit: float = LIMIT_S
) -> list[Any]:
    """What a function gives for each case, or a Complaint.

    Args:
        function: the reader's.
        cases: the arguments of each call; the function gets copies.
        like: the true result of each, for its shape.
        limit: seconds for all calls together; after that, every further case has the same Complaint.

    Returns:
        For each case an array of the true result's shape and kind (a number, tuple, list or array are
        all accepted), `...` or None where there is no answer, or a Complaint.
    """
    given: list[Any] = []
    try:
        with time_limit(limit):
            for arguments, true in zip(cases, like, strict=True):
                given.append(_one(function, arguments, true))
    except _TooLong:
        given += [Complaint(f"is still at work after {limit:g} seconds")] * (
            len(cases) - len(given)
        )
    return given


def _one(function: Callable, arguments: tuple, true: Any) -> Any:
    own = copy.deepcopy(arguments)
    try:
        with np.errstate(all="ignore"):  # what comes of it is looked at below
            result = function(*own)
    except (Exception, SystemExit) as error:  # what the reader's function does is told, not raised
        return Complaint(f"raised {type(error).__name__}: {error}")
    if result is ... or result is None:
        return result
    for number, (before, after) in enumerate(zip(arguments, own, strict=True), start=1):
        if isinstance(before, np.ndarray) and not np.array_equal(before, after, equal_nan=True):
            return Complaint(f"changed its argument number {number}; work on a copy")
    return as_like(result, true)


def as_like(result: Any, true: Any) -> Any:
    """A result as an array of the shape of the true one, or a Complaint."""
    true = np.asarray(true)
    if isinstance(result, (str, bytes)):
        return Complaint(f"returned the text {result!r}, not {_words(true)}")
    try:
        array = np.asarray(result)
        if np.iscomplexobj(array):
            return Complaint(f"returned complex numbers, not {_words(true)}")
        if array.size == 0:
            array = array.astype(true.dtype)
        array = array.astype(float if true.dtype.kind in "biuf" else true.dtype)
    except (TypeError, ValueError):
        return Complaint(f"returned {_short(result)}, not {_words(true)}")
    if array.shape != true.shape:
        return Complaint(f"returned {_words(array)}, not {_words(true)}")
    if array.dtype.kind == "f" and np.isinf(array).any() and np.isfinite(true).all():
        return Complaint("returned infinity (a division by 0, or too large a power)")
    if array.dtype.kind == "f" and np.isnan(array).any() and not np.isnan(true.astype(float)).any():
        return Complaint("returned NaN (0 / 0, or infinity less infinity)")
    return array


def _words(array: np.ndarray) -> str:
    if array.ndim == 0:
        return "a number"
    if array.ndim == 1:
        return f"{len(array)} numbers" if len(array) != 1 else "one number in a list"
    return f"an array of shape {array.shape}"


def _short(value: Any, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else text[: most - 1] + "…"
