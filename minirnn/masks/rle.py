"""Run lengths: COCO's way to write a mask in a few hundred characters.

A mask is read column by column, and written as the lengths of its runs: how many pixels are off,
then on, then off, and so on (the first count is 0 where the first pixel is on). The counts are
either a plain list or packed into text: from the fourth on each is taken minus the count two
before it (neighbouring columns look alike, so that the difference is small), cut into groups of
five bits from the low end, the last one signed, and each group written as one character: 48 + bits,
+ 32 where another group follows.

Source: the file format of the COCO API (`pycocotools.mask`), with which all of this agrees byte for
byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minirnn.backend import Array, to_host
from minirnn.errors import InputError
from minirnn.kernels.table import operation
from minirnn.masks.checks import Misfit, is_whole, size_of

_MOST_CHARACTERS = 7  # five bits each: enough for any difference of two 32-bit counts


def encode(mask: Array, *, compressed: bool = True) -> dict[str, Any]:
    """The run lengths of a mask, as `pycocotools.mask.encode` gives them.

    Args:
        mask: (H, W) bool (or numbers, where nonzero is on).
        compressed: text for the counts; False gives them as a list of int.

    Returns:
        {"size": [H, W], "counts": str or list of int}, ready for JSON.

    Raises:
        InputError: the mask does not have two axes.
    """
    if mask.ndim != 2:
        raise InputError(f"mask has shape {mask.shape}; it should be (H, W)")
    counts = run_lengths(to_host(mask).astype(bool, copy=False))
    size = [int(mask.shape[0]), int(mask.shape[1])]
    return {"size": size, "counts": pack(counts) if compressed else counts.tolist()}


def encode_many(masks: Array, *, compressed: bool = True) -> list[dict[str, Any]]:
    """`encode` of each of (D, H, W) masks; a device's masks are moved to the host in one piece.

    Raises:
        InputError: the masks do not have three axes.
    """
    if masks.ndim != 3:
        raise InputError(f"masks has shape {masks.shape}; it should be (D, H, W)")
    return [encode(mask, compressed=compressed) for mask in to_host(masks)]


def decode(rle: Mapping[str, Any]) -> np.ndarray:
    """The mask that run lengths stand for.

    Args:
        rle: {"size": [H, W], "counts": str, bytes or a list of int}.

    Returns:
        (H, W) bool, on the host.

    Raises:
        InputError: a key is missing, the size is no [H, W], the text is cut short or holds other
            characters, a count is negative, or the counts do not add up to H·W (`Misfit`).
    """
    height, width, counts = parse(rle)
    on = np.zeros(len(counts), dtype=bool)
    on[1::2] = True
    return np.ascontiguousarray(np.repeat(on, counts).reshape(width, height).T)


def area(rle: Mapping[str, Any]) -> int:
    """How many pixels of the mask are on: the sum of every second count.

    Raises:
        InputError: as `decode` does.
    """
    return int(parse(rle)[2][1::2].sum())


def parse(rle: Mapping[str, Any], *, name: str = "rle") -> tuple[int, int, np.ndarray]:
    """Height, width and counts (int64) of run lengths in either form, checked.

    Args:
        rle: as `decode` takes it.
        name: what to call it in messages.

    Raises:
        InputError: as `decode` does.
    """
    if not isinstance(rle, Mapping) or "size" not in rle or "counts" not in rle:
        raise InputError(f"{name} is not a run-length encoding with 'size' and 'counts'")
    height, width = size_of(rle["size"], name)
    counts = rle["counts"]
    if isinstance(counts, str | bytes):
        counts = unpack(counts, name=name)
    elif isinstance(counts, Sequence | np.ndarray) and all(map(is_whole, counts)):
        if any(not -(2**62) < n < 2**62 for n in counts):
            raise InputError(f"{name} has a count that is too large")
        counts = np.array(counts, dtype=np.int64)
    else:
        raise InputError(f"{name} has counts that are neither text nor a list of whole numbers")
    if (counts < 0).any():
        raise InputError(f"{name} has a negative count")
    # Added as floats too: a sum of int64 that overflows could come out right by chance.
    if counts.sum() != height * width or counts.sum(dtype=float) > 2.0**53:
        raise Misfit(
            f"{name} has counts that add up to {int(counts.sum())}; "
            f"its size {height} x {width} needs {height * width}"
        )
    return height, width, counts


@operation
def run_lengths(mask: np.ndarray) -> np.ndarray:
    """The lengths (n,) int64 of the runs of a mask (H, W) bool, column by column: off, on, off, …"""
    pixels = np.concatenate([[False], mask.T.ravel()])  # the first run is of those that are off
    changes = np.flatnonzero(pixels[1:] != pixels[:-1])
    return np.diff(np.concatenate([[0], changes, [mask.size]]).astype(np.int64))


def pack(counts: np.ndarray) -> str:
    """Counts (n,) int64 as text; `unpack` is its inverse."""
    values = counts.copy()
    values[3:] -= counts[1:-2]
    groups = np.arange(_MOST_CHARACTERS)
    bits = values[:, None] >> (5 * groups)
    # n groups hold a signed number of 5n bits: all that is left above bit 5n - 1 is its sign.
    fits = (bits >> 4 == 0) | (bits >> 4 == -1)
    length = fits.argmax(axis=1)[:, None] + 1
    characters = 48 + (bits & 31) + 32 * (groups < length - 1)
    return characters[groups < length].astype(np.uint8).tobytes().decode("ascii")


def unpack(text: str | bytes, *, name: str = "rle") -> np.ndarray:
    """The counts (n,) int64 that a text stands for.

    Raises:
        InputError: the text is cut short or holds other characters.
    """
    try:
        raw = text.encode("ascii") if isinstance(text, str) else bytes(text)
    except UnicodeEncodeError:
        raise InputError(f"{name} has counts with characters that do not belong there") from None
    bits = np.frombuffer(raw, dtype=np.uint8).astype(np.int64) - 48
    if len(bits) == 0:
        return np.zeros(0, dtype=np.int64)
    if bits.min() < 0 or bits.max() > 63:
        raise InputError(f"{name} has counts with characters that do not belong there")
    ends = np.flatnonzero(bits < 32)
    if bits[-1] >= 32:
        raise InputError(f"{name} has counts that are cut short")
    length = np.diff(ends, prepend=-1)
    if length.max() > _MOST_CHARACTERS:
        raise InputError(f"{name} has a count that is too large")
    starts = ends - length + 1
    group = np.arange(len(bits)) - np.repeat(starts, length)
    values = np.add.reduceat((bits & 31) << (5 * group), starts)
    values -= np.where(bits[ends] & 16, 1 << (5 * length), 0)
    # Undo "minus the count two before": a running sum over the odd and over the even ones.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
