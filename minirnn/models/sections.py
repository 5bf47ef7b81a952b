"""The sections of the configuration, one for each stage, and what every number in them means."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def _named(flat: str, default: Any) -> Any:
    """A field whose flat name is not made of the section's prefix and its own name."""
    return field(default=default, metadata={"flat": flat})


@dataclass(frozen=True)
class TransformConfig:
    """How a photograph becomes an array for the network. Flat names: those of the fields.

    Attributes:
        image_mean: mean of the channels as the network takes them (R, G, B, or with `bgr` B, G, R),
            in the range 0…1.
        image_std: deviation of the channels; 1/255 for a network that takes 0…255 less the mean.
        bgr: the network wants blue first.
        min_size: shorter side that images are scaled to; several: one is drawn in training, and the
            last is used afterwards.
        max_size: limit of the longer side.
        size_divisor: images are padded until both sides are multiples of this.
    """

    image_mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    image_std: tuple[float, ...] = (0.229, 0.224, 0.225)
    bgr: bool = False
    min_size: tuple[int, ...] = (800,)
    max_size: int = 1333
    size_divisor: int = 32


@dataclass(frozen=True)
class BackboneConfig:
    """The network that makes maps of a picture. Flat names: `backbone` for `name`, else the fields'.

    Attributes:
        name: "resnet18", "resnet34", "resnet50", "resnet101", "efficientnet_lite0" or "small".
        maps: which maps are read: "fpn", a pyramid of them; "c4", C4 alone, with the stage of C5 as
            the trunk of the heads; "c5", C5 alone (stride 32); "dc5", C5 with dilation (stride 16).
            All but "fpn" need a ResNet.
        norm: "frozen_batch_norm" or "group_norm".
        norm_eps: added to the variance in the normalisation.
        frozen_stages: how many of stem, C2, C3, C4, C5 are not trained.
        stride_in_1x1: a bottleneck's stride is in its first 1×1 convolution (Detectron2) instead of
            in its 3×3 (torchvision); resnet50 and resnet101 only.
        dilated_first: with "dc5", the first block of C5 is dilated too (Detectron2), not only those
            after it (torchvision).
        small_widths: channels of the small backbone's stages.
        small_blocks: basic blocks of the small backbone's stages.
    """

    name: str = _named("backbone", "resnet50")
    maps: str = _named("backbone_maps", "fpn")
    norm: str = "frozen_batch_norm"
    norm_eps: float = 1e-5
    frozen_stages: int = 0
    stride_in_1x1: bool = False
    dilated_first: bool = False
    small_widths: tuple[int, ...] = (64, 128, 256)
    small_blocks: tuple[int, ...] = (1, 1, 1)


@dataclass(frozen=True)
class FPNConfig:
    """The feature pyramid. Flat names: `fpn_` and the field's.

    Attributes:
        channels: channels of all pyramid maps.
        extra_level: a coarser map on top, for the RPN only.
        norm: normalisation behind its convolutions: "none" or "group_norm".
    """

    channels: int = 256
    extra_level: bool = True
    norm: str = "none"


