"""A bar of progress on standard error that leaves the process as it is.

tqdm's own has a lock for other processes, whose making decides for good how Python starts processes (a
program that asks for "spawn" later is refused), and a thread that never ends. Ours needs neither: only
one process writes to it.
"""

from __future__ import annotations

import threading

from tqdm import tqdm


class Bar(tqdm):
    """tqdm's bar, with a lock among threads only, and no thread that watches it."""

    _lock = threading.RLock()
    monitor_interval = 0
