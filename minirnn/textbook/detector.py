"""The whole chain in plain loops: from an image's pixels to boxes, labels, scores and masks.

    image → scaled, normalised → ResNet → pyramid → anchors → RPN → proposals
          → RoI features → box head → detections → RoI features → mask head → pasted masks

This is all of Mask R-CNN (or, without the weights of a mask head, of Faster R-CNN) at inference, one number
at a time. It takes the weights of a model of this library, `model.state_dict()`, and finds what
`model.predict` finds, in one image, and very slowly: try it with a tiny network.

How the network is built is read off its weights: how many stages and blocks there are, whether a block is
a bottleneck, which normalisation it has. What weights cannot say is in `Settings`.

Source: He et al., Mask R-CNN (2017); Lin et al., Feature pyramid networks (2017); Ren et al., Faster R-CNN
(2015); He et al., Deep residual learning (2016).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from minirnn.textbook.activation import relu, softmax
from minirnn.textbook.anchors import pyramid_anchors
from minirnn.textbook.convolution import conv2d, conv_transpose2d, linear
from minirnn.textbook.heads import detections_of_image, mask_probabilities
from minirnn.textbook.levels import pyramid_roi
from minirnn.textbook.masks import best_thresholds, paste
from minirnn.textbook.normalisation import frozen_batch_norm, group_norm
from minirnn.textbook.pooling import max_pool2d
from minirnn.textbook.resize import bilinear, nearest
from minirnn.textbook.roi_align import roi_align
from minirnn.textbook.roi_pool import roi_pool
from minirnn.textbook.roi_warp import roi_warp
from minirnn.textbook.rpn import flatten, proposals_of_image
from minirnn.textbook.shape import flatten as flatten_regions
from minirnn.textbook.transform import normalise, scale_boxes, scaled_size

Weights = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Settings:
    """What is not in the weights: names and meaning are those of the model's configuration."""

    image_mean: Sequence[float] = (0.485, 0.456, 0.406)
    image_std: Sequence[float] = (0.229, 0.224, 0.225)
    bgr: bool = False
    min_size: Sequence[int] = (800,)
    max_size: int = 1333
    size_divisor: int = 32
    norm_eps: float = 1e-5
    stride_in_1x1: bool = False
    fpn_extra_level: bool = True
    anchor_sizes: Sequence[Sequence[float]] = ((32,), (64,), (128,), (256,), (512,))
    anchor_ratios: Sequence[float] = (0.5, 1.0, 2.0)
    anchors_rounded: bool = True
    anchors_cell_rounded: bool = False
    anchor_offset: float = 0.0
    anchor_integer_strides: bool = True
    rpn_pre_nms_test: int = 1000
    rpn_post_nms_test: int = 1000
    rpn_nms_iou: float = 0.7
    rpn_min_side: float = 1e-3
    rpn_score_threshold: float = 0.0
    rpn_box_weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)
    roi_operation: str = "align"
    roi_sampling: int = 2
    roi_aligned: bool = False
    roi_canonical_size: float = 224.0
    roi_canonical_level: int = 4
    roi_level_rule: str = "floor"
    roi_level_eps: float = 1e-6
    box_pool: int = 7
    box_weights: Sequence[float] = (10.0, 10.0, 5.0, 5.0)
    box_score_threshold: float = 0.05
    box_nms_iou: float = 0.5
    box_max_detections: int = 100
    background_last: bool = False
    mask_pool: int = 14
    mask_paste: str = "legacy"
    mask_rule: str = "threshold"
    mask_threshold: float = 0.5


