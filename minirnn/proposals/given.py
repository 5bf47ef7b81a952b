"""Proposals that were given: where something might be has been decided elsewhere.

Fast R-CNN is Faster R-CNN without the region proposal network: the same maps, regions and heads, and
boxes that some other method has found before (selective search then, another network now). They ride
with each image, see `minirnn.data.proposals`, so that all that is left to do here is to hand them on.

Source: Girshick, "Fast R-CNN", 2015, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minirnn.backend import Array
from minirnn.boxes import clip, large_enough
from minirnn.errors import InputError
from minirnn.nn import Module
from minirnn.ops.losses import LossTerm
from minirnn.record import note
from minirnn.structures import Target
from minirnn.transform import Batch


class GivenProposals(Module):
    """The proposer of Fast R-CNN. It has no parameters, and nothing to learn.

    Args:
        min_side: smallest width and height of a proposal, in pixels of the scaled image; smaller ones, and
            what is left of those outside the image, are dropped.
    """

    takes_proposals = True

    def __init__(self, *, min_side: float = 1e-3) -> None:
        self.min_side = min_side

    def losses(
        self,
        features: dict[str, Any],
        batch: Batch,
        truth: Sequence[Target],
        rngs: Sequence[np.random.Generator],
    ) -> tuple[dict[str, LossTerm], list[Array]]:
        """No loss, and the proposals (P, 4) of each image, as its target brings them.

        Raises:
            InputError: a target has none; names the image.
        """
        names = [f"image {target.image_id}" for target in truth]
        return {}, self._usable([target.proposals for target in truth], names, batch)

    def propose(self, features: dict[str, Any], batch: Batch) -> list[Array]:
        """The proposals (P, 4) of each image, as the batch brings them.

        Raises:
            InputError: it has none.
        """
        given = batch.proposals or [None] * len(batch.sizes)
        return self._usable(given, [f"image {i}" for i in range(len(given))], batch)

    def _usable(
        self, given: Sequence[Array | None], names: Sequence[str], batch: Batch
    ) -> list[Array]:
        usable = []
        for boxes, name, size in zip(given, names, batch.sizes, strict=True):
            if boxes is None:
                raise InputError(
                    f"{name} has no proposals, and the model has no region proposal network: give "
                    "them (--proposals FILE, predict(images, proposals=…), Target.proposals)"
                )
            boxes = clip(boxes, *size)
            usable.append(boxes[large_enough(boxes, self.min_side)])
        note("proposals", usable)
        return usable
