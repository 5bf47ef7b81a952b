"""Which tool's format a folder is in, told by the names of its files and the form of a few of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from minirnn.data.convert import cocojson, cvat, labelme, labelstudio, roboflow, yolo
from minirnn.data.convert.found import read_json
from minirnn.data.convert.voc_masks import painted
from minirnn.data.convert.walk import label_files
from minirnn.data.convert.xml import read_xml
from minirnn.errors import InputError

#: What each format is called, in the order of `--format`.
TITLES = {
    "labelme": "LabelMe's JSON files",
    "yolo": "YOLO's text files",
    "cvat": "an export of CVAT",
    "roboflow": "an export of Roboflow",
    "labelstudio": "an export of Label Studio",
    "voc": "Pascal VOC's XML files",
    "coco": "COCO's JSON in another place",
}
LOOKED_AT = 20  # files of one kind; a folder is of one format, and the first tell it


@dataclass(frozen=True)
class Recognised:
    """A format, and the file that it was told by."""

    form: str
    file: Path

    @property
    def title(self) -> str:
        """What to call it in a sentence."""
        return TITLES[self.form]


def recognise(folder: Path) -> Recognised | None:
    """The format of a folder (or of one file of labels), or None.

    What is known by a file's name comes first; JSON and XML are opened only then.
    """
    for form, pattern in (
        ("cvat", "annotations/instances_default.json"),
        ("roboflow", f"**/{roboflow.NAME}"),
    ):
        for file in _some(folder, pattern):
            return Recognised(form, file)
    try:
        data_file, _ = yolo.data_file(folder)
    except InputError:  # it cannot be read, and is YOLO's by its name
        data_file = next(_some(folder, "*.y*ml"), None)
    if data_file is not None:
        return Recognised("yolo", data_file)
    for file in label_files(folder, "*.xml")[:LOOKED_AT]:
        root = read_xml(file)
        if root is not None and root.tag in ("annotations", "annotation"):
            return Recognised("cvat" if root.tag == "annotations" else "voc", file)
    for file in painted(folder, "Object")[:1]:
        return Recognised("voc", file)
    for file in label_files(folder, "*.json")[:LOOKED_AT]:
        told = _form_of_json(file)
        if told is not None:
            return Recognised(told, file)
    patterns = [f"**/{name}" for name in yolo.NAME_FILES]
    for pattern in (*patterns, "labels/*.txt", "labels/*/*.txt", "*/labels/*.txt"):
        for file in _some(folder, pattern):
            return Recognised("yolo", file)
    return None


def _some(folder: Path, pattern: str) -> Iterator[Path]:
    if folder.is_file():
        return iter([])
    anywhere = pattern.removeprefix("**/")
    files = sorted(folder.glob(pattern)) if anywhere == pattern else label_files(folder, anywhere)
    return itertools.islice((path for path in files if path.is_file()), LOOKED_AT)


def _form_of_json(file: Path) -> str | None:
    try:
        content = read_json(file)
    except InputError:
        return None
    if labelme.is_labelme(content):
        return "labelme"
    if labelstudio.is_labelstudio(content):
        return "labelstudio"
    if cocojson.is_coco_content(content):
        if file.name in labelstudio.COCO_NAMES:
            return "labelstudio"
        by_name = file.name == "instances_default.json"
        return "cvat" if by_name or cvat.is_coco_export(content) else "coco"
    return None
