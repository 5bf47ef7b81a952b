"""COCO's layout on disk: which splits a folder has, where one is, and what to say where there is none.

annotations/instances_train2017.json  train2017/         COCO's own; the year may be missing
annotations/instances_train.json      images/train/      CVAT's; its only split may be "default"
annotations/instances_default.json    images/            an older CVAT's
"""

from __future__ import annotations

import glob
import shlex
from collections.abc import Sequence
from pathlib import Path

from minirnn.errors import InputError

KINDS = ("person_keypoints", "instances")
#: The same, where objects are looked at first.
OBJECTS_FIRST = ("instances", "person_keypoints")
LAYOUT = (
    "minirnn reads COCO's layout, which is the folder with annotations/instances_train.json and, beside "
    "annotations/, train/ with the images"
)


def splits_of(root: Path, kinds: Sequence[str] = KINDS) -> list[str]:
    """The names of a folder's splits, in order; with the year where the file has it."""
    names = {
        path.stem.removeprefix(f"{kind}_")
        for kind in kinds
        for path in (root / "annotations").glob(f"{kind}_*.json")
    }
    return sorted(names)


def file_kind(file: Path) -> str:
    """Which of `KINDS` an annotation file is of, by its name."""
    return next(kind for kind in KINDS if file.name.startswith(kind))


def of_kind(file: Path, kind: str) -> Path:
    """The file of another kind for the same split, be it there or not."""
    return file.with_name(kind + file.name.removeprefix(file_kind(file)))


def find_split(root: Path, split: str, kinds: Sequence[str]) -> tuple[Path, Path]:
    """The annotation file and the folder of images of a split.

    Args:
        root: holds `annotations/` and the folders of images.
        split: its name, with or without a year.
        kinds: what the file's name may begin with, the first wish first.

    Raises:
        InputError: no such file or folder, or more than one; says what the folder is instead, and which
            command makes COCO's layout of it.
    """
    check_folder(root, LAYOUT)
    folder = root / "annotations"
    for kind in kinds:
        exact = folder / f"{kind}_{split}.json"
        found = sorted(folder.glob(f"{kind}_{glob.escape(split)}[0-9]*.json"))
        found = [exact] if exact.is_file() else found
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise InputError(f"{folder}: split {split!r} may be any of {names}; name one")
        if found:
            name = found[0].stem.removeprefix(f"{kind}_")
            for images in (root / name, root / "images" / name):
                if images.is_dir():
                    return found[0], images
            if name == "default" and (root / "images").is_dir():
                return found[0], root / "images"
            raise InputError(f"{root / name}: the folder of the images is missing")
    raise InputError(
        f"{folder}: there is no {kinds[0]}_{split}.json or {kinds[0]}_{split}<year>.json. "
        + advice(root)
    )


def check_folder(path: Path, wanted: str) -> None:
    """Refuse what is no folder.

    Args:
        path: given as one.
        wanted: what it should be, to end the message with.

    Raises:
        InputError: it is not there, or is a file.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such folder; {wanted}")
    if not path.is_dir():
        packed = path.suffix.lower() in (".zip", ".gz", ".tar", ".7z", ".rar")
        hint = ", to be unpacked first" if packed else ""
        raise InputError(f"{path} is a file{hint}; {wanted}")


def split_command(root: Path) -> str:
    """The command that makes train and val of a folder's only split."""
    return f"minirnn data split {shlex.quote(str(root))} --out {_beside(root, '-split')}"


def advice(root: Path) -> str:
    """What a folder without the wanted split is, and what to do."""
    from minirnn.data.convert import recognise

    splits = splits_of(root)
    if splits:
        command = f", or into train and val: {split_command(root)}" if len(splits) == 1 else ""
        return f"The folder has the split {', '.join(splits)}: --split {splits[0]}{command}"
    seen = recognise(root)
    if seen is not None:
        return (
            f"The folder holds {seen.title} ({seen.file.relative_to(root)}); {LAYOUT}. This makes it: "
            f"minirnn data convert {shlex.quote(str(root))} --format {seen.form} "
            f"--out {_beside(root, '-coco')}"
        )
    inside = sorted(path.name for path in root.iterdir())[:5]
    listed = f"it has {', '.join(inside)}, …" if inside else "it is empty"
    return f"It is no format that is known: {listed}. For training {LAYOUT}"


def _beside(root: Path, ending: str) -> str:
    """A new folder's name beside a folder, for a command line."""
    name = root.resolve().name + ending
    return shlex.quote(str(root.with_name(name) if root.name else Path("..", name)))
