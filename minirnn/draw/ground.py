"""A photograph as a ground to draw on: grey, pale, and small as a file."""

from __future__ import annotations

import numpy as np

from minirnn.backend import Array
from minirnn.draw.boxes import host_image

_LEVELS = 10  # shades of grey; each more makes a picture's file larger


def paper(image: Array, fade: float = 0.45) -> np.ndarray:
    """The image in a few pale shades of grey, on which coloured lines stand out.

    Args:
        image: (H, W, 3) uint8 RGB.
        fade: 0 keeps its dark parts dark, 1 is white.

    Returns:
        (H, W, 3) uint8, all three channels equal. Where both sides are even and above 256, blocks of
        2 × 2 pixels have one shade.

    Raises:
        InputError: the image is not (H, W, 3) uint8.
    """
    grey = host_image(image).astype(float) @ [0.299, 0.587, 0.114]
    height, width = grey.shape
    if height % 2 == width % 2 == 0 and min(height, width) > 256:
        blocks = grey.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
        grey = blocks.repeat(2, axis=0).repeat(2, axis=1)
    shade = np.floor(grey * (_LEVELS / 256)) / (_LEVELS - 1)
    pale = 255 * (fade + (1 - fade) * shade)
    return np.repeat(pale.astype(np.uint8)[..., None], 3, axis=2)
