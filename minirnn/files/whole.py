"""Writing a file so that no moment, not even a power cut, leaves half of it.

The bytes go into a new file beside the old one, from there to the disk, and then the new file takes the
name over in one operation of the file system. Each writer has a temporary name of its own: two that
write the same file at once replace it one after the other, and neither writes into the other's half.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

#: How the names of unfinished versions end.
ENDING = ".tmp"


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write into, which becomes `path` when the block ends without an error.

        with replacing("results.json") as file:
            file.write(data)

    Args:
        path: the file; its folder must be there.

    Raises:
        OSError: it cannot be written; `filename` is the path. What was there is still there, and
            nothing of the new file is left.
    """
    path = Path(path)
    temporary = path.with_name(f"{prefix_of(path)}{secrets.token_hex(4)}{ENDING}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # the content first, or the new name could point to nothing
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename in (None, os.fspath(temporary)):
            error.filename, error.filename2 = os.fspath(path), None  # a full disk names no file
        raise
    _sync(path.parent)


def write_whole(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Replace a file's content; text is written as UTF-8.

    Raises:
        OSError: as for `replacing`.
    """
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what killed processes left of unfinished versions of a file.

    Only for a caller who knows that nobody else is writing it, see `minirnn.files.folder.alone_in`.
    """
    path = Path(path)
    for name in os.listdir(path.parent):
        if name.startswith(prefix_of(path)) and name.endswith(ENDING):
            with contextlib.suppress(OSError):
                path.with_name(name).unlink()


def prefix_of(path: Path) -> str:
    """How the names of a file's unfinished versions begin."""
    # Cut off: a name may have 255 bytes, and the end that is added here must fit in.
    return f".{path.name[:40]}."


def _sync(folder: Path) -> None:
    """Bring the new name to the disk, too (Windows cannot open a folder for that)."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
