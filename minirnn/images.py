"""Reading one image file: whatever it holds comes out as (H, W, 3) uint8 RGB, the right way up."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
#: How many bits a camera or microscope gives a grey value; a file then has 16 for it.
DEPTHS = (8, 10, 12, 14, 16)
_TIFF_BITS, _TIFF_MOST = 258, 281  # tags: bits of a value, and the largest value that there may be
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

#: A file of some kilobytes can unfold into gigabytes. A picture of more pixels than this has to have a byte
#: for so many of them at least; a photograph has ten times as many bytes.
_LARGE = 20_000_000
_PIXELS_A_BYTE = 500
#: The reason of an image that has not the size that is wanted.
OTHER_SIZE = "image of another size"


class UnusableImage(InputError):
    """An image file that cannot be used.

    Attributes:
        reason: in a few words, the same for all files of a kind; what skipped images are counted by.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def read_image(path: str | os.PathLike, *, size: tuple[int, int] | None = None) -> np.ndarray:
    """The picture in a file, as a person would see it.

    - Orientation: a camera that was held upright stores the picture lying on its side and says so
      in EXIF. The picture is turned as EXIF says. Annotations are not: they belong to the picture
      of the size that the annotation file gives, so with `size` given the turn is made only if the
      result has that size; if only the picture as stored has it, that one is used.
    - Grey, palette and CMYK become RGB.
    - Grey of more than 8 bits keeps the upper 8 of those that it uses, see `depth_of`: 12 bits in a file
      of 16 would else be nearly black.
    - Transparent pixels are laid over white, as a viewer of the picture shows them. (The colour
      that a file keeps under a transparent pixel is arbitrary.)

    Args:
        path: the file, in one of `FORMATS`, told by its content; or HEIC, where its reader is installed
            (pillow-heif).
        size: (height, width) that the result must have.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        UnusableImage: the file is missing, is empty, is no image, is cut short, or has another size.
    """
    path = Path(path)
    with opened(path) as image:
        turn = turn_of(image, path, size)
        picture = to_rgb(image, path)
    if turn is not None:
        picture = picture.transpose(turn)
    return np.array(picture)


def pictures_of(images: Iterable[Any]) -> list[Any]:
    """What a person hands in as images, as arrays: paths and Pillow's images are turned into such.

    Args:
        images: each the path of a file (text or a `Path`), an image of Pillow's, or anything else, which
            is handed back as it is: whether that is an (H, W, 3) uint8 array is for others to say.

    Raises:
        InputError: a file or image cannot be read, see `read_image`; names the file, or the image by its
            number. Or images is one of them, and no list.
    """
    if isinstance(images, str | os.PathLike | Image.Image):
        raise InputError(
            f"images is {images!r}; it should be a list of images, for example [image]"
        )
    return [_picture_of(image, f"image {index}") for index, image in enumerate(images)]


