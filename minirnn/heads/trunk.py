"""A trunk that the heads share: the last stage of a ResNet, run on every region.

In the C4 detector the backbone ends at C4, and the stage C5 belongs to the heads: a region's 14×14
features become 7×7 with 2048 channels, which the box head averages and the mask head enlarges to 14×14.
Both heads go through the same weights, whose gradient is the sum of what both ask for.

Source: He et al., "Mask R-CNN", 2017, figure 4, left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minirnn.backend import Array
from minirnn.nn import Module
from minirnn.ops.reduction import mean
from minirnn.record import note


class TrunkPooler:
    """A pooler with the trunk behind it, so that the heads need not know of a trunk.

    Args:
        pooler: reads the regions' features.
        trunk: (R, C, S, S) → (R, C', S / 2, S / 2). It is a part of the heads and saved there.
        reader: name of the head that it reads for; `RCNN.stages` has its output as `box_trunk_features`, ….
    """

    def __init__(
        self,
        pooler: Callable[[Mapping[str, Any], Sequence[Array]], Any],
        trunk: Module,
        reader: str = "box",
    ) -> None:
        self.pooler, self.trunk, self.reader = pooler, trunk, reader

    def __call__(self, features: Mapping[str, Any], boxes: Sequence[Array]) -> Any:
        """Maps by name and boxes (R_i, 4) of each image → (ΣR_i, C', S / 2, S / 2)."""
        seen = self.trunk(self.pooler(features, boxes))
        note(f"{self.reader}_trunk_features", seen)
        return seen


class AveragePool(Module):
    """The mean over all places: what is left for a box head after the trunk."""

    def forward(self, x: Any) -> Any:
        """(R, C, S, S) → (R, C)."""
        return mean(x, axis=(2, 3))
