"""A folder that one process at a time writes into.

Each file of a run is replaced whole, but a run is two files that belong together: with two processes in
one folder, one's checkpoint would stand beside the other's metrics. So a run locks its folder. The lock
is the system's (flock), on the folder itself: nothing is left behind, and it ends with the process,
however that ends.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from minirnn.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def alone_in(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Inside, this is the only run in the folder, which is made if it is not there.

    Where the system or the file system has no such locks (Windows, some network drives), nothing is
    locked.

    Raises:
        InputError: another run, of this or another process, is in the folder; or it is a file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; it should be the run's folder")
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise InputError(
                    f"{folder} is in use: another run is writing there; wait for its end, or "
                    "choose another folder"
                ) from error
        yield
    finally:
        os.close(handle)


def remove_abandoned(folders: Iterable[Path]) -> None:
    """Remove those folders, with all that is in them, that nobody is `alone_in`.

    Only for folders that are made and filled inside of `alone_in`: then one without a lock was left by a
    process that was killed. Where there are no locks, nothing is removed.
    """
    for folder in folders if fcntl is not None else ():
        with contextlib.suppress(InputError, OSError), alone_in(folder):
            shutil.rmtree(folder, ignore_errors=True)
