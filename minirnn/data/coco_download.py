"""A part of COCO 2017 on disk, in COCO's layout: chosen images, their objects, and nothing else.

    folder/annotations/instances_val2017.json       what `CocoDataset` and pycocotools read
    folder/val2017/000000000785.jpg …
    folder/val2017.txt                              which images were asked for, see `id_list`

The list is written before the first image and the annotation file after the last, each in one piece. A run
that was stopped, however hard, is taken up by the same call: images that are there and right stay.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from minirnn.data.coco import CocoDataset
from minirnn.data.coco_choice import categories_named, choose, part_of
from minirnn.data.coco_fetch import Fetched
from minirnn.data.coco_source import Source
from minirnn.data.id_list import IdList, read_list
from minirnn.errors import InputError
from minirnn.files import alone_in, write_whole


def choose_list(
    content: dict, split: str, *, names: tuple[str, ...] = (), count: int = 500, seed: int = 0
) -> IdList:
    """Draw images, balanced by category (see `coco_choice.choose`), as a list.

    Args:
        content: COCO's annotation file of the split.
        split: its name.
        names: of the categories; empty: all.
        count: of images.
        seed: decides which.

    Raises:
        InputError: there is no such category.
    """
    categories = categories_named(content, names)
    ids = choose(content, [record["id"] for record in categories], count, seed)
    names = tuple(record["name"] for record in categories) if names else ()
    title = f"{len(ids)} images of {split} with {_all(names)}; balanced, seed {seed}"
    return IdList(split, tuple(sorted(ids)), names, title)


@dataclass(frozen=True)
class Downloaded:
    """What a folder holds after a download.

    Attributes:
        folder: the folder.
        wanted: the list of what was asked for.
        fetched: what became of each image.
        left_out: ids of annotations that training would stop at.
        dataset: what the folder holds, read and checked.
    """

    folder: Path
    wanted: IdList
    fetched: Fetched
    left_out: list[int]
    dataset: CocoDataset

    def categories(self) -> dict[str, dict[str, int]]:
        """By category: how many images show it, and how many objects there are (no crowd regions)."""
        objects: Counter[int] = Counter()
        images: Counter[int] = Counter()
        annotations = [a for a in self.dataset.ground_truth["annotations"] if not a["iscrowd"]]
        for annotation in annotations:
            objects[annotation["category_id"]] += 1
        for category, _ in {(a["category_id"], a["image_id"]) for a in annotations}:
            images[category] += 1
        return {
            name: {"images": images[i], "objects": objects[i]}
            for i, name in self.dataset.categories
        }

    def licences(self) -> dict[str, int]:
        """How many images have each licence, the most frequent first."""
        truth = json.loads(self.dataset.file.read_bytes())
        names = {record["id"]: record["name"] for record in truth.get("licenses", [])}
        counts = Counter(names.get(image.get("license"), "unknown") for image in truth["images"])
        return dict(counts.most_common())


def download_coco(
    folder: Path,
    wanted: IdList,
    source: Source,
    *,
    keypoints: bool = False,
    content: dict | None = None,
) -> Downloaded:
    """Fetch the images of a list and write their annotation file, or go on where a run was stopped.

    The folder may hold other splits, and an earlier part of this list: then it grows. A file that this
    has not made is never changed.

    Args:
        folder: where it goes; made if it is not there.
        wanted: the images and categories, from `choose_list` or `read_list`.
        source: where they come from.
        keypoints: also write `person_keypoints_….json`.
        content: COCO's annotation file, or the list's images of it, where it has been read already.

    Returns:
        What is in the folder now. Images that the server does not have, or that did not come, are not
        in the annotation file.

    Raises:
        InputError: the list does not fit COCO, the folder holds something else, or nothing came.
        OSError: a file cannot be written.
    """
    if keypoints and wanted.categories and "person" not in wanted.categories:
        raise InputError("keypoints are people's, and person is not among the categories")
    part, left_out = _part(content or source.annotations(wanted.split), wanted, wanted.categories)
    parts = {"instances": part}
    if keypoints:
        content = source.annotations(wanted.split, "person_keypoints")
        parts["person_keypoints"], _ = _part(content, wanted, ("person",))
    del content  # gigabytes, for train2017
    with alone_in(folder):
        _take_place(folder, wanted)
        pictures, annotations = folder / wanted.split, folder / "annotations"
        pictures.mkdir(exist_ok=True)
        annotations.mkdir(exist_ok=True)
        fetched = source.images(part["images"], pictures)
        if not fetched.here:
            raise InputError(f"{pictures}: none of {len(wanted.ids)} images came. {_why(fetched)}")
        for kind, part in parts.items():
            file = annotations / f"{kind}_{wanted.split}.json"
            if aside := _write(file, part, fetched.here, wanted):
                source.say(
                    f"{file} had been changed by somebody; as it was, it is now {aside.name}"
                )
        dataset = CocoDataset(annotations / f"instances_{wanted.split}.json", pictures)
    return Downloaded(folder, wanted, fetched, left_out, dataset)


def _part(content: dict, wanted: IdList, names: tuple[str, ...]) -> tuple[dict, list[int]]:
    """The list's part of an annotation file, and the annotations left out."""
    unknown = set(wanted.ids) - {record["id"] for record in content["images"]}
    if unknown:
        some = ", ".join(map(str, sorted(unknown)[:5]))
        raise InputError(f"{len(unknown)} images of the list are not in {wanted.split}: {some}")
    return part_of(content, wanted.ids, categories_named(content, names))


