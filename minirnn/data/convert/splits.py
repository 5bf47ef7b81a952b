"""The names of splits: as COCO has them, and such as a folder can have.

A split becomes a folder and a part of a file name, and tools let people call it anything: "2024/05".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from minirnn.data.convert.found import SPLIT_NAMES, WHOLE, Found

#: The folder that is beside those of the splits.
TAKEN = "annotations"
LONGEST = 50  # letters, of up to 4 bytes; a file's name has 255 in all
#: What no name can have on Windows, macOS or Linux, and halves of letters.
BAD = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f\ud800-\udfff]+')


def is_folder_name(name: str) -> bool:
    """Whether a split's name makes a plain folder of its own, here and on other systems."""
    return 0 < len(name) <= LONGEST and name == _plain(name) and name.lower() != TAKEN


def _plain(name: str) -> str:
    return BAD.sub("-", name).strip("-. ")


def name_splits(found: Found) -> None:
    """Give each split whose name makes no folder another that does, and no other split has; say so."""
    given = list(dict.fromkeys(photo.split for photo in found.photos))
    names: dict[str, str] = {}
    used = {TAKEN}
    for split in sorted(given, key=lambda split: not is_folder_name(split)):  # these keep theirs
        name = plain = _plain(_plain(split)[: LONGEST - 5]) or "split"
        number = 1
        while name.lower() in used:  # capitals are small letters to some systems
            number += 1
            name = f"{plain}-{number}"
        used.add(name.lower())
        names[split] = name
        if name != split:
            found.notes.append(f"split {split!r} is called {name}, which a folder can be")
    for photo in found.photos:
        photo.split = names[photo.split]


def splits_of_files(files: Sequence[Path]) -> dict[Path, str]:
    """The splits of annotation files by their names or those of their folders.

    instances_train2017.json and train/labels.json are "train"; day1.json and day2.json are "day1" and
    "day2"; batch1/annotations.json and batch2/annotations.json are "batch1" and "batch2".
    """
    splits = {file: split for file in files if (split := _known_split(file))}
    others = [file for file in files if file not in splits]
    if len(files) == 1 and others:
        return {files[0]: WHOLE}
    if len({file.stem.lower() for file in others}) == len(others):
        return splits | {file: file.stem for file in others}
    ways = [list(file.with_suffix("").parts) for file in others]
    for end in (0, -1):  # what all have in common tells none from another
        while min(map(len, ways)) > 1 and len({way[end] for way in ways}) == 1:
            for way in ways:
                way.pop(end)
    return splits | {file: "/".join(way) for file, way in zip(others, ways, strict=True)}


def _known_split(file: Path) -> str | None:
    words = file.stem.lower().replace("-", "_").split("_")
    for word in [*words, file.parent.name.lower()]:
        if (name := word.rstrip("0123456789")) in SPLIT_NAMES:
            return SPLIT_NAMES[name]
    return None
