"""A progress bar on standard error that leaves the process as it is.

tqdm's own makes a lock to share with other processes, which fixes for good how Python starts processes (a
program that asks for "spawn" later is refused), and starts a thread that never ends. Ours needs neither:
only one process writes to it.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm


class Bar(tqdm):
    """tqdm's bar, with a lock among threads only, and no thread that watches it."""

    _lock = threading.RLock()
    monitor_interval = 0


def patient(**settings: Any) -> Bar:
    """A bar for minutes: where nobody watches, each state is a line, and there is one in half a minute."""
    return Bar(mininterval=0.2 if sys.stderr.isatty() else 30.0, **settings)


@contextlib.contextmanager
def bytes_bar(what: str, **settings: Any) -> Iterator[Callable[[int, int | None], None]]:
    """A bar for one file that comes, which appears with the first bytes.

    Inside, a function told the bytes that are here, and all bytes (None: not known).
    """
    bars: list[Bar] = []

    def progress(here: int, total: int | None) -> None:
        if not bars:
            bars.append(
                patient(desc=what, unit="B", unit_scale=True, unit_divisor=1024, **settings)
            )
        bars[0].total = total
        bars[0].update(here - bars[0].n)

    try:
        yield progress
    finally:
        for bar in bars:
            bar.close()


def loss_text(value: float) -> str:
    """One loss in a few characters, also where it has run away: 1.432, or 1.64e+23."""
    return f"{value:.3f}" if abs(value) < 10000 else f"{value:.3g}"


def tell(text: str) -> None:
    """Tell a person something in the middle of long work, on standard error; a bar makes room for it.

    Nothing is raised where nobody listens: a closed terminal is no reason to end the work. Characters that
    a terminal obeys are written out: names of files are somebody else's.
    """
    text = "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
    with contextlib.suppress(OSError, ValueError), Bar.external_write_mode(file=sys.stderr):
        print(text, file=sys.stderr, flush=True)
