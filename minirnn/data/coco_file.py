"""The file of a data set in COCO's format: read, checked, and sorted by image.

Everything that can be checked without opening the images is checked here, so that a training run
does not stop at its last epoch because of a wrong number.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.data.alike import Alike
from minirnn.data.annotations import (
    Rejected,
    check_filled,
    check_segmentation,
    corners_of_box,
    is_id,
    keypoints_of,
)
from minirnn.data.problems import Problem
from minirnn.errors import InputError
from minirnn.fields import suggestion
from minirnn.images import UnusableImage, check_image, path_inside
from minirnn.masks import segmentation_to_mask
from minirnn.masks.checks import LARGEST, check_room, is_finite


class CocoFile:
    """What can be used of an annotation file; arguments and attributes are `CocoDataset`'s."""

    #: Whether two categories of one name, which both have annotations, are refused.
    refuses_twins = True

    def __init__(
        self,
        annotations: str | os.PathLike,
        images: str | os.PathLike,
        *,
        categories: Sequence[tuple[int, str]] | None = None,
        only: Sequence[str] | None = None,
        skip_invalid: bool = False,
        keypoints: bool = False,
    ) -> None:
        self.file = Path(annotations)
        self.folder = Path(images)
        self._alike = Alike(self.folder)
        self.skip_invalid = skip_invalid
        self.skipped: Counter[str] = Counter()
        self.problems: list[Problem] = []
        self.keypoint_names: tuple[str, ...] | None = None
        content, self._digest = self._read()
        if not self.folder.is_dir():
            raise InputError(f"{self.folder}: the folder of the images is missing")

        self._read_categories(content["categories"], categories, keypoints)
        of_model = categories is not None
        self._left_out = set() if only is None else self._leave_out_others(only, of_model)
        self._images: dict[int, dict] = {}
        self._paths: dict[int, Path] = {}
        self._read_images(content["images"])
        self.image_ids = list(self._images)
        self.has_masks = any(
            isinstance(annotation, dict) and annotation.get("segmentation")
            for annotation in content["annotations"]
        )
        self._annotations: dict[int, list[dict]] = {image_id: [] for image_id in self._images}
        self._read_annotations(content["annotations"], _ids_of(content["images"]))
        if self.has_masks:
            self._refuse_too_large()
        if not any(self._annotations.values()):
            raise InputError(
                f"{self.file}: there are no annotations to use. {self.skipped_summary}".strip()
            )

    def _read(self) -> tuple[dict, str]:
        return read_coco_json(self.file)

    @property
    def fingerprint(self) -> str:
        """Equal for the same bytes of the file, categories, keypoint names and ids of the images used."""
        used = [self._digest, self.categories, self.keypoint_names, self.image_ids]
        return hashlib.sha256(json.dumps(used).encode()).hexdigest()

    @property
    def skipped_summary(self) -> str:
        """One line about what was left out, with the first of each kind, or "" if nothing was."""
        if not self.skipped:
            return ""
        first = {problem.reason: problem.place for problem in reversed(self.problems)}
        reasons = ", ".join(
            f"{count} x {reason} ({first[reason]}{', …' if count > 1 else ''})"
            for reason, count in self.skipped.most_common()
        )
        return f"{self.file}: skipped {self.skipped.total()}: {reasons}"

    def _read_categories(
        self, records: list, model: Sequence[tuple[int, str]] | None, keypoints: bool
    ) -> None:
        """Set the maps between ids and labels; all problems here are errors."""
        names: dict[int, str] = {}
        for record in records:
            if not isinstance(record, dict) or not is_id(record.get("id")):
                raise InputError(f"{self.file}: a category has no id (a whole number): {record!r}")
            if record["id"] < 0:
                raise InputError(f"{self.file}: category id {record['id']} is below 0")
            if not isinstance(record.get("name"), str):
                raise InputError(f"{self.file}: category {record['id']} has no name")
            if record["id"] in names:
                raise InputError(f"{self.file}: category id {record['id']} is there twice")
            names[record["id"]] = record["name"]
        if not names:
            raise InputError(f"{self.file}: there are no categories")
        self._records = records
        self._file_categories = names
        self.categories = sorted(names.items()) if model is None else [(i, n) for i, n in model]
        for category_id, name in self.categories:
            if names.get(category_id, name) != name:
                raise InputError(
                    f"{self.file}: category {category_id} is {names[category_id]!r}; "
                    f"for the model it is {name!r}. If the names are the same as in train and only the ids "
                    "are others, minirnn data inspect --fix makes them equal"
                )
        self._number_labels()
        if len(self.category_to_label) < len(self.categories):
            raise InputError(f"categories has an id twice: {self.categories}")
        if keypoints:
            lists = [r["keypoints"] for r in records if isinstance(r.get("keypoints"), list)]
            if not lists or any(other != lists[0] for other in lists):
                raise InputError(
                    f"{self.file}: keypoints were asked for; the categories should have one list "
                    f"of keypoint names, they have {len(lists)}"
                )
            self.keypoint_names = tuple(lists[0])

    def _leave_out_others(self, only: Sequence[str], of_model: bool) -> set[int]:
        """Keep the categories of these names; returns the ids of the others."""
        named = set(self._file_categories.values())
        if not only or set(only) - named:
            unknown = sorted(set(only) - named)
            hint = suggestion(unknown[0], named) if len(unknown) == 1 else ""
            raise InputError(
                f"{self.file}: categories are to be {', '.join(unknown) or 'none at all'}"
                + (hint or f"; it has {', '.join(sorted(named))}")
            )
        others = {i for i, name in self._file_categories.items() if name not in only}
        self._records = [record for record in self._records if record["id"] not in others]
        if not of_model:  # a model's labels mean what they meant in its training
            self.categories = [each for each in self.categories if each[0] not in others]
            self._number_labels()
        return others

    def _number_labels(self) -> None:
        self.label_to_category = {label: c for label, (c, _) in enumerate(self.categories, start=1)}
        self.category_to_label = {c: label for label, c in self.label_to_category.items()}

    def _read_images(self, records: list) -> None:
        valid: list[tuple[int, dict, Path]] = []
        seen: set[int] = set()
        for position, record in enumerate(records):
            place = f"image number {position}"
            try:
                if not isinstance(record, dict) or not is_id(record.get("id")):
                    raise Rejected("image without an id", "it should have an id, a whole number")
                place = f"image {record['id']}"
                if record["id"] in seen:
                    raise Rejected("duplicate image id", "the id is there twice")
                seen.add(record["id"])
                valid.append((record["id"], record, self._check_image_record(record)))
            except Rejected as problem:
                self._refuse(place, problem, image=record)
        files = [(path, (record["height"], record["width"])) for _, record, path in valid]
        broken = self._unusable(files) if self.skip_invalid else [None] * len(valid)
        for (image_id, record, path), error in zip(valid, broken, strict=True):
            if error is not None:
                unusable = Rejected(error.reason, str(error))
                self._refuse(f"image {image_id}", unusable, image=record)
                continue
            self._images[image_id] = record
            self._paths[image_id] = path
        if not self._images:
            raise InputError(f"{self.file}: there are no images to use. {self.skipped_summary}")

    def _unusable(self, files: list[tuple[Path, tuple[int, int]]]) -> list[UnusableImage | None]:
        """For each file and its (height, width) what is wrong with it; None where nothing is."""
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda file: _unusable(*file), files))

    def _check_image_record(self, record: dict) -> Path:
        """The path of the image's file, after checking what the record says about it."""
        for side in ("height", "width"):
            if not is_id(record.get(side)) or record[side] <= 0:
                raise Rejected(
                    "image without a size",
                    f"its {side} is {record.get(side)!r}; it should be a whole number above 0",
                )
        name = record.get("file_name")
        if not isinstance(name, str) or not name or name.endswith(("/", "\\")):
            raise Rejected(
                "image without a file", f"its file_name is {name!r}; it should be that of a file"
            )
        try:
            path = path_inside(self.folder, name)
        except InputError as error:
            detail = f"{error}{self._perhaps(name)}"
            raise Rejected("file name that leads out of the folder", detail) from error
        if not os.path.isfile(path):  # which a name that is too long cannot be, either
            detail = f"{self.folder / name}: there is no such file{self._perhaps(name)}"
            raise Rejected("missing image file", detail)
        return path

    def _perhaps(self, name: str) -> str:
        """The file that a name may mean, as the end of a sentence."""
        other = self._alike.file(name)
        return "" if other is None else f", but {other} (minirnn data inspect --fix takes it)"

    def _read_annotations(self, annotations: list, listed: set[int]) -> None:
        seen: set[int] = set()
        for position, annotation in enumerate(annotations):
            place = f"annotation number {position}"
            try:
                if not isinstance(annotation, dict):
                    raise Rejected("annotation without an id", f"it is {annotation!r:.60}")
                place += f" of image {annotation.get('image_id')!r}"
                if not is_id(annotation.get("id")):
                    raise Rejected("annotation without an id", "it should have an id, a number")
                place = place_of(annotation)
                if annotation["id"] in seen:
                    raise Rejected("duplicate annotation id", "the id is there twice")
                seen.add(annotation["id"])
                image_id = annotation.get("image_id")
                if not is_id(image_id) or image_id not in listed:
                    raise Rejected(
                        "annotation for an unknown image", f"there is no image {image_id!r}"
                    )
                category = annotation.get("category_id")
                chosen_out = is_id(category) and category in self._left_out
                if image_id in self._images and not chosen_out:  # a skipped image has been counted
                    self._check_annotation(annotation, self._images[image_id])
                    self._annotations[image_id].append(annotation)
            except Rejected as problem:
                self._refuse(place, problem, annotation=annotation)
        if self.refuses_twins:
            self._check_names()

    def _refuse_too_large(self) -> None:
        """Images whose masks the memory cannot hold: now, and not when it is their turn."""
        for image_id, record in list(self._images.items()):
            masks, size = len(self._annotations[image_id]), (record["height"], record["width"])
            try:
                check_room(masks, *size, advice="or tiles of it, need less")
            except InputError as error:
                problem = Rejected("masks that the memory cannot hold", str(error))
                self._refuse(f"image {image_id}", problem, image=record)
                del self._images[image_id], self._annotations[image_id], self._paths[image_id]
                self.image_ids.remove(image_id)

    def _check_names(self) -> None:
        """Refuse two categories of one name, of which each has annotations: which of them is it?

        An empty one does no harm: some exports list the name of the project as a category, too.
        """
        used = {a["category_id"] for of_image in self._annotations.values() for a in of_image}
        by_name: dict[str, int] = {}
        for category in sorted(used):
            name = self._file_categories[category]
            if name in by_name:
                raise InputError(
                    f"{self.file}: categories {by_name[name]} and {category} are both called {name!r}; "
                    "give one another name, or their annotations one id (minirnn data inspect --fix)"
                )
            by_name[name] = category

    def _check_annotation(self, annotation: dict, image: dict) -> None:
        height, width = image["height"], image["width"]
        category = annotation.get("category_id")
        if not is_id(category) or category not in self._file_categories:
            raise Rejected(
                "unknown category", f"category_id {category!r} is not in the file's list"
            )
        if category not in self.category_to_label:
            name = self._file_categories[category]
            raise Rejected(
                "category that the model does not know",
                f"category {category} ({name!r}) is not one of the model's; `only` (--categories on "
                "the command line) leaves the objects of others out",
            )
        if annotation.get("iscrowd", 0) not in (0, 1):
            raise Rejected(
                "iscrowd of unknown form",
                f"iscrowd is {annotation['iscrowd']!r}; it should be 0 or 1",
            )
        if not is_finite(annotation.get("area", 0), most=LARGEST**2):
            raise Rejected(
                "area of unknown form", f"area is {annotation['area']!r}; it should be a number"
            )
        box = corners_of_box(annotation.get("bbox"), height, width)
        segmentation = annotation.get("segmentation")
        if self.has_masks:
            if not segmentation:
                raise Rejected(
                    "annotation without a mask", "it has no segmentation; others in the file have"
                )
            check_segmentation(segmentation, box, height, width)
            if self.skip_invalid and isinstance(segmentation, dict):
                filled_mask(annotation, box, height, width)
        if self.keypoint_names is not None:
            keypoints_of(annotation.get("keypoints"), len(self.keypoint_names))

    def _refuse(
        self, place: str, problem: Rejected, *, image: Any = None, annotation: Any = None
    ) -> None:
        if not self.skip_invalid:
            raise self.error(place, problem) from problem
        self.skipped[problem.reason] += 1
        if image is None and isinstance(annotation, dict) and is_id(annotation.get("image_id")):
            image = self._images.get(annotation["image_id"])
        self.problems.append(Problem.of(self.file, place, problem, image, annotation))

    def error(self, place: str, problem: Rejected) -> InputError:
        """The error that names the file, the place in it, and the problem."""
        return InputError(f"{self.file}: {place}: {problem.reason}: {problem.detail}")


