"""YOLO: a text file for each picture, a line for each object, in shares of the picture's sides.

    class x1 y1 x2 y2 x3 y3 …       an outline (Ultralytics' segmentation)
    class cx cy width height        a box by its middle

Where pictures and names are stands in `data.yaml` (train, val, test: a folder, a list of folders, or a file
that lists pictures; names: a list, or a dictionary by number); in older exports in `classes.txt` or
`obj.names`. Paths in it are often those of another machine, so that their ends are tried too. The labels of
…/images/a.jpg are …/labels/a.txt, or stand beside it. A picture without a label file has no objects.

Why not a library: `supervision` rounds outlines to whole pixels and stops at the first line that it cannot
read; `labelformat` leaves pictures without a label file out, and lines that it cannot read with a line in a
log. PyYAML reads data.yaml.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from minirnn.data.convert.found import WHOLE, Found, Photo, lines_of, split_of
from minirnn.data.convert.pictures import is_picture, pictures_in
from minirnn.data.convert.walk import files_below, label_files
from minirnn.data.convert.yolo_labels import is_labels, labels_of, pairs
from minirnn.data.convert.yolo_lines import objects_of
from minirnn.errors import InputError

SPLITS = ("train", "val", "valid", "test")
NAME_FILES = ("classes.txt", "obj.names", "_darknet.labels")


def read(folder: Path, images: Path | None = None) -> Found:
    """All splits of a data set.

    Raises:
        InputError: the names of the classes are nowhere, or PyYAML is needed and not installed.
    """
    found = Found("yolo")
    file, content = data_file(folder)
    found.categories, by_number = _names(folder, file, content)
    keypoints = _keypoint_numbers(content)
    if images is None:
        _read_in_place(folder, file, content, found)
    else:
        _read_apart(folder, images, content, found)
    labelled = [photo for photo in found.photos if photo.labels.is_file()]
    for photo in labelled:
        photo.objects = objects_of(photo, by_number, keypoints, found)
    if not labelled:
        raise InputError(
            f"{folder}: none of its {len(found.photos)} pictures has a label file; "
            "…/labels/a.txt should stand for …/images/a.jpg, or --images DIR name the pictures' folder"
        )
    _name_unused(folder, {photo.labels.resolve() for photo in labelled}, found)
    bare = len(found.photos) - len(labelled)
    if bare:
        found.notes.append(
            f"pictures without a label file, taken as pictures without objects: {bare}"
        )
    if keypoints:
        found.notes.append("keypoints are not taken, boxes and outlines are")
    return found


def _read_in_place(folder: Path, file: Path | None, content: dict, found: Found) -> None:
    """The pictures among the labels."""
    for split, pictures in _splits(folder, file, content, found).items():
        found.photos += [Photo(path, labels_of(path), split) for path in pictures]


def _read_apart(folder: Path, images: Path, content: dict, found: Found) -> None:
    """The pictures of `--images`."""
    files = [path for path in label_files(folder, "*.txt") if path.name not in NAME_FILES]
    pictures = _pictures_below(images)
    paired = pairs(pictures, images, files, folder)
    for path in pictures:
        if path in paired.unclear:
            names = ", ".join(str(each.relative_to(folder)) for each in paired.unclear[path][:3])
            found.leave(path, "the picture", f"which labels it has is not clear: {names}")
            continue
        text = paired.labels.get(path) or labels_of(path)
        split = _split_in(path.relative_to(images))
        if split == WHOLE and text.is_relative_to(folder):
            split = _split_in(text.relative_to(folder))
        found.photos.append(Photo(path, text, split))
    lost = [name for name in SPLITS if content.get(name)]
    if lost and all(photo.split == WHOLE for photo in found.photos):
        found.notes.append(
            f"the splits of data.yaml ({', '.join(lost)}) are lost: with --images they are told by the "
            "names of folders, train/ and val/"
        )


def _name_unused(folder: Path, used: set[Path], found: Found) -> None:
    """Name the label files that no picture has, and why."""
    taken = {photo.path.resolve() for photo in found.photos}
    stems = {photo.path.stem for photo in found.photos}
    others: dict[Path, Path] | None = None
    for path in label_files(folder, "*.txt"):
        inside = "labels" in [folder.name, *path.relative_to(folder).parts[:-1]]
        if path.resolve() in used or path.name in NAME_FILES or not (inside or is_labels(path)):
            continue
        if others is None:
            others = {labels_of(p).resolve(): p for p in _pictures_below(folder)}
        picture = others.get(path.resolve())
        reason = "there is no picture of this name"
        if picture is not None and picture.resolve() not in taken:
            reason = (
                f"its picture {picture.relative_to(folder)} is in no split that data.yaml names"
            )
        elif path.stem in stems:
            reason = "no picture goes with it; that of this name has other labels"
        found.leave(path, f"its {sum(1 for line in lines_of(path) if line)} lines", reason)


def data_file(folder: Path) -> tuple[Path | None, dict[str, Any]]:
    """The data set's .yaml and what it says; None and nothing where there is none."""
    for path in [
        folder / "data.yaml",
        *sorted(folder.glob("*.yaml")),
        *sorted(folder.glob("*.yml")),
    ]:
        if not path.is_file():
            continue
        try:
            import yaml
        except ImportError:
            raise InputError(
                f"{path}: reading it needs PyYAML: pip install '.[convert]' in the folder of minirnn"
            ) from None
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise InputError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from error
        if isinstance(content, dict) and "names" in content:
            return path, content
    return None, {}


