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
from minirnn.training.shares import Counts, added


class Turns:
    """This process alone, which computes a batch in several turns; with the face of a `Team`.

    Args:
        model: a `minirnn.models.RCNN`.
        count: of the turns.

    Attributes:
        counts: of the last batch, see `minirnn.training.shares.counts_of`; where they were asked for.
    """

    def __init__(self, model: Any, count: int) -> None:
        self._own = Part(model)
        self._count = count
        self.counts: Counts = {}

    def streams(self, rng: np.random.Generator, images: int) -> list[np.random.Generator]:
        """A generator for each image: those of processes that share out a batch."""
        return rng.spawn(images)

    def losses(
        self,
        images: Sequence[np.ndarray],
        targets: Sequence[Target],
        rngs: Sequence[np.random.Generator],
        counted: bool = False,
    ) -> dict[str, float]:
        """The losses of a batch, whose gradients are in the model's parameters already.

        Args:
            images: at least one for each turn, as for `RCNN.losses`.
            targets: ground truth of each image.
            rngs: of each image.
            counted: leave in `counts` what the stages of all turns say of themselves.

        Raises:
            InputError: as for `RCNN.losses`.
        """
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
        """Nothing is left to do."""