def _take_place(folder: Path, wanted: IdList) -> None:
    """Write down whose folder it is.

    Raises:
        InputError: it holds another set of this split.
    """
    record = folder / f"{wanted.split}.txt"
    if record.exists():
        held = read_list(record)
        same = set(held.categories) == set(wanted.categories)
        if not same or not set(held.ids) <= set(wanted.ids):
            raise InputError(
                f"{folder} holds another part of {wanted.split} ({held.title}): choose another "
                f"folder, or go on with that one by --list {record}"
            )
    else:
        for path in (folder / wanted.split, *folder.glob(f"annotations/*_{wanted.split}.json")):
            if path.exists():
                raise InputError(
                    f"{path} is there, and was not made by this command; choose another folder"
                )
    write_whole(record, wanted.as_text())


def _write(file: Path, part: dict, names: Collection[str], wanted: IdList) -> Path | None:
    """Write the annotation file of these images.

    Returns:
        Where one that was changed by hand is kept (….json.1); None where there was no such thing.
    """
    content, aside = _content(part, names, wanted), None
    if file.exists():
        old = file.read_bytes()
        if old == content:
            return None
        try:
            ours = old == _content(part, _names_in(old), wanted)
        except (ValueError, KeyError, TypeError):
            ours = False
        if not ours:
            asides = (file.with_name(f"{file.name}.{number}") for number in itertools.count(1))
            aside = next(path for path in asides if not path.exists())
            shutil.copy2(file, aside)
    write_whole(file, content)
    return aside


def _names_in(content: bytes) -> set[str]:
    return {image["file_name"] for image in json.loads(content)["images"]}


def _content(part: dict, names: Collection[str], wanted: IdList) -> bytes:
    """The bytes of an annotation file with these images alone; says what was changed, as CC BY asks for."""
    images = [image for image in part["images"] if image["file_name"] in names]
    ids = {image["id"] for image in images}
    what = f"{len(images)} images of {wanted.split}, objects of {_all(wanted.categories)}"
    content = {
        **part,
        "info": {**part.get("info", {}), "changes": f"{what} (made by minirnn data coco)"},
        "images": images,
        "annotations": [a for a in part["annotations"] if a["image_id"] in ids],
    }
    return json.dumps(content).encode()


def _all(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "all categories"


def _why(fetched: Fetched) -> str:
    if fetched.failed:
        return next(iter(fetched.failed.values()))
    return "The server has none of them"
