"""Detections in photographs as one file of COCO results, which pycocotools' `loadRes` loads.

A results file is a list of detections that name images and categories by number, and says nowhere what
the numbers mean: that stands in an annotation file. Where there is none, the photos are numbered here,
and a file beside the results says which photo has which number. It is an annotation file itself, without
annotations:

    truth = COCO("results.images.json")
    found = truth.loadRes("results.json")
"""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minirnn.errors import InputError
from minirnn.evaluation.results import write_results
from minirnn.files import write_whole
from minirnn.masks.checks import is_whole

Categories = Sequence[tuple[int, str]]


class PhotoResults:
    """The detections of many photos, collected for one results file.

    Args:
        categories: (id, name) of each category of the network.
        annotations: COCO's file that says which image and which category has which id; None numbers the
            photos from 1, in the order in which they come, and keeps the network's ids.

    Attributes:
        rows: the detections, as they will stand in the file.
        strangers: photos that are not in the annotation file, and are left out.
        unknown: names of categories that it does not have, whose detections are left out.

    Raises:
        InputError: the annotation file cannot be used.
    """

    def __init__(self, categories: Categories, annotations: Path | None = None) -> None:
        self._own = list(categories)
        self._truth = None if annotations is None else _Truth(annotations)
        self._images: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        self.strangers: list[Path] = []
        self.unknown: set[str] = set()

    @property
    def empty(self) -> bool:
        """Whether the file will be an empty list: no photo has an id that a row could name."""
        return not self._images

    def size_of(self, photo: Path) -> tuple[int, int] | None:
        """(height, width) that the annotation file says of a photo, as far as it does.

        A photo that a camera stored lying on its side, with a note in EXIF, may be annotated either way;
        the data set reads it as its annotations lie, and so should who measures with them.

        Raises:
            InputError: the annotation file has several images of this name.
        """
        record = None if self._truth is None else self._truth.record_of(photo)
        return None if record is None else _stated(record)

    def add(self, photo: Path, size: tuple[int, int], results: Sequence[Mapping[str, Any]]) -> None:
        """Take a photo's detections.

        Args:
            photo: its path; an annotation file knows it by its end, "val/1.jpg" or "1.jpg".
            size: (height, width) in pixels.
            results: of `to_results`, with the network's category ids.

        Raises:
            InputError: the annotation file has several images of this name, or the photo another size.
        """
        if self._truth is None:
            image_id, to_file = len(self._images) + 1, {number: number for number, _ in self._own}
        else:
            found = self._truth.image(photo, size)
            if found is None:
                self.strangers.append(photo)
                return
            image_id, to_file = found, self._truth.categories_of(self._own)
        height, width = size
        name = photo.as_posix()
        self._images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        names = dict(self._own)
        for result in results:
            number = result["category_id"]
            if number in to_file:
                self.rows.append({**result, "image_id": image_id, "category_id": to_file[number]})
            else:
                self.unknown.add(names[number])

    def ids_file(self, path: str | os.PathLike[str]) -> Path | None:
        """Where `write` says which image has which id: `results.images.json` for `results.json`.

        Returns:
            None with an annotation file, which says it already.

        Raises:
            InputError: it is there and is not from here; or the results go into a device or a pipe, which
                has nothing beside it.
        """
        if self._truth is not None:
            return None
        path = Path(path)
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InputError(
                f"{path} is no file, so that the ids of the photos cannot be told beside it: choose a "
                "file, or give the annotation file that has them"
            )
        beside = path.with_suffix(".images.json")
        if beside.exists() and not _is_ours(beside):
            raise InputError(
                f"{beside} is there already, where the ids of the photos belong, and is not from here; "
                "move it, or choose another name"
            )
        return beside

    def write(self, path: str | os.PathLike[str]) -> Path | None:
        """Write the results, and without an annotation file also which image has which id.

        pycocotools cannot load an empty list. Where nothing was found, one row stands in the file that
        is no detection: its score is 0, and its category one that there is not, so that no evaluation
        looks at it.

        Returns:
            The file with the ids, `results.images.json` for `results.json`; None if there is none.

        Raises:
            InputError: a file cannot be written, see also `ids_file`.
            OSError: the same, of the file with the ids.
        """
        path = Path(path)
        beside = self.ids_file(path)
        write_results(path, self.rows or self._nothing())
        if beside is None:
            return None
        categories = [{"id": number, "name": name} for number, name in self._own]
        content = {"images": self._images, "annotations": [], "categories": categories}
        write_whole(beside, json.dumps(content, indent=1) + "\n")
        return beside

    def _nothing(self) -> list[dict[str, Any]]:
        numbers = [number for number, _ in self._own]
        if self._truth is not None:
            numbers += self._truth.categories
        return [
            {"image_id": image["id"], "category_id": min([*numbers, 0]) - 1, "bbox": [0, 0, 0, 0],
             "score": 0}
            for image in self._images[:1]
        ]  # fmt: skip


