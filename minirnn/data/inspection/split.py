"""What an inspection found: of one split, and of the whole data set."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.data.annotations import Rejected, corners_of_box
from minirnn.data.inspection.kinds import HARMS, SEVERITIES, STOPS, kind_of
from minirnn.data.inspection.looks import Look
from minirnn.data.problems import Problem

Size = tuple[int, int]
#: The path of an image, and the (height, width) that it should have.
File = tuple[Path, Size]


@dataclass
class Split:
    """One annotation file, the images that can be used, and what is wrong.

    Attributes:
        name: "train", "val2017".
        file: the annotation file.
        folder: of the images.
        problems: in the order of finding.
        categories: (id, name) in the order of their ids.
        images: records of the images that can be used.
        paths: of their files.
        annotations: of each of these images.
        has_masks: whether annotations have masks.
        looks: of the files, also of those that cannot be used, by path and size.
        content: of the annotation file; the records of problems are in it.
    """

    name: str
    file: Path
    folder: Path
    problems: list[Problem] = field(default_factory=list)
    categories: list[tuple[int, str]] = field(default_factory=list)
    images: list[dict] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    annotations: list[list[dict]] = field(default_factory=list)
    has_masks: bool = False
    looks: dict[File, Look] = field(default_factory=dict)
    content: dict[str, Any] = field(default_factory=dict)

    def add(self, place: str, reason: str, detail: str, **records: Any) -> None:
        """Note a problem."""
        self.problems.append(Problem.of(self.file, place, Rejected(reason, detail), **records))

    def look_of(self, record: dict, path: Path) -> Look:
        """The look of an image that can be used."""
        return self.looks[path, (record["height"], record["width"])]

    def boxes(self) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (N, 4) of all objects but crowd regions, and (N, 2) height and width of their images."""
        boxes, sizes = [], []
        for record, objects in zip(self.images, self.annotations, strict=True):
            size = record["height"], record["width"]
            own = [a for a in objects if not a.get("iscrowd")]
            boxes += [corners_of_box(a["bbox"], *size) for a in own]
            sizes += [size] * len(own)
        return np.array(boxes, float).reshape(-1, 4), np.array(sizes, int).reshape(-1, 2)

    def used_categories(self) -> set[int]:
        """The ids of categories that annotations have."""
        return {a["category_id"] for own in self.annotations for a in own}

    def figures(self) -> dict[str, int]:
        """How much there is that can be used."""
        objects = [a for own in self.annotations for a in own]
        return {
            "images": len(self.images),
            "without_instances": sum(not own for own in self.annotations),
            "instances": len(objects),
            "crowd_regions": sum(bool(a.get("iscrowd")) for a in objects),
            "categories": len(self.categories),
        }


@dataclass
class Inspection:
    """All splits of a data set that were looked at."""

    root: Path
    splits: list[Split]

    @property
    def problems(self) -> list[Problem]:
        """Of all splits, the worst first."""
        order = list(SEVERITIES)
        return sorted(
            (problem for split in self.splits for problem in split.problems),
            key=lambda problem: order.index(kind_of(problem.reason).severity),
        )

    @property
    def faults(self) -> list[Problem]:
        """The problems that stop or harm training: all but the notes."""
        return [p for p in self.problems if kind_of(p.reason).severity in (STOPS, HARMS)]

    def known(self) -> dict[tuple[str, Size], Look]:
        """The looks by the file's path in the set, and the size that the image should have."""
        return {
            key_of_file(self.root, (path, size)): look
            for split in self.splits
            for (path, size), look in split.looks.items()
        }

    def counts(self) -> Counter[str]:
        """How many problems of each reason there are, the worst first."""
        return Counter(problem.reason for problem in self.problems)


def key_of_file(root: Path, file: File) -> tuple[str, Size]:
    """What to know a look by in a copy of the data set."""
    return os.path.relpath(file[0], os.path.realpath(root)), file[1]
