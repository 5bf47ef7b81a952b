"""A repaired copy of a data set: what can be mended is, what cannot be is left out, and all of it is told.

Mending one thing may bring another to light (a mask is compared with its box only when both can be read),
so that the copy is looked at and mended again until nothing is left to do. The original is only read.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from minirnn.data.alike import Alike
from minirnn.data.annotations import is_id
from minirnn.data.coco_file import read_coco_json
from minirnn.data.inspection.inspect import inspect
from minirnn.data.inspection.mend_file import Change, FileMender, one_each
from minirnn.data.inspection.split import Inspection, Split
from minirnn.data.layout import of_kind
from minirnn.data.new_set import new_folder
from minirnn.data.problems import Problem
from minirnn.errors import InputError
from minirnn.files import write_whole
from minirnn.images import path_inside
from minirnn.progress import Bar

_ROUNDS = 8  # three do for anything that was tried
CHANGES = "changes.txt"


@dataclass
class Repair:
    """A repaired copy.

    Attributes:
        folder: where it is.
        changes: what was done, in order.
        left: faults that are in the copy still: only you can decide what is right.
    """

    folder: Path
    changes: list[Change]
    left: list[Problem]


def repaired_copy(inspection: Inspection, out: Path, *, workers: int = 0) -> Repair:
    """Write a repaired copy of what was inspected: annotation files and the images that they name.

    It is written beside `out` and put in its place when it is whole.

    Args:
        inspection: of the original, which is only read.
        out: the folder to make; it may be there if it is empty.
        workers: processes for looking at what was not looked at before.

    Raises:
        InputError: there is something in `out`, or it is in the original's folder.
        OSError: it cannot be written.
    """
    check_out(inspection.root, out)
    with new_folder(out) as unfinished:
        for split in inspection.splits:
            _copy(inspection.root, split, unfinished)
        changes, seen = _mend_all(unfinished, inspection, workers)
        for before, split in zip(inspection.splits, seen.splits, strict=True):
            _remove_unnamed(split)
            changes += _carry_keypoints(before, split)
        text = "".join(f"{change}\n" for change in changes) or "nothing had to be changed\n"
        write_whole(unfinished / CHANGES, text)
    return Repair(out, changes, _faults_of(seen, out))


def _mend_all(root: Path, original: Inspection, workers: int) -> tuple[list[Change], Inspection]:
    """Look and mend in turns, until nothing is left to do."""
    changes: list[Change] = []
    names = [split.name for split in original.splits]
    known = original.known()
    for _ in range(_ROUNDS):
        seen = inspect(root, names, workers=workers, progress=False, known=known)
        known |= seen.known()
        done = [change for split in seen.splits for change in _mend(split)]
        changes += done
        if not done:
            break
    return changes, seen


def check_out(root: Path, out: Path) -> None:
    """Refuse a place for the copy before any work is done.

    Raises:
        InputError: see `repaired_copy`.
    """
    here, there = (Path(os.path.realpath(path)) for path in (root, out))
    if there == here or here in there.parents or there in here.parents:
        raise InputError(f"{out} is inside {root} or around it; the copy should be beside it")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already; the copy goes into a new folder")


def _faults_of(seen: Inspection, out: Path) -> list[Problem]:
    """The faults that stayed, with the file's name in its final place."""
    return [
        dataclasses.replace(problem, file=out / problem.file.relative_to(seen.root))
        for problem in seen.faults
    ]


def _copy(root: Path, split: Split, out: Path) -> None:
    """The annotation file and the files of all its images that are there."""
    file = out / split.file.relative_to(root)
    folder = out / split.folder.relative_to(root)
    file.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(split.file, file)
    names = list(_names(split))
    for name in Bar(names, unit=" images", desc=f"copy {split.name}", disable=None, leave=False):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(split.folder / name, target)


def _carry_keypoints(before: Split, mended: Split) -> list[Change]:
    """Take over the file of people's keypoints beside the one that was mended.

    Of it, the images that are left; their objects stay as they are, since those of the first were mended.
    """
    file = of_kind(before.file, "person_keypoints")
    if file == before.file or not file.is_file():
        return []
    try:
        content, _ = read_coco_json(file)
    except InputError:
        return [Change(mended.name, file.name, "file that cannot be used", "left out")]
    left = {record["id"]: record for record in mended.content["images"]}
    own = [r for r in content["images"] if isinstance(r, dict) and is_id(r.get("id"))]
    part = {
        **content,
        "images": [record | left[record["id"]] for record in own if record["id"] in left],
        "annotations": [
            a
            for a in content["annotations"]
            if isinstance(a, dict) and is_id(a.get("image_id")) and a["image_id"] in left
        ],
    }
    write_whole(mended.file.with_name(file.name), json.dumps(part))
    done = "taken over for the images that are left; not looked at"
    return [Change(mended.name, file.name, "people's keypoints", done)]


def _names(split: Split) -> Iterator[str]:
    """Names of files inside the folder that are there or meant, each once."""
    names, alike = {}, Alike(split.folder)
    for record in split.content.get("images", []):
        name = record.get("file_name") if isinstance(record, dict) else None
        if isinstance(name, str) and name:
            try:
                there = path_inside(split.folder, name).is_file()
            except (InputError, OSError):
                there = False
            if there or (name := alike.file(name)):
                names[name] = True
    return iter(names)


def _remove_unnamed(split: Split) -> None:
    """Remove copies of images that the mended file no longer names."""
    named = {(split.folder / name).resolve() for name in _names(split)}
    for path in sorted(split.folder.rglob("*")):
        if path.is_file() and path.resolve() not in named:
            path.unlink()


def _mend(split: Split) -> list[Change]:
    """One round: at most one thing is done to each record; the mended file is written."""
    if not split.content:
        return []
    mender = FileMender(split)
    for problem in one_each(split.problems):
        mender.treat(problem)
    if mender.changes:
        write_whole(split.file, json.dumps(mender.result()))
    return mender.changes
