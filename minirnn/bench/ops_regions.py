"""Cases of the regions: RoIAlign and RoIPool, forward and backward, and suppression."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from minirnn import boxes as box_ops
from minirnn.bench.case import (
    BACKWARD_TOLERANCE,
    Case,
    as_in_the_network,
    drawn,
    drawn_boxes,
    share_that_differs,
)
from minirnn.bench.peers import (
    ONNX,
    STAND_IN,
    TORCHVISION,
    Peer,
    onnx_operator,
    torchvision_is_compiled,
)
from minirnn.ops.roi_align import roi_align
from minirnn.ops.roi_pool import roi_pool

_THRESHOLD = 0.7  # of NMS
_SETS = 32  # of boxes: with four, ONNX Runtime still takes less than with as many as one likes


def roi_cases(
    size: tuple[int, int], peers: list[Peer], threads: int, rng: np.random.Generator
) -> Iterator[Case]:
    """RoIAlign for the box head and the mask head, and RoIPool, on the finest pyramid map."""
    height, width = size
    features = drawn(rng, 1, 256, height // 4, width // 4)
    for count, side in ((1000, 7), (100, 14)):
        # P2 is given regions of less than 112 pixels.
        boxes = drawn_boxes(rng, count, size, 16, 112)
        yield from _pair(
            ("roi_align", count, side),
            *(roi_align, {"sampling_ratio": 2}, features, boxes, rng, peers, threads),
        )
    boxes = drawn_boxes(rng, 1000, size, 16, 112)
    yield from _pair(("roi_pool", 1000, 7), roi_pool, {}, features, boxes, rng, peers, threads)


def _pair(
    labels: tuple[str, int, int],
    operation: Callable,
    settings: dict[str, Any],
    features: np.ndarray,
    boxes: np.ndarray,
    rng: np.random.Generator,
    peers: list[Peer],
    threads: int,
) -> Iterator[Case]:
    kind, count, side = labels
    name = f"{kind} {count}x256x{side}x{side}"
    index = np.zeros(count, np.int64)
    settings = {"output_size": side, "spatial_scale": 0.25, **settings}
    dy = drawn(rng, count, 256, side, side)
    rois = np.hstack([np.zeros((count, 1), np.float32), boxes])
    forward: dict[str, Callable[[], Any]] = {}
    backward: dict[str, Callable[[], Any]] = {}
    # Without its compiled operators torchvision has a stand-in for RoIAlign, and none for RoIPool.
    compiled = torchvision_is_compiled()
    if TORCHVISION in peers and (compiled or kind == "roi_align"):
        import torch
        import torchvision

        map_, regions = torch.from_numpy(features), torch.from_numpy(rois)
        extra = {"sampling_ratio": 2} if kind == "roi_align" else {}
        theirs = getattr(torchvision.ops, kind)

        def run(x: Any) -> Any:
            return theirs(x, regions, side, 0.25, **extra)

        def torch_forward() -> Any:
            with torch.no_grad():
                return run(map_)

        leaf = map_.clone().requires_grad_()
        out = run(leaf)
        forward["torchvision"] = torch_forward
        backward["torchvision"] = lambda: torch.autograd.grad(
            out, leaf, torch.from_numpy(dy), retain_graph=True
        )
    if ONNX in peers and kind == "roi_align":
        forward["ONNX Runtime"] = onnx_operator(
            *("RoiAlign", {"x": features, "rois": boxes, "index": index}, {}, threads),
            output_height=side,
            output_width=side,
            spatial_scale=0.25,
            sampling_ratio=2,
            coordinate_transformation_mode="output_half_pixel",
        )
    elif ONNX in peers:
        forward["ONNX Runtime"] = onnx_operator(
            *("MaxRoiPool", {"x": features, "rois": rois}, {}, threads),
            pooled_shape=[side, side],
            spatial_scale=0.25,
        )
    stand_in = ("torchvision",) if "torchvision" in forward and not compiled else ()
    note = STAND_IN if stand_in else ""
    raw = operation.raw  # type: ignore[attr-defined]
    features, dy = as_in_the_network(features), as_in_the_network(dy)
    yield Case(
        f"{name} forward",
        f"{kind} forward",
        lambda: raw(features, boxes, index, **settings)[0],
        forward,
        not_peers=stand_in,
        note=note,
    )
    gradient = raw(features, boxes, index, **settings)[1][0]
    yield Case(
        f"{name} backward",
        f"{kind} backward",
        lambda: gradient(dy),
        backward,
        tolerance=BACKWARD_TOLERANCE,
        not_peers=stand_in,
        note=note,
    )


def nms_cases(
    size: tuple[int, int], peers: list[Peer], threads: int, rng: np.random.Generator
) -> Iterator[Case]:
    """Suppression among 1,000 to 5,000 boxes that stand in crowds of twenty, as proposals do.

    Each call is given other boxes. A processor learns which way a loop's branches go: of the same 1,000
    again and again ONNX Runtime is done in a third of the time, which no image ever sees.
    """
    for count in (1000, 2000, 5000):
        sets = [_crowds(count, size, rng) for _ in range(_SETS)]
        theirs: dict[str, Callable[[], Any]] = {}
        if TORCHVISION in peers:
            theirs["torchvision"] = _in_turn([_torchvision_nms(*given) for given in sets])
        if ONNX in peers:
            theirs["ONNX Runtime"] = _onnx_nms(sets, threads)
        stand_in = (
            ("torchvision",) if TORCHVISION in peers and not torchvision_is_compiled() else ()
        )
        yield Case(
            f"nms {count}",
            "nms",
            _in_turn([partial(box_ops.nms, *given, _THRESHOLD) for given in sets]),
            theirs,
            tolerance=0.0,
            not_peers=stand_in,
            note=STAND_IN if stand_in else "",
            # The runtime's answer is (K, 3): image, class, box.
            compare=lambda a, b: share_that_differs(a, b[:, 2] if np.ndim(b) == 2 else b),
        )


def _crowds(
    count: int, size: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (count, 4) and scores of which no two are equal."""
    centres = drawn_boxes(rng, count // 20, size, 16, 256).repeat(20, axis=0)
    sides = np.tile(centres[:, 2:] - centres[:, :2], 2)
    boxes = (centres + rng.normal(0, 0.08, (count, 4)) * sides).astype(np.float32)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    return boxes, (rng.permutation(count).astype(np.float32) + 1) / count


def _in_turn(functions: list[Callable[[], Any]]) -> Callable[[], Any]:
    """A function that calls the first of them, then the second, and after the last the first again."""
    turns = itertools.cycle(functions)
    return lambda: next(turns)()


def _onnx_nms(sets: list[tuple[np.ndarray, np.ndarray]], threads: int) -> Callable[[], Any]:
    inputs = [{"boxes": boxes[None], "scores": scores[None, None]} for boxes, scores in sets]
    count = len(sets[0][0])
    run = onnx_operator(
        "NonMaxSuppression",
        inputs[0],
        {"most": np.array([count]), "threshold": np.array([_THRESHOLD], np.float32)},
        threads,
    )
    return _in_turn([partial(run, given) for given in inputs])


def _torchvision_nms(boxes: np.ndarray, scores: np.ndarray) -> Callable[[], Any]:
    import torch
    import torchvision

    tensors = torch.from_numpy(boxes), torch.from_numpy(scores)
    return lambda: torchvision.ops.nms(*tensors, _THRESHOLD)
