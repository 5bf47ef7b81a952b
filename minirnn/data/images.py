"""Reading one image file: whatever it holds comes out as (H, W, 3) uint8 RGB, the right way up."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from minirnn.errors import InputError

#: The formats that are read. Pillow knows forty, and for some of them starts another program
#: (Ghostscript for EPS, whatever the file is called): an image is somebody else's file.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
EXIF_ORIENTATION = 0x0112
# What undoes each value of EXIF's orientation; 1, and values that EXIF does not define: nothing.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SWAPS_SIDES = (5, 6, 7, 8)


def read_image(path: str | os.PathLike, *, size: tuple[int, int] | None = None) -> np.ndarray:
    """The picture in a file, as a person would see it.

    - Orientation: a camera that was held upright stores the picture lying on its side and says so
      in EXIF. The picture is turned as EXIF says. Annotations are not: they belong to the picture
      of the size that the annotation file gives, so with `size` given the turn is made only if the
      result has that size; if only the picture as stored has it, that one is used.
    - Grey, palette and CMYK become RGB; 16-bit grey keeps its upper 8 bits.
    - Transparent pixels are laid over white, as a viewer of the picture shows them. (The colour
      that a file keeps under a transparent pixel is arbitrary.)

    Args:
        path: the file, in one of `FORMATS`, told by its content.
        size: (height, width) that the result must have.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        InputError: the file is missing, is no image, is cut short, or has another size.
    """
    path = Path(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            turn = _turn(image, path, size)
            picture = _to_rgb(image, path)
    except (InputError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: the image file is missing") from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path}: not a readable image, or of another format than {', '.join(FORMATS)}"
        ) from error
    except Exception as error:  # Pillow's readers raise a dozen types for broken files
        raise InputError(f"{path}: not a readable image: {error}") from error
    if turn is not None:
        picture = picture.transpose(turn)
    return np.array(picture)


def check_image(path: str | os.PathLike, *, size: tuple[int, int]) -> None:
    """Raise what `read_image` would raise, in less time where the format allows it."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            _turn(image, Path(path), size)
            if image.format == "JPEG":
                # All of the file is read, but only an eighth of the resolution is computed.
                image.draft("RGB", (image.width // 8, image.height // 8))
                image.load()
                return
    except (InputError, MemoryError):
        raise
    except Exception:  # read_image below says what is wrong
        pass
    read_image(path, size=size)


def image_size(path: str | os.PathLike) -> tuple[int, int]:
    """The (height, width) of a picture the right way up, from its head alone.

    Raises:
        InputError: the file is missing or is no image.
    """
    path = Path(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            turn = _turn(image, path, None)
            height, width = image.height, image.width
    except FileNotFoundError as error:
        raise InputError(f"{path}: the image file is missing") from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise a dozen types for broken files
        raise InputError(
            f"{path}: not a readable image, or of another format than {', '.join(FORMATS)}"
        ) from error
    swapped = turn in [UPRIGHT[orientation] for orientation in SWAPS_SIDES]
    return (width, height) if swapped else (height, width)


def _turn(image: Image.Image, path: Path, size: tuple[int, int] | None) -> Image.Transpose | None:
    """The transposition to make, from EXIF and from the size that is wanted."""
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # an EXIF block that cannot be read says nothing about orientation
        orientation = 1
    stored = (image.height, image.width)
    upright = stored[::-1] if orientation in SWAPS_SIDES else stored
    if size is None or upright == tuple(size):
        return UPRIGHT.get(orientation)
    if stored == tuple(size):
        return None
    raise InputError(
        f"{path}: the image is {upright[1]} x {upright[0]} pixels (width x height); "
        f"it should be {size[1]} x {size[0]}"
    )


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode.startswith("I;16"):
        # convert() would clip every value above 255 to white.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise InputError(
            f"{path}: the image has 32-bit pixels (mode {image.mode!r}) of unknown range; "
            "it should have 8 or 16 bits per channel"
        )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def path_inside(folder: Path, name: str) -> Path:
    """The path of file `name` in `folder`; there may be no such file.

    A file name in an annotation file is somebody else's text. It may not lead out of the folder:
    not by `..`, not by an absolute path, not through a link.

    Raises:
        InputError: the name leads out of the folder.
    """
    root = os.path.realpath(folder)
    try:
        path = os.path.realpath(os.path.join(root, name))
    except (OSError, ValueError) as error:  # a null character, a loop of links
        raise InputError(f"file name {name!r} is not a file name: {error}") from error
    # Backslashes are separators on Windows only; a file set is refused on every system or on none.
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or os.path.isabs(name) or not path.startswith(os.path.join(root, "")):
        raise InputError(f"file name {name!r} leads out of the folder {folder}")
    return Path(path)
