"""Data sets in COCO's format: one JSON file of annotations and one folder of images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.data.annotations import Rejected, corners_of_box, keypoints_of
from minirnn.data.coco_file import CocoFile, filled_mask, place_of
from minirnn.data.layout import find_split
from minirnn.errors import InputError
from minirnn.images import read_image
from minirnn.masks import segmentation_to_mask
from minirnn.structures import Sample, Target


class CocoDataset(CocoFile):
    """Images and their ground truth from a file in COCO's format.

    COCO's category ids have gaps (1…90 for 80 categories). The network counts labels 1…K, so ids
    are mapped in rising order: `category_to_label` on reading, `label_to_category` on writing.
    The file is checked when it is read (see `coco_file`); images are read when they are asked for.

    Args:
        annotations: the JSON file, for example `annotations/instances_train2017.json`.
        images: the folder that the file's image names are relative to.
        categories: (id, name) of each category of a trained model, in the order of its labels; the
            labels given out follow it. None: the file's own categories.
        only: names of categories; annotations of all others are left out, as if the file had none of
            them (their objects become background). None: all. The labels of `categories` stay.
        skip_invalid: leave out annotations and images that cannot be used, and count them in
            `skipped`, in place of raising an error at the first. Every image is opened once for
            this (some milliseconds each). A file that is not COCO's format at all remains an error.
        keypoints: also give out keypoints, x and y counted in whole pixels as COCO does (x = 3 is
            the middle of pixel column 3).

    Attributes:
        categories: (id, name) of label 1, 2, … K.
        image_ids: the id of each image, in the file's order.
        skipped: how many annotations and images were left out, by reason.
        problems: each of them, see `minirnn.data.problems.Problem`.
        has_masks: whether the file has segmentations; without, every target's `masks` is None.
        keypoint_names: the names of the P keypoints, or None where they were not asked for.

    Raises:
        InputError: names the file, and the image or annotation by its id.
    """

    @classmethod
    def from_folder(cls, root: str | os.PathLike, split: str, **settings: Any) -> CocoDataset:
        """The `split` ("train", "val") of a data set in COCO's layout.

        COCO's own names carry a year, `annotations/instances_train2017.json` with `train2017/`;
        ours do not, `annotations/instances_train.json` with `train/`. Both are found, and so is
        CVAT's, `annotations/instances_default.json` with `images/default/`. With `keypoints=True`,
        `person_keypoints_…` is looked for first.

        Args:
            root: the folder with `annotations/` and the folders of images in it.
            split: the split's name, with or without a year.
            settings: passed on to `CocoDataset`.

        Raises:
            InputError: no such file or folder, or more than one; see `layout.find_split`.
        """
        kinds = ["person_keypoints", "instances"] if settings.get("keypoints") else ["instances"]
        return cls(*find_split(Path(root), split, kinds), **settings)

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> Sample:
        """Image number `index` of `image_ids`, read from its file, and its ground truth.

        Raises:
            IndexError: there are not so many images.
            InputError: the image file is broken or of another size, or a mask cannot be decoded.
        """
        image_id = self.image_ids[index]
        record, annotations = self._images[image_id], self._annotations[image_id]
        height, width = record["height"], record["width"]
        try:
            image = read_image(self._paths[image_id], size=(height, width))
        except InputError as error:
            raise InputError(f"image {image_id} of {self.file}: {error}") from error

        boxes = [corners_of_box(a["bbox"], height, width) for a in annotations]
        labels = [self.category_to_label[a["category_id"]] for a in annotations]
        masks = None
        if self.has_masks:
            masks = np.zeros((len(annotations), height, width), bool)
            for mask, box, annotation in zip(masks, boxes, annotations, strict=True):
                try:
                    mask[:] = filled_mask(annotation, box, height, width)
                except Rejected as problem:
                    raise self.error(place_of(annotation), problem) from problem
        keypoints = None
        if self.keypoint_names is not None:
            points = [
                keypoints_of(a.get("keypoints"), len(self.keypoint_names)) for a in annotations
            ]
            keypoints = np.array(points, np.float32).reshape(-1, len(self.keypoint_names), 3)
        target = Target(
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            labels=np.array(labels, np.intp),
            masks=masks,
            is_crowd=np.array([bool(a.get("iscrowd", 0)) for a in annotations], bool),
            keypoints=keypoints,
            image_id=image_id,
            file_name=record["file_name"],
        )
        return Sample(image, target)

    def blank(self, index: int) -> Sample:
        """A grey picture without objects in place of image number `index`, where that cannot be read."""
        record = self._images[self.image_ids[index]]
        height, width = record["height"], record["width"]
        target = Target(
            boxes=np.zeros((0, 4), np.float32),
            labels=np.zeros(0, np.intp),
            masks=np.zeros((0, height, width), bool) if self.has_masks else None,
            is_crowd=np.zeros(0, bool),
            image_id=record["id"],
            file_name=record["file_name"],
        )
        return Sample(np.full((height, width, 3), 127, np.uint8), target)

    def describe(self, index: int) -> str:
        """What to call image number `index` in a message."""
        image_id = self.image_ids[index]
        return f"image {image_id} ({self.folder / self._images[image_id]['file_name']})"

    @property
    def ground_truth(self) -> dict:
        """All that is used of the file, in COCO's format, for pycocotools and our own evaluation.

        What its evaluation needs is filled in where the file leaves it out: `iscrowd`, and `area`
        from the mask (or box). Annotation ids are moved up if the least is 0, because
        pycocotools takes a match with annotation 0 for no match.
        """
        annotations = []
        least = min(a["id"] for of_image in self._annotations.values() for a in of_image)
        shift = max(0, 1 - least)
        for image_id, of_image in self._annotations.items():
            for annotation in of_image:
                copy = {"iscrowd": 0, **annotation, "id": annotation["id"] + shift}
                if "area" not in copy:
                    copy["area"] = self._area(self._images[image_id], annotation)
                annotations.append(copy)
        return {
            "images": list(self._images.values()),
            "annotations": annotations,
            "categories": self._records,
        }

    def _area(self, image: dict, annotation: dict) -> float:
        height, width = image["height"], image["width"]
        if self.has_masks:
            mask = segmentation_to_mask(annotation["segmentation"], height, width)
            return float(np.count_nonzero(mask))
        x1, y1, x2, y2 = corners_of_box(annotation["bbox"], height, width)
        return float((x2 - x1) * (y2 - y1))
