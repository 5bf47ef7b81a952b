"""Pictures one after the other, as a moving one."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from minirnn.errors import InputError
from minirnn.files import write_whole

MILLISECONDS = 100  # that each picture is seen
_LONGEST = 640  # pixels of the longer side: GIF packs badly, and each picture has 256 colours


def write_gif(path: Path, pictures: Sequence[Path]) -> None:
    """Write pictures as a GIF that begins again at its end; no more than 640 pixels wide or high.

    Args:
        path: the file; its folder is made if need be.
        pictures: files.

    Raises:
        InputError: they differ in size, and then two of them are named; or the file cannot be written.
    """
    with Image.open(pictures[0]) as first:
        size = first.size
    frames = _frames(pictures, size)
    file = io.BytesIO()
    next(frames).save(
        file, format="GIF", save_all=True, append_images=frames, duration=MILLISECONDS, loop=0
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, file.getvalue())
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def _frames(pictures: Sequence[Path], size: tuple[int, int]) -> Iterator[Image.Image]:
    for picture in pictures:
        with Image.open(picture) as opened:
            if opened.size != size:
                raise InputError(
                    f"{picture} is {opened.size[0]} x {opened.size[1]} pixels and {pictures[0]} is "
                    f"{size[0]} x {size[1]}: a moving picture needs frames of one size"
                )
            frame = opened.convert("RGB")
        frame.thumbnail((_LONGEST, _LONGEST))
        yield frame
