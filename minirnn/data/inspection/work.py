"""One function over many arguments, in as many processes as there are cores, with the answers in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from minirnn.data.workers import WorkerPool
from minirnn.errors import WorkerError
from minirnn.progress import Bar

A = TypeVar("A")
B = TypeVar("B")
#: Processes take a second to start. They are, once so many seconds of work are left.
WORTH = 4.0


def for_each(
    function: Callable[[A], B],
    arguments: Sequence[A],
    *,
    workers: int,
    what: str,
    names: Callable[[A], str],
    progress: bool = True,
) -> list[B]:
    """`[function(argument) for argument in arguments]`, shared out where that is quicker.

    The first are done here, which says how long the rest will take.

    Args:
        function: of a module, so that other processes find it.
        arguments: picklable.
        workers: number of processes; 0 or 1 is none but this one.
        what: the bar's name.
        names: what to call an argument in an error.
        progress: show a bar on standard error, if that is a terminal.

    Raises:
        WorkerError: a process died; names the argument. And whatever the function raises.
    """
    answers: list[B] = []
    start = time.perf_counter()
    with Bar(
        desc=what, total=len(arguments), disable=None if progress else True, leave=False
    ) as bar:
        for argument in arguments:
            rest = len(arguments) - len(answers)
            spent = time.perf_counter() - start
            if workers > 1 and answers and spent / len(answers) * rest > WORTH:
                break
            answers.append(function(argument))
            bar.update()
        rest_of = arguments[len(answers) :]
        if rest_of:
            with WorkerPool(function, min(workers, len(rest_of))) as pool:
                _share_out(pool, rest_of, 4 * workers, names, answers, bar)
    return answers


def _share_out(
    pool: WorkerPool,
    arguments: Sequence[A],
    ahead: int,
    names: Callable[[A], str],
    answers: list[B],
    bar: Bar,
) -> None:
    """Add the answers of processes, in order; no more than `ahead` arguments wait at a time."""
    waiting: deque[tuple[Future, A]] = deque()
    queue = iter(arguments)
    for _ in range(len(arguments)):
        while len(waiting) < ahead and (argument := next(queue, None)) is not None:
            waiting.append((pool.submit(argument), argument))
        future, argument = waiting.popleft()
        try:
            answers.append(pool.result(future, timeout=None, what=names(argument)))
        except WorkerError as error:
            raise WorkerError(f"{names(argument)}: {error}") from error
        bar.update()
