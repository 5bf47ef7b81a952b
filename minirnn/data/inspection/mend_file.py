"""What a repair does with the records of one annotation file: mend, leave out, merge, and say so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from minirnn.data.alike import Alike
from minirnn.data.annotations import is_id
from minirnn.data.inspection import mend
from minirnn.data.inspection.categories import key_of
from minirnn.data.inspection.kinds import HARMS, STOPS, kind_of
from minirnn.data.inspection.looks import look_at
from minirnn.data.inspection.split import Split
from minirnn.data.problems import Problem
from minirnn.errors import InputError
from minirnn.images import path_inside


@dataclass(frozen=True)
class Change:
    """What a repair did: the split's name, the record's name, why, and what."""

    split: str
    place: str
    reason: str
    done: str

    def __str__(self) -> str:
        return f"{self.split}: {self.place}: {self.reason}: {self.done}"


def one_each(problems: list[Problem]) -> Iterator[Problem]:
    """The problem of each record that is to be mended first, images before annotations; notes are none."""
    chosen: dict[int, Problem] = {}
    for problem in problems:
        kind = kind_of(problem.reason)
        if kind.severity not in (STOPS, HARMS) or not kind.repair:
            continue
        key = id(problem) if problem.record is None else id(problem.record)
        # A box that is too thin beside its mask is a wrong box, not a thin object.
        if key not in chosen or problem.reason == "box that is not its mask's":
            chosen[key] = problem
    # With an image that is left out go its annotations.
    return iter(sorted(chosen.values(), key=lambda p: p.place.startswith("annotation")))


class FileMender:
    """Mends the records of one annotation file in place, and leaves out what cannot be mended."""

    def __init__(self, split: Split) -> None:
        self.split, self.changes = split, list[Change]()
        self._alike = Alike(split.folder)
        self._images: dict[int, dict] = {}
        for record in split.content["images"]:
            if isinstance(record, dict) and is_id(record.get("id")):
                self._images.setdefault(record["id"], record)
        self._out: set[int] = set()  # id() of records that are left out
        records = [a for a in split.content["annotations"] if isinstance(a, dict)]
        self._next_id = max([a["id"] for a in records if is_id(a.get("id"))], default=0) + 1

    def result(self) -> dict:
        """The content without what is left out."""
        return self.split.content | {
            key: [record for record in self.split.content[key] if id(record) not in self._out]
            for key in ("images", "annotations", "categories")
        }

    def treat(self, problem: Problem) -> None:
        """Mend a record, or leave it out, and write down which."""
        if id(problem.record) in self._out:  # it went with its image
            return
        if problem.reason == "boxes written as corners":
            done = self._from_corners()
        elif problem.reason == "category ids unlike train's":
            done = self._renumber(dict(problem.partner))
        elif problem.place.startswith("category"):
            done = self._merge_category(int(problem.place.removeprefix("category ")))
        elif problem.place.startswith("annotation"):
            done = self._annotation(problem.reason, problem.record)
        else:
            done = self._image(problem)
        self.changes.append(Change(self.split.name, problem.place, problem.reason, done))

    def _annotation(self, reason: str, record: Any) -> str:
        if reason in ("annotation without an id", "duplicate annotation id"):
            if isinstance(record, dict):
                record["id"], self._next_id = self._next_id, self._next_id + 1
                return f"its id is {record['id']}"
        elif reason in mend.MENDS:
            image = self._images[record["image_id"]]
            done = mend.MENDS[reason](record, (image["height"], image["width"]))
            if done:
                return done
        self._out.add(id(record))
        return "left out"

    def _image(self, problem: Problem) -> str:
        record, partner = problem.record, problem.partner
        done = None
        match problem.reason:
            case "missing image file" | "file name that leads out of the folder":
                done = self._take_name(record)
            case "image without a size":
                done = self._take_size(record)
            case "image of another size":
                done = self._correct_size(record)
            case "duplicate image id":
                self._out.add(id(record))
                return "the later image is left out"
            case "duplicate file name":
                own = self._annotations_of(record)
                for annotation in own:
                    annotation["image_id"] = partner["id"]
                self._out.add(id(record))
                return f"left out; its {len(own)} annotations go to image {partner['id']}"
            case "image twice in a split":
                counts = [len(self._annotations_of(image)) for image in (record, partner)]
                if counts[0] > counts[1]:
                    return f"image {partner['id']}: {self._leave_out(partner)}"
        return done or self._leave_out(record)

    def _take_name(self, record: dict) -> str | None:
        name = self._alike.file(record["file_name"])
        if name is None:
            return None
        before, record["file_name"] = record["file_name"], name
        return f"its file_name, {before!r}, is {name!r}"

    def _take_size(self, record: dict) -> str | None:
        try:
            path = path_inside(self.split.folder, record["file_name"])
        except (InputError, KeyError, TypeError, AttributeError):
            return None
        size = look_at((path, (0, 0))).size
        if size is None:
            return None
        record["height"], record["width"] = size
        return f"its size is {size[1]} x {size[0]}, the file's"

    def _correct_size(self, record: dict) -> str | None:
        path = path_inside(self.split.folder, record["file_name"])
        size = self.split.look_of(record, path).size
        try:
            return size and mend.to_size(record, self._annotations_of(record), size)
        except InputError:  # run lengths that cannot be read, and so not be scaled
            return None

    def _annotations_of(self, image: dict) -> list[dict]:
        return [
            annotation
            for annotation in self.split.content["annotations"]
            if isinstance(annotation, dict)
            and annotation.get("image_id") == image["id"]
            and id(annotation) not in self._out
        ]

    def _leave_out(self, image: Any) -> str:
        self._out.add(id(image))
        if not isinstance(image, dict) or not is_id(image.get("id")):
            return "left out"
        own = self._annotations_of(image)
        self._out |= {id(annotation) for annotation in own}
        ids = ", ".join(str(annotation.get("id")) for annotation in own)
        return f"left out with its {len(own)} annotations" + (f" ({ids})" if own else "")

    def _from_corners(self) -> str:
        own = [annotation for objects in self.split.annotations for annotation in objects]
        for annotation in own:
            x1, y1, x2, y2 = annotation["bbox"]
            annotation["bbox"] = [x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)]
        return f"{len(own)} boxes are written as x, y, width, height"

    def _renumber(self, train: dict[int, str]) -> str:
        records = self.split.content["categories"]
        id_of = {name: category_id for category_id, name in train.items()}
        free = max([*train, *(record["id"] for record in records)]) + 1
        new: dict[int, int] = {}
        for record in records:
            own = record["id"]
            if record["name"] not in id_of and own in train:  # it is another category's in train
                own, free = free, free + 1
            new[record["id"]] = record["id"] = id_of.get(record["name"], own)
        for annotation in self.split.content["annotations"]:
            if isinstance(annotation, dict) and is_id(own := annotation.get("category_id")):
                annotation["category_id"] = new.get(own, own)
        return ", ".join(f"{before} is {after}" for before, after in new.items() if before != after)

    def _merge_category(self, category_id: int) -> str:
        records = {record["id"]: record for record in self.split.content["categories"]}
        key = key_of(records[category_id]["name"])
        first = min(i for i, record in records.items() if key_of(record["name"]) == key)
        count = 0
        for annotation in self.split.content["annotations"]:
            if isinstance(annotation, dict) and annotation.get("category_id") == category_id:
                annotation["category_id"], count = first, count + 1
        self._out.add(id(records[category_id]))
        return f"left out; its {count} annotations are of category {first}"
