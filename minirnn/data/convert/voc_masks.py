"""The pictures of Pascal VOC in which colours are objects (SegmentationObject) or categories.

VOC's own have a palette, and a pixel is the number of a colour in it. CVAT and others write the colours
themselves, red, green and blue. VOC's palette is made by a rule, so that a colour leads back to its number:
bit 0 of the number is the highest bit of red, bit 1 of green, bit 2 of blue, bit 3 the next of red, …

Which category a colour of SegmentationClass is stands in `labelmap.txt`: "cup:128,0,0::", or "cup:::" for
the colour with the line's number.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from minirnn.data.convert.found import Labelled, Unusable, lines_of
from minirnn.data.convert.walk import label_files
from minirnn.masks import encode

SEAM = 255
OTHER = 1000  # colours that are not in VOC's palette are numbered from here


def number_of(red: int, green: int, blue: int) -> int:
    """The number of a colour in VOC's palette; of another colour a number of its own, from `OTHER`."""
    number = 0
    for place in range(3):  # three bits of 8 / 3 each, the lowest number in the highest bit
        for channel, value in enumerate((red, green, blue)):
            number |= (value >> (7 - place) & 1) << (3 * place + channel)
    if number < 256 and colour_of(number) == (red, green, blue):
        return number
    return OTHER + (red << 16 | green << 8 | blue)


def colour_of(number: int) -> tuple[int, int, int]:
    """The colour of a number, 0 to 255, in VOC's palette."""
    channels = [0, 0, 0]
    for bit in range(8):
        channels[bit % 3] |= (number >> bit & 1) << (7 - bit // 3)
    return channels[0], channels[1], channels[2]


def numbers_in(file: Path, size: tuple[int, int]) -> np.ndarray:
    """A picture's pixels as numbers (height, width).

    Raises:
        Unusable: it cannot be read, has another size, or is of another kind.
    """
    try:
        with Image.open(file, formats=["PNG"]) as image:
            mode, pixels = image.mode, np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise Unusable(str(error)) from None
    if pixels.shape[:2] != size:
        raise Unusable(
            f"it has {pixels.shape[1]} x {pixels.shape[0]} pixels, the picture {size[1]} x {size[0]}"
        )
    if mode in ("P", "L"):
        return pixels.astype(np.intp)
    if mode not in ("RGB", "RGBA"):
        raise Unusable(f"its pixels are of the kind {mode}; they should have a palette, or be RGB")
    red, green, blue = (pixels[..., i].astype(np.intp) for i in range(3))
    colours, where = np.unique(red << 16 | green << 8 | blue, return_inverse=True)
    known = [number_of(c >> 16, c >> 8 & 255, c & 255) for c in colours.tolist()]
    return np.array(known, np.intp)[where].reshape(size)


def painted(folder: Path, kind: str) -> list[Path]:
    """The pictures in SegmentationObject or SegmentationClass (`kind`), and in folders there."""
    files = label_files(folder, "*.png")
    return [p for p in files if f"Segmentation{kind}" in p.relative_to(folder).parts[:-1]]


def classes_of(file: Path) -> Path:
    """The picture in SegmentationClass that goes with one in SegmentationObject, or in a folder there."""
    parts = list(file.parts)
    last = len(parts) - 1 - parts[::-1].index("SegmentationObject")
    return Path(*parts[:last], "SegmentationClass", *parts[last + 1 :])


def objects_in(numbered: np.ndarray) -> dict[int, np.ndarray]:
    """The mask (height, width) bool of each object by its number; 0 is the ground, 255 the seam."""
    return {n: numbered == n for n in np.unique(numbered).tolist() if n not in (0, SEAM)}


def names_in(folder: Path) -> dict[int, str]:
    """The category of each number, from `labelmap.txt`; empty where there is none."""
    names: dict[int, str] = {}
    for file in label_files(folder, "labelmap.txt")[:1]:
        lines = [text for text in lines_of(file) if text and not text.startswith("#")]
        for line, text in enumerate(lines):
            name, _, rest = text.partition(":")
            colour = [int(part) for part in rest.split(":")[0].split(",") if part.strip().isdigit()]
            names[number_of(*colour) if len(colour) == 3 else line] = name.strip()
    return {number: name for number, name in names.items() if name != "background"}


def labelled(
    masks: dict[int, np.ndarray], classes: np.ndarray, names: dict[int, str]
) -> list[Labelled]:
    """Objects whose category is the colour that most of their pixels have in SegmentationClass.

    Raises:
        Unusable: a category has no name.
    """
    objects = []
    for number, mask in masks.items():
        found, counts = np.unique(classes[mask], return_counts=True)
        category = int(found[counts.argmax()])
        if category not in names:
            raise Unusable(f"labelmap.txt has no name for the colour of object {number}")
        objects.append(Labelled(names[category], f"mask {number}", outline=encode(mask)))
    return objects
