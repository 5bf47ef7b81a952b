"""Label Studio's run lengths of what was painted with its brush.

A stream of bits, made by thi.ng's rle-pack from the pixels' red, green, blue and opacity, row by row:

    32 bits: how many values; 5: bits a value, minus 1; four times 4: bits of each kind of length, minus 1
    then again and again: 1 bit, 2 bits (the kind of length), the length minus 1, and
        1: one value, for all of them;   0: as many values

Why not a library: Label Studio's SDK, which has the only decoder, brings 27 packages, OpenCV, pandas and a
web client among them, and walks bit by bit through a text of zeros and ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.data.convert.found import Unusable
from minirnn.masks.checks import MOST_PIXELS

CHANNELS = 4
OPAQUE = 128  # of 255: the brush's edge is soft


def decode_brush(values: Any, height: int, width: int) -> np.ndarray:
    """The mask (height, width) bool of a brush.

    Args:
        values: bytes as numbers from 0 to 255.
        height: of the picture that was painted on, in pixels.
        width: of it.

    Raises:
        Unusable: the bits are not of this form, or end too early, or are for another size.
    """
    try:
        bits = _Bits(bytes(values))
    except (TypeError, ValueError):
        raise Unusable("its run lengths are no list of bytes") from None
    try:
        count, word = bits.read(32), bits.read(5) + 1
        lengths = [bits.read(4) + 1 for _ in range(4)]
        if count != height * width * CHANNELS or height * width >= MOST_PIXELS:
            raise Unusable(
                f"its run lengths stand for {count} values; {width} x {height} pixels have "
                f"{height * width * CHANNELS}"
            )
        out, i = np.zeros(count, np.uint8), 0
        while i < count:
            same = bits.read(1)
            j = i + 1 + bits.read(lengths[bits.read(2)])
            if same:
                out[i:j] = bits.read(word)
            else:
                out[i:j] = [bits.read(word) for _ in range(i, min(j, count))]
            i = j
    except (IndexError, ValueError, OverflowError):
        raise Unusable("its run lengths end too early or are damaged") from None
    return out.reshape(height, width, CHANNELS)[:, :, 3] >= OPAQUE


class _Bits:
    """Numbers from a stream of bits, the highest bit first."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def read(self, size: int) -> int:
        first, last = self.place // 8, (self.place + size + 7) // 8
        if last > len(self.data):
            raise IndexError
        number = int.from_bytes(self.data[first:last], "big")
        self.place += size
        return number >> (8 * last - self.place) & ((1 << size) - 1)
