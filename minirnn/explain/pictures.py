"""The pictures of the X-ray page as data URLs: small, and without matplotlib, which is slow to begin."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from minirnn.draw.data_url import data_url

LONGEST = 800  # pixels of the longer side of the photograph on the page


def photograph_url(image: np.ndarray) -> str:
    """The photograph, (H, W, 3) uint8, no longer than LONGEST."""
    picture = Image.fromarray(image)
    picture.thumbnail((LONGEST, LONGEST))
    return _url(picture, "WEBP", quality=80)


def heat_url(values: np.ndarray, least: float | None = None, most: float | None = None) -> str:
    """Numbers (H, W) as a picture of one pixel each, from dark blue through green to yellow.

    Args:
        values: of any kind; not finite ones count as 0.
        least: drawn darkest; None for the smallest value.
        most: drawn brightest; None for the largest.
    """
    values = np.nan_to_num(np.asarray(values, dtype=float))
    least = float(values.min()) if least is None else least
    most = float(values.max()) if most is None else most
    part = np.clip((values - least) / max(most - least, 1e-12), 0, 1)
    stops = np.array(
        [[0.16, 0.10, 0.31], [0.13, 0.44, 0.55], [0.37, 0.78, 0.38], [0.99, 0.91, 0.14]]
    )
    rgb = np.stack(
        [np.interp(part, np.linspace(0, 1, len(stops)), stops[:, k]) for k in range(3)], axis=-1
    )
    return _url(Image.fromarray((255 * rgb).astype(np.uint8)), "PNG", optimize=True)


def mask_url(mask: np.ndarray) -> str:
    """A mask (H, W) bool as a picture that is white where it is and clear elsewhere."""
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[mask] = 255
    return _url(Image.fromarray(pixels), "PNG", optimize=True)


def _url(picture: Image.Image, kind: str, **options: Any) -> str:
    file = io.BytesIO()
    picture.save(file, format=kind, **options)
    return data_url(file.getvalue(), kind.lower())
