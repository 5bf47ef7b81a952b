"""torchvision: its operators, and the parts of its detection models, one by one."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from minirnn.verify.references import READS_POINTS, Skip, without_area
from minirnn.verify.references.torch_functions import gradient, prepared
from minirnn.verify.torchvision_cpu import import_torchvision

import_torchvision()  # declares operators that it may lack, before its parts are imported

from torchvision import ops  # noqa: E402
from torchvision.models.detection import _utils, anchor_utils, roi_heads, rpn, transform  # noqa: E402
from torchvision.models.detection.image_list import ImageList  # noqa: E402

__all__ = ["FUNCTIONS", "NOTE", "gradient", "prepared"]
# torch.Tensor. Types are checked where there is no torch, too.
Tensor = Any
#: Said beside the version where torchvision's own operators do not load: then those in
#: `torchvision_cpu` are compared with.
NOTE = (
    ""
    if hasattr(torch.ops.torchvision, "roi_pool")
    else "nms and roi_align made of torch's operations: its compiled ones do not load here"
)
_BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
_ONES = (1.0, 1.0, 1.0, 1.0)


def _rois(boxes: Tensor, image_index: Tensor) -> Tensor:
    return torch.cat([image_index[:, None].to(boxes.dtype), boxes], 1)


def _roi_align(*inputs: Tensor, reduce: str = "mean", **settings: Any) -> Tensor:
    if reduce != "mean":
        raise Skip('has reduce="mean" only')
    features, *boxes = inputs
    if without_area(boxes[0], settings.get("aligned", False)):
        raise Skip(READS_POINTS)
    return ops.roi_align(features, _rois(*boxes), **{"sampling_ratio": 2, **settings})


def _roi_pool(features: Tensor, *boxes: Tensor, **settings: Any) -> Tensor:
    if NOTE:
        raise Skip("its compiled operators do not load beside this build of torch")
    return ops.roi_pool(features, _rois(*boxes), **settings)


def _pyramid_roi(
    *inputs: Tensor, operation: Callable, output_size: Any, spatial_scales: Any, **settings: Any
) -> Tensor:
    if operation.__name__ != "roi_align" or settings.pop("aligned", False):
        raise Skip("its MultiScaleRoIAlign has only the older RoIAlign")
    *maps, boxes, image_index = inputs
    names = [str(k) for k in range(len(maps))]
    settings["canonical_scale"] = settings.pop("canonical_size")
    pool = ops.MultiScaleRoIAlign(names, output_size, **{"sampling_ratio": 2, **settings})
    order = torch.argsort(image_index, stable=True)  # it wants the boxes of each image together
    per_image = [boxes[image_index == i] for i in range(len(maps[0]))]
    size = tuple(round(n / spatial_scales[0]) for n in maps[0].shape[2:])
    pooled = pool(dict(zip(names, maps, strict=True)), per_image, [size] * len(maps[0]))
    return pooled[torch.argsort(order)]


def _frozen(x: Tensor, *statistics: Tensor, eps: float = 1e-5) -> Tensor:
    if x.ndim != 4:
        raise Skip("is for (N, C, H, W) only")
    layer = ops.FrozenBatchNorm2d(x.shape[1], eps)
    layer.weight, layer.bias, layer.running_mean, layer.running_var = statistics
    return layer(x)


def _base_anchors(size: Any, ratios: Any, *, rounded: bool = False) -> Tensor:
    if not rounded:
        raise Skip("always rounds its anchors")
    sizes = [size] if isinstance(size, float) else size
    return anchor_utils.AnchorGenerator().generate_anchors(sizes, ratios, torch.float64)


def _pyramid_anchors(
    image_size: Any, feature_sizes: Any, sizes: Any, ratios: Any, *, dtype: Any, **rules: Any
) -> list[Tensor]:
    if rules != {"rounded": True, "integer_strides": True}:
        raise Skip("always rounds its anchors")
    generator = anchor_utils.AnchorGenerator(tuple(sizes), (tuple(ratios),) * len(sizes))
    maps = [torch.zeros(1, 1, *size, dtype=torch.float64) for size in feature_sizes]
    (anchors,) = generator(ImageList(torch.zeros(1, 3, *image_size), [image_size]), maps)
    return list(anchors.split([h * w * len(ratios) for h, w in feature_sizes]))


def _large_enough(boxes: Tensor, min_size: float) -> Tensor:
    kept = torch.zeros(len(boxes), dtype=torch.bool)
    kept[ops.remove_small_boxes(boxes, min_size)] = True
    return kept


def _encode(anchors: Tensor, boxes: Tensor, weights: Any = _ONES) -> Tensor:
    return _utils.BoxCoder(weights).encode_single(boxes, anchors)


def _decode(anchors: Tensor, deltas: Tensor, weights: Any = _ONES) -> Tensor:
    return _utils.BoxCoder(weights).decode_single(deltas, anchors)


def _match(quality: Tensor, low: float, high: float, *, force: bool = True) -> Tensor:
    if force and quality.numel() and bool((quality == 0).all(1).any()):
        raise Skip("makes positives of all anchors where an object overlaps none")
    return _utils.Matcher(high, low, allow_low_quality_matches=force)(quality)


def _rpn_flatten(logits: Any, deltas: Any) -> tuple[Tensor, Tensor]:
    images = len(logits[0])
    flat_logits, flat_deltas = rpn.concat_box_prediction_layers(list(logits), list(deltas))
    return flat_logits.reshape(images, -1), flat_deltas.reshape(images, -1, 4)


def _rpn_losses(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    *drawn: Any,
    weights: Any = _ONES,
    **beta: float,
) -> tuple[Tensor, Tensor]:
    if beta:
        raise Skip("beta is always 1/9")
    labels, goals = [], []
    chosen: tuple[list, list] = ([], [])
    for truth, match, pair in zip(
        *drawn, strict=True
    ):  # targets, matches and sampled, of each image
        labels.append((match >= 0).to(logits.dtype))
        own = truth.boxes[match.clamp(min=0)] if len(truth.boxes) else anchors
        goals.append(_encode(anchors, own, weights))
        for masks, index in zip(chosen, pair, strict=True):
            masks.append(torch.zeros(len(anchors), dtype=torch.bool))
            masks[-1][index] = True
    stub: Any = SimpleNamespace(fg_bg_sampler=lambda labels: chosen)
    flat = logits.reshape(-1, 1), deltas.reshape(-1, 4)
    return rpn.RegionProposalNetwork.compute_loss(stub, *flat, labels, goals)


def _proposals(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    level_sizes: Any,
    image_size: Any,
    *,
    pre_nms: int,
    post_nms: int,
    nms_iou: float = 0.7,
    score_threshold: float = 0.0,
) -> tuple[Tensor, Tensor]:
    limits = [{"training": n, "testing": n} for n in (pre_nms, post_nms)]
    nothing: Any = None
    network = rpn.RegionProposalNetwork(
        nothing, nothing, 0.7, 0.3, 256, 0.5, *limits, nms_iou, score_threshold
    )
    boxes = network.box_coder.decode(deltas, [anchors])[None, :, 0]
    found, scores = network.filter_proposals(boxes, logits[None], [image_size], list(level_sizes))
    return found[0], torch.logit(scores[0])


def _assign_levels(boxes: Tensor, **range_: int) -> Tensor:
    range_ = {"lowest": 2, "highest": 5, "canonical_size": 224, "canonical_level": 4, **range_}
    return ops.poolers.LevelMapper(*range_.values())([boxes])


def _box_losses(
    logits: Tensor,
    deltas: Tensor,
    regions: Tensor,
    labels: Tensor,
    matched: Tensor,
    *,
    weights: Any = _BOX_WEIGHTS,
    **beta: float,
) -> tuple[Tensor, Tensor]:
    if beta:
        raise Skip("beta is always 1/9")
    return roi_heads.fastrcnn_loss(logits, deltas, [labels], [_encode(regions, matched, weights)])


def _detections(
    probabilities: Tensor,
    deltas: Tensor,
    proposals: Tensor,
    image_size: Any,
    *,
    score_threshold: float = 0.05,
    nms_iou: float = 0.5,
    max_detections: int = 100,
    weights: Any = _BOX_WEIGHTS,
) -> tuple[Tensor, Tensor, Tensor]:
    nothing: Any = None
    heads = roi_heads.RoIHeads(
        *(nothing, nothing, nothing, 0.5, 0.5, 512, 0.25, weights),
        *(score_threshold, nms_iou, max_detections),
    )
    # The softmax of logarithms of probabilities gives them back.
    boxes, scores, labels = heads.postprocess_detections(
        probabilities.log(), deltas, [proposals], [image_size]
    )
    return boxes[0], labels[0], scores[0]


def _crop(
    masks: Tensor, boxes: Tensor, index: Tensor, size: int, *, aligned: bool = False
) -> Tensor:
    if aligned:
        raise Skip("cuts masks with the older RoIAlign only")
    return roi_heads.project_masks_on_boxes(masks, boxes, index, size)


def _paste(
    probabilities: Tensor,
    boxes: Tensor,
    height: int,
    width: int,
    *,
    threshold: float = 0.5,
    mode: str = "continuous",
) -> Tensor:
    if mode != "legacy":
        raise Skip("rounds boxes before it pastes")
    border = (boxes[:, 2:] - boxes[:, :2]) / probabilities.shape[-1]  # a cell on each side
    first, last = boxes[:, :2] - border, boxes[:, 2:] + border
    size = torch.tensor([width, height], device=boxes.device)
    if bool((first >= size).any()) or bool((last < 0).any()):
        raise Skip("fails on a box that lies outside of the image")
    pasted = roi_heads.paste_masks_in_image(probabilities[:, None], boxes, (height, width))
    return pasted[:, 0] > threshold


def _normalise(image: Tensor, mean: Any, std: Any) -> Tensor:
    step = transform.GeneralizedRCNNTransform(800, 1333, list(mean), list(std))
    return step.normalize(image.permute(2, 0, 1) / 255)


def _scaled_size(height: int, width: int, min_size: int, max_size: int) -> tuple[int, ...]:
    image, _ = transform._resize_image_and_masks(torch.zeros(1, height, width), min_size, max_size)
    return tuple(image.shape[1:])


def _keypoint_cells(keypoints: Tensor, boxes: Tensor, size: int) -> Tensor:
    cells, valid = roi_heads.keypoints_to_heatmap(keypoints, boxes, size)
    return torch.where(valid > 0, cells, -1)


def _keypoint_loss(logits: Tensor, keypoints: Tensor, boxes: Tensor) -> Tensor:
    return roi_heads.keypointrcnn_loss(logits, [boxes], [keypoints], [torch.arange(len(boxes))])


def _keypoints_of_maps(logits: Tensor, boxes: Tensor) -> Tensor:
    points, scores = roi_heads.heatmaps_to_keypoints(logits, boxes)
    points[..., 2] = scores
    return points


def _scale_keypoints(keypoints: Tensor, size: Any, new: Any) -> Tensor:
    return transform.resize_keypoints(keypoints, list(size), list(new))


FUNCTIONS: dict[str, Callable] = {
    "frozen_batch_norm": _frozen,
    "roi_align": _roi_align,
    "roi_pool": _roi_pool,
    "pyramid_roi": _pyramid_roi,
    "base_anchors": _base_anchors,
    "pyramid_anchors": _pyramid_anchors,
    "box_area": ops.box_area,
    "box_iou": ops.box_iou,
    "box_clip": lambda boxes, height, width: ops.clip_boxes_to_image(boxes, (height, width)),
    "large_enough": _large_enough,
    "from_xywh": lambda boxes: ops.box_convert(boxes, "xywh", "xyxy"),
    "to_xywh": lambda boxes: ops.box_convert(boxes, "xyxy", "xywh"),
    "box_encode": _encode,
    "box_decode": _decode,
    "nms": ops.nms,
    "batched_nms": ops.batched_nms,
    "match": _match,
    "rpn_flatten": _rpn_flatten,
    "rpn_losses": _rpn_losses,
    "proposals_of_image": _proposals,
    "assign_levels": _assign_levels,
    "box_losses": _box_losses,
    "detections_of_image": _detections,
    "keypoint_cells": _keypoint_cells,
    "keypoint_loss": _keypoint_loss,
    "keypoints_of_maps": _keypoints_of_maps,
    "scale_keypoints": _scale_keypoints,
    "mask_probabilities": lambda x, labels: roi_heads.maskrcnn_inference(x, [labels])[0][:, 0],
    "mask_crop": _crop,
    "mask_paste": _paste,
    "scaled_size": _scaled_size,
    "normalise": _normalise,
    "scale_boxes": lambda boxes, size, new: transform.resize_boxes(boxes, list(size), list(new)),
}
