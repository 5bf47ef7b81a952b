"""Taking turns: ours, theirs, ours, theirs, each twice before the clock starts."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

#: Threads of OpenBLAS, OpenMP and ONNX Runtime wait for more work by spinning, for up to some 25 ms,
#: and would take a core from whoever comes next. Rather than change how any of them is set up by
#: default, each turn begins after this pause (seconds).
PAUSE = 0.03
#: What takes less (seconds) is called once more in each turn, before the clock starts: after the pause the
#: processor wakes up, and its caches are full of the others' numbers. In use, operations and steps of
#: training follow each other, and none starts so cold.
SHORT = 0.5
#: A turn goes on with further calls until it has lasted so long (seconds), and counts their mean: of single
#: calls of a millisecond the slowest take twice as long as the quickest, whoever is asked.
ENOUGH = 0.05

#: Calls of a turn on a GPU at most.
_MOST = 1000


class Clock(Protocol):
    """Tells how long something takes."""

    def mark(self) -> Any:
        """A point in time."""

    def seconds(self, first: Any, last: Any) -> float:
        """Seconds between two marks."""

    def lasting(self, run: Callable[[], Any], enough: float) -> tuple[int, float]:
        """Call a function again and again for `enough` seconds: how often, and how long that took."""


class HostClock:
    """The processor's clock."""

    def mark(self) -> float:
        """Now."""
        return time.perf_counter()

    def seconds(self, first: float, last: float) -> float:
        """Seconds between two marks."""
        return last - first

    def lasting(self, run: Callable[[], Any], enough: float) -> tuple[int, float]:
        """See `Clock`."""
        calls, taken, start = 0, 0.0, time.perf_counter()
        while taken < enough:
            run()
            calls += 1
            taken = time.perf_counter() - start
        return calls, taken


class EventClock:
    """A GPU's clock: marks are events that are put into its queue, among the work.

    A GPU works behind the host, which hands it work and goes on; asked after each call, it would run empty
    each time. So it is first seen how long a call takes, and then as many are put into the queue as are
    needed.

    Args:
        event: makes an event, with `record` and `synchronize`.
        elapsed: milliseconds between two events.
    """

    def __init__(self, event: Callable[[], Any], elapsed: Callable[[Any, Any], float]) -> None:
        self._event, self._elapsed = event, elapsed

    def mark(self) -> Any:
        """An event behind all work so far."""
        event = self._event()
        event.record()
        return event

    def seconds(self, first: Any, last: Any) -> float:
        """Seconds between two marks; waits until the GPU has come to the last."""
        last.synchronize()
        return self._elapsed(first, last) / 1e3

    def lasting(self, run: Callable[[], Any], enough: float) -> tuple[int, float]:
        """See `Clock`."""
        first = self.mark()
        first.synchronize()  # what the others left in the queue is done
        run()
        once = max(self.seconds(first, self.mark()), 1e-6)
        calls = min(max(math.ceil(enough / once), 1), _MOST)
        first = self.mark()
        for _ in range(calls):
            run()
        return calls, self.seconds(first, self.mark())


@dataclass(frozen=True)
class Turns:
    """What `take_turns` saw of each contestant, by name."""

    seconds: dict[str, list[float]]  # of a call, one figure for each turn
    left_out: dict[str, list[float]]  # likewise, those that do not count (see `not_counted`)
    answers: dict[str, Any]  # of the first calls


def take_turns(
    contestants: Mapping[str, Callable[[], Any]],
    repeat: int,
    *,
    not_counted: Mapping[str, Callable[[], float]] | None = None,
    enough: float = ENOUGH,
    pause: float = PAUSE,
    clocks: Mapping[str, Clock] | None = None,
) -> Turns:
    """Time several functions that do the same.

    Args:
        contestants: by name; each is called for its answer, then to see how long it takes, then
            for `repeat` turns.
        repeat: timed turns of each.
        not_counted: for some names, a function that says how many seconds of the calls since it was
            last asked do not count.
        enough: seconds for which a turn goes on with further calls.
        pause: seconds of rest before each turn.
        clocks: of those that do not go by the processor's.
    """
    not_counted = not_counted or {}
    clock_of = {name: HostClock() for name in contestants} | dict(clocks or {})
    answers = {name: run() for name, run in contestants.items()}
    short = True  # all of them, or none is treated so
    for name, run in contestants.items():
        start = time.perf_counter()
        run()
        short &= time.perf_counter() - start < SHORT
        if name in not_counted:
            not_counted[name]()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    left_out: dict[str, list[float]] = {name: [] for name in not_counted}
    collecting = gc.isenabled()
    gc.disable()  # or somebody's turn has to clean up after another's
    try:
        for _ in range(repeat):
            for name, run in contestants.items():
                gc.collect()
                time.sleep(pause)
                if short:
                    run()
                    if name in not_counted:
                        not_counted[name]()
                calls, taken = clock_of[name].lasting(run, enough)
                if name in not_counted:
                    aside = not_counted[name]()
                    left_out[name].append(aside / calls)
                    taken -= aside
                seconds[name].append(taken / calls)
    finally:
        if collecting:
            gc.enable()
    return Turns(seconds, left_out, answers)
