"""Every number that makes one Mask R-CNN differ from another.

Where libraries differ (rounded anchors, aligned RoIAlign, box weights, …), the difference is a field
here and never a constant in the code. The configuration is read where the model is put together
(`minirnn.models.mask_rcnn`) and nowhere else.
"""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from typing import Any

from minirnn.errors import InputError


@dataclass(frozen=True)
class Config:
    """A Mask R-CNN.

    Attributes:
        backbone: "resnet18", "resnet34", "resnet50", "resnet101" or "small".
        norm: "frozen_batch_norm" or "group_norm".
        norm_eps: added to the variance in the normalisation.
        frozen_stages: how many of stem, C2, C3, C4, C5 are not trained.
        stride_in_1x1: a bottleneck's stride is in its first 1×1 convolution (Detectron2) instead of
            in its 3×3 (torchvision); resnet50 and resnet101 only.
        small_widths: channels of the small backbone's stages.
        small_blocks: basic blocks of the small backbone's stages.
        fpn_channels: channels of all pyramid maps.
        fpn_extra_level: a coarser map on top, for the RPN only.
        num_classes: classes with background.
        background_last: the last column of the class scores is background, which then has no deltas
            and no mask (Detectron2); False: the first is, and has both, unused (torchvision). A
            label is 1, 2, … and background 0 either way.
        categories: (id, name) of label 1, 2, … in the data set; empty for "1", "2", ….
        image_mean: mean of the channels as the network takes them (R, G, B, or with `bgr` B, G, R),
            in the range 0…1.
        image_std: deviation of the channels; 1/255 for a network that takes 0…255 less the mean.
        bgr: the network wants blue first.
        min_size: shorter side that images are scaled to; several: one is drawn in training, and the
            last is used afterwards.
        max_size: limit of the longer side.
        size_divisor: sides of the canvas are multiples of this.
        anchor_sizes: sizes (square root of the area, pixels) on each level.
        anchor_ratios: height / width.
        anchors_rounded: corners rounded to whole pixels, as torchvision does.
        anchors_cell_rounded: the anchor of one cell's size is rounded to whole pixels and scaled up,
            as Detectron and ChainerCV do.
        anchor_offset: where in its cell an anchor's centre is: 0 corner, 0.5 middle.
        anchor_integer_strides: stride = image size // map size, as torchvision does.
        rpn_convolutions: 3×3 convolutions in the RPN head.
        rpn_foreground_iou: an anchor is positive from this IoU on.
        rpn_background_iou: and negative below this.
        rpn_samples: anchors per image in the loss.
        rpn_positive_fraction: share of positives among them, at most.
        rpn_drop_outside: anchors that reach out of the image are not trained.
        rpn_pre_nms_train: best proposals of each level before suppression, in training.
        rpn_pre_nms_test: the same afterwards.
        rpn_post_nms_train: proposals of an image after suppression, in training.
        rpn_post_nms_test: the same afterwards.
        rpn_nms_iou: overlap from which a proposal is a duplicate.
        rpn_min_side: smallest side of a proposal, in pixels.
        rpn_score_threshold: smallest objectness probability of a proposal.
        rpn_box_weights: factors of the box code.
        rpn_beta: smooth-L1's turning point.
        roi_operation: "align", "warp" or "pool".
        roi_sampling: bilinear samples per bin and axis; 0 for as many as the bin has cells.
        roi_aligned: with the half-pixel shift (True) or without (torchvision's False).
        roi_canonical_size: a region of this size (pixels) …
        roi_canonical_level: … is read from this pyramid level.
        roi_level_rule: between two levels, "floor" (the paper) or "round" (Matterport).
        roi_level_eps: added before, against the rounding error of the logarithm.
        roi_samples: regions per image in the loss.
        roi_positive_fraction: share of objects among them, at most.
        roi_foreground_iou: a proposal is an object from this IoU on.
        box_pool: side of the box head's features.
        box_width: width of its fully connected layers.
        box_weights: factors of the box code.
        box_beta: smooth-L1's turning point.
        box_score_threshold: detections score more than this.
        box_nms_iou: overlap from which a detection is a duplicate.
        box_max_detections: detections of an image, at most.
        mask: whether there is a mask head.
        mask_pool: side of the mask head's features (its masks have twice that).
        mask_width: channels of the mask head.
        mask_convolutions: 3×3 convolutions in the mask head.
        mask_paste: "continuous" (sub-pixel) or "legacy" (torchvision's whole pixels).
        mask_threshold: a pixel belongs to the object from this probability on.
    """

    backbone: str = "resnet50"
    norm: str = "frozen_batch_norm"
    norm_eps: float = 1e-5
    frozen_stages: int = 0
    stride_in_1x1: bool = False
    small_widths: tuple[int, ...] = (64, 128, 256)
    small_blocks: tuple[int, ...] = (1, 1, 1)
    fpn_channels: int = 256
    fpn_extra_level: bool = True
    num_classes: int = 91
    background_last: bool = False
    categories: tuple[tuple[int, str], ...] = ()
    image_mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    image_std: tuple[float, ...] = (0.229, 0.224, 0.225)
    bgr: bool = False
    min_size: tuple[int, ...] = (800,)
    max_size: int = 1333
    size_divisor: int = 32
    anchor_sizes: tuple[tuple[float, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    anchors_rounded: bool = True
    anchors_cell_rounded: bool = False
    anchor_offset: float = 0.0
    anchor_integer_strides: bool = True
    rpn_convolutions: int = 1
    rpn_foreground_iou: float = 0.7
    rpn_background_iou: float = 0.3
    rpn_samples: int = 256
    rpn_positive_fraction: float = 0.5
    rpn_drop_outside: bool = False
    rpn_pre_nms_train: int = 2000
    rpn_pre_nms_test: int = 1000
    rpn_post_nms_train: int = 2000
    rpn_post_nms_test: int = 1000
    rpn_nms_iou: float = 0.7
    rpn_min_side: float = 1e-3
    rpn_score_threshold: float = 0.0
    rpn_box_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    rpn_beta: float = 1 / 9
    roi_operation: str = "align"
    roi_sampling: int = 2
    roi_aligned: bool = False
    roi_canonical_size: float = 224.0
    roi_canonical_level: int = 4
    roi_level_rule: str = "floor"
    roi_level_eps: float = 1e-6
    roi_samples: int = 512
    roi_positive_fraction: float = 0.25
    roi_foreground_iou: float = 0.5
    box_pool: int = 7
    box_width: int = 1024
    box_weights: tuple[float, ...] = (10.0, 10.0, 5.0, 5.0)
    box_beta: float = 1 / 9
    box_score_threshold: float = 0.05
    box_nms_iou: float = 0.5
    box_max_detections: int = 100
    mask: bool = True
    mask_pool: int = 14
    mask_width: int = 256
    mask_convolutions: int = 4
    mask_paste: str = "legacy"
    mask_threshold: float = 0.5

    def replace(self, **overrides: Any) -> Config:
        """A copy with some fields changed; lists may stand for tuples, whole numbers for floats.

        Raises:
            InputError: a name is no field, or a value is not of the field's kind.
        """
        fields = {field.name: field for field in dataclasses.fields(self)}
        changed = {}
        for name, value in overrides.items():
            if name not in fields:
                close = difflib.get_close_matches(name, fields, n=3)
                hint = f"; did you mean {', '.join(close)}?" if close else ""
                raise InputError(f"the configuration has no field {name!r}{hint}")
            changed[name] = _fit(name, value, getattr(self, name))
        result = dataclasses.replace(self, **changed)
        result.check()
        return result

    def check(self) -> None:
        """Refuse values that no model can be built from.

        Raises:
            InputError: names the field, its value and what it should be.
        """
        choices = {
            "backbone": ("resnet18", "resnet34", "resnet50", "resnet101", "small"),
            "norm": ("frozen_batch_norm", "group_norm"),
            "roi_operation": ("align", "warp", "pool"),
            "roi_level_rule": ("floor", "round"),
            "mask_paste": ("continuous", "legacy"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                _refuse(name, getattr(self, name), f"one of {', '.join(allowed)}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name.endswith(("_iou", "_fraction", "_threshold")) and not 0 <= value <= 1:
                _refuse(field.name, value, "between 0 and 1")
            if field.name.endswith(("_nms_train", "_nms_test", "_samples", "_width", "_pool")) and (
                value < 1
            ):
                _refuse(field.name, value, "at least 1")
        if self.stride_in_1x1 and self.backbone not in ("resnet50", "resnet101"):
            _refuse("stride_in_1x1", True, f"False, {self.backbone} has no bottlenecks")
        if self.anchors_cell_rounded and (self.anchors_rounded or self.anchor_integer_strides):
            _refuse(
                "anchors_cell_rounded",
                True,
                "without anchors_rounded and anchor_integer_strides, which round otherwise",
            )
        if self.num_classes < 2:
            _refuse("num_classes", self.num_classes, "at least 2, background and one more")
        if self.categories and len(self.categories) != self.num_classes - 1:
            _refuse("categories", self.categories, f"{self.num_classes - 1} pairs (id, name)")
        if len(self.small_widths) != len(self.small_blocks):
            _refuse("small_blocks", self.small_blocks, "as long as small_widths")
        if min(self.min_size, default=0) < 1 or self.max_size < 1:
            _refuse("min_size", self.min_size, "positive sizes")
        levels = (len(self.small_widths) if self.backbone == "small" else 4) + self.fpn_extra_level
        if len(self.anchor_sizes) != levels:
            _refuse("anchor_sizes", self.anchor_sizes, f"sizes for each of {levels} pyramid levels")

    def category(self, label: int) -> tuple[int, str]:
        """(id, name) of a label."""
        return self.categories[label - 1] if self.categories else (label, str(label))


def _refuse(name: str, value: object, wanted: str) -> None:
    raise InputError(f"{name} is {value!r}; it should be {wanted}")


def _fit(name: str, value: Any, like: Any) -> Any:
    """`value` as the kind that `like` is, or an error."""
    if isinstance(like, bool):
        if isinstance(value, bool):
            return value
    elif isinstance(like, int):
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif isinstance(like, float):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    elif isinstance(like, str):
        if isinstance(value, str):
            return value
    elif isinstance(like, tuple):
        if isinstance(value, (list, tuple)):
            return tuple(tuple(v) if isinstance(v, (list, tuple)) else v for v in value)
        if name == "min_size" and isinstance(value, int):
            return (value,)
    raise InputError(f"{name} is {value!r}; it should be of the kind of {like!r}")
