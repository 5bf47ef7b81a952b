"""Refuse values that no detector can be built from, before anything is built; errors name the field."""

from __future__ import annotations

from fnmatch import fnmatch
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from minirnn.fields import refuse

if TYPE_CHECKING:
    from minirnn.models.config import Config

CHOICES = {
    "backbone_maps": ("fpn", "c4", "c5", "dc5"),
    "proposals": ("rpn", "given"),
    "backbone": ("resnet18", "resnet34", "resnet50", "resnet101", "efficientnet_lite0", "small"),
    "norm": ("frozen_batch_norm", "group_norm"),
    "fpn_norm": ("none", "group_norm"),
    "roi_operation": ("align", "warp", "pool"),
    "roi_level_rule": ("floor", "round"),
    "mask_targets": ("as_features", "aligned", "unaligned"),
    "mask_paste": ("continuous", "legacy"),
    "mask_rule": ("threshold", "expected_iou"),
}


class Limits(NamedTuple):
    """What a number may be, and how many there should be of it (0: any number, at least one)."""

    least: float
    most: float
    how_many: int = 0
    above: bool = False  # the least itself is too little


#: By pattern of the flat name; the first that fits counts. What has no natural limit has one far beyond all
#: that was ever used: a file of weights can ask for 2**70 convolutions, and building them would never end.
LIMITS = {
    "*_iou": Limits(0, 1),
    "*_fraction": Limits(0, 1),
    "*_threshold": Limits(0, 1),
    "*_crowd_overlap": Limits(0, 1, above=True),
    "*_nms_train": Limits(1, 10**7),
    "*_nms_test": Limits(1, 10**7),
    "*_samples": Limits(1, 10**7),
    "box_max_detections": Limits(1, 10**7),
    "*_width": Limits(1, 2**16),
    "*_widths": Limits(2, 2**16),
    "fpn_channels": Limits(1, 2**16),
    "*_pool": Limits(1, 2**10),
    "keypoint_convolutions": Limits(1, 100),
    "*_convolutions": Limits(0, 100),
    "*_blocks": Limits(1, 100),
    "keypoint_count": Limits(1, 10**5),
    "num_classes": Limits(2, 10**6),
    "m??_size": Limits(1, 2**16),
    "size_divisor": Limits(1, 2**16),
    "frozen_stages": Limits(0, 5),
    "norm_eps": Limits(0, 1),
    "image_mean": Limits(-1e6, 1e6, how_many=3),
    "image_std": Limits(1e-6, 1e6, how_many=3),
    "*box_weights": Limits(0, 1e6, how_many=4, above=True),
    "*_beta": Limits(0, 1e6),
    "*_min_side": Limits(0, 1e6),
    "anchor_sizes": Limits(0, 1e6, above=True),
    "anchor_ratios": Limits(0, 1e6, above=True),
    "roi_canonical_size": Limits(0, 1e6, above=True),
    "roi_sampling": Limits(0, 10**3),
}


def check(config: Config) -> None:
    """Refuse a configuration that no detector can be built from.

    Raises:
        InputError: names the field, its value and what it should be.
    """
    for name, allowed in CHOICES.items():
        if config[name] not in allowed:
            refuse(name, config[name], f"one of {', '.join(allowed)}")
    for name, value in config.flat().items():
        limits = _limits_of(name)
        if limits is not None:
            _check_range(name, value, limits)
    if config.categories and len(config.categories) != config.num_classes - 1:
        refuse("categories", config.categories, f"{config.num_classes - 1} pairs (id, name)")
    _check_backbone(config)
    _check_anchors(config)
    _check_masks(config)
    if config.backbone.maps != "fpn":
        _check_single_map(config)


@cache
def _limits_of(name: str) -> Limits | None:
    return next((limits for pattern, limits in LIMITS.items() if fnmatch(name, pattern)), None)


def _check_range(name: str, value: Any, limits: Limits) -> None:
    """Check one number, or all numbers in a tuple, nested tuples too."""
    least, most, count, above = limits
    numbers = _flat(value)
    if not numbers or (isinstance(value, tuple) and () in value):
        refuse(name, value, f"{count or 'one or more'} numbers")
    if count and len(numbers) != count:
        refuse(name, value, f"{count} numbers")
    if not all(least <= number <= most and (number > least or not above) for number in numbers):
        low = f"more than {least:g}" if above else f"at least {least:g}"
        between = (least, most) == (0, 1) and not above
        refuse(name, value, "between 0 and 1" if between else f"{low}, and at most {most:g}")


def _flat(value: Any) -> list[float]:
    return [n for part in value for n in _flat(part)] if isinstance(value, tuple) else [value]


def _check_backbone(config: Config) -> None:
    backbone = config.backbone
    if backbone.stride_in_1x1 and backbone.name not in ("resnet50", "resnet101"):
        refuse("stride_in_1x1", True, f"False, {backbone.name} has no bottlenecks")
    if len(backbone.small_widths) != len(backbone.small_blocks):
        refuse("small_blocks", backbone.small_blocks, "as long as small_widths")
    if backbone.maps != "dc5" and backbone.dilated_first:
        refuse("dilated_first", True, "False, only 'dc5' is dilated")


def _check_anchors(config: Config) -> None:
    anchors, backbone = config.anchors, config.backbone
    if anchors.cell_rounded and (anchors.rounded or anchors.integer_strides):
        refuse(
            "anchors_cell_rounded",
            True,
            "without anchors_rounded and anchor_integer_strides, which round otherwise",
        )
    stages = len(backbone.small_widths) if backbone.name == "small" else 4
    pyramid = backbone.maps == "fpn"
    levels = stages + config.fpn.extra_level if pyramid else 1
    if len(anchors.sizes) != levels:
        wanted = f"sizes for each of {levels} pyramid levels" if pyramid else "sizes for one map"
        wanted += f", such as {tuple((16 * 2**level,) for level in range(levels))}"
        refuse("anchor_sizes", anchors.sizes, wanted)
    if len({len(sizes) for sizes in anchors.sizes}) > 1:
        refuse("anchor_sizes", anchors.sizes, "as many on every level, which share a head")


def _check_masks(config: Config) -> None:
    chosen, default = config.mask, type(config)().mask.threshold
    if chosen.rule == "expected_iou" and chosen.threshold != default:
        wanted = f"left at {default} with mask_rule expected_iou, which finds one for each mask"
        refuse("mask_threshold", chosen.threshold, wanted)


def _check_single_map(config: Config) -> None:
    """Fields of a pyramid, or of heads without a trunk, must be left alone where there is none."""
    maps, default = config.backbone.maps, type(config)()
    if not config.backbone.name.startswith("resnet"):
        refuse("backbone_maps", maps, f"'fpn' with {config.backbone.name}, which is no ResNet")
    idle = ("fpn_", "roi_canonical_", "roi_level_", *(["box_width"] if maps == "c4" else []))
    for name in config.flat():
        if name.startswith(idle) and config[name] != default[name]:
            why = "the heads have a trunk" if name == "box_width" else "there is no pyramid"
            refuse(name, config[name], f"left at {default[name]!r}: with {maps!r} {why}")
    if maps == "c4" and config.mask.enabled and config.mask.pool != config.box.pool:
        refuse("mask_pool", config.mask.pool, f"box_pool, {config.box.pool}: they share a trunk")
