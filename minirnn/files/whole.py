"""Writing a file so that no moment, not even a power cut, leaves half of it.

The bytes go into a new file beside the old one, from there to the disk, and then the new file takes the
name over in one operation of the file system. Each writer has a temporary name of its own: two that
write the same file at once replace it one after the other, and neither writes into the other's half.

What a link points to is replaced, and the link stays. What is no file (a device, a pipe) is written into.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
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
        path: the file, or a link to it; its folder must be there. A device or a pipe is written into.

    Raises:
        OSError: it cannot be written; `filename` is the path. What was there is still there, and
            nothing of the new file is left.
    """
    if _is_stream(path):
        with _naming(path), open(path, "wb") as file:
            yield file
        return
    place = place_of(path)
    temporary = place.with_name(f"{prefix_of(place)}{secrets.token_hex(4)}{ENDING}")
    with _naming(path, temporary):
        try:
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())  # the content first, or the new name could point to nothing
            os.replace(temporary, place)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    _sync(place.parent)


def write_whole(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Replace a file's content.

    Args:
        path: as for `replacing`.
        content: text is written as UTF-8. A byte of a file's name that is none, as Python holds it in a
            text, becomes an escape: caf\\udce9.jpg.

    Raises:
        OSError: as for `replacing`.
    """
    with replacing(path) as file:
        file.write(
            content.encode(errors="backslashreplace") if isinstance(content, str) else content
        )


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what killed processes left of unfinished versions of a file.

    Only for a caller who knows that nobody else is writing it, see `minirnn.files.folder.alone_in`.
    """
    place = place_of(path)
    for name in os.listdir(place.parent):
        if name.startswith(prefix_of(place)) and name.endswith(ENDING):
            with contextlib.suppress(OSError):
                place.with_name(name).unlink()


def place_of(path: str | os.PathLike[str]) -> Path:
    """The file itself: the path, or where it leads as a link, be the file there or not."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else Path(path)


def prefix_of(path: Path) -> str:
    """How the names of a file's unfinished versions begin."""
    # Cut off: a name may have 255 bytes, and the end that is added here must fit in.
    return f".{path.name[:40]}."


@contextlib.contextmanager
def _naming(path: str | os.PathLike[str], temporary: Path | None = None) -> Iterator[None]:
    """Errors inside name the path: a full disk names no file, and nobody knows the temporary one."""
    try:
        yield
    except OSError as error:
        if error.filename is None or error.filename == os.fspath(temporary or path):
            error.filename, error.filename2 = os.fspath(path), None
        raise


def _is_stream(path: str | os.PathLike[str]) -> bool:
    """Whether a device or a pipe is there, which takes bytes and has no next version."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _sync(folder: Path) -> None:
    """Bring the new name to the disk, too (Windows cannot open a folder for that)."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
