"""Roboflow: a folder for each split, with its pictures and `_annotations.coco.json` among them.

    train/_annotations.coco.json  train/a_jpg.rf.1f2e….jpg …   valid/…   test/…

Its category 0 only groups the others ("supercategory") and is left out. Roboflow's YOLO form is YOLO's
(`data.yaml`), its VOC form VOC's.
"""

from __future__ import annotations

from pathlib import Path

from minirnn.data.convert import cocojson
from minirnn.data.convert.found import WHOLE, Found, split_of
from minirnn.data.convert.pictures import Pictures
from minirnn.data.convert.walk import label_files

NAME = "_annotations.coco.json"


def read(folder: Path, images: Path | None = None) -> Found:
    """All splits of an export."""
    found = Found("roboflow")
    pictures = Pictures(folder, images)
    for file in label_files(folder, NAME):
        split = split_of(file.parent.name) if file.parent != folder else WHOLE
        cocojson.read_file(file, split, found, pictures)
    return found
