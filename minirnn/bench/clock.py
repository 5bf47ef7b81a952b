"""Taking turns: ours, theirs, ours, theirs, each twice before the clock starts."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any

#: Threads of OpenBLAS, OpenMP and ONNX Runtime wait for more work by spinning, for up to some 25 ms,
#: and would take a core from whoever comes next. Rather than change how any of them is set up by
#: default, each turn begins after this pause (seconds).
PAUSE = 0.03
#: What takes less (seconds) is called once more in each turn, before the call that is timed: after the
#: pause the processor wakes up, and its caches are full of the others' numbers. Nobody meets an operation
#: or a step of training like that.
SHORT = 0.5


def take_turns(
    contestants: Mapping[str, Callable[[], Any]],
    repeat: int,
    *,
    not_counted: Mapping[str, Callable[[], float]] | None = None,
    pause: float = PAUSE,
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Time several functions that do the same.

    Args:
        contestants: by name; each is called for its answer, then to see how long it takes, then
            `repeat` times in turn.
        repeat: timed calls of each.
        not_counted: for some names, a function that says how many seconds of the last call do not
            count, and starts again at 0.
        pause: seconds of rest before each call.

    Returns:
        Seconds of each call, by name, and the answers of the first calls, by name.
    """
    not_counted = not_counted or {}
    answers = {name: run() for name, run in contestants.items()}
    short = True  # all of them, or none is treated so
    for name, run in contestants.items():
        start = time.perf_counter()
        run()
        short &= time.perf_counter() - start < SHORT
        if name in not_counted:
            not_counted[name]()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
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
                start = time.perf_counter()
                answer = run()
                taken = time.perf_counter() - start
                del answer
                seconds[name].append(taken - (not_counted[name]() if name in not_counted else 0))
    finally:
        if collecting:
            gc.enable()
    return seconds, answers
