"""One thing to time: ours, each peer's, what they should agree in, and what comes out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn.bench.clock import take_turns
from minirnn.bench.place import HERE, Place
from minirnn.bench.timing import Timing
from minirnn.verify.difference import as_arrays, difference, host

#: Largest difference over the reference's largest number, after float32 sums of thousands of terms
#: in another order (and Winograd's, whose error is a few times that of the plain sum).
FORWARD_TOLERANCE = 1e-4
#: A gradient of weights is a sum over up to 60,800 places.
BACKWARD_TOLERANCE = 1e-3


def relative_difference(ours: Any, theirs: Any) -> float:
    """Largest |ours - theirs| / max |theirs| over the arrays; infinite where shapes differ."""
    return difference(ours, theirs).relative


def difference_in_length(ours: Any, theirs: Any) -> float:
    """The length of ours - theirs over that of theirs, all arrays together; infinite where shapes differ.

    For gradients on the way back through a ReLU: where rounding moves its input over 0, a whole term comes
    or goes, and the largest difference is that term.
    """
    pairs = list(zip(as_arrays(ours), as_arrays(theirs), strict=True))
    if any(a.shape != b.shape for a, b in pairs):
        return float("inf")
    apart = sum(float(np.square(a - b, dtype=np.float64).sum()) for a, b in pairs)
    length = sum(float(np.square(b, dtype=np.float64).sum()) for _, b in pairs)
    return math.sqrt(apart / length) if length else math.sqrt(apart)


def share_that_differs(ours: Any, theirs: Any) -> float:
    """The share of whole numbers or pixels that are not equal; 1 where shapes differ."""
    a, b = host(ours), host(theirs)
    if a.shape != b.shape:
        return 1.0
    return float((a != b).mean()) if a.size else 0.0


class Case:
    """What to time.

    Args:
        name: of the row.
        group: of the row.
        ours: our function; takes nothing, returns arrays.
        theirs: the same of each peer.
        compare: how far two answers are apart.
        more: further fields of `Timing`.
    """

    def __init__(
        self,
        name: str,
        group: str,
        ours: Callable[[], Any],
        theirs: dict[str, Callable[[], Any]],
        *,
        compare: Callable[[Any, Any], float] = relative_difference,
        **more: Any,
    ) -> None:
        self.name, self.group, self.ours, self.theirs = name, group, ours, theirs
        self.compare, self.more = compare, {"tolerance": FORWARD_TOLERANCE, **more}

    def measure(self, repeat: int, place: Place = HERE) -> Timing:
        """Take turns at a place, compare the answers, and make a row of it."""
        clocks = place.clocks(list(self.theirs))
        turns = take_turns({"ours": self.ours, **self.theirs}, repeat, clocks=clocks)
        mine, seconds = turns.answers.pop("ours"), turns.seconds.pop("ours")
        apart = {name: self.compare(mine, theirs) for name, theirs in turns.answers.items()}
        return Timing(self.name, self.group, seconds, turns.seconds, differences=apart, **self.more)
