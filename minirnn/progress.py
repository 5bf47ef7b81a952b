"""A progress bar on standard error that leaves the process as it is.

tqdm's own makes a lock to share with other processes, which fixes for good how Python starts processes (a
program that asks for "spawn" later is refused), and starts a thread that never ends. Ours needs neither:
only one process writes to it.
"""

from __future__ import annotations

import threading

from tqdm import tqdm


class Bar(tqdm):
    """tqdm's bar, with a lock among threads only, and no thread that watches it."""

    _lock = threading.RLock()
    monitor_interval = 0
