"""A small clean data set, and one fault at a time put into it."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from minirnn.masks import encode

HEIGHT, WIDTH = 96, 128
#: Images of the two splits; ids are 1, 2, … in train and 101, 102, … in val.
COUNTS = {"train": 5, "val": 3}


def texture(seed: int) -> np.ndarray:
    """A picture like no other: 6 x 8 colours, blown up smoothly."""
    cells = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(cells).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


class Set:
    """A data set on disk whose annotation files are changed in memory and written by `write`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.content: dict[str, dict] = {}
        for split, count in COUNTS.items():
            (root / split).mkdir(parents=True)
            images, annotations = [], []
            for i in range(1, count + 1):
                image_id = i + (100 if split == "val" else 0)
                name = f"{image_id:03}.png"
                Image.fromarray(texture(image_id)).save(root / split / name)
                images.append({"id": image_id, "file_name": name, "height": HEIGHT, "width": WIDTH})
                annotations += [square(image_id), triangle(image_id)]
            categories = [{"id": 1, "name": "square"}, {"id": 2, "name": "triangle"}]
            self.content[split] = {
                "images": images,
                "annotations": annotations,
                "categories": categories,
            }
        (root / "annotations").mkdir()
        self.write()

    def write(self) -> None:
        for split, content in self.content.items():
            path = self.root / "annotations" / f"instances_{split}.json"
            path.write_text(json.dumps(content))

    def annotation(self, annotation_id: int) -> dict:
        return next(a for a in self.content["train"]["annotations"] if a["id"] == annotation_id)

    @property
    def train(self) -> dict:
        return self.content["train"]

    def file(self, image_id: int) -> Path:
        return self.root / ("val" if image_id > 100 else "train") / f"{image_id:03}.png"


def polygon_box(points: list[float]) -> list[float]:
    xs, ys = points[0::2], points[1::2]
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]


def square(image_id: int) -> dict:
    """As run lengths; annotation 10 · image + 1."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:40, 20:60] = True
    bbox, area = [20, 10, 40, 30], 1200
    return {"id": 10 * image_id + 1, "image_id": image_id, "category_id": 1, "iscrowd": 0} | {
        "bbox": bbox,
        "area": area,
        "segmentation": encode(mask),
    }


def triangle(image_id: int) -> dict:
    """As a polygon; annotation 10 · image + 2."""
    points = [70.0, 80.0, 110.0, 80.0, 90.0, 50.0]
    return {"id": 10 * image_id + 2, "image_id": image_id, "category_id": 2, "iscrowd": 0} | {
        "bbox": polygon_box(points),
        "area": 600.0,
        "segmentation": [points],
    }


class Case(NamedTuple):
    """One fault: how it is made, and how it should be called."""

    spoil: Callable[[Set], Any]
    reason: str
    image_id: int | None = None
    annotation_id: int | None = None
    detail: str = ""


def change(annotation_id: int, **fields: Any) -> Callable[[Set], None]:
    """Fields of an annotation of train; None takes a field away."""

    def spoil(data: Set) -> None:
        annotation = data.annotation(annotation_id)
        annotation.update(fields)
        for name in [name for name, value in fields.items() if value is None]:
            del annotation[name]

    return spoil


def change_image(image_id: int, **fields: Any) -> Callable[[Set], None]:
    return lambda data: data.train["images"][image_id - 1].update(fields)


def rename_image(name: str) -> Callable[[Set], None]:
    """Image 3 has another file name, and its file is gone."""

    def spoil(data: Set) -> None:
        data.file(3).unlink()
        data.train["images"][2]["file_name"] = name

    return spoil


def replace(image_id: int, make: Callable[[Path, np.ndarray], Any]) -> Callable[[Set], None]:
    """Write the image's file anew from its pixels."""
    return lambda data: make(data.file(image_id), texture(image_id))


def add(**fields: Any) -> Callable[[Set], None]:
    """One more annotation of train, a square of image 3 moved to the right unless told otherwise."""

    def spoil(data: Set) -> None:
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[10:40, 80:120] = True
        extra = square(3) | {"id": 999, "bbox": [80, 10, 40, 30], "segmentation": encode(mask)}
        data.train["annotations"].append(extra | fields)

    return spoil


