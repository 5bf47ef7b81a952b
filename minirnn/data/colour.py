"""Augmentation of colour: the same scene under another light, by another camera.

Each change keeps grey pixels grey, and is linear in the pixel's red, green and blue. So all of them
together are one matrix of 3 × 3 and one number, and as each treats the luma Y and what is beside it (the
chroma I, Q) apart, it does not matter which comes first:

    Y' = b (m + c (Y - m))        b: brightness, c: contrast about the picture's mean luma m
    (I', Q') = b c s R (I, Q)     s: saturation, R: a rotation by the change of hue

What is below 0 or above 255 is cut off once, at the end, and not after each change: a picture that is made
brighter and then flatter loses nothing on the way.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minirnn.errors import InputError
from minirnn.structures import Sample

#: Luma, and the chroma I, Q, of red, green and blue, as NTSC's televisions had them.
YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])

#: Of one number for all, see `amounts_of`, the part that hue turns by: 0.4 is 18° of 360°.
#: A person may wear blue as well as red, but has no green face.
HUE_OF_STRENGTH = 1 / 8

#: Entries of the matrix are multiples of this. So its products with whole numbers up to 255 have no
#: rounding in float32: a grey picture stays exactly grey, and every machine makes the same picture.
STEP = 1 / 4096


def amounts_of(strength: float) -> dict[str, float]:
    """One number for all that `color_jitter` takes: brightness, contrast, saturation and a little hue.

    Raises:
        InputError: strength is not in [0, 1].
    """
    if not 0 <= strength <= 1:
        raise InputError(f"colour is {strength}; it should be from 0 to 1")
    amounts = dict.fromkeys(("brightness", "contrast", "saturation"), strength)
    return amounts | {"hue": strength * HUE_OF_STRENGTH}


def color_jitter(
    sample: Sample,
    rng: np.random.Generator,
    *,
    brightness: float = 0.2,
    contrast: float = 0.2,
    saturation: float = 0.0,
    hue: float = 0.0,
) -> Sample:
    """The picture with brightness, contrast, saturation and hue changed by amounts that are drawn.

    Args:
        sample: its target is passed on as it is.
        rng: draws one number for each of the four, in this order.
        brightness: all values times a factor from 1 - brightness to 1 + brightness.
        contrast: distances from the picture's mean luma times a factor of that kind.
        saturation: distances from each pixel's own luma times a factor of that kind; at 0 all is grey.
        hue: colours are turned by -hue to hue of a full circle.

    Returns:
        A sample with a picture of its own, of the same shape and type.

    Raises:
        InputError: an amount is out of range: from 0 to 1, hue from 0 to 0.5.
    """
    amounts = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
    for name, amount in amounts.items():
        most = 0.5 if name == "hue" else 1
        if not 0 <= amount <= most:
            raise InputError(f"{name} is {amount}; it should be from 0 to {most}")
    b, c, s = (rng.uniform(1 - amount, 1 + amount) for amount in list(amounts.values())[:3])
    turn = rng.uniform(-hue, hue) * 2 * np.pi
    matrix = colour_matrix(b * c, b * c * s, turn)
    height, width = sample.image.shape[:2]
    # Row by row, in whole numbers: 30 times as quick as image.mean(), and exact.
    mean = sample.image.sum(axis=0, dtype=np.float64).sum(axis=0) / (height * width) @ YIQ[0]
    return replace(sample, image=recoloured(sample.image, matrix, b * (1 - c) * mean))


def colour_matrix(luma: float, chroma: float, turn: float) -> np.ndarray:
    """(3, 3): scales luma and chroma, and turns the chroma by an angle; each row's sum is `luma`."""
    cos, sin = chroma * np.cos(turn), chroma * np.sin(turn)
    change = np.array([[luma, 0, 0], [0, cos, -sin], [0, sin, cos]])
    matrix = np.rint(np.linalg.inv(YIQ) @ change @ YIQ / STEP) * STEP
    # The entries were rounded one by one: the diagonal takes what the sums are off by.
    luma = np.rint(luma / STEP) * STEP
    return np.asarray(matrix + np.diag(luma - matrix.sum(axis=1)), np.float32)


def recoloured(image: np.ndarray, matrix: np.ndarray, offset: float) -> np.ndarray:
    """Each pixel's colour times the matrix, plus the offset: (H, W, 3) uint8, cut off at 0 and 255."""
    values = image.reshape(-1, 3).astype(np.float32) @ matrix.T
    values += np.float32(offset + 0.5)  # what follows rounds down
    np.clip(values, 0, 255, out=values)
    return values.astype(np.uint8).reshape(image.shape)
