"""The same picture under two names: in one split, or, worse, in what is learned and what is measured.

Equal files have equal digests. A copy that was resized or saved again has not: it is found by a hash of
64 bits that says where a tiny version of the picture grows brighter (two such copies differ in a few
bits), and confirmed by its colours. A copy that was mirrored, turned or cropped is not found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from minirnn.data.inspection.looks import SMALL, Look

#: Bits of 64 by which two hashes of one picture may differ.
BITS = 6
#: Mean difference of the shrunk pictures, of 255.
COLOURS = 4.0
#: A picture so flat (deviation of the shrunk one, of 255) says nothing by its gradients.
FLAT = 4.0
_ROWS = 64  # of the table of all pairs at a time: 60 MB for all of COCO's training set


class Twins(NamedTuple):
    """Two positions in the list of looks, the lower first, and whether the files are equal."""

    first: int
    second: int
    equal: bool


def twins_among(looks: Sequence[Look]) -> list[Twins]:
    """Each image that is there before, with the first that it is equal to or looks like."""
    firsts: dict[bytes, int] = {}
    found = []
    for position, look in enumerate(looks):
        first = firsts.setdefault(look.digest, position)
        if first != position:
            found.append(Twins(first, position, True))
    known = {(twins.first, twins.second) for twins in found}
    taken = {twins.second for twins in found}
    for first, second in _alike(looks):
        if second not in taken and (first, second) not in known:
            taken.add(second)
            found.append(Twins(first, second, False))
    return sorted(found, key=lambda twins: twins.second)


def _alike(looks: Sequence[Look]) -> Iterator[tuple[int, int]]:
    """Pairs of pictures that differ in few bits and little colour, by their second, then first."""
    if len(looks) < 2:
        return
    hashes = np.array([look.hash for look in looks], np.uint64)
    small = np.frombuffer(b"".join(look.small for look in looks), np.uint8)
    small = small.reshape(len(looks), SMALL * SMALL * 3)
    flat = np.array([picture.std() < FLAT for picture in small])
    for start in range(0, len(looks), _ROWS):
        rows = hashes[start : start + _ROWS]
        before = hashes[: start + len(rows)]
        near = np.bitwise_count(rows[:, None] ^ before[None]) <= BITS
        for row, first in np.argwhere(near):
            second = start + row
            if first < second and not flat[first] and not flat[second]:
                colours = np.abs(small[first].astype(int) - small[second])
                if colours.mean() <= COLOURS:
                    yield int(first), int(second)