@dataclass(frozen=True)
class AnchorConfig:
    """The boxes that the RPN starts from. Flat names: `anchor_sizes`, …; `anchors_rounded`, ….

    Attributes:
        sizes: sizes (square root of the area, pixels) on each level.
        ratios: height / width.
        rounded: corners rounded to whole pixels, as torchvision does.
        cell_rounded: the anchor of one cell's size is rounded to whole pixels and scaled up, as
            Detectron and ChainerCV do.
        offset: where in its cell an anchor's centre is: 0 corner, 0.5 middle.
        integer_strides: stride = image size // map size, as torchvision does.
    """

    sizes: tuple[tuple[float, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    rounded: bool = _named("anchors_rounded", True)
    cell_rounded: bool = _named("anchors_cell_rounded", False)
    offset: float = 0.0
    integer_strides: bool = True


@dataclass(frozen=True)
class RPNConfig:
    """The region proposal network. Flat names: `rpn_` and the field's.

    Attributes:
        convolutions: 3×3 convolutions in the RPN head.
        foreground_iou: an anchor is positive from this IoU on.
        background_iou: an anchor is negative below this IoU with all objects.
        crowd_overlap: an anchor with this share of its area in a crowd region is no negative.
        samples: anchors per image in the loss.
        positive_fraction: share of positives among them, at most.
        drop_outside: anchors that reach out of the image are not trained.
        pre_nms_train: best proposals of each level before suppression, in training.
        pre_nms_test: the same at inference.
        post_nms_train: proposals of an image after suppression, in training.
        post_nms_test: the same at inference.
        nms_iou: overlap from which a proposal is a duplicate.
        min_side: smallest side of a proposal, in pixels.
        score_threshold: smallest objectness probability of a proposal.
        box_weights: factors of the box code.
        beta: smooth-L1's turning point.
    """

    convolutions: int = 1
    foreground_iou: float = 0.7
    background_iou: float = 0.3
    crowd_overlap: float = 0.5
    samples: int = 256
    positive_fraction: float = 0.5
    drop_outside: bool = False
    pre_nms_train: int = 2000
    pre_nms_test: int = 1000
    post_nms_train: int = 2000
    post_nms_test: int = 1000
    nms_iou: float = 0.7
    min_side: float = 1e-3
    score_threshold: float = 0.0
    box_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    beta: float = 1 / 9


@dataclass(frozen=True)
class RoIConfig:
    """Which regions the heads see, and what they see of them. Flat names: `roi_` and the field's.

    Attributes:
        operation: "align", "warp" or "pool".
        sampling: bilinear samples per bin and axis; 0 for as many as the bin has cells.
        aligned: with the half-pixel shift (True) or without (torchvision's False).
        canonical_size: a region of this size (pixels) …
        canonical_level: … is read from this pyramid level.
        level_rule: between two levels, "floor" (the paper) or "round" (Matterport).
        level_eps: added before, against the rounding error of the logarithm.
        samples: regions per image in the loss.
        positive_fraction: share of objects among them, at most.
        foreground_iou: a proposal is an object from this IoU on.
        crowd_overlap: a negative with this share of its area in a crowd region is left out.
    """

    operation: str = "align"
    sampling: int = 2
    aligned: bool = False
    canonical_size: float = 224.0
    canonical_level: int = 4
    level_rule: str = "floor"
    level_eps: float = 1e-6
    samples: int = 512
    positive_fraction: float = 0.25
    foreground_iou: float = 0.5
    crowd_overlap: float = 0.5


@dataclass(frozen=True)
class BoxConfig:
    """The box head. Flat names: `box_` and the field's.

    Attributes:
        pool: side of the box head's features, in cells.
        width: width of its fully connected layers.
        weights: factors of the box code.
        beta: smooth-L1's turning point.
        score_threshold: detections score more than this.
        nms_iou: overlap from which a detection is a duplicate.
        max_detections: detections of an image, at most.
        min_side: smallest side of a detection, in pixels.
    """

    pool: int = 7
    width: int = 1024
    weights: tuple[float, ...] = (10.0, 10.0, 5.0, 5.0)
    beta: float = 1 / 9
    score_threshold: float = 0.05
    nms_iou: float = 0.5
    max_detections: int = 100
    min_side: float = 1e-2


@dataclass(frozen=True)
class MaskConfig:
    """The mask head. Flat names: `mask` for `enabled`, else `mask_` and the field's.

    Attributes:
        enabled: whether there is a mask head.
        pool: side of the mask head's features, in cells (its masks have twice that).
        width: channels of the mask head.
        convolutions: 3×3 convolutions in the mask head.
        targets: how true masks are cut out for training: "as_features", with the half-pixel shift
            where the features are read with it; "aligned" or "unaligned" whatever the features.
        paste: "continuous" (sub-pixel) or "legacy" (torchvision's whole pixels).
        rule: which pixels belong to the object: "threshold", those from `threshold` on; "expected_iou",
            those from the probability on that makes the whole mask's expected IoU largest.
        threshold: with rule "threshold", a pixel belongs to the object from this probability on (with
            paste "legacy", above it); else left alone.
    """

    enabled: bool = _named("mask", True)
    pool: int = 14
    width: int = 256
    convolutions: int = 4
    targets: str = "as_features"
    paste: str = "legacy"
    rule: str = "threshold"
    threshold: float = 0.5


@dataclass(frozen=True)
class KeypointConfig:
    """The keypoint head. Flat names: `keypoint` for `enabled`, else `keypoint_` and the field's.

    Attributes:
        enabled: whether there is a keypoint head.
        count: how many keypoints an object has; COCO's people have 17.
        pool: side of the keypoint head's features, in cells (its maps have four times that).
        width: channels of the keypoint head.
        convolutions: 3×3 convolutions in the keypoint head.
    """

    enabled: bool = _named("keypoint", False)
    count: int = 17
    pool: int = 14
    width: int = 512
    convolutions: int = 8


#: Kind and prefix of the flat names of each section.
SECTIONS: dict[str, tuple[type, str]] = {
    "transform": (TransformConfig, ""),
    "backbone": (BackboneConfig, ""),
    "fpn": (FPNConfig, "fpn_"),
    "anchors": (AnchorConfig, "anchor_"),
    "rpn": (RPNConfig, "rpn_"),
    "roi": (RoIConfig, "roi_"),
    "box": (BoxConfig, "box_"),
    "mask": (MaskConfig, "mask_"),
    "keypoint": (KeypointConfig, "keypoint_"),
}
