"""Arrays that several processes see at once: weights that all read, gradients that each writes."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minirnn.backend import Array
from minirnn.errors import InputError

_ALIGNED = 64  # bytes: arrays begin where a cache line begins


class SharedArrays:
    """Room for several sets of the same arrays, which other processes see when it is sent to them.

    A file that is mapped into memory. (What systems offer as shared memory is often limited to 64 MB
    in containers, and who writes more is killed.) On Linux it is a file without a name, which ends with
    the last process that has it open, whatever happens to them.

    Args:
        arrays: those of a set; shapes, kind and order in memory are as theirs, contents are not.
        sets: how many.

    Attributes:
        dtype: of all arrays.

    Raises:
        InputError: the arrays are of several kinds.
        OSError: there is no room for them.
    """

    def __init__(self, arrays: Sequence[Array], sets: int) -> None:
        kinds = {array.dtype for array in arrays}
        if len(kinds) != 1:
            raise InputError(f"the parameters are of several kinds: {sorted(map(str, kinds))}")
        self.dtype = kinds.pop()
        # Each lies in memory as its first does: axes by falling stride.
        self._axes = [np.argsort([-stride for stride in a.strides], kind="stable") for a in arrays]
        self._shapes = [
            tuple(a.shape[k] for k in axes) for a, axes in zip(arrays, self._axes, strict=True)
        ]
        sizes = [-(-a.nbytes // _ALIGNED) * _ALIGNED for a in arrays]
        self._starts = [sum(sizes[:i]) for i in range(len(sizes))]
        self._size = sum(sizes)
        handle, self._path = _room()
        self._handle: int | None = handle
        os.truncate(self._path, self._size * sets)
        if hasattr(os, "posix_fallocate"):  # a full disk shows now, not as a crash later
            os.posix_fallocate(handle, 0, self._size * sets)

    def arrays(self, number: int) -> list[Array]:
        """The arrays of set `number`, from 0; whoever asks sees the same memory."""
        with open(self._path, "r+b") as file:
            space = mmap.mmap(file.fileno(), 0)
        arrays = []
        for shape, axes, start in zip(self._shapes, self._axes, self._starts, strict=True):
            at = number * self._size + start
            flat = np.frombuffer(space, self.dtype, math.prod(shape), at)
            arrays.append(flat.reshape(shape).transpose(np.argsort(axes)))
        return arrays

    def remove(self) -> None:
        """Let go of the file. The memory stays for those who have it in view."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
        with contextlib.suppress(OSError):  # without a name; Windows keeps a file that is mapped
            self._path.unlink()


def _room() -> tuple[int, Path]:
    """An empty file, open, and the path at which other processes find it."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("minirnn-shared")
        path = Path(f"/proc/{os.getpid()}/fd/{handle}")
        if path.exists():
            return handle, path
        os.close(handle)  # a system without /proc
    handle, name = tempfile.mkstemp(prefix="minirnn-shared-")
    return handle, Path(name)
