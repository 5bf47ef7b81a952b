"""Refusing input whose fault stands in an array's numbers.

`if not bool(xp.isfinite(boxes).all()): raise …` makes the host wait until a GPU has done all that it was
given so far; a training step has a dozen such questions. So they are asked through `require`: at once where
the answer lies on the host, and inside of `gathered()` all together, in one copy, when the block ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from minirnn.backend import Array, to_host, xp_of

_waiting = threading.local()


def require(fine: Array, error: Callable[[], Exception]) -> None:
    """Raise what `error` returns unless the condition holds.

    Args:
        fine: one bool, an array of no axes.
        error: is called only where it does not hold, and may look at the arrays again.
    """
    answers = getattr(_waiting, "answers", None)
    if answers is not None and not isinstance(fine, bool | np.bool_ | np.ndarray):
        answers.append((fine, error))
    elif not bool(fine):
        raise error()


@contextmanager
def gathered() -> Iterator[None]:
    """Inside, answers of a GPU are not waited for; at the end of the block, all of them at once.

    What computes with faulty input until then must do no harm, only nonsense. Where the nonsense ends in
    an error of its own, the input's is the one that is raised.
    """
    if getattr(_waiting, "answers", None) is not None:  # an outer block asks
        yield
        return
    answers: list[tuple[Array, Callable[[], Exception]]] = []
    _waiting.answers = answers
    try:
        yield
    finally:
        _waiting.answers = None
        _ask(answers)


def _ask(answers: list[tuple[Array, Callable[[], Exception]]]) -> None:
    if not answers:
        return
    flags = [fine for fine, _ in answers]
    found = to_host(xp_of(*flags).stack(flags)).tolist()
    for fine, (_, error) in zip(found, answers, strict=True):
        if not fine:
            raise error()
