"""torchvision on a CPU build of torch, where its own compiled operators do not load.

torchvision's wheels from PyPI are compiled for CUDA. Beside a torch for the CPU they cannot be loaded,
and then even `import torchvision` fails, because nobody has declared the operators that it wants to
describe. Detection needs two of them, `nms` and `roi_align`. Both are declared here, from torch's own
operations, and only where torchvision cannot bring its own. They follow the definitions in
torchvision's documentation and share nothing with minirnn's, so that a comparison means something.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path
from typing import Any

from minirnn.verify.references import not_installed

#: Keeps the declarations alive: torch forgets them when this object goes.
_declared: list[Any] = []


def missing() -> str | None:
    """Why there is nothing to compare with; None where torch and torchvision are installed."""
    return not_installed("torch", "torchvision")


def import_torchvision() -> Any:
    """The module `torchvision`, with working `nms` and `roi_align`.

    Raises:
        ImportError: torch or torchvision is not installed.
    """
    reason = missing()
    if reason:
        raise ImportError(reason)
    if "torchvision" not in sys.modules and not _compiled_operators_load():
        _declare()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about parts not used here, such as reading images
        import torchvision
        import torchvision.models.detection
    if _declared:
        # torchvision asks these before it calls an operator; they would say that there is none.
        for name in ("extension", "ops.boxes", "ops.roi_align"):
            module = sys.modules[f"torchvision.{name}"]
            for question, answer in (("_has_ops", lambda: True), ("_assert_has_ops", lambda: None)):
                if hasattr(module, question):
                    setattr(module, question, answer)
    return torchvision


def _compiled_operators_load() -> bool:
    import torch

    spec = importlib.util.find_spec("torchvision")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    for library in [*folder.glob("_C*.so"), *folder.glob("_C*.pyd"), *folder.glob("_C*.dylib")]:
        try:
            torch.ops.load_library(str(library))
        except (ImportError, OSError):
            return False
    return hasattr(torch.ops.torchvision, "nms")


def _declare() -> None:
    import torch

    if _declared:
        return
    library = torch.library.Library("torchvision", "DEF")
    # `qnms`, for whole-number boxes, is never called, but torchvision describes it on import.
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define(
        "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, "
        "int pooled_width, int sampling_ratio, bool aligned) -> Tensor"
    )
    library.impl("nms", nms, "CPU")
    # Composite: made of differentiable operations, so torch finds the gradient by itself.
    library.impl("roi_align", roi_align, "CompositeImplicitAutograd")
    _declared.append(library)


def nms(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    """Greedy non-maximum suppression: indices of the kept boxes, by falling score.

    Args:
        boxes: tensor (N, 4), x1, y1, x2, y2.
        scores: tensor (N,).
        iou_threshold: a box goes if its IoU with a kept, better one is greater.
    """
    import torch

    order = torch.sort(scores, descending=True, stable=True)[1]
    x1, y1, x2, y2 = boxes[order].unbind(1)
    area = (x2 - x1) * (y2 - y1)
    gone = torch.zeros(len(order), dtype=torch.bool)
    kept = []
    for i in range(len(order)):
        if gone[i]:
            continue
        kept.append(i)
        width = torch.minimum(x2[i + 1 :], x2[i]) - torch.maximum(x1[i + 1 :], x1[i])
        height = torch.minimum(y2[i + 1 :], y2[i]) - torch.maximum(y1[i + 1 :], y1[i])
        shared = width.clamp_(min=0) * height.clamp_(min=0)
        gone[i + 1 :] |= shared / (area[i] + area[i + 1 :] - shared) > iou_threshold
    return order[torch.tensor(kept, dtype=torch.int64)]


def roi_align(
    features: Any,
    rois: Any,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    sampling_ratio: int,
    aligned: bool,
) -> Any:
    """RoIAlign: every bin is the mean of bilinear readings of the map, at a grid of points.

    Each reading is a weighted sum of four cells, hence each bin a weighted sum of a few cells, and
    that is what `embedding_bag` computes: bags of rows of a table, here of cells of the map.

    Args:
        features: tensor (N, C, H, W).
        rois: tensor (R, 5): index of the image, then x1, y1, x2, y2 in the image's pixels.
        spatial_scale: cells per pixel.
        pooled_height: bins vertically.
        pooled_width: bins horizontally.
        sampling_ratio: points per bin along each axis; 0 or less for one per cell.
        aligned: cell i has its centre at i + 1/2 (True) or at i, and RoIs are at least 1 × 1 (False).

    Returns:
        Tensor (R, C, pooled_height, pooled_width).
    """
    import torch

    channels, height, width = features.shape[1:]
    table = features.permute(0, 2, 3, 1).reshape(-1, channels)
    corners = rois.detach()[:, 1:] * spatial_scale - (0.5 if aligned else 0.0)
    start, extent = corners[:, :2], corners[:, 2:] - corners[:, :2]
    if not aligned:
        extent = extent.clamp(min=1)
    bins = torch.tensor([pooled_width, pooled_height])
    if sampling_ratio > 0:
        points = torch.full((len(rois), 2), sampling_ratio)
    else:
        points = torch.ceil(extent / bins).to(torch.int64).clamp(min=0)
    out = features.new_zeros((len(rois), pooled_height, pooled_width, channels))
    for grid in torch.unique(points, dim=0):
        nx, ny = grid.tolist()
        members = torch.nonzero((points == grid).all(1))[:, 0]
        if nx * ny == 0 or channels == 0:
            continue
        x, wx = _axis(start[members, 0], extent[members, 0], pooled_width, nx, width)
        y, wy = _axis(start[members, 1], extent[members, 1], pooled_height, ny, height)
        # Axes: RoI, bin y, bin x, cell along y, cell along x.
        first = rois[members, 0].to(torch.int64).reshape(-1, 1, 1, 1, 1) * (height * width)
        cell = first + y[:, :, None, :, None] * width + x[:, None, :, None, :]
        weight = wy[:, :, None, :, None] * wx[:, None, :, None, :]
        bags = torch.nn.functional.embedding_bag(
            cell.flatten(3).flatten(0, 2),
            table,
            per_sample_weights=weight.flatten(3).flatten(0, 2).to(table.dtype),
            mode="sum",
        )
        out = out.index_copy(0, members, bags.reshape(-1, pooled_height, pooled_width, channels))
    return out.permute(0, 3, 1, 2).contiguous()


def _axis(start: Any, extent: Any, bins: int, points: int, cells: int) -> tuple[Any, Any]:
    """Along one axis: cells that each bin reads and their weights, both (R, bins, 2 · points)."""
    import torch

    size = (extent / bins)[:, None, None]
    step = (torch.arange(points, dtype=size.dtype) + 0.5) * size / points
    at = start[:, None, None] + torch.arange(bins)[:, None] * size + step
    # Up to one cell outside the map counts as its border; further out there is nothing.
    counts = (at >= -1) & (at <= cells)
    at = at.clamp(0, cells - 1)
    low = at.floor()
    part = at - low
    below = low.to(torch.int64)
    above = (below + 1).clamp(max=cells - 1)
    share = counts.to(at.dtype) / points
    return torch.cat([below, above], 2), torch.cat([share * (1 - part), share * part], 2)
