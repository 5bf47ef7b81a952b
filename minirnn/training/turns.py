"""A batch computed in turns: for a large batch where the memory holds a small one.

What a step remembers for its way back is what fills the memory, and it grows with the images. So some of
them are taken at a time, forward and back, and the gradients add up before the weights change once.

How many anchors, regions and masks the later turns will draw is not known in the first, and each has let
go of what it computed by then. So the losses of the turns are weighted by their images, and not by the
things that they are means over, as processes that share out a batch do it. Turns in which more is drawn
than in others count a little less for each thing than they would in one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minirnn.structures import Target
from minirnn.training.part import Part
from minirnn.training.passes import Passes
from minirnn.training.shares import added


class Turns(Passes):
    """This process alone, which computes a batch in several turns, forward and back at once.

    Args:
        model: a `minirnn.models.RCNN`.
        count: of the turns; a batch has an image for each.
    """

    def __init__(self, model: Any, count: int) -> None:
        super().__init__()
        self._own = Part(model)
        self._count = count

    def losses(
        self,
        images: Sequence[np.ndarray],
        targets: Sequence[Target],
        rngs: Sequence[np.random.Generator],
        counted: bool = False,
    ) -> dict[str, float]:
        """See `Passes`; the gradients are in the model's parameters afterwards."""
        total: dict[str, float] = {}
        counts = []
        for turn in np.array_split(np.arange(len(images)), self._count):
            batch = ([of_all[i] for i in turn] for of_all in (images, targets, rngs))
            losses, seen = self._own.losses(counted, *batch)
            share = len(turn) / len(images)
            self._own.backward(dict.fromkeys(losses, share))
            counts.append(seen)
            for name, (mean, _) in losses.items():
                total[name] = total.get(name, 0.0) + share * mean
        self.counts = added(counts)
        return total

    def backward(self) -> None:
        """See `Passes`: nothing is left to do."""