class _Truth:
    """What an annotation file says of ids."""

    def __init__(self, path: Path) -> None:
        self._path = path
        content = _read(path)
        self.categories: dict[int, str] = {}
        records = content.get("categories", [])
        for record in records if isinstance(records, list) else []:
            if not isinstance(record, dict) or not is_whole(record.get("id")):
                raise InputError(f"{path}: a category has no id (a whole number): {record!r}")
            self.categories[record["id"]] = str(record.get("name", record["id"]))
        self._by_name: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        for record in content["images"]:
            usable = isinstance(record, dict) and is_whole(record.get("id"))
            if not usable or not isinstance(record.get("file_name"), str):
                raise InputError(f"{path}: an image has no id or no file_name: {record!r}")
            name = _plain(record["file_name"])
            self._by_name.setdefault(name.split("/")[-1], []).append((name, record))

    def record_of(self, photo: Path) -> dict[str, Any] | None:
        """The image whose file name the photo's path ends with; None if there is none.

        Raises:
            InputError: there are several.
        """
        # A link has its own name, and its folder may be a link, too.
        paths = [os.path.abspath(photo), os.path.join(os.path.realpath(photo.parent), photo.name)]
        ways = [f"/{Path(path).as_posix()}" for path in paths]
        fitting = [
            (name, record)
            for name, record in self._by_name.get(photo.name, [])
            if any(way.endswith(f"/{name}") for way in ways)
        ]
        longest = max((len(name) for name, _ in fitting), default=0)
        records = [record for name, record in fitting if len(name) == longest]
        if not records:
            return None
        if len(records) > 1:
            raise InputError(
                f"{photo}: {self._path} has {len(records)} images of this name (ids "
                f"{', '.join(str(record['id']) for record in records[:5])}): which one is it?"
            )
        return records[0]

    def image(self, photo: Path, size: tuple[int, int]) -> int | None:
        """The id of a photo's image, see `record_of`; it must have this (height, width)."""
        record = self.record_of(photo)
        if record is None:
            return None
        stated = _stated(record)
        if stated not in (None, size):
            raise InputError(
                f"{photo} is {size[1]} x {size[0]} pixels; image {record['id']} of {self._path} is "
                f"{stated[1]} x {stated[0]}: this is another picture of the same name"
            )
        return record["id"]

    def categories_of(self, own: Categories) -> dict[int, int]:
        """The file's id of each category of a network, by the network's id: the one of the same name.

        A network that has numbers and no names means the ids of its data set.
        """
        by_name = {name: number for number, name in self.categories.items()}
        found = {}
        for number, name in own:
            if name in by_name:
                found[number] = by_name[name]
            elif name == str(number) and number in self.categories:
                found[number] = number
        return found


def _plain(name: str) -> str:
    """A file name without "./" and the like."""
    return posixpath.normpath(name).lstrip("/")


def _stated(record: Mapping[str, Any]) -> tuple[int, int] | None:
    """(height, width) as an image's record has it; None where one is missing, or is no number."""
    if is_whole(record.get("height")) and is_whole(record.get("width")):
        return record["height"], record["width"]
    return None


def _is_ours(path: Path) -> bool:
    """Whether a file holds nothing but what `PhotoResults.write` writes of ids."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(content, dict) or set(content) != {"images", "annotations", "categories"}:
        return False
    images, fields = content["images"], {"id", "file_name", "width", "height"}
    if content["annotations"] != [] or not isinstance(images, list):
        return False
    return all(isinstance(image, dict) and set(image) == fields for image in images)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path}: the annotation file is missing") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise InputError(f"{path}: not COCO's format: it should hold an object with images")
    return content