def shifted_box(data: Set) -> None:
    data.annotation(32)["bbox"][0] -= 30


def as_corners(data: Set) -> None:
    for annotation in data.train["annotations"]:
        x, y, w, h = annotation["bbox"]
        annotation["bbox"] = [x, y, x + w, y + h]


def duplicate(data: Set) -> None:
    data.train["annotations"].append(copy.deepcopy(data.annotation(31)) | {"id": 999})


def other_category(data: Set) -> None:
    duplicate(data)
    data.train["annotations"][-1]["category_id"] = 2


def same_file(data: Set) -> None:
    """Image 6 is the file of image 3 under another name, with one object only."""
    shutil.copy(data.file(3), data.root / "train" / "006.png")
    data.train["images"].append(data.train["images"][2] | {"id": 6, "file_name": "006.png"})
    data.train["annotations"].append(square(6))


def same_name(data: Set) -> None:
    """Image 6 is the file of image 3, too, and has its second object."""
    data.train["images"].append(data.train["images"][2] | {"id": 6})
    data.annotation(32)["image_id"] = 6


def same_category(data: Set) -> None:
    data.train["categories"].append({"id": 3, "name": " Square"})
    data.annotation(31)["category_id"] = 3


def gap(data: Set) -> None:
    """In train; val has nothing of the category whose id is another."""
    data.train["categories"][1]["id"] = 7
    for annotation in data.train["annotations"]:
        annotation["category_id"] = {1: 1, 2: 7}[annotation["category_id"]]
    val = data.content["val"]
    val["categories"].pop()
    val["annotations"] = [a for a in val["annotations"] if a["category_id"] == 1]


