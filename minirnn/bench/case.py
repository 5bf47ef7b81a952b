"""One operation to time: ours, each peer's, what they should agree in, and the row that comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minirnn.bench.clock import take_turns
from minirnn.bench.rows import Row
from minirnn.kernels.cpu.layout import nchw_of, nhwc_of
from minirnn.verify.difference import difference

#: Largest difference over the reference's largest number, after float32 sums of thousands of terms
#: in another order (and Winograd's, whose error is a few times that of the plain sum).
FORWARD_TOLERANCE = 1e-4
#: A gradient of weights is a sum over up to 60,800 places.
BACKWARD_TOLERANCE = 1e-3


@dataclass
class Case:
    """What to time. The fields are those of `Row`, but for:

    Attributes:
        ours: our function; takes nothing, returns arrays.
        theirs: the same of each peer.
        compare: how far two answers are apart; None for the largest relative difference.
    """

    name: str
    group: str
    ours: Callable[[], Any]
    theirs: dict[str, Callable[[], Any]] = field(default_factory=dict)
    flops: float = 0.0
    tolerance: float = FORWARD_TOLERANCE
    count: int = 1
    not_peers: tuple[str, ...] = ()
    note: str = ""
    compare: Callable[[Any, Any], float] | None = None

    def measure(self, repeat: int) -> Row:
        """Take turns, compare the answers, and make a row of it."""
        turns = take_turns({"ours": self.ours, **self.theirs}, repeat)
        compare = self.compare or largest_difference
        mine = turns.answers.pop("ours")
        return Row(
            name=self.name,
            group=self.group,
            ours=turns.seconds.pop("ours"),
            theirs=turns.seconds,
            flops=self.flops,
            differences={name: compare(mine, theirs) for name, theirs in turns.answers.items()},
            tolerance=self.tolerance,
            count=self.count,
            not_peers=self.not_peers,
            note=self.note,
        )


def largest_difference(ours: Any, theirs: Any) -> float:
    """Largest |ours - theirs| / max |theirs| over the arrays; infinite where shapes differ."""
    return difference(ours, theirs).relative


def share_that_differs(ours: Any, theirs: Any) -> float:
    """The share of whole numbers or pixels that are not equal; 1 where shapes differ."""
    a, b = np.asarray(ours), np.asarray(theirs)
    if a.shape != b.shape:
        return 1.0
    return float((a != b).mean()) if a.size else 0.0


def as_in_the_network(array: np.ndarray) -> np.ndarray:
    """The same numbers; a map's lie in memory as one operation of the network hands them to the next.

    Those of an image lie in planes.
    """
    return nchw_of(nhwc_of(array)) if array.ndim == 4 and array.shape[1] > 3 else array


def drawn(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Normal numbers, float32: no zeros that a library could be quick about."""
    return rng.standard_normal(shape, np.float32)


def drawn_boxes(
    rng: np.random.Generator, n: int, size: tuple[int, int], low: float, high: float
) -> np.ndarray:
    """Boxes inside an image (height, width), with sides spread evenly over orders of magnitude."""
    height, width = size
    sides = np.exp(rng.uniform(np.log(low), np.log(high), (n, 2)))
    sides = np.minimum(sides, np.array([width, height]) * 0.9)
    corner = rng.uniform(0, 1, (n, 2)) * (np.array([width, height]) - sides)
    return np.concatenate([corner, corner + sides], axis=1).astype(np.float32)


def to_torch(arrays: Mapping[str, np.ndarray | None]) -> dict[str, Any]:
    """Tensors that share the arrays' memory."""
    import torch

    return {name: None if a is None else torch.from_numpy(a) for name, a in arrays.items()}
