"""Drawing on a photo with Pillow: masks, boxes, keypoints, and labels with room of their own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

OPACITY = 0.4
DARK = (20, 20, 20)


def paint_masks(
    picture: Image.Image, masks: np.ndarray, rgb: Sequence[tuple[int, ...]], thick: int
) -> Image.Image:
    """Colour each mask half through, with a solid outline; small ones over large ones."""
    pixels = np.array(picture)
    for i in np.argsort(-masks.sum(axis=(1, 2)), kind="stable"):
        mask = masks[i]
        if not mask.any():
            continue
        if mask.shape != pixels.shape[:2]:
            nearest = Image.Resampling.NEAREST
            mask = np.asarray(Image.fromarray(mask).resize(picture.size, nearest))
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):  # a mask of a few pixels can vanish from a smaller picture
            continue
        window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        mask, part = mask[window], pixels[window]
        part[mask] = (part[mask] * (1 - OPACITY) + np.array(rgb[i]) * OPACITY).astype(np.uint8)
        part[mask & ~binary_erosion(mask, iterations=max(thick // 2, 1))] = rgb[i]
    return Image.fromarray(pixels)


def draw_outline(
    pencil: ImageDraw.ImageDraw, corner: list[int], colour: tuple[int, ...], thick: int
) -> None:
    """A box in its colour with a dark line on both sides, legible on any ground."""
    x1, y1, x2, y2 = corner
    # Pillow's rectangle takes in its last pixel, a box does not.
    x2, y2 = max(x2 - 1, x1), max(y2 - 1, y1)
    pencil.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=DARK, width=thick + 2)
    pencil.rectangle((x1, y1, x2, y2), outline=colour, width=thick)


def draw_keypoints(
    pencil: ImageDraw.ImageDraw,
    person: np.ndarray,
    skeleton: Sequence[tuple[int, int]],
    colour: tuple[int, ...],
    thick: int,
    scale: float,
) -> None:
    """One instance's visible keypoints as dots, joined where the skeleton joins them."""
    spots = [(float(x * scale), float(y * scale)) for x, y, _ in person]
    seen = person[:, 2] > 0
    for ink, extra in ((DARK, 2), (colour, 0)):
        for a, b in skeleton:
            if seen[a - 1] and seen[b - 1]:
                pencil.line((*spots[a - 1], *spots[b - 1]), fill=ink, width=thick + extra)
    radius = thick + 1
    for (x, y), visible in zip(spots, seen, strict=True):
        if visible:
            pencil.ellipse((x - radius, y - radius, x + radius, y + radius), colour, DARK)


def write_labels(
    pencil: ImageDraw.ImageDraw,
    size: tuple[int, int],
    corners: Sequence[list[int]],
    texts: Sequence[str],
    rgb: Sequence[tuple[int, ...]],
    text_size: int,
) -> None:
    """Each text on a plate of its instance's colour, at a corner of its box where there is room."""
    width, height = size
    font = _font(text_size)
    ascent, descent = font.getmetrics()
    tall, pad = int(ascent + descent), max(text_size // 5, 1)
    placed: list[tuple[int, int, int, int]] = []
    for (x1, y1, x2, y2), text, colour in zip(corners, texts, rgb, strict=True):
        # A line break or a control character in a name has no shape to draw.
        text = "".join(letter if letter.isprintable() else " " for letter in text)
        text = _shortened(text, font, width - 2 * pad)
        wide = int(np.ceil(font.getlength(text))) + 2 * pad
        if not text or tall > height:
            continue
        wishes = [(x1, y1 - tall), (x1, y1), (x2 - wide, y1 - tall), (x1, y2), (x1, y2 - tall)]
        wishes += [(x2 - wide, y2), (x2 - wide, y2 - tall), (x1, (y1 + y2 - tall) // 2)]
        plates = []
        for x, y in wishes:
            x, y = int(np.clip(x, 0, width - wide)), int(np.clip(y, 0, height - tall))
            plates.append((x, y, x + wide, y + tall))
        plate = min(plates, key=lambda plate: sum(_common(plate, other) for other in placed))
        placed.append(plate)
        pencil.rectangle((plate[0], plate[1], plate[2] - 1, plate[3] - 1), fill=colour)
        red, green, blue = colour
        ink = DARK if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else (255, 255, 255)
        pencil.text((plate[0] + pad, plate[1]), text, fill=ink, font=font)


def _common(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> int:
    """The area that two plates share, in pixels."""
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """The text cut to a width in pixels, with "…" where it is cut; "" if nothing fits."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text and text + "…"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans as matplotlib ships it: it knows the letters of most alphabets."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    if not path.exists():  # a distribution may package the fonts elsewhere
        from matplotlib.font_manager import findfont

        path = Path(findfont("DejaVu Sans"))
    # The basic layout is in every build of Pillow, so that the same picture comes out everywhere.
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