def read_coco_json(path: Path) -> tuple[dict, str]:
    """The file's content, if it has the outer form of COCO's format, and the SHA-256 of its bytes."""
    try:
        data = path.read_bytes()
        content = json.loads(data)
    except FileNotFoundError as error:
        raise InputError(f"{path}: the annotation file is missing") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, or no UTF-8
        raise InputError(f"{path}: not a JSON file: {error}") from error
    if not isinstance(content, dict):
        raise InputError(
            f"{path}: not COCO's format: it holds a {type(content).__name__}; "
            "it should hold an object with images, annotations and categories"
        )
    for key in ("images", "annotations", "categories"):
        if not isinstance(content.get(key), list):
            kind = type(content[key]).__name__ if key in content else "missing"
            raise InputError(f"{path}: not COCO's format: {key!r} is {kind}; it should be a list")
    return content, hashlib.sha256(data).hexdigest()


def _ids_of(records: list) -> set[int]:
    return {r["id"] for r in records if isinstance(r, dict) and is_id(r.get("id"))}


def place_of(annotation: dict) -> str:
    """What to call an annotation in a message."""
    return f"annotation {annotation['id']} of image {annotation.get('image_id')!r}"


def _unusable(path: Path, size: tuple[int, int]) -> UnusableImage | None:
    try:
        check_image(path, size=size)
    except UnusableImage as error:
        return error
    return None


def filled_mask(annotation: dict, box: np.ndarray, height: int, width: int) -> np.ndarray:
    """The annotation's mask, (height, width) bool.

    Raises:
        Rejected: its run lengths are broken, or leave the box empty.
    """
    segmentation = annotation["segmentation"]
    try:
        mask = segmentation_to_mask(segmentation, height, width)
    except ValueError as error:
        raise Rejected("mask that cannot be decoded", str(error)) from error
    if isinstance(segmentation, dict):
        check_filled(mask, box)
    return mask
