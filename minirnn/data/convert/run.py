"""Converting a folder of labels: recognise its format, read it, write COCO's layout."""

from __future__ import annotations

import os
from pathlib import Path

from minirnn.data.convert import cocojson, cvat, labelme, labelstudio, roboflow, voc, yolo
from minirnn.data.convert.recognise import TITLES, recognise
from minirnn.data.convert.splits import name_splits
from minirnn.data.convert.summary import Summary
from minirnn.data.convert.unlabelled import LEAVE_OUT, settle_unlabelled
from minirnn.data.convert.walk import label_files, results_below
from minirnn.data.convert.write import write
from minirnn.data.layout import check_folder, split_command, splits_of
from minirnn.errors import InputError

READERS = {
    "labelme": labelme.read,
    "yolo": yolo.read,
    "cvat": cvat.read,
    "roboflow": roboflow.read,
    "labelstudio": labelstudio.read,
    "voc": voc.read,
    "coco": cocojson.read,
}


def convert(
    source: str | os.PathLike,
    folder: str | os.PathLike,
    *,
    form: str = "auto",
    images: str | os.PathLike | None = None,
    link: bool = False,
    boxes_only: bool = False,
    unlabelled: str = LEAVE_OUT,
    progress: bool = True,
) -> Summary:
    """Make a data set in COCO's layout of what a labelling tool has written.

    Args:
        source: the tool's folder, or its one file of labels (.json, .xml); nothing in it is changed.
        folder: the new folder, which must not be there, or be empty.
        form: a name in `TITLES`, or "auto" to recognise it.
        images: the folder of the photographs, where they are not among the labels.
        link: make hard links to the photographs in place of copies.
        boxes_only: leave outlines away, for a detector of boxes (`--set mask=false`).
        unlabelled: what to do with pictures that have no labels: "leave-out", or "empty", which takes them
            as photographs without objects. (YOLO's form has a picture without objects so, and is read so.)
        progress: show a bar.

    Returns:
        What was made, and all that was left out.

    Raises:
        InputError: there is no such folder, its format is not recognised, nothing in it can be used, or
            `folder` is not empty.
    """
    source, folder = Path(source), Path(folder)
    images = None if images is None else Path(images)
    if source.is_file() and source.suffix in (".yaml", ".yml"):
        source = source.parent
    if not (source.is_file() and source.suffix in (".json", ".xml")):
        check_folder(source, "it should be the folder that a labelling tool has written")
    if images is not None:
        check_folder(images, "--images should be the folder of the photographs")
    if folder.resolve() == source.resolve():
        raise InputError(f"{folder} is the source itself; name another folder")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there and not empty; nothing was written. Name a new folder")
    if form == "auto":
        seen = recognise(source)
        if seen is None or (seen.form == "coco" and splits_of(source)):
            raise InputError(_unknown(source))
        form = seen.form
    if form not in READERS:
        raise InputError(f"format is {form!r}; it should be auto or one of {', '.join(TITLES)}")
    found = READERS[form](source, images)
    settle_unlabelled(found, unlabelled)
    if not found.photos:
        first = f"; the first thing left out is {found.left_out[0]}" if found.left_out else ""
        raise InputError(
            f"{source}: no photograph with labels of the format {form} was found{first}"
        )
    name_splits(found)
    for each in dict.fromkeys([*results_below(source), *results_below(images or source)]):
        found.notes.append(f"{each} is passed over: minirnn has made it")
    return write(found, folder, link=link, boxes_only=boxes_only, progress=progress)


def _unknown(source: Path) -> str:
    splits = splits_of(source)
    if splits:
        command = f", or split it: {split_command(source)}" if len(splits) == 1 else ""
        hint = ""
        if any(cocojson.has_crowds(file) for file in label_files(source, "instances_*.json")):
            hint = (
                ". Some objects are crowds, as CVAT marks masks made with its brush: if these are "
                "such, --format cvat takes them as objects"
            )
        return (
            f"{source} is in COCO's layout already (split {', '.join(splits)}): there is nothing to "
            f"convert. Train on it{command}{hint}"
        )
    own = ", ".join(str(path) for path in results_below(source)[:3])
    if own:
        return f"{source} has no labels but those that minirnn has written itself ({own})"
    return (
        f"{source}: its format is not recognised; it should be one of {', '.join(TITLES)} (name it with "
        "--format to see what is wrong with it)"
    )
