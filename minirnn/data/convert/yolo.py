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

from minirnn.data.convert.found import (
    WHOLE,
    Found,
    Labelled,
    Photo,
    Unusable,
    lines_of,
    numbers,
    split_of,
)
from minirnn.data.convert.pictures import is_picture, pictures_in
from minirnn.data.convert.walk import files_below, label_files
from minirnn.errors import InputError
from minirnn.images import image_size

SPLITS = ("train", "val", "valid", "test")
NAME_FILES = ("classes.txt", "obj.names", "_darknet.labels")
#: Shares further out than this are no shares: somebody wrote pixels.
FARTHEST_SHARE = 2.0


def read(folder: Path, images: Path | None = None) -> Found:
    """All splits of a data set.

    Raises:
        InputError: the names of the classes are nowhere, or PyYAML is needed and not installed.
    """
    found = Found("yolo")
    file, content = data_file(folder)
    found.categories, by_number = _names(folder, file, content)
    keypoints = _keypoint_numbers(content)
    labels = {path.stem: path for path in label_files(folder, "*.txt")} if images else {}
    used: set[Path] = set()
    for split, pictures in _splits(folder, images, file, content, found).items():
        for path in pictures:
            text = labels.get(path.stem) or _labels_of(path)
            photo = Photo(path, text, split)
            if text.is_file():
                used.add(text.resolve())
                photo.objects = _objects(photo, by_number, keypoints, found)
            found.photos.append(photo)
    if not used:
        raise InputError(
            f"{folder}: none of its {len(found.photos)} pictures has a label file; "
            "…/labels/a.txt should stand for …/images/a.jpg"
        )
    for path in label_files(folder, "*.txt"):
        inside = "labels" in [folder.name, *path.relative_to(folder).parts[:-1]]
        if inside and path.resolve() not in used:
            count = sum(1 for line in lines_of(path) if line)
            found.leave(path, f"its {count} lines", "there is no picture of this name")
    bare = sum(not photo.labels.is_file() for photo in found.photos)
    if bare:
        found.notes.append(
            f"pictures without a label file, taken as pictures without objects: {bare}"
        )
    if keypoints:
        found.notes.append("keypoints are not taken, boxes and outlines are")
    return found


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


def _splits(
    folder: Path, images: Path | None, file: Path | None, content: dict, found: Found
) -> dict[str, list[Path]]:
    """The pictures of each split."""
    if images is not None:
        return {WHOLE: _pictures_below(images)}
    splits: dict[str, list[Path]] = {}
    if file is not None:
        for name in SPLITS:
            entries = content.get(name) or []
            for entry in entries if isinstance(entries, list) else [entries]:
                place = _place(str(entry), file.parent, content.get("path"))
                if place is None:
                    found.notes.append(f"{file.name} names {entry} for {name}, which is not there")
                    continue
                splits.setdefault(split_of(name), []).extend(_listed(place, file.parent))
    if not splits:  # no data.yaml, or one that names no folder that is here
        for path in _pictures_below(folder):
            folders = "/".join(path.relative_to(folder).parts[:-1]).lower()
            words = [split_of(word) for word in re.split(r"[/_ -]", folders)]  # "obj_train_data"
            split = next((word for word in words if word in ("train", "val", "test")), WHOLE)
            splits.setdefault(split, []).append(path)
    return {split: list(dict.fromkeys(paths)) for split, paths in splits.items()}


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


def _listed(place: Path, folder: Path) -> list[Path]:
    """The pictures of a folder (or its "images"), or those that a text file lists."""
    if place.is_dir():
        inner = place / "images"
        return _pictures_below(place) or (pictures_in(inner) if inner.is_dir() else [])
    found = (_place(line, folder, None) for line in lines_of(place) if line)
    return [path for path in found if path is not None]


def _pictures_below(folder: Path) -> list[Path]:
    return sorted(path for path in files_below(folder) if is_picture(path) and path.is_file())


def _labels_of(picture: Path) -> Path:
    """The label file of a picture; it may not be there."""
    parts = list(picture.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            path = Path(*parts[:i], "labels", *parts[i + 1 :]).with_suffix(".txt")
            if path.is_file() or not picture.with_suffix(".txt").is_file():
                return path
            break
    return picture.with_suffix(".txt")


def _objects(photo: Photo, names: dict[int, str], keypoints: int, found: Found) -> list[Labelled]:
    lines = lines_of(photo.labels)
    if not any(lines):
        return []
    try:
        photo.size = height, width = image_size(photo.path)
    except InputError:  # `write` says what is wrong with it
        found.leave(photo.labels, f"all {len(lines)} lines", "their picture cannot be read")
        return []
    objects = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            objects.append(_object(line.split(), f"line {number}", names, keypoints, height, width))
        except Unusable as problem:
            found.leave(photo.labels, f"line {number}", str(problem))
    return objects


def _object(
    words: list[str], where: str, names: dict[int, str], keypoints: int, height: int, width: int
) -> Labelled:
    values = numbers(words)
    number, shares = values[0], values[1:]
    if number != int(number) or int(number) not in names:
        raise Unusable(f"class {words[0]} has no name; there are {len(names)} names")
    label = names[int(number)]
    if keypoints and len(shares) == 4 + keypoints:
        shares = shares[:4]
    if len(shares) in (4, 5):  # the fifth is a network's score
        _check(shares[:4])
        cx, cy, w, h = shares[0] * width, shares[1] * height, shares[2] * width, shares[3] * height
        return Labelled(label, where, box=(cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
    if len(shares) < 6 or len(shares) % 2:
        raise Unusable(
            f"{len(shares)} numbers after the class; a box has 4, an outline x and y of three points "
            "or more"
        )
    _check(shares)
    polygon = [share * (height if i % 2 else width) for i, share in enumerate(shares)]
    return Labelled(label, where, outline=[polygon])


def _check(shares: list[float]) -> None:
    if max(map(abs, shares)) > FARTHEST_SHARE:
        raise Unusable(
            f"{max(shares, key=abs):g} is no share of a side (0 to 1); YOLO does not count in pixels"
        )
