"""Walking through a folder of labels: all of it but what a system hides, and what minirnn has made there.

Who converts `.` to `cups` has the result among the labels, and the next `convert .` should read the labels
again, and not that. A result is told by the words that `write` puts into its annotation files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

#: What the "info" of an annotation file begins with that `write` has made. `minirnn data split` keeps it.
MARK = "converted by minirnn"
HIDDEN = (".", "__MACOSX")


def files_below(folder: Path) -> Iterator[Path]:
    """Every file in a folder and below, hidden ones too, folder by folder."""
    for parent, below, names in os.walk(folder):
        below[:] = sorted(
            name
            for name in below
            if not name.startswith(HIDDEN) and not is_result(Path(parent, name))
        )
        yield from (Path(parent, name) for name in sorted(names))


def label_files(folder: Path, pattern: str) -> list[Path]:
    """The files of a name in a folder and below, by path, but those that a system hides.

    A file in place of the folder stands for itself.
    """
    if folder.is_file():
        return [folder] if folder.match(pattern) else []
    return sorted(
        path
        for path in files_below(folder)
        if path.relative_to(folder).match(pattern)
        and not path.name.startswith(HIDDEN)
        and path.is_file()
    )


def is_result(folder: Path) -> bool:
    """Whether minirnn has made a folder by converting, or by splitting what it had converted."""
    for file in sorted((folder / "annotations").glob("instances_*.json"))[:1]:
        try:
            with file.open("rb") as stream:  # "info" stands first; the file may be a gigabyte long
                return MARK.encode() in stream.read(200)
        except OSError:
            return False
    return False


def results_below(folder: Path) -> list[Path]:
    """The folders that are passed over since minirnn has made them."""
    if not folder.is_dir():
        folder = folder.parent
    found = []
    for parent, below, _ in os.walk(folder):
        mine = [name for name in sorted(below) if is_result(Path(parent, name))]
        found += [Path(parent, name) for name in mine]
        below[:] = [name for name in below if name not in mine and not name.startswith(HIDDEN)]
    return sorted(found)
