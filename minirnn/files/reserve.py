"""Room on a disk, held for a file that is written again and again.

A disk fills up in the middle of the night, and the checkpoint of that hour is the one that is wanted in
the morning. A new version of a file stands beside the old one until it is whole, so it needs as much room
again. That room is held by a file of zeros from the start. When the disk is full, the zeros go, the new
version takes their room, and the room of the old version, which it replaces, is held from then on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from minirnn.files.whole import ENDING, place_of, prefix_of

#: The errors of a disk, or of a person's share of it, that has no room left.
FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_ZEROS = bytes(1 << 20)
_BLOCK = 4096  # bytes: a disk gives no less to a file


class Reserve:
    """Writes a file even when the disk is full.

        with Reserve(path) as reserve:
            reserve.write(lambda: save_checkpoint(path, …))   # as often as you like

    What a killed process leaves of it, `remove_leftovers(path)` removes.

    Args:
        path: the file.
        tell: told, once each time, that the disk was full.
    """

    def __init__(self, path: str | os.PathLike[str], tell: Callable[[str], None]) -> None:
        self._path = Path(path)
        self._tell = tell
        place = place_of(path)  # a link may lead to another disk
        self._held = place.with_name(f"{prefix_of(place)}room-{secrets.token_hex(4)}{ENDING}")
        self._was_full = False

    def write(self, write: Callable[[], None]) -> None:
        """Write the file by calling `write`, which does it as `minirnn.files.replacing` does.

        Raises:
            OSError: it cannot be written, or there is room for it once, but not a second time. `filename`
                is the path; what was there is still there.
        """
        full = False
        try:
            write()
        except OSError as error:
            if error.errno not in FULL or not self._held.exists():
                raise
            full = True
            self._held.unlink()
            write()
        try:
            self.hold(self._path.stat().st_size)
        except OSError:
            if not full:
                raise
        if full and not self._was_full:
            self._tell(
                f"{self._path}: the disk is full. The file is written in room that was held for it, and "
                "so will the next; make room for all else"
            )
        self._was_full = full

    def close(self) -> None:
        """Let go of the room."""
        with contextlib.suppress(OSError):
            self._held.unlink(missing_ok=True)

    def __enter__(self) -> Reserve:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hold(self, size: int, times: int = 1) -> None:
        """Hold room for so many files of so many bytes. `write` holds that of the file as it is then.

        Raises:
            OSError: the disk is full. (Where a file system has no such room to give, nothing is held.)
        """
        size = times * -(-size // _BLOCK) * _BLOCK
        if self._held.exists() and self._held.stat().st_size == size:
            return
        self._held.unlink(missing_ok=True)
        try:
            with open(self._held, "xb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    for start in range(0, size, len(_ZEROS)):
                        file.write(_ZEROS[: size - start])
        except OSError as error:
            self.close()
            if error.errno in FULL:
                why = "there is no room for its next version, which stands beside it until it is whole"
                raise OSError(
                    error.errno, f"{error.strerror}: {why}", os.fspath(self._path)
                ) from error
        except BaseException:
            self.close()
            raise
