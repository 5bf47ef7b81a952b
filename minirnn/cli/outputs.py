"""Files that a command writes, looked at before the work: nothing of the user's may be lost by them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from minirnn.cli.options import check_folders
from minirnn.errors import InputError


def check_outputs(
    *,
    pages: Sequence[Path | None] = (),
    results: Sequence[Path | None] = (),
    pictures: Sequence[Path | None] = (),
    others: Sequence[Path] = (),
    reads: Iterable[Path | None] = (),
) -> None:
    """Refuse outputs that would cost the user a file, before the minutes of work.

    What is there may be replaced by the next of its kind. A device or a pipe takes all that comes.

    Args:
        pages: HTML; each may replace a page of ours. Their folders must be there.
        results: COCO results; each may replace a list in JSON.
        pictures: PNG or GIF; each may replace a picture of its format.
        others: files that are ours by their names.
        reads: files that are read; None for none, here and above.

    Raises:
        InputError: an output is read, named twice, a folder, or there already and another kind of file.
    """
    from minirnn.files.page_mark import maker_of  # not before: it brings NumPy along

    check_folders(*pages)
    read = {os.path.realpath(path) for path in reads if path is not None}
    outputs = [path for path in (*pages, *results, *pictures, *others) if path is not None]
    files = [path for path in outputs if path.is_file() or not path.exists()]
    seen: set[str] = set()
    for path in files:
        place = os.path.realpath(path)
        if place in read:
            raise InputError(f"{path} is read, and would be written over; choose another place")
        if place in seen:
            raise InputError(f"{path} would be written twice; give each file a name of its own")
        seen.add(place)
    for path in outputs:
        if path.is_dir():
            raise InputError(f"{path} is a folder; it should be the name of a file")
    for paths, fits, kind in (
        (pages, maker_of, "page of minirnn"),
        (results, lambda path: _begins(path, b"["), "list of COCO results"),
        (pictures, _is_picture, "such picture"),
    ):
        for there in (path for path in paths if path is not None and path.is_file()):
            if there.stat().st_size and not fits(there):
                raise InputError(
                    f"{there} is there already and is no {kind}; move it, or choose another name"
                )


def _is_picture(path: Path) -> bool:
    """Whether a file is a picture of the format that commands write by this name."""
    return _begins(path, b"GIF8" if path.suffix.lower() == ".gif" else b"\x89PNG")


def _begins(path: Path, beginning: bytes) -> bool:
    """Whether a file begins so, after blanks."""
    with open(path, "rb") as file:
        return file.read(64).lstrip().startswith(beginning)
