"""A new data set's folder: its images are copied and never moved, and it is there whole or not at all."""

from __future__ import annotations

import glob
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from minirnn.errors import InputError
from minirnn.files.folder import alone_in, remove_abandoned
from minirnn.progress import Bar


def unused_name(path: Path, used: set[str]) -> str:
    """A file name for a copy: its own, else with its folder's before it, else with a number.

    Capital and small letters count as one, as they do for Windows and macOS.

    Args:
        path: the original.
        used: names that are taken, in small letters; the new one is added.
    """
    name, number = path.name, 1
    if name.lower() in used:
        name = f"{path.parent.name}_{path.name}"
    while name.lower() in used:
        number += 1
        name = f"{path.parent.name}_{path.stem}_{number}{path.suffix}"
    used.add(name.lower())
    return name


def copy_all(
    files: Sequence[tuple[Path, str]], folder: Path, *, link: bool, progress: bool
) -> None:
    """Copy files, or make hard links to them, under new names into a new folder.

    Args:
        files: where each is, and its new name.
        folder: must not be there.
        link: make hard links, which take no room.
        progress: show a bar.

    Raises:
        InputError: links were asked for, and the originals are on another disk, or the disk has none.
    """
    folder.mkdir(parents=True)
    for source, name in Bar(files, unit=" images", desc=folder.name, disable=not progress):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not link:
            shutil.copy2(source, target)
            continue
        try:
            os.link(os.path.realpath(source), target)
        except OSError as error:
            raise InputError(
                f"{source}: no link to it can be made ({error.strerror}); without --link it is copied"
            ) from error


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `folder` when the block ends without an error.

    Raises:
        InputError: the folder is there and holds something, or is no folder.
    """
    if folder.is_symlink() or folder.exists():
        if not folder.is_dir():
            raise InputError(f"{folder} is a file; nothing was written")
        if any(folder.iterdir()):
            raise InputError(
                f"{folder} is there and not empty; nothing was written. Name a new folder"
            )
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder.parent.glob(f".{glob.escape(folder.name)}.*.unfinished"))
    unfinished = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.unfinished"
    with alone_in(unfinished):
        try:
            yield unfinished
            if folder.is_dir():
                folder.rmdir()
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