def _picture_of(image: Any, name: str) -> Any:
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    if not isinstance(image, Image.Image):
        return image
    try:
        turn = turn_of(image, name, None)
        picture = to_rgb(image, name)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # Pillow reads the file only now, and it may be broken
        raise UnusableImage("broken image", f"{name}: not a readable image: {error}") from error
    return np.array(picture if turn is None else picture.transpose(turn))


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The file as Pillow sees it. Whatever goes wrong inside is told in our words.

    Raises:
        UnusableImage: see `read_image`.
    """
    try:
        with _open(path) as image:
            _check_packing(image, path)
            yield image
    except (InputError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise UnusableImage("missing image file", f"{path}: the image file is missing") from error
    except UnidentifiedImageError as error:
        raise UnusableImage(
            "broken image",
            f"{path}: not a readable image, or of another format than {', '.join(FORMATS)}",
        ) from error
    except Exception as error:  # Pillow's readers raise a dozen types for broken files
        raise UnusableImage("broken image", f"{path}: not a readable image: {error}") from error


def _check_packing(image: Image.Image, path: Path) -> None:
    """Refuse a picture that is far larger than what is stored of it, before it is unfolded."""
    pixels, stored = image.width * image.height, os.stat(path).st_size
    if pixels > _LARGE and pixels > _PIXELS_A_BYTE * stored:
        raise UnusableImage(
            "image that is too large for its file",
            f"{path}: {stored} bytes that unfold into {image.width} x {image.height} pixels; no "
            "photograph is packed so well. If it is meant, save it smaller",
        )


def _open(path: Path) -> Image.Image:
    with open(path, "rb") as file:
        start = file.read(12)
    if not start:
        raise UnusableImage("empty image file", f"{path}: not a readable image: it has 0 bytes")
    if start[4:8] != b"ftyp" or start[8:] not in _HEIC_BRANDS:
        return Image.open(path, formats=FORMATS)
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise UnusableImage(
            "HEIC image without its reader",
            f"{path}: a HEIC image, as iPhones make them (whatever its name ends with); "
            "its reader is installed by: pip install pillow-heif",
        ) from error
    return HeifImageFile(str(path))


def check_image(path: str | os.PathLike, *, size: tuple[int, int]) -> None:
    """Raise what `read_image` would raise, in less time where the format allows it."""
    with opened(Path(path)) as image:
        turn_of(image, Path(path), size)
        if image.format == "JPEG":
            # All of the file is read, but only an eighth of the resolution is computed.
            image.draft("RGB", (image.width // 8, image.height // 8))
            image.load()
        else:
            to_rgb(image, Path(path))


def image_size(path: str | os.PathLike) -> tuple[int, int]:
    """The (height, width) of a picture the right way up, from its head alone.

    Raises:
        UnusableImage: the file is missing or is no image.
    """
    with opened(Path(path)) as image:
        swapped = orientation_of(image) in SWAPS_SIDES
        return (image.width, image.height) if swapped else (image.height, image.width)


def turn_of(
    image: Image.Image, name: str | os.PathLike, size: tuple[int, int] | None
) -> Image.Transpose | None:
    """The transposition to make, from EXIF and from the size that is wanted.

    Raises:
        UnusableImage: the image does not have this size, turned or not.
    """
    orientation, stored = orientation_of(image), (image.height, image.width)
    upright = stored[::-1] if orientation in SWAPS_SIDES else stored
    if size is None or upright == tuple(size):
        return UPRIGHT.get(orientation)
    if stored == tuple(size):
        return None
    raise UnusableImage(
        OTHER_SIZE,
        f"{name}: the image is {upright[1]} x {upright[0]} pixels (width x height); "
        f"it should be {size[1]} x {size[0]}",
    )


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation, 1 where there is none."""
    try:
        return image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # an EXIF block that cannot be read says nothing about orientation
        return 1


def depth_of(image: Image.Image, values: np.ndarray) -> int:
    """How many bits the values of a grey image use: what the file says, or else the least of `DEPTHS`.

    Instruments of 10, 12 or 14 bits write files of 16 and rarely say so; 8 bits are put into 16, too.
    Their values tell: the largest of a 12-bit image is under 4096. (An image of 16 bits that is so dark
    that all its values are under 4096 becomes 16 times as bright.)
    """
    brightest = int(values.max())
    if image.format == "PPM":  # which says what white is, so that Pillow has scaled it to 16 bits
        return 16
    tags = getattr(image, "tag_v2", {})
    bits, most = (int(np.ravel(tags.get(tag, 0))[0]) for tag in (_TIFF_BITS, _TIFF_MOST))
    for stated in (bits, most.bit_length()):
        if 8 < stated < 16 and brightest < 1 << stated:
            return stated
    return next(depth for depth in DEPTHS if brightest < 1 << depth)


def deep_grey(image: Image.Image) -> np.ndarray | None:
    """The values of a grey image of more than 8 bits, (H, W); None for another image.

    Pillow has such values in 16 bits, or (of a PGM, say) in 32 without using more than 16.
    """
    if image.mode.startswith("I;16"):
        return np.asarray(image)
    if image.mode == "I":
        values = np.asarray(image)
        return values if values.min() >= 0 and values.max() < 1 << 16 else None
    return None


def to_rgb(image: Image.Image, name: str | os.PathLike) -> Image.Image:
    """Whatever the image holds as 8 bits of red, green and blue.

    Raises:
        UnusableImage: its values are of a range that nobody knows.
    """
    if (values := deep_grey(image)) is not None:
        # convert() would clip every value above 255 to white.
        upper = values >> (depth_of(image, values) - 8)
        return Image.fromarray(upper.astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise UnusableImage(
            "image of 32-bit pixels",
            f"{name}: the image has 32-bit pixels (mode {image.mode!r}) of unknown range; "
            "it should have 8 or 16 bits per channel",
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
