"""What torchvision's stand-ins cost, so that it does not count against torchvision.

Beside a torch for the CPU torchvision's compiled operators may not load, and then `nms` and
`roi_align` are made of torch's operations (see `minirnn.verify.torchvision_cpu`). They are right, but
nobody uses them, so a comparison of speed must leave out the time that goes by inside of them,
forward and backward, and a comparison of memory must do without what they keep.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np

from minirnn.ops.roi_align import roi_align as our_roi_align


class Stopwatch:
    """Adds up seconds; `take` gives the sum and starts again at 0."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Inside, the time counts."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - start

    def take(self) -> float:
        """The seconds since the last call."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


@contextmanager
def timed_stand_ins() -> Iterator[Stopwatch]:
    """Inside, the time in torchvision's `roi_align` (with its gradient) and `nms` is added up."""
    import torch
    from torchvision import ops
    from torchvision.ops import boxes

    watch = Stopwatch()
    align, suppress = ops.roi_align, boxes.nms

    def timed_nms(*arguments: Any) -> Any:
        with watch.running():
            return suppress(*arguments)

    class Timed(torch.autograd.Function):
        """The stand-in with a clock around both directions."""

        @staticmethod
        def forward(ctx: Any, features: Any, regions: Any, settings: dict[str, Any]) -> Any:
            # torch records nothing by itself in here, and what the stand-in recorded is kept.
            with watch.running(), torch.enable_grad():
                ctx.features = features.detach().requires_grad_()
                ctx.out = align(ctx.features, regions, **settings)
            return ctx.out.detach()

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            with watch.running(), torch.enable_grad():
                if ctx.out.requires_grad:
                    (dx,) = torch.autograd.grad(ctx.out, ctx.features, dy)
                else:  # no regions: nothing of the map was read
                    dx = torch.zeros_like(ctx.features)
            del ctx.out, ctx.features
            return dx, None, None

    def timed(features: Any, regions: Any, settings: dict[str, Any]) -> Any:
        if torch.is_grad_enabled() and features.requires_grad:
            return Timed.apply(features, regions, settings)
        with watch.running():
            return align(features, regions, **settings)

    with mock.patch.object(boxes, "nms", timed_nms), _roi_align(timed):
        yield watch


@contextmanager
def our_roi_align_instead() -> Iterator[None]:
    """Inside, torchvision uses our RoIAlign: it keeps about as little as a compiled one."""
    import torch
    from torchvision.ops._utils import convert_boxes_to_roi_format

    class Ours(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, features: Any, regions: Any, settings: dict[str, Any]) -> Any:
            index, boxes = regions[:, 0].numpy().astype(np.int64), regions[:, 1:].numpy()
            out, vjps = our_roi_align.raw(features.detach().numpy(), boxes, index, **settings)
            ctx.gradient = vjps[0]
            return torch.from_numpy(out)

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return torch.from_numpy(ctx.gradient(dy.contiguous().numpy())), None, None

    def ours(features: Any, regions: Any, settings: dict[str, Any]) -> Any:
        if isinstance(regions, (list, tuple)):  # one tensor for each image
            regions = convert_boxes_to_roi_format(list(regions))
        size = settings["output_size"]
        settings["output_size"] = size if isinstance(size, int) else tuple(size)
        settings["sampling_ratio"] = max(settings["sampling_ratio"], 0)
        return Ours.apply(features.contiguous(), regions.detach().contiguous(), settings)

    with _roi_align(ours):
        yield


@contextmanager
def _roi_align(function: Callable[[Any, Any, dict[str, Any]], Any]) -> Iterator[None]:
    """Inside, torchvision's networks call this function of map, regions and settings for RoIAlign."""
    from torchvision.models.detection import roi_heads
    from torchvision.ops import poolers

    def called(
        input: Any,
        boxes: Any,
        output_size: Any,
        spatial_scale: float = 1.0,
        sampling_ratio: int = -1,
        aligned: bool = False,
    ) -> Any:
        settings = {
            "output_size": output_size,
            "spatial_scale": spatial_scale,
            "sampling_ratio": sampling_ratio,
            "aligned": aligned,
        }
        return function(input, boxes, settings)

    with ExitStack() as stack:
        for module in (poolers, roi_heads):
            stack.enter_context(mock.patch.object(module, "roi_align", called))
        yield