def _names(folder: Path, file: Path | None, content: dict) -> tuple[list[str], dict[int, str]]:
    """The names in order, and by number."""
    names = content.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if file is None:
        for name in NAME_FILES:
            for path in label_files(folder, name):
                names = dict(enumerate(line for line in lines_of(path) if line))
                break
            if names:
                break
    try:
        by_number = {int(number): str(name).strip() for number, name in (names or {}).items()}
    except (AttributeError, TypeError, ValueError):
        raise InputError(f"{file}: names should be a list, or a dictionary by number") from None
    if not by_number:
        raise InputError(
            f"{folder}: the names of the classes are nowhere; data.yaml (names: [cup, plate]) or "
            "classes.txt (a name a line) should have them"
        )
    ordered = [by_number[number] for number in sorted(by_number)]
    return list(dict.fromkeys(ordered)), by_number


def _keypoint_numbers(content: dict) -> int:
    """How many numbers follow a box for keypoints ("kpt_shape: [17, 3]")."""
    shape = content.get("kpt_shape")
    if isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, int) for n in shape):
        return shape[0] * shape[1]
    return 0


def _splits(folder: Path, file: Path | None, content: dict, found: Found) -> dict[str, list[Path]]:
    """The pictures of each split."""
    splits: dict[str, list[Path]] = {}
    if file is not None:
        for name in SPLITS:
            entries = content.get(name) or []
            for entry in entries if isinstance(entries, list) else [entries]:
                place = _place(str(entry), file.parent, content.get("path"))
                if place is None:
                    found.notes.append(f"{file.name} names {entry} for {name}, which is not there")
                    continue
                splits.setdefault(split_of(name), []).extend(_listed(place, file.parent, found))
    if not splits:  # no data.yaml, or one that names no folder that is here
        for path in _pictures_below(folder):
            splits.setdefault(_split_in(path.relative_to(folder)), []).append(path)
    return {split: list(dict.fromkeys(paths)) for split, paths in splits.items()}


def _split_in(path: Path) -> str:
    """The split that one of a file's folders names, as "obj_train_data" does."""
    words = re.split(r"[/_ -]", path.parent.as_posix().lower())
    splits = [split_of(word) for word in words]
    return next((split for split in splits if split in ("train", "val", "test")), WHOLE)


def _place(entry: str, folder: Path, root: Any) -> Path | None:
    """Where an entry of data.yaml leads on this machine: as it says, or as much of its end as is here.

    Never out of the data set's folder, whatever the file says.
    """
    parts = [part for part in entry.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    tries = [folder / str(root or "") / entry, folder / entry]
    tries += [folder.joinpath(*parts[i:]) for i in range(len(parts))]
    for path in tries:
        try:
            path = path.resolve()
            there = path.exists()
        except (OSError, ValueError):  # too long, or with a null character
            continue
        if there and path.is_relative_to(folder.resolve()) and path != folder.resolve():
            return path
    return None


def _listed(place: Path, folder: Path, found: Found) -> list[Path]:
    """The pictures of a folder (or its "images"), or those that a text file lists, if they are there."""
    if place.is_dir():
        inner = place / "images"
        return _pictures_below(place) or (pictures_in(inner) if inner.is_dir() else [])
    pictures = []
    for line in filter(None, lines_of(place)):
        path = _place(line, folder, None)
        if path is None:
            found.leave(place, f"picture {line!r}", "it is not there")
        else:
            pictures.append(path)
    return pictures


def _pictures_below(folder: Path) -> list[Path]:
    return sorted(path for path in files_below(folder) if is_picture(path) and path.is_file())
