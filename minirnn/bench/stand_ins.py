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
    from torchvision import ops
    from torchvision.models.detection import roi_heads
    from torchvision.ops import boxes, poolers

    watch = Stopwatch()
    align, suppress = ops.roi_align, boxes.nms

    def timed_nms(*arguments: Any) -> Any:
        with watch.running():
            return suppress(*arguments)

    timed_align = _timed_function(align, watch)
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(boxes, "nms", timed_nms))
        for module in (poolers, roi_heads):
            stack.enter_context(mock.patch.object(module, "roi_align", timed_align))
        yield watch


def _timed_function(function: Callable, watch: Stopwatch) -> Callable:
    """`function`, differentiable in its first argument, with a clock around both directions."""
    import torch

    class Timed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, features: Any, *settings: Any) -> Any:
            # torch records nothing by itself in here, and what the stand-in recorded is kept.
            with watch.running(), torch.enable_grad():
                ctx.features = features.detach().requires_grad_()
                ctx.out = function(ctx.features, *settings)
                ctx.others = len(settings)
            return ctx.out.detach()

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            with watch.running(), torch.enable_grad():
                if ctx.out.requires_grad:
                    (dx,) = torch.autograd.grad(ctx.out, ctx.features, dy)
                else:  # no regions: nothing of the map was read
                    dx = torch.zeros_like(ctx.features)
            del ctx.out, ctx.features
            return (dx, *[None] * ctx.others)

    def timed(
        input: Any,
        boxes: Any,
        output_size: Any,
        spatial_scale: float = 1.0,
        sampling_ratio: int = -1,
        aligned: bool = False,
    ) -> Any:
        settings = (boxes, output_size, spatial_scale, sampling_ratio, aligned)
        if not torch.is_grad_enabled() or not input.requires_grad:
            with watch.running():
                return function(input, *settings)
        return Timed.apply(input, *settings)

    return timed


@contextmanager
def our_roi_align_instead() -> Iterator[None]:
    """Inside, torchvision uses our RoIAlign: it keeps about as little as a compiled one."""
    import torch
    from torchvision.models.detection import roi_heads
    from torchvision.ops import poolers

    class Ours(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, features: Any, boxes: Any, settings: dict[str, Any]) -> Any:
            index = boxes[:, 0].numpy().astype(np.int64)
            raw = our_roi_align.raw
            out, vjps = raw(features.detach().numpy(), boxes[:, 1:].numpy(), index, **settings)
            ctx.gradient = vjps[0]
            return torch.from_numpy(out)

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return torch.from_numpy(ctx.gradient(dy.contiguous().numpy())), None, None

    def replaced(
        input: Any,
        boxes: Any,
        output_size: Any,
        spatial_scale: float = 1.0,
        sampling_ratio: int = -1,
        aligned: bool = False,
    ) -> Any:
        if isinstance(boxes, (list, tuple)):  # one tensor for each image
            from torchvision.ops._utils import convert_boxes_to_roi_format

            boxes = convert_boxes_to_roi_format(list(boxes))
        settings = {
            "output_size": output_size if isinstance(output_size, int) else tuple(output_size),
            "spatial_scale": spatial_scale,
            "sampling_ratio": max(sampling_ratio, 0),
            "aligned": aligned,
        }
        return Ours.apply(input.contiguous(), boxes.detach().contiguous(), settings)

    with (
        mock.patch.object(poolers, "roi_align", replaced),
        mock.patch.object(roi_heads, "roi_align", replaced),
    ):
        yield
