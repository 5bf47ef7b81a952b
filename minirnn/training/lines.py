"""A file that lines are added to for hours, and that loses none: not to a full disk, not to a removal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from minirnn.files import replacing
from minirnn.files.reserve import FULL


class Lines:
    """Adds lines to a file, each there for others to read as soon as it is written.

    A disk that is full holds lines back until there is room again. A file that was removed, or replaced,
    is written again with all lines: as long as it is open, the system still has them.

    Args:
        path: the file; made if it is not there.
        tell: told what has happened to the file.
    """

    def __init__(self, path: Path, tell: Callable[[str], None]) -> None:
        self._path = path
        self._tell = tell
        self._waiting = b""
        self._file = open(path, "a+b", buffering=0)  # noqa: SIM115

    def add(self, line: str) -> None:
        """Add a line; it outlives this process from here on, if the disk has room for it.

        Raises:
            OSError: the file cannot be written, and the disk is not full.
        """
        self._restore()
        held_back = len(self._waiting) > 0
        self._waiting += line.encode() + b"\n"
        try:
            while self._waiting:
                self._waiting = self._waiting[self._file.write(self._waiting) :]
        except OSError as error:
            if error.errno not in FULL:
                error.filename = os.fspath(self._path)
                raise
            if not held_back:
                self._tell(
                    f"{self._path}: the disk is full; lines are held back until there is room"
                )

    def sync(self) -> None:
        """Bring all lines to the disk, where they outlive a power cut; as many as there is room for."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            if error.errno not in FULL:
                raise

    def close(self) -> None:
        """Close the file, after a last try to write what was held back."""
        with contextlib.suppress(OSError):
            while self._waiting:
                self._waiting = self._waiting[self._file.write(self._waiting) :]
        if self._waiting:
            count = self._waiting.count(b"\n")
            self._tell(f"{self._path}: {count} lines are lost, for which the disk had no room")
        self._file.close()

    def _restore(self) -> None:
        """Bring the file back if it is gone, or another stands in its place."""
        ours = os.fstat(self._file.fileno())
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self._path), ours):
                return
        self._file.seek(0)
        with replacing(self._path) as file:
            file.write(self._file.read())
        self._file.close()
        self._file = open(self._path, "a+b", buffering=0)  # noqa: SIM115
        self._tell(f"{self._path} was removed while the run goes on; it is written again, whole")