def resized_copy(data: Set) -> None:
    """Image 3 is image 102 of val, half as large and saved as JPEG."""
    picture = Image.fromarray(texture(102)).resize((WIDTH // 2, HEIGHT // 2))
    picture.save(data.file(3).with_suffix(".jpg"), quality=80)
    data.file(3).unlink()
    data.train["images"][2] |= {"file_name": "003.jpg", "width": WIDTH // 2, "height": HEIGHT // 2}
    points = [30.0, 40.0, 55.0, 40.0, 45.0, 25.0]
    data.annotation(32).update(segmentation=[points], bbox=polygon_box(points), area=187.5)
    data.train["annotations"].remove(data.annotation(31))


def larger_file(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).resize((WIDTH, HEIGHT + 20)).save(path)


def smaller_file(path: Path, pixels: np.ndarray) -> None:
    """Half the size: the annotations reach beyond it."""
    Image.fromarray(pixels).resize((WIDTH // 2, HEIGHT // 2)).save(path)


def squeezed_file(path: Path, pixels: np.ndarray) -> None:
    """Too small for the annotations, and of another proportion: nobody knows what was done to it."""
    Image.fromarray(pixels).resize((WIDTH // 2, HEIGHT)).save(path)


def twice_the_file(path: Path, pixels: np.ndarray) -> None:
    """Twice the size: the annotations could be of either."""
    Image.fromarray(pixels).resize((2 * WIDTH, 2 * HEIGHT)).save(path)


def turned(path: Path, pixels: np.ndarray, orientation: int = 6) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(np.rot90(pixels))).save(path, exif=exif)


def cut_short(path: Path, pixels: np.ndarray) -> None:
    path.write_bytes(path.read_bytes()[:-900])


def half_jpeg(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(path, format="JPEG", quality=95)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def deep(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 16).save(path)


def dark(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels // 10).save(path)


def all_crowd(data: Set) -> None:
    for annotation in data.train["annotations"]:
        annotation["iscrowd"] = 1
        annotation["segmentation"] = square(1)["segmentation"]
        annotation["bbox"] = [20, 10, 40, 30]


TRIANGLE = [70.0, 80.0, 110.0, 80.0, 90.0, 50.0]
FULL = [0.0, 0.0, 40.0, 0.0, 40.0, 30.0, 0.0, 30.0]

#: Faults that training stops at, or that it would learn from: each is mended by a repair.
FAULTS: dict[str, Case] = {
    # boxes
    "box of no width": Case(change(32, bbox=[70, 50, 0, 30]), "box of no area", 3, 32),
    "negative box": Case(change(32, bbox=[70, 50, -40, 30]), "box of negative size", 3, 32),
    "no box": Case(change(32, bbox=None), "box that is not four numbers", 3, 32),
    "box far away": Case(
        change(32, bbox=[9000, 50, 40, 30]), "box that does not fit the image", 3, 32
    ),
    "box outside": Case(change(32, bbox=[200, 50, 40, 30]), "box outside the image", 3, 32),
    "box over the border": Case(
        change(
            32, bbox=[70, 50, 70, 30], segmentation=[[70, 50, 128, 50, 128, 80, 70, 80]], area=1740
        ),
        "box that leaves the image",
        3,
        32,
        "12 pixels out",
    ),
    "thin box": Case(
        change(
            32, bbox=[70, 50, 0.5, 30], segmentation=[[70, 50, 70.5, 50, 70.5, 80, 70, 80]], area=30
        ),
        "box thinner than a pixel",
        3,
        32,
        "0.5 x 30",
    ),
    "box 30 pixels off": Case(shifted_box, "box that is not its mask's", 3, 32, "30 pixels off"),
    "boxes as corners": Case(
        as_corners, "boxes written as corners", None, None, "5 of 10 boxes .* all fit"
    ),
    "duplicate box": Case(duplicate, "duplicate annotation", 3, 999, "annotation 31 again"),
    # areas
    "area of the box": Case(
        change(32, area=1200), "area that is not the object's", 3, 32, "area is 1200"
    ),
    "area as text": Case(change(32, area="600"), "area of unknown form", 3, 32),
    # polygons and masks
    "two points": Case(
        change(32, segmentation=[TRIANGLE, [70, 80, 71, 81]]),
        "mask of unknown form",
        3,
        32,
        "at least three points",
    ),
    "only two points": Case(
        change(32, segmentation=[[70, 80, 90, 60]]), "mask of unknown form", 3, 32
    ),
    "mask on a line": Case(
        change(32, segmentation=[[70, 50, 80, 60, 90, 70]]), "mask of no area", 3, 32
    ),
    "polygon on a line": Case(
        change(32, segmentation=[TRIANGLE, [70, 50, 80, 60, 90, 70]]),
        "polygon of no area",
        3,
        32,
        "polygon 1",
    ),
    "polygon outside": Case(
        change(32, segmentation=[[70, 100, 100, 100, 90, 120], TRIANGLE]),
        "polygon outside the image",
        3,
        32,
        "polygon 0",
    ),
    "polygon over the border": Case(
        change(
            32,
            segmentation=[[100, 50, 150, 50, 150, 80, 100, 80]],
            bbox=[100, 50, 28, 30],
            area=840,
        ),
        "polygon that leaves the image",
        3,
        32,
        "22 pixels out",
    ),
    "mask without a pixel": Case(
        change(
            32,
            segmentation=[[70.2, 50.1, 70.4, 50.1, 72.3, 50.4, 70.3, 50.3]],
            bbox=[70.2, 50.1, 2.1, 1.0],
            area=0.3,
        ),
        "mask without a pixel",
        3,
        32,
    ),
    "mask elsewhere": Case(change(32, segmentation=[FULL]), "mask outside its box", 3, 32),
    "mask of another image": Case(
        change(31, segmentation=encode(np.ones((10, 10), bool))),
        "mask that does not fit the image",
        3,
        31,
    ),
    "broken run lengths": Case(
        change(31, segmentation={"size": [HEIGHT, WIDTH], "counts": "\x7f!"}),
        "mask that cannot be decoded",
        3,
        31,
    ),
    "no mask": Case(change(32, segmentation=None), "annotation without a mask", 3, 32),
    "crowd of 2": Case(change(32, iscrowd=2), "iscrowd of unknown form", 3, 32),
    "crowd in words": Case(change(32, iscrowd="0"), "iscrowd of unknown form", 3, 32),
    # ids
    "unknown category": Case(change(32, category_id=5), "unknown category", 3, 32),
    "unknown image": Case(
        add(image_id=77), "annotation for an unknown image", 77, 999, "no image 77"
    ),
    "annotation id twice": Case(add(id=32), "duplicate annotation id", 3, 32),
    "annotation without id": Case(add(id="a"), "annotation without an id", 3, None),
    "image id twice": Case(
        lambda data: data.train["images"].append(dict(data.train["images"][2])),
        "duplicate image id",
        3,
    ),
    "category name twice": Case(
        same_category, "duplicate category name", None, None, "category 1's"
    ),
    # image files
    "missing file": Case(lambda data: data.file(3).unlink(), "missing image file", 3),
    "empty file": Case(lambda data: data.file(3).write_bytes(b""), "empty image file", 3),
    "no picture": Case(lambda data: data.file(3).write_bytes(b"text" * 9), "broken image", 3),
    "file cut short": Case(replace(3, cut_short), "broken image", 3),
    "JPEG cut short": Case(replace(3, half_jpeg), "broken image", 3, None, "truncated"),
    "32 bits": Case(
        replace(
            3, lambda path, p: Image.fromarray(p[:, :, 0].astype(np.float32)).save(path, "TIFF")
        ),
        "image of 32-bit pixels",
        3,
    ),
    "HEIC without a reader": Case(
        lambda data: data.file(3).write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        "HEIC image without its reader",
        3,
        None,
        "pip install pillow-heif",
    ),
    "size of another proportion": Case(
        replace(3, larger_file), "image of another size", 3, None, "128 x 116 .* should be 128 x 96"
    ),
    "size halved": Case(replace(3, smaller_file), "image of another size", 3),
    "size halved and squeezed": Case(replace(3, squeezed_file), "image of another size", 3),
    "size doubled": Case(replace(3, twice_the_file), "image of another size", 3),
    "no size": Case(change_image(3, width=None), "image without a size", 3),
    "no file name": Case(rename_image(""), "image without a file", 3),
    "way out": Case(rename_image("../val/101.png"), "file name that leads out of the folder", 3),
    "file name twice": Case(same_name, "duplicate file name", 6, None, "image 3 has it"),
    # the same picture
    "file twice in train": Case(
        same_file, "image twice in a split", 6, None, "same file as image 3"
    ),
    "file in train and val": Case(
        lambda data: shutil.copy(data.file(102), data.file(3)),
        "image in two splits",
        3,
        None,
        "image 102 of val",
    ),
    "resized copy in train and val": Case(
        resized_copy, "look-alike in two splits", 3, None, "image 102 of val"
    ),
}
#: What a repair must leave to you.
OPEN: dict[str, Case] = {
    "all crowd": Case(all_crowd, "nothing but crowd regions"),
}
#: What is no fault.
NOTES: dict[str, Case] = {
    "other category": Case(other_category, "one box in two categories", 3, 999),
    "crowd as polygons": Case(change(32, iscrowd=1), "crowd region given as polygons", 3, 32),
    "bow tie": Case(
        change(32, segmentation=[[70, 50, 110, 80, 110, 50, 70, 80]]),
        "polygon that crosses itself",
        3,
        32,
    ),
    "gap": Case(gap, "category ids with gaps", None, None, "2 ids from 1 to 7"),
    "unused category": Case(
        lambda data: data.train["categories"].append({"id": 3, "name": "star"}),
        "categories without objects",
        None,
        None,
        "1 of 3: star",
    ),
    "file that is not listed": Case(
        lambda data: Image.fromarray(texture(9)).save(data.root / "train" / "009.png"),
        "image files that are not listed",
        None,
        None,
        "009.png",
    ),
    "turned": Case(replace(3, turned), "image turned by EXIF", 3, None, "orientation 6"),
    "not turned": Case(
        replace(3, lambda path, p: turned(path, np.ascontiguousarray(np.rot90(p, -1)), 6)),
        "EXIF that is not followed",
        3,
    ),
    "CMYK": Case(
        replace(3, lambda path, p: Image.fromarray(p).convert("CMYK").save(path, "JPEG")),
        "CMYK image",
        3,
    ),
    "alpha": Case(
        replace(3, lambda path, p: Image.fromarray(p).convert("RGBA").save(path)),
        "image with transparency",
        3,
    ),
    "palette": Case(
        replace(3, lambda path, p: Image.fromarray(p).quantize(200).save(path)), "palette image", 3
    ),
    "12 bits": Case(
        replace(3, deep), "grey image of more than 8 bits", 3, None, "up to 4080 .* 4095 is white"
    ),
    "dark": Case(replace(3, dark), "dark image", 3, None, "at most 2[0-9] of 255"),
}
