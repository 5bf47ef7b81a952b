"""Pictures that nobody has labelled: left out, or taken as photographs that show none of the objects.

A picture without labels is one of two things: nobody has come to it yet, or there is nothing to draw, which
several tools cannot save. Only the person knows. Taken wrongly for the second, it teaches that its objects
are background, so that it is left out unless `--unlabelled empty` asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from minirnn.data.alike import plain
from minirnn.data.convert.found import WHOLE, Found, LeftOut, Photo, Unusable
from minirnn.errors import InputError

LEAVE_OUT, EMPTY = "leave-out", "empty"


def note_unlabelled(
    pictures: Iterable[Path],
    labels: Iterable[Path],
    found: Found,
    reason: str,
    split: Callable[[Path], str] = lambda path: WHOLE,
) -> None:
    """Put the pictures that no label file belongs to into `found.unlabelled`.

    A picture that may have labels after all is none of these: one with a label file of its name that cannot
    be used (which is named itself), and one beside a labelled picture of its name (a.heic beside a.jpg).

    Args:
        pictures: all that there are.
        labels: all label files.
        found: what was read of them.
        reason: what to say of a picture that is left out.
        split: gives the split of a picture; where it raises `Unusable`, the picture is passed over.
    """
    taken = {photo.path for photo in found.photos}
    twins = {(path.parent, plain(path.stem)) for path in taken}
    used = {photo.labels for photo in found.photos}
    unusable = {plain(file.stem) for file in labels if file not in used}
    for path in pictures:
        if path in taken or plain(path.stem) in unusable:
            continue
        if (path.parent, plain(path.stem)) in twins:
            found.leave(path, "the picture", "another picture of its name is labelled")
        else:
            try:
                photo = Photo(path, path, split(path))
            except Unusable:
                continue
            found.unlabelled.append((photo, LeftOut(path, "the picture", reason)))


def settle_unlabelled(found: Found, how: str) -> None:
    """Leave out the pictures that nobody has labelled, or take them as photographs without objects.

    Args:
        found: its `unlabelled` become photographs, or are left out.
        how: `LEAVE_OUT` or `EMPTY`.

    Raises:
        InputError: `how` is neither.
    """
    if how not in (LEAVE_OUT, EMPTY):
        raise InputError(f"unlabelled is {how!r}; it should be {LEAVE_OUT} or {EMPTY}")
    count = len(found.unlabelled)
    if how == LEAVE_OUT:
        found.left_out += [left for _, left in found.unlabelled]
        note = "are left out: {}. If these show none of the objects, --unlabelled empty takes them"
    else:
        found.photos += [photo for photo, _ in found.unlabelled]
        note = "are taken as showing none of the objects: {}"
    if count:
        found.notes.append(f"pictures that nobody has labelled {note.format(count)}")