def detect(
    image: np.ndarray, weights: Weights, settings: Settings
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Find the objects in an image.

    Args:
        image: (H, W, 3) uint8, RGB.
        weights: arrays by the names of `model.state_dict()`. Everything is computed in their type.
        settings: the rest.

    Returns:
        boxes (D, 4) in the image's pixels, labels (D,), scores (D,), by falling score, and masks
        (D, H, W) bool; None in their place for a network without a mask head.
    """
    x, size = canvas(image, settings)
    x = x.astype(weights["backbone.body.conv1.weight"].dtype)
    maps = pyramid(backbone(x, weights, settings), weights, settings)
    proposals = propose(maps, weights, x.shape[2:], size, settings)
    boxes, labels, scores = box_head(maps, proposals, weights, x.shape[2:], size, settings)
    height, width = image.shape[:2]
    in_image = scale_boxes(boxes, size, (height, width))
    if "roi_heads.mask_predictor.conv5_mask.weight" not in weights:
        return in_image, labels, scores, None
    cells = mask_head(maps, boxes, labels, weights, x.shape[2:], settings)
    threshold = settings.mask_threshold
    if settings.mask_rule == "expected_iou":
        threshold = 0.5
        for mask, best in zip(cells, best_thresholds(cells), strict=True):
            mask *= threshold / best
    masks = paste(cells, in_image, height, width, threshold=threshold, mode=settings.mask_paste)
    return in_image, labels, scores, masks


# ------------------------------------------------------------------ from pixels to the network's input


def canvas(image: np.ndarray, settings: Settings) -> tuple[np.ndarray, tuple[int, int]]:
    """The image scaled and normalised, in the upper left corner of a canvas that all strides divide.

    Its sides are multiples of `size_divisor`, so that each stage of the backbone halves them exactly.

    Args:
        image: (H, W, 3) uint8 RGB.
        settings: of the model.

    Returns:
        (1, 3, H, W) float32, zeros beside the image; and the image's (height, width) in it.
    """
    channels = image[:, :, ::-1] if settings.bgr else image
    plane = normalise(channels, settings.image_mean, settings.image_std)
    height, width = image.shape[:2]
    size = scaled_size(height, width, settings.min_size[-1], settings.max_size)
    if size != (height, width):
        plane = bilinear(plane[None], size=size)[0]
    sides = [math.ceil(n / settings.size_divisor) * settings.size_divisor for n in size]
    x = np.zeros((1, 3, *sides), np.float32)
    x[0, :, : size[0], : size[1]] = plane
    return x, size


# --------------------------------------------------------------------------- backbone: ResNet and pyramid


def convolve(
    x: np.ndarray, weights: Weights, name: str, *, stride: int = 1, relu: bool = False
) -> np.ndarray:
    """The convolution of that name; the padding keeps the map's size at stride 1.

    (1, C, H, W) → (1, O, H / stride, W / stride), rounded up.
    """
    weight = weights[f"{name}.weight"]
    padding = weight.shape[2] // 2
    bias = weights.get(f"{name}.bias")
    return conv2d(x, weight, bias, stride=stride, padding=padding, relu=relu)


def norm(x: np.ndarray, weights: Weights, name: str, eps: float) -> np.ndarray:
    """The normalisation of that name: with statistics of its own if it has some, else GroupNorm.

    (1, C, H, W) → the same shape.
    """
    scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
    if f"{name}.running_mean" in weights:
        mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        return frozen_batch_norm(x, scale, shift, mean, variance, eps=eps)
    return group_norm(x, scale, shift, groups=min(32, len(scale) // 4), eps=eps)


def block(
    x: np.ndarray, weights: Weights, name: str, stride: int, settings: Settings
) -> np.ndarray:
    """relu(x + F(x)), where F is two convolutions of 3×3, or a bottleneck of 1×1, 3×3 and 1×1.

    (1, C, H, W) → (1, O, H / stride, W / stride).
    """
    eps, shortcut = settings.norm_eps, x
    if f"{name}.downsample.0.weight" in weights:  # x and F(x) differ in shape
        shortcut = convolve(x, weights, f"{name}.downsample.0", stride=stride)
        shortcut = norm(shortcut, weights, f"{name}.downsample.1", eps)
    parts = [part for part in (1, 2, 3) if f"{name}.conv{part}.weight" in weights]
    strided = 2 if len(parts) == 3 and not settings.stride_in_1x1 else 1
    y = x
    for part in parts:
        y = convolve(y, weights, f"{name}.conv{part}", stride=stride if part == strided else 1)
        y = norm(y, weights, f"{name}.bn{part}", eps)
        y = relu(y + shortcut if part == parts[-1] else y)
    return y


def backbone(x: np.ndarray, weights: Weights, settings: Settings) -> list[np.ndarray]:
    """(1, 3, H, W) → [C2, C3, …], each half as large as the one before.

    A ResNet begins with a convolution of 7×7 and pooling; the small backbone with one of 3×3, and halves
    the map in its first stage instead.
    """
    body = "backbone.body"
    x = convolve(x, weights, f"{body}.conv1", stride=2)
    x = relu(norm(x, weights, f"{body}.bn1", settings.norm_eps))
    is_resnet = weights[f"{body}.conv1.weight"].shape[2] == 7
    if is_resnet:
        x = max_pool2d(x, kernel=3, stride=2, padding=1)
    maps = []
    for stage in count(weights, body + ".layer{}.0.conv1.weight", start=1):
        for index in count(weights, f"{body}.layer{stage}.{{}}.conv1.weight"):
            stride = 2 if index == 0 and not (is_resnet and stage == 1) else 1
            x = block(x, weights, f"{body}.layer{stage}.{index}", stride, settings)
        maps.append(x)
    return maps


def pyramid(maps: Sequence[np.ndarray], weights: Weights, settings: Settings) -> list[np.ndarray]:
    """[C2, …, Ck] → [P2, …, Pk], all of one depth; and P(k + 1) for the RPN.

    M_k = 1×1(C_k) + M_(k+1) at twice the size,   P_k = 3×3(M_k),   P_(k+1) = every second cell of P_k
    """
    levels: list[np.ndarray] = []
    above = None
    for k in reversed(range(len(maps))):
        merged = convolve(maps[k], weights, f"backbone.fpn.inner_blocks.{k}.0")
        if above is not None:
            merged = merged + nearest(above, size=merged.shape[2:])
        levels.insert(0, convolve(merged, weights, f"backbone.fpn.layer_blocks.{k}.0"))
        above = merged
    if settings.fpn_extra_level:
        levels.append(max_pool2d(levels[-1], kernel=1, stride=2))
    return levels


def count(weights: Weights, name: str, start: int = 0) -> list[int]:
    """The numbers from `start` on that make, in the place of {}, the name of a weight."""
    return list(itertools.takewhile(lambda i: name.format(i) in weights, itertools.count(start)))


# ---------------------------------------------------------------------------- where might something be?


def propose(
    maps: Sequence[np.ndarray],
    weights: Weights,
    canvas_size: tuple[int, ...],
    size: tuple[int, int],
    settings: Settings,
) -> np.ndarray:
    """Anchors at each cell of each map; the RPN moves and scores them; the best are the proposals.

    Args:
        maps: of each level (1, C, H, W).
        weights: of the model.
        canvas_size: (height, width) of the network's input.
        size: (height, width) of the image in it; proposals are clipped there.
        settings: of the model.

    Returns:
        (P, 4) boxes in pixels of the canvas, by falling score.
    """
    logits, deltas = [], []
    for x in maps:
        for i in count(weights, "rpn.head.conv.{}.0.weight"):
            x = convolve(x, weights, f"rpn.head.conv.{i}.0", relu=True)
        logits.append(convolve(x, weights, "rpn.head.cls_logits"))
        deltas.append(convolve(x, weights, "rpn.head.bbox_pred"))
    anchors = pyramid_anchors(
        (canvas_size[0], canvas_size[1]),
        [x.shape[2:] for x in maps],
        settings.anchor_sizes,
        settings.anchor_ratios,
        rounded=settings.anchors_rounded,
        offset=settings.anchor_offset,
        integer_strides=settings.anchor_integer_strides,
        cell_rounded=settings.anchors_cell_rounded,
    )
    flat_logits, flat_deltas = flatten(logits, deltas)
    boxes, _ = proposals_of_image(
        flat_logits[0],
        flat_deltas[0],
        np.concatenate(anchors),
        [len(level) for level in anchors],
        size,
        pre_nms=settings.rpn_pre_nms_test,
        post_nms=settings.rpn_post_nms_test,
        nms_iou=settings.rpn_nms_iou,
        min_side=settings.rpn_min_side,
        score_threshold=settings.rpn_score_threshold,
        weights=settings.rpn_box_weights,
    )
    return boxes


# ------------------------------------------------------------------------ what is it, and which pixels?


def pooled(
    maps: Sequence[np.ndarray],
    boxes: np.ndarray,
    bins: int,
    canvas_size: tuple[int, ...],
    settings: Settings,
) -> np.ndarray:
    """The features of each box, (R, C, bins, bins), from the map of its level; not from the RPN's own."""
    maps = maps[:-1] if settings.fpn_extra_level else maps
    operation = {"align": roi_align, "warp": roi_warp, "pool": roi_pool}[settings.roi_operation]
    how: dict[str, int] = {}
    if settings.roi_operation != "pool":
        how["sampling_ratio"] = settings.roi_sampling
    if settings.roi_operation == "align":
        how["aligned"] = settings.roi_aligned
    return pyramid_roi(
        *maps,
        boxes,
        np.zeros(len(boxes), np.intp),  # all in the one image that there is
        operation=operation,
        output_size=bins,
        spatial_scales=[2.0 ** round(math.log2(x.shape[2] / canvas_size[0])) for x in maps],
        canonical_size=settings.roi_canonical_size,
        canonical_level=settings.roi_canonical_level,
        eps=settings.roi_level_eps,
        rule=settings.roi_level_rule,
        **how,
    )


def fully_connected(
    x: np.ndarray, weights: Weights, name: str, *, relu: bool = False
) -> np.ndarray:
    """The layer of that name, (R, I) → (R, O)."""
    return linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"], relu=relu)


def box_head(
    maps: Sequence[np.ndarray],
    proposals: np.ndarray,
    weights: Weights,
    canvas_size: tuple[int, ...],
    size: tuple[int, int],
    settings: Settings,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two fully connected layers, then scores and deltas of each class, then suppression.

    Returns:
        Boxes (D, 4) in pixels of the canvas, labels (D,) and scores (D,), by falling score.
    """
    x = flatten_regions(pooled(maps, proposals, settings.box_pool, canvas_size, settings))
    x = fully_connected(x, weights, "roi_heads.box_head.fc6", relu=True)
    x = fully_connected(x, weights, "roi_heads.box_head.fc7", relu=True)
    logits = fully_connected(x, weights, "roi_heads.box_predictor.cls_score")
    deltas = fully_connected(x, weights, "roi_heads.box_predictor.bbox_pred")
    return detections_of_image(
        softmax(logits, axis=1),
        deltas,
        proposals,
        size,
        score_threshold=settings.box_score_threshold,
        nms_iou=settings.box_nms_iou,
        max_detections=settings.box_max_detections,
        weights=settings.box_weights,
        background_last=settings.background_last,
    )


def mask_head(
    maps: Sequence[np.ndarray],
    boxes: np.ndarray,
    labels: np.ndarray,
    weights: Weights,
    canvas_size: tuple[int, ...],
    settings: Settings,
) -> np.ndarray:
    """Convolutions, then twice the size, then a map for each class: that of the label.

    Returns:
        (D, M, M) probabilities.
    """
    x = pooled(maps, boxes, settings.mask_pool, canvas_size, settings)
    for i in count(weights, "roi_heads.mask_head.{}.0.weight"):
        x = convolve(x, weights, f"roi_heads.mask_head.{i}.0", relu=True)
    name = "roi_heads.mask_predictor"
    weight, bias = weights[f"{name}.conv5_mask.weight"], weights[f"{name}.conv5_mask.bias"]
    x = conv_transpose2d(x, weight, bias, stride=2, relu=True)
    logits = convolve(x, weights, f"{name}.mask_fcn_logits")
    return mask_probabilities(logits, labels, background_last=settings.background_last)
