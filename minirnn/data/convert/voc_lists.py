"""Pascal VOC's lists: ImageSets/Main/train.txt and its sisters, a picture's name a line.

    2007_000027            a name
    IMG 1                  one with a space
    "IMG 1"                the same, as CVAT and Datumaro write it
    s1/a                   JPEGImages/s1/a.jpg with Annotations/s1/a.xml
    2007_000027 -1         whether a category is in it: -1 no, 0 hardly, 1 yes

Whether "IMG 1" is such a name, or IMG with a 1, is told by the pictures that are there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from minirnn.data.convert.found import WHOLE, Unusable, lines_of, split_of
from minirnn.data.convert.walk import label_files

#: Below these folders lie files of the same names.
FOLDERS = ("Annotations", "JPEGImages", "SegmentationObject", "SegmentationClass")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"(?:\s+(?:-1|0|1))?')
_FLAGGED = re.compile(r"(.*\S)\s+(?:-1|0|1)")


def name_of(path: Path) -> str:
    """A file's name in the lists: its path below its folder of VOC's, without the ending."""
    parts = path.with_suffix("").parts
    starts = [i for i, part in enumerate(parts[:-1], start=1) if part in FOLDERS]
    return "/".join(parts[starts[-1] if starts else -1 :])


def splits_in(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """The split of each name in a folder's lists; Segmentation's win, then Main's.

    Args:
        folder: the source.
        files: the XML files and masks that there are.
    """
    known = {name for file in files for name in (name_of(file), file.stem)}
    splits: dict[str, str] = {}
    for kind in ("Main", "Segmentation"):
        for name in ("trainval", "test", "val", "train"):
            for path in label_files(folder, f"ImageSets/{kind}/{name}.txt"):
                split = "train" if name == "trainval" else split_of(name)
                splits |= {_name_in(line, known): split for line in lines_of(path) if line}
    return splits


def split_in(splits: dict[str, str], file: Path) -> str:
    """The split of an XML file or a mask.

    Raises:
        Unusable: there are lists, and none names it.
    """
    if not splits:
        return WHOLE
    for name in (name_of(file), file.stem):
        if name in splits:
            return splits[name]
    raise Unusable("no list in ImageSets names it")


def _name_in(line: str, known: set[str]) -> str:
    """The name in a line of a list."""
    if quoted := _QUOTED.fullmatch(line):
        return re.sub(r"\\(.)", r"\1", quoted[1])
    line = line.replace("\\", "/")  # as Windows has it
    flagged = _FLAGGED.fullmatch(line)
    return flagged[1] if flagged and line not in known else line
