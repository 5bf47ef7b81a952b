"""A backbone without a pyramid: proposals and heads all read one map.

The idea: before the pyramid, a detector had one map to read everything from. C4 (stride 16) is fine
enough for small objects and leaves C5 to the heads; C5 sees more but is coarse (stride 32), unless its
stride is traded for dilation (16 again). Source: He et al., "Mask R-CNN", 2017, table 2.
"""

from __future__ import annotations

from typing import Any

from minirnn.nn import Module


class SingleMap(Module):
    """The last map of a body, which is kept under torchvision's name `body`.

    It declares the `channels` and `strides` of its one map.
    """

    def __init__(self, body: Any) -> None:
        self.body = body
        name = list(body.strides)[-1]
        self.strides = {name: body.strides[name]}
        self.channels = {name: body.channels[name]}
        self.region_levels = (name,)

    def forward(self, x: Any) -> dict[str, Any]:
        """(N, 3, H, W) → its last map, by name."""
        maps = self.body(x)
        return {name: maps[name] for name in self.strides}
