"""What every reader of labels gives out, whatever it read: photographs, objects, and what was left out.

A reader turns a tool's files into `Found` and decides nothing else. What can be used of it is decided
in one place for all of them, `write`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minirnn.errors import InputError
from minirnn.masks.checks import is_whole

#: The split of data that its tool has not split. `minirnn data split` makes train and val of it.
WHOLE = "all"
#: Roboflow, YOLO and others say "valid", CVAT "Validation"; COCO and minirnn say "val".
SPLIT_NAMES = {
    **{"train": "train", "training": "train"},
    **{"val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}


@dataclass
class Labelled:
    """One object in a photograph.

    Attributes:
        label: the name of its category.
        where: what to call it in a message: "shape 3", "line 2".
        box: x1, y1, x2, y2 in pixels; None takes that of the outline.
        outline: polygons [[x, y, x, y, …], …] in pixels, or COCO's run lengths; None: only the box is
            known.
        crowd: it stands for many objects, as COCO's iscrowd does.
    """

    label: str
    where: str
    box: tuple[float, float, float, float] | None = None
    outline: list[list[float]] | dict[str, Any] | None = None
    crowd: bool = False


@dataclass
class Photo:
    """A photograph and its objects.

    Attributes:
        path: the image file.
        labels: the file that its labels are from, for messages.
        split: "train", "val", …
        size: (height, width) that the labels were drawn on; None where their file does not say.
        objects: what is in it; may be empty.
        lost: how many objects more the reader could not use.
    """

    path: Path
    labels: Path
    split: str = WHOLE
    size: tuple[int, int] | None = None
    objects: list[Labelled] = field(default_factory=list)
    lost: int = 0


@dataclass(frozen=True)
class LeftOut:
    """Something in the source that is not in the result, and why."""

    file: Path
    what: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}: {self.reason}"


@dataclass
class Found:
    """All that a reader found.

    Attributes:
        form: the format's name, as `--format` takes it.
        categories: names in the tool's order, those without an object too.
        photos: in the order of the source.
        left_out: what the reader could not use.
        notes: sentences about choices that it made.
        unlabelled: pictures that nobody has labelled, and what to say if they are left out.
        only_outlined: photographs whose objects have boxes only do not belong to the set of those with
            outlines.
    """

    form: str
    categories: list[str] = field(default_factory=list)
    photos: list[Photo] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unlabelled: list[tuple[Photo, LeftOut]] = field(default_factory=list)
    only_outlined: bool = False

    def leave(self, file: Path, what: str, reason: str) -> None:
        """Note that something is left out."""
        self.left_out.append(LeftOut(file, what, reason))

    def lose(self, photo: Photo, what: str, problem: Unusable, file: Path | None = None) -> None:
        """Note that an object of a photograph is left out; `file` is that of its labels."""
        photo.lost += not isinstance(problem, NoObject)
        self.leave(file or photo.labels, what, str(problem))


class Unusable(Exception):
    """One object or photograph that a reader cannot use; the text says why."""


class NoObject(Unusable):
    """What is left out is no object in the photograph: it is about all of it, or stands for none."""


def split_of(name: str) -> str:
    """The name of a split as COCO would have it."""
    return SPLIT_NAMES.get(name.lower(), name)


def read_json(path: Path) -> Any:
    """The content of a JSON file; a byte order mark is passed over, as Windows' editors write one.

    Raises:
        InputError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file: {error}") from error


def lines_of(path: Path) -> list[str]:
    """The lines of a text file, without spaces around them, those that are empty too.

    In UTF-8, or in UTF-16 with its mark, as Windows' PowerShell writes it.

    Raises:
        InputError: it cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = data.decode("utf-16" if wide else "utf-8-sig", errors="replace")
    return [line.strip() for line in text.splitlines()]


def numbers(values: Sequence[Any], count: int | None = None) -> list[float]:
    """Finite numbers, from numbers or from text.

    Raises:
        Unusable: one is none, or there are not `count` of them.
    """
    try:
        result = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        raise Unusable(f"its coordinates are no numbers: {str(values)[:60]}") from None
    if not all(abs(value) < 1e9 for value in result):  # false for NaN, too
        raise Unusable("its coordinates are not finite")
    if count is not None and len(result) != count:
        raise Unusable(f"it has {len(result)} coordinates in place of {count}")
    return result


def stated_size(height: Any, width: Any) -> tuple[int, int] | None:
    """The size that a file gives for a picture, or None where it gives none that can be."""
    sides = [int(side) for side in (height, width) if is_whole(side) and side > 0]
    return (sides[0], sides[1]) if len(sides) == 2 else None


def label_of(value: Any) -> str:
    """A category's name, without spaces around it.

    Raises:
        Unusable: it is no text, or empty.
    """
    if not isinstance(value, str) or not value.strip():
        raise Unusable(f"it has no label: {value!r}")
    return value.strip()
