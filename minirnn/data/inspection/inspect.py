"""Looking at a whole data set: its splits one by one, then beside each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from minirnn.data.annotations import Rejected
from minirnn.data.coco_file import CocoFile, place_of, read_coco_json
from minirnn.data.convert.pictures import is_picture
from minirnn.data.inspection.categories import beside_training, category_problems
from minirnn.data.inspection.looks import Look, look_at
from minirnn.data.inspection.objects import OF_CORNERS, ImageObjects, findings, written_as_corners
from minirnn.data.inspection.split import File, Inspection, Size, Split, key_of_file
from minirnn.data.inspection.twins import twins_among
from minirnn.data.inspection.work import for_each
from minirnn.data.layout import OBJECTS_FIRST, file_kind, find_split, splits_of
from minirnn.errors import InputError
from minirnn.images import UnusableImage
from minirnn.kernels import thread_count

#: Looks at files, under a name for the bar.
LookAll = Callable[[list[File], str], list[Look]]

_MOST_NAMES = 10  # of files that are not listed, in one message


class InspectedFile(CocoFile):
    """What can be used of a file; every image is decoded to its end, by all cores.

    Args:
        split: its content is read; its looks and problems are filled in here, so that they are known even
            if the file cannot be used at all.
        look: gives the looks of files.
    """

    refuses_twins = False  # they are told of, and mended

    def __init__(self, split: Split, look: LookAll) -> None:
        self._split, self._look = split, look
        split.content, self._digest = read_coco_json(split.file)
        keypoints = _has_keypoints(split.content["categories"])
        super().__init__(split.file, split.folder, skip_invalid=True, keypoints=keypoints)

    def _read(self) -> tuple[dict, str]:
        return self._split.content, self._digest

    def _unusable(self, files: list[File]) -> list[UnusableImage | None]:
        looks = self._look(files, f"images of {self.file.stem}")
        self._split.looks.update(zip(files, looks, strict=True))
        return [look.error for look in looks]

    def _refuse(self, place: str, problem: Rejected, **records: Any) -> None:
        super()._refuse(place, problem, **records)
        self._split.problems.append(self.problems[-1])

    def used(self) -> Iterator[tuple[dict, Path, list[dict]]]:
        """Each image that can be used: its record, its file, its annotations that can."""
        for image_id in self.image_ids:
            yield self._images[image_id], self._paths[image_id], self._annotations[image_id]


def inspect(
    root: str | os.PathLike,
    splits: Sequence[str] = (),
    *,
    workers: int | None = None,
    progress: bool = True,
    known: Mapping[tuple[str, Size], Look] | None = None,
) -> Inspection:
    """Look at everything in a data set in COCO's layout.

    Args:
        root: the folder with `annotations/` and the folders of images in it.
        splits: their names; none for all that `annotations/` has a file of.
        workers: number of processes; None is one for each core, 0 is none but this one.
        progress: show bars on standard error.
        known: looks of an earlier inspection, `Inspection.known()`, of files that are the same still.

    Raises:
        InputError: there is no such folder, or no such split.
    """
    root = Path(root)
    workers = thread_count() if workers is None else workers

    def look(files: list[File], what: str) -> list[Look]:
        have = known or {}
        new = [file for file in files if key_of_file(root, file) not in have]
        looks = for_each(
            look_at,
            new,
            workers=workers,
            what=what,
            names=lambda file: str(file[0]),
            progress=progress,
        )
        of_new = dict(zip(new, looks, strict=True))
        return [of_new[file] if file in of_new else have[key_of_file(root, file)] for file in files]

    names = list(dict.fromkeys(splits)) or splits_of(root)
    # What is trained on first. Without any split, looking for one says what the folder is instead.
    names = sorted(names, key=lambda name: not name.startswith("train")) or ["train"]
    found = [_look_at_split(root, name, look, workers, progress) for name in names]
    _compare_categories(found)
    _compare(found)
    return Inspection(root, found)


def _look_at_split(root: Path, name: str, look: LookAll, workers: int, progress: bool) -> Split:
    file, folder = find_split(root, name, OBJECTS_FIRST)
    split = Split(file.stem.removeprefix(f"{file_kind(file)}_"), file, folder)
    try:
        inspected = InspectedFile(split, look)
    except InputError as error:
        detail = str(error).removeprefix(f"{file}: ")
        split.add("the file", "file that cannot be used", detail)
        return split
    split.categories, split.has_masks = inspected.categories, inspected.has_masks
    for record, path, objects in inspected.used():
        split.images.append(record)
        split.paths.append(path)
        split.annotations.append(objects)
    _image_problems(split)
    _object_problems(split, workers, progress)
    for place, reason, detail in category_problems(split.categories, split.used_categories()):
        split.add(place, reason, detail)
    return split


def _has_keypoints(categories: list) -> bool:
    """Whether the categories agree on one list of keypoints; else they are of no use, and not checked."""
    lists = [record.get("keypoints") for record in categories if isinstance(record, dict)]
    lists = [names for names in lists if isinstance(names, list)]
    return bool(lists) and all(names == lists[0] for names in lists)


def _image_problems(split: Split) -> None:
    named: dict[Path, dict] = {}
    for record, path in zip(split.images, split.paths, strict=True):
        place = f"image {record['id']}"
        if (first := named.setdefault(path, record)) is not record:
            detail = f"image {first['id']} has it, too"
            split.add(place, "duplicate file name", detail, image=record, partner=first)
            continue
        for reason, detail in split.look_of(record, path).notes:
            split.add(place, reason, detail, image=record)
    listed = {path for path, _ in split.looks}  # resolved, as `path_inside` gives them
    listed |= {split.folder.resolve() / p.file_name for p in split.problems if p.file_name}
    others = sorted(
        str(path.relative_to(split.folder))
        for path in split.folder.rglob("*")
        if is_picture(path) and path.resolve() not in listed
    )
    if others:
        names = ", ".join(others[:_MOST_NAMES]) + (", …" if len(others) > _MOST_NAMES else "")
        detail = f"{len(others)} of them in {split.folder}: {names}"
        split.add("the folder", "image files that are not listed", detail)


def _object_problems(split: Split, workers: int, progress: bool) -> None:
    images = [
        ImageObjects(record, objects, split.has_masks)
        for record, objects in zip(split.images, split.annotations, strict=True)
    ]
    found = for_each(
        findings,
        images,
        workers=workers,
        what=f"objects of {split.file.stem}",
        names=lambda image: f"{split.file}: image {image.record['id']}",
        progress=progress,
    )
    if corners := written_as_corners(images):
        split.add("the file", "boxes written as corners", corners)
    for image, own in zip(images, found, strict=True):
        for position, reason, detail, _ in own:
            if corners and reason in OF_CORNERS:
                continue
            annotation = image.annotations[position]
            place = place_of(annotation)
            split.add(place, reason, detail, image=image.record, annotation=annotation)
    objects = [annotation for image in images for annotation in image.annotations]
    if objects and all(annotation.get("iscrowd") for annotation in objects):
        detail = f"all {len(objects)} annotations have iscrowd 1"
        split.add("the file", "nothing but crowd regions", detail)


def _compare_categories(splits: Sequence[Split]) -> None:
    """Tell where a split's list of categories is not that of the split that is trained on."""
    train, *others = splits
    if not train.categories or not train.name.startswith("train"):
        return
    for split in others:
        used = split.used_categories()
        for reason, detail in beside_training(split.categories, used, train.categories):
            split.add("the file", reason, detail, partner=train.categories)


def _compare(splits: Sequence[Split]) -> None:
    """Tell of pictures that are there twice, at the one that a repair leaves out."""
    places: dict[Path, tuple[Split, dict]] = {}
    for split in splits:
        for record, path in zip(split.images, split.paths, strict=True):
            places.setdefault(path, (split, record))  # two records of one file have been told
    looks = [split.look_of(record, path) for path, (split, record) in places.items()]
    listed = [(split, record, path) for path, (split, record) in places.items()]
    for first, second, equal in twins_among(looks):
        (one, record, _), (other, again, its_path) = listed[first], listed[second]
        word = "the same file as" if equal else "it looks like"
        if one is other:
            reason = "image twice in a split" if equal else "look-alike in a split"
            detail = f"{word} image {record['id']} ({record['file_name']})"
            one.add(f"image {again['id']}", reason, detail, image=again, partner=record)
        else:
            reason = "image in two splits" if equal else "look-alike in two splits"
            detail = f"{word} image {again['id']} of {other.name} ({its_path})"
            one.add(f"image {record['id']}", reason, detail, image=record)
