"""Freed memory is kept for the next array.

A feature map of a large image takes 60 MB. For arrays of this size the C library asks the operating
system for fresh pages each time and returns them as soon as the array is freed; and a fresh page is
filled with zeros by the system, one fault each 4 KB, before anything is written to it. A network
frees and asks for such arrays a hundred times. So glibc (Linux) is told once to keep what it has.

It is one setting for the whole process, so the library never makes it by itself: the command line does, and
whoever uses the library in a program of their own calls `minirnn.kernels.cpu.memory.keep_freed()` once.
MINIRNN_KEEP_MEMORY=0 in the environment leaves it alone.
Other systems are left as they are.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

# Parameters of mallopt(3).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_told: list[bool] = []


def keep_freed() -> bool:
    """Tell the C library to keep freed memory; returns whether it does."""
    if not _told:
        _told.append(_tell())
    return _told[0]


def keeps_freed() -> bool:
    """Whether it was told so: the helper processes of a training then do the same."""
    return _told == [True]


def _tell() -> bool:
    if os.environ.get("MINIRNN_KEEP_MEMORY") == "0" or not sys.platform.startswith("linux"):
        return False
    mallopt = _function("mallopt")
    if mallopt is None:
        return False
    # All arrays come from the heap (none is mapped by itself), and its end is never given back.
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, -1))


def give_back() -> None:
    """Return to the system what is kept and not used, where that can be done."""
    malloc_trim = _function("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _function(name: str) -> Any:
    """A function of glibc; None where there is none (another system, or another C library)."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError, TypeError):
        return None
