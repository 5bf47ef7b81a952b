"""Looking over a network's shoulder: what it computes on its way, by name.

A stage that has made something worth seeing says so with `note("proposals", boxes)`. That does
nothing, unless somebody listens:

    with recording() as seen:
        model.predict([image])
    seen["proposals"]

Whoever wants little says what: `recording("proposals")` keeps nothing else alive.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_listening = threading.local()


def note(name: str, value: Any) -> None:
    """Leave a value with whoever listens in this thread.

    Args:
        name: what it is. A name that comes again replaces what was there.
        value: array, Tensor, or a list or dictionary of them, handed on as it is and not copied; or
            a function that makes it, for what costs something and is only made to be seen.
    """
    seen = getattr(_listening, "seen", None)
    wanted = getattr(_listening, "wanted", ())
    if seen is not None and (not wanted or name in wanted):
        seen[name] = value() if callable(value) else value


@contextmanager
def recording(*names: str) -> Iterator[dict[str, Any]]:
    """Inside, what is noted in this thread is put in the dictionary that it gives.

    Args:
        *names: of what is wanted; none for everything.
    """
    before = getattr(_listening, "seen", None), getattr(_listening, "wanted", ())
    seen: dict[str, Any] = {}
    _listening.seen, _listening.wanted = seen, names
    try:
        yield seen
    finally:
        _listening.seen, _listening.wanted = before
