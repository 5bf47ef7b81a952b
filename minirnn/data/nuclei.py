"""A small real data set out of a package: 125 nuclei of cells, outlined by hand, seen by fluorescence.

The package `stardist` ships the picture (512 x 512) and an image of labels, in which each nucleus has a
number. Only these two files are read, and none of the package's code. The picture's last rows are val, the
rest is train, and both are cut into square tiles; train's overlap by half, so that a nucleus which one tile
cuts is whole in another.

    folder/annotations/instances_train.json, instances_val.json      masks as run lengths
    folder/train/y000_x000.png …    folder/val/y384_x000.png …       y and x of the tile's corner
    folder/LICENSE.txt                                               the package's

Source of the picture, as the package says: Caicedo et al., "Nucleus segmentation across imaging
experiments: the 2018 Data Science Bowl", Nature Methods 16, 2019.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from minirnn.data.new_set import new_folder
from minirnn.errors import InputError
from minirnn.images import opened
from minirnn.masks import boxes_of_masks, encode

PACKAGE = "stardist"
#: Height and width of a tile; the rows of val are the last `TILE`.
TILE = 128
STEP = {"train": TILE // 2, "val": TILE}
#: A piece of a nucleus is an object if it has this share of its pixels.
SHARE = 0.25
#: Greys outside these percentiles become black and white.
PERCENTILES = (1, 99.8)
INFO = {
    "description": "nuclei of cells in a fluorescence micrograph, outlined by hand",
    "contributor": "the picture and its labels come with the package stardist (U. Schmidt, M. Weigert)",
    "source": "2018 Data Science Bowl; Caicedo et al., Nature Methods 16, 2019",
    "changes": "greys scaled to 8 bits, cut into tiles (made by minirnn data nuclei)",
}
LICENCE: dict[str, Any] = {
    "id": 1,
    "name": "BSD 3-Clause, of the package stardist: see LICENSE.txt",
    "url": "",
}


@dataclass(frozen=True)
class Part:
    """What a split holds.

    Attributes:
        images: tiles.
        objects: whole nuclei and pieces of them, by tile: one nucleus may be in several.
        nuclei: different ones among the objects.
        crowd_regions: pieces that are neither right nor wrong to find.
    """

    images: int
    objects: int
    nuclei: int
    crowd_regions: int


def write_nuclei(folder: str | os.PathLike) -> dict[str, Part]:
    """Make the data set.

    A nucleus belongs to the split that has most of its pixels, and is an object there and not in the other.
    In a tile, a piece with at least a quarter of its nucleus is an object. Smaller pieces, and those of the
    other split's nuclei, are crowd regions: they can be seen, and to find them is neither right nor wrong.

    Args:
        folder: must not be there, or be empty. The same package gives the same files.

    Returns:
        What train and val hold.

    Raises:
        InputError: the package is not installed, or has other pictures; the folder holds something.
        OSError: a file cannot be written.
    """
    values, labels = read_pictures()
    grey = Image.fromarray(to_grey(values))
    parts = {}
    with new_folder(Path(folder)) as unfinished:
        (unfinished / "annotations").mkdir()
        (unfinished / "LICENSE.txt").write_text(_licence(), encoding="utf-8")
        for split in STEP:
            (unfinished / split).mkdir()
            content = content_of(labels, split)
            places = corners(labels.shape, split)
            for record, (y, x) in zip(content["images"], places, strict=True):
                tile = grey.crop((x, y, x + TILE, y + TILE))
                tile.save(unfinished / split / record["file_name"])
            path = unfinished / "annotations" / f"instances_{split}.json"
            path.write_text(json.dumps(content), encoding="utf-8")
            objects = [a for a in content["annotations"] if not a["iscrowd"]]
            parts[split] = Part(
                images=len(content["images"]),
                objects=len(objects),
                nuclei=len({a["nucleus"] for a in objects}),
                crowd_regions=len(content["annotations"]) - len(objects),
            )
    return parts


def read_pictures() -> tuple[np.ndarray, np.ndarray]:
    """The picture and the labels, both (H, W), from the package's folder.

    Raises:
        InputError: the package is not installed, or its files are not what they were.
    """
    spec = importlib.util.find_spec(PACKAGE)  # found, and not run: it would want TensorFlow
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "the nuclei come with a package that is not installed: pip install --no-deps stardist "
            "(3 MB; only two pictures in it are read)"
        )
    images = Path(spec.submodule_search_locations[0]) / "data" / "images"
    found = []
    for name in ("img2d.tif", "mask2d.tif"):
        with opened(images / name) as image:
            found.append(np.array(image))
    values, labels = found
    if (
        values.ndim != 2
        or values.shape != labels.shape
        or values.shape[0] < 2 * TILE
        or any(side % TILE for side in values.shape)
    ):
        raise InputError(
            f"{images}: img2d.tif is {values.shape} and mask2d.tif {labels.shape}; minirnn knows those of "
            "stardist 0.9.2, which are both (512, 512)"
        )
    return values, labels


def to_grey(values: np.ndarray) -> np.ndarray:
    """The picture's values (H, W), counts of light, as 8-bit greys.

    Dividing cells are five times as bright as the others. The square root brings the dim ones up, and makes
    the noise equally large everywhere, since that of counted light grows with the square root of the count.
    """
    low, high = np.percentile(values, PERCENTILES)
    return np.rint(255 * np.sqrt(np.clip((values - low) / (high - low), 0, 1))).astype(np.uint8)


def corners(shape: tuple[int, ...], split: str) -> Iterator[tuple[int, int]]:
    """y, x of each tile of a split, in a picture of shape (H, W)."""
    height, width = shape
    rows = range(0, height - 2 * TILE + 1, STEP[split]) if split == "train" else [height - TILE]
    for y in rows:
        for x in range(0, width - TILE + 1, STEP[split]):
            yield y, x


def content_of(labels: np.ndarray, split: str) -> dict:
    """A split's annotation file, for labels (H, W) in which 0 is background and each nucleus has a number.

    Each annotation also says which "nucleus" it is.
    """
    sizes = np.bincount(labels.ravel())
    in_val = np.bincount(labels[-TILE:].ravel(), minlength=len(sizes))
    own = 2 * in_val > sizes if split == "val" else 2 * in_val <= sizes
    images: list[dict] = []
    annotations: list[dict] = []
    for y, x in corners(labels.shape, split):
        number = len(images) + 1 + (1000 if split == "val" else 0)  # no id is in both
        name = f"y{y:03}_x{x:03}.png"
        images.append(
            {"id": number, "file_name": name, "height": TILE, "width": TILE, "license": 1}
        )
        tile = labels[y : y + TILE, x : x + TILE]
        for nucleus in np.unique(tile[tile > 0]).tolist():
            mask = tile == nucleus
            x1, y1, x2, y2 = boxes_of_masks(mask[None])[0].tolist()
            area = int(mask.sum())
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": area,
                    "iscrowd": int(not own[nucleus] or area < SHARE * sizes[nucleus]),
                    "segmentation": encode(mask),
                    "nucleus": nucleus,
                }
            )
    return {
        "info": INFO,
        "licenses": [LICENCE],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "nucleus", "supercategory": "cell"}],
    }


def _licence() -> str:
    """The licence that the package is under, as it says it itself."""
    try:
        files = metadata.distribution(PACKAGE).files or []
        texts = [file.read_text() for file in files if file.name.startswith("LICENSE")]
    except (metadata.PackageNotFoundError, OSError):
        texts = []
    return (
        f"{INFO['contributor']}, version {_version()}, under the licence below. The picture is "
        f"from: {INFO['source']}.\n{INFO['changes']}.\n\n" + "\n".join(texts or [LICENCE["name"]])
    )


def _version() -> str:
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return "unknown"
