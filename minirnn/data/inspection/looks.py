"""One image file, decoded to its end: what it is, and by what it is known again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from minirnn.images import (
    SWAPS_SIDES,
    UPRIGHT,
    UnusableImage,
    deep_grey,
    depth_of,
    opened,
    orientation_of,
    to_rgb,
    turn_of,
)

#: An image whose brightest pixels (all but a thousandth) are below this of 255 is called dark.
DARK = 32
SMALL = 16  # side of the small picture that look-alikes are compared by


@dataclass(frozen=True)
class Look:
    """What there is to say of an image file. Picklable, a kilobyte.

    Attributes:
        reason: why it cannot be used, in a few words; "" if it can.
        detail: the same as a sentence.
        size: (height, width) as a person sees it, or None if it cannot be decoded.
        notes: reason and detail of what is worth knowing.
        digest: SHA-256 of the file.
        small: SMALL · SMALL · 3 bytes, the picture shrunk.
        hash: 64 bits that say where the shrunk picture grows brighter to the right.
    """

    reason: str = ""
    detail: str = ""
    size: tuple[int, int] | None = None
    notes: tuple[tuple[str, str], ...] = ()
    digest: bytes = b""
    small: bytes = field(default=b"", repr=False)
    hash: int = 0

    @property
    def error(self) -> UnusableImage | None:
        """What `read_image` would raise."""
        return UnusableImage(self.reason, self.detail) if self.reason else None


def look_at(file: tuple[Path, tuple[int, int]]) -> Look:
    """Decode an image and describe it; never an error for a bad image.

    Args:
        file: the path, and the (height, width) that it should have.
    """
    path, size = file
    try:
        with opened(path) as image:
            orientation, stored = orientation_of(image), (image.height, image.width)
            try:
                turn, misfit = turn_of(image, path, size), None
            except UnusableImage as error:
                turn, misfit = UPRIGHT.get(orientation), error
            notes = [*_notes(image, orientation, turn)]
            picture = to_rgb(image, path)
    except UnusableImage as error:
        return Look(error.reason, str(error))
    upright = stored[::-1] if turn and orientation in SWAPS_SIDES else stored
    small = np.asarray(picture.resize((SMALL, SMALL), Image.Resampling.BOX, reducing_gap=2.0))
    notes += _darkness(picture)
    return Look(
        reason=misfit.reason if misfit else "",
        detail=str(misfit) if misfit else "",
        size=upright,
        notes=tuple(notes),
        digest=hashlib.sha256(path.read_bytes()).digest(),
        small=small.tobytes(),
        hash=_gradient_hash(picture),
    )


def _notes(
    image: Image.Image, orientation: int, turn: Image.Transpose | None
) -> Iterator[tuple[str, str]]:
    if turn is not None:
        yield "image turned by EXIF", f"orientation {orientation}"
    elif orientation in UPRIGHT:
        yield "EXIF that is not followed", f"orientation {orientation}"
    if image.mode == "CMYK":
        yield "CMYK image", f"a {image.format} of four inks"
    elif image.has_transparency_data:
        yield "image with transparency", f"a {image.format} of mode {image.mode}"
    elif image.mode == "P":
        yield "palette image", f"a {image.format} with a table of colours"
    if (values := deep_grey(image)) is not None:
        bits, most = depth_of(image, values), int(values.max())
        yield (
            "grey image of more than 8 bits",
            f"values up to {most} are read as {bits} bits, so that {(1 << bits) - 1} is white",
        )


def _darkness(picture: Image.Image) -> Iterator[tuple[str, str]]:
    counts = np.cumsum(picture.convert("L").histogram())
    brightest = int(np.searchsorted(counts, 0.999 * counts[-1]))
    if brightest < DARK:
        yield "dark image", f"all but a thousandth of its pixels are at most {brightest} of 255"


def _gradient_hash(picture: Image.Image) -> int:
    """64 bits: whether each of 8 x 8 cells is darker than the one at its right (a "dHash")."""
    grey = picture.convert("L").resize((9, 8), Image.Resampling.BOX, reducing_gap=2.0)
    cells = np.asarray(grey, np.int16)
    return int.from_bytes(np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes(), "big")
