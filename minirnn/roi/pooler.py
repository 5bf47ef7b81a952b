"""Reading the features of regions off the maps, with the settings of one head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minirnn.autograd import data_of
from minirnn.backend import Array, xp_of
from minirnn.errors import InputError
from minirnn.ops.roi_align import roi_align
from minirnn.ops.roi_pool import roi_pool
from minirnn.ops.roi_warp import roi_warp
from minirnn.record import note
from minirnn.roi.levels import assign_levels, pyramid_roi

#: The RoI operations by name, and which settings each of them takes.
OPERATIONS: dict[str, tuple[Callable, tuple[str, ...]]] = {
    "align": (roi_align, ("sampling_ratio", "aligned")),
    "warp": (roi_warp, ("sampling_ratio",)),
    "pool": (roi_pool, ()),
}


class RoIPooler:
    """Regions of several images → (R, C, size, size), each read from the map of its level.

    Args:
        operation: "align", "warp" or "pool".
        size: bins along each side.
        strides: stride in pixels of each map that regions are read from, by name, finest first.
        reader: name of the head that it reads for; `RCNN.stages` has what it saw as `box_regions`, ….
        sampling_ratio: points along one side of a bin, see `roi_align`.
        aligned: the half-pixel shift, likewise.
        canonical_size: as in `assign_levels`, like the next three.
        canonical_level: see there.
        eps: see there.
        rule: see there.
    """

    def __init__(
        self,
        operation: str,
        size: int,
        strides: Mapping[str, int],
        *,
        reader: str = "box",
        sampling_ratio: int = 2,
        aligned: bool = False,
        canonical_size: float = 224,
        canonical_level: int = 4,
        eps: float = 1e-6,
        rule: str = "floor",
    ) -> None:
        if operation not in OPERATIONS:
            raise InputError(
                f"operation is {operation!r}; it should be one of {', '.join(OPERATIONS)}"
            )
        self.operation, taken = OPERATIONS[operation]
        given = {"sampling_ratio": sampling_ratio, "aligned": aligned}
        self.settings = {name: given[name] for name in taken}
        self.size, self.reader = size, reader
        self.strides = dict(strides)
        self.levels: dict[str, Any] = {
            "lowest": round(np.log2(min(self.strides.values()))),
            "canonical_size": canonical_size,
            "canonical_level": canonical_level,
            "eps": eps,
            "rule": rule,
        }

    def __call__(self, features: Mapping[str, Any], boxes: Sequence[Array]) -> Any:
        """Maps (N, C, H, W) by name, boxes (R_i, 4) of each of the N images → (ΣR_i, C, size, size)."""
        maps = [features[name] for name in self.strides]
        xp = xp_of(data_of(maps[0]))
        image_index = xp.asarray(np.repeat(np.arange(len(boxes)), [len(b) for b in boxes]))
        regions = xp.concatenate(list(boxes))
        note(f"{self.reader}_regions", regions)
        note(f"{self.reader}_levels", lambda: assign_levels(regions, **self._range()))
        pooled = pyramid_roi(
            *maps,
            regions,
            image_index,
            operation=self.operation,
            spatial_scales=tuple(1 / stride for stride in self.strides.values()),
            output_size=(self.size, self.size),
            **self.levels,
            **self.settings,
        )
        note(f"{self.reader}_features", pooled)
        return pooled

    def _range(self) -> dict[str, Any]:
        return {**self.levels, "highest": self.levels["lowest"] + len(self.strides) - 1}
