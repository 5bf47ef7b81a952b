"""Which network does a file belong to? This is told from the names and shapes of its arrays.

A torchvision checkpoint says nothing about the conventions that it was trained with (the eps of the
normalisation, rounded anchors, …). They follow from what it is: torchvision's detectors share them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from minirnn.backbones.resnet import DEPTHS
from minirnn.errors import InputError
from minirnn.models import PRESETS, Config
from minirnn.models.build import anchor_generator
from minirnn.weights.coco import COCO_CATEGORIES
from minirnn.weights.names import BODY

Shapes = Mapping[str, tuple[int, ...]]

#: Fields that change what the same weights compute: with another value the answers get worse.
CONVENTIONS = (
    "norm",
    "norm_eps",
    "stride_in_1x1",
    "backbone_maps",
    "dilated_first",
    "background_last",
    "image_mean",
    "image_std",
    "bgr",
    "anchor_sizes",
    "anchor_ratios",
    "anchors_rounded",
    "anchors_cell_rounded",
    "anchor_offset",
    "anchor_integer_strides",
    "rpn_box_weights",
    "roi_operation",
    "roi_sampling",
    "roi_aligned",
    "roi_canonical_size",
    "roi_canonical_level",
    "roi_level_rule",
    "roi_level_eps",
    "box_weights",
    "categories",
)
_COCO_CLASSES = 91


def torchvision_config(shapes: Shapes, *, trained_norm: bool, **overrides: Any) -> Config:
    """The configuration of torchvision's Mask, Faster or Keypoint R-CNN with a ResNet and FPN.

    Args:
        shapes: of the arrays by present name.
        trained_norm: the file has the counters of a BatchNorm that was trained (not frozen).
        **overrides: fields of `Config` that the file cannot tell, or that should differ.

    Returns:
        The configuration. 91 classes are taken for COCO's (2 classes with 17 keypoints for its
        persons), with ids and names, and the normalisation has the eps 0 of torchvision's first
        COCO checkpoints; otherwise (other classes, or a BatchNorm that was trained) it is 1e-5.

    Raises:
        InputError: it is another kind of network, or something must be given in `overrides`.
    """
    if "roi_heads.box_head.0.0.weight" in shapes:
        raise InputError(
            "it is of torchvision's v2 detectors (convolutions in the box head, normalisation in "
            "the pyramid), which this network is not"
        )
    classes = _shape(shapes, "roi_heads.box_predictor.cls_score.weight", 2)[0]
    channels = _shape(shapes, "backbone.fpn.layer_blocks.0.0.weight", 4)[0]
    width, inputs = _shape(shapes, "roi_heads.box_head.fc6.weight", 2)
    mask = "roi_heads.mask_predictor.mask_fcn_logits.weight" in shapes
    fields: dict[str, Any] = {
        "backbone": f"resnet{resnet_depth(shapes)}",
        "fpn_channels": channels,
        "num_classes": classes,
        "box_width": width,
        "box_pool": math.isqrt(inputs // channels),
        "rpn_convolutions": _count(shapes, "rpn.head.conv.{}.0.weight"),
        "mask": mask,
        "norm_eps": 1e-5,
    }
    if mask:
        fields["mask_convolutions"] = _count(shapes, "roi_heads.mask_head.{}.0.weight")
        fields["mask_width"] = _shape(shapes, "roi_heads.mask_predictor.conv5_mask.weight", 4)[1]
    preset = "maskrcnn_resnet50_fpn"
    scores = "roi_heads.keypoint_predictor.kps_score_lowres.weight"
    if any(".keypoint_" in name for name in shapes):
        width, count = _shape(shapes, scores, 4)[:2]
        convolutions = 0
        while f"roi_heads.keypoint_head.{2 * convolutions}.weight" in shapes:
            convolutions += 1
        preset = "keypointrcnn_resnet50_fpn"
        fields |= {
            "keypoint_count": count,
            "keypoint_width": width,
            "keypoint_convolutions": convolutions,
        }
        if (classes, count) == (2, 17):  # of COCO's person_keypoints files
            fields["categories"] = ((1, "person"),)
            if not trained_norm:
                fields["norm_eps"] = 0.0
    if classes == _COCO_CLASSES:
        fields["categories"] = COCO_CATEGORIES
        if not trained_norm:
            fields["norm_eps"] = 0.0
    config = PRESETS[preset].replace(**(fields | overrides))
    anchors = _shape(shapes, "rpn.head.cls_logits.weight", 4)[0]
    wanted = anchor_generator(config).per_place
    if anchors != wanted:
        raise InputError(
            f"it has {anchors} anchors at each pixel, not {wanted}; their sizes and ratios are not "
            "in the file: give anchor_sizes and anchor_ratios"
        )
    return config


def resnet_depth(shapes: Shapes) -> int:
    """18, 34, 50 or 101, from the blocks that there are.

    Raises:
        InputError: it is no ResNet, or of another depth.
    """
    blocks = tuple(_count(shapes, f"{BODY}layer{i}.{{}}.conv1.weight") for i in range(1, 5))
    bottleneck = f"{BODY}layer1.0.conv3.weight" in shapes
    for depth, known in DEPTHS.items():
        if known == (blocks, bottleneck):
            return depth
    raise InputError(
        f"its backbone has {blocks} blocks in layer1…layer4, which is no ResNet of depth "
        f"{', '.join(map(str, DEPTHS))}"
    )


def differing_conventions(expected: Mapping[str, Any], config: Config) -> list[str]:
    """What the weights were trained with and the model does otherwise, one line each."""
    lines = []
    for name in CONVENTIONS:
        if name not in expected:
            continue
        here, there = config[name], expected[name]
        if name == "categories":
            if here and there and here != there:  # a model without names has nothing to contradict
                i = next(
                    (i for i, (a, b) in enumerate(zip(here, there, strict=False)) if a != b), 0
                )
                lines.append(
                    f"convention: categories: label {i + 1} is {there[i]} in the file, {here[i]} in "
                    "the model"
                )
        elif here != there:
            lines.append(f"convention: {name} is {there!r} for the file, {here!r} in the model")
    return lines


def _shape(shapes: Shapes, name: str, axes: int) -> tuple[int, ...]:
    if name not in shapes:
        raise InputError(
            f"it has no {name}: no Mask or Faster R-CNN under torchvision's names, or a part of one"
        )
    shape = shapes[name]
    if len(shape) != axes or 0 in shape:
        raise InputError(f"{name} has the shape {shape}; it should have {axes} axes, none empty")
    return shape


def _count(shapes: Shapes, pattern: str) -> int:
    count = 0
    while pattern.format(count) in shapes:
        count += 1
    return count
