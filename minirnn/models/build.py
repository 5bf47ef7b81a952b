"""Putting a detector together: here, and only here, the configuration is read.

Each number goes into the object that uses it, and from then on nobody hands it on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.anchors import AnchorGenerator
from minirnn.backbones.efficientnet_lite import EfficientNetLite0
from minirnn.backbones.fpn import BackboneWithFPN
from minirnn.backbones.resnet import ResNet, make_norm, resnet_stage, stage_channels
from minirnn.backbones.single import SingleMap
from minirnn.backbones.small import SmallBackbone
from minirnn.boxes import BoxCoder
from minirnn.heads.box import BoxHead, BoxPredictor, TwoLayerHead
from minirnn.heads.head import Head
from minirnn.heads.keypoint import KeypointConvolutions, KeypointHead, KeypointPredictor
from minirnn.heads.mask import MaskConvolutions, MaskHead, MaskPredictor
from minirnn.heads.regions import RegionSampler
from minirnn.heads.trunk import AveragePool, TrunkPooler
from minirnn.matching import Matcher, Sampler
from minirnn.models.config import Config
from minirnn.models.presets import preset_named
from minirnn.models.rcnn import RCNN
from minirnn.nn import Module, Sequential
from minirnn.proposals.given import GivenProposals
from minirnn.proposals.rpn import RegionProposalNetwork, RPNHead, Selection
from minirnn.roi.pooler import RoIPooler
from minirnn.transform import Transform

Rng = np.random.Generator
Features = BackboneWithFPN | SingleMap


def build_model(name: str = "maskrcnn_resnet50_fpn", *, seed: int = 0, **overrides: Any) -> RCNN:
    """A detector by the name of a preset, with any field of `Config` overridden by name.

    Args:
        name: a key of `PRESETS`.
        seed: of the initial weights.
        **overrides: fields of `Config`, by flat name or by section.

    Raises:
        InputError: there is no such preset or field, or a value does not fit.
    """
    return detector(preset_named(name).replace(**overrides), np.random.default_rng(seed))


def detector(config: Config, rng: Rng) -> RCNN:
    """The detector that a configuration describes.

    Args:
        config: everything that can be chosen.
        rng: draws the initial weights.

    Raises:
        InputError: a value does not fit; names the field.
    """
    config.check()
    features = backbone(config, rng)
    proposer: Any
    if config.proposals == "given":
        proposer = GivenProposals(min_side=config.rpn.min_side)
    else:
        proposer = region_proposal_network(config, features, rng)
    shared = trunk(config, rng) if config.backbone.maps == "c4" else None
    heads = [box_head(config, features, rng, shared)]
    if config.mask.enabled:
        heads.append(mask_head(config, features, rng, shared))
    if config.keypoint.enabled:
        heads.append(keypoint_head(config, features, rng))
    model = RCNN(transform(config), features, proposer, region_sampler(config), heads)
    if shared is not None:
        model.roi_heads.res5 = shared  # a part of the heads, saved once
    model.config, model.builder, model.facts = config, detector, facts(config)
    return model


def finds(config: Config) -> tuple[str, ...]:
    """What the detector of a configuration says of an object, without building it: `RCNN.finds`."""
    masks, keypoints = config.mask.enabled, config.keypoint.enabled
    return ("boxes", *(["masks"] if masks else []), *(["keypoints"] if keypoints else []))


def facts(config: Config) -> dict[str, Any]:
    """What there is to say of the detector in a report, by name."""
    c = config.backbone
    maps = f"FPN of {config.fpn.channels} channels" if c.maps == "fpn" else c.maps.upper()
    return {
        "backbone": f"{c.name}, {maps}",
        "normalisation": c.norm,
        "RoI operation": config.roi.operation,
        "mask head": config.mask.enabled,
        "keypoint head": config.keypoint.enabled and f"{config.keypoint.count} points",
    }


def in_words(config: Config) -> str:
    """The detector in one line: "Mask R-CNN with resnet50 and FPN, 91 classes with background"."""
    extra = [name for name in ("Mask", "Keypoint") if f"{name.lower()}s" in finds(config)]
    kind = " and ".join(extra) or ("Fast" if config.proposals == "given" else "Faster")
    return (
        f"{kind} R-CNN with {config.backbone.name} and {config.backbone.maps.upper()}, "
        f"{config.num_classes} classes with background"
        + (f", {config.keypoint.count} keypoints" if config.keypoint.enabled else "")
    )


def transform(config: Config) -> Transform:
    """From photographs to the network's input."""
    c = config.transform
    return Transform(
        min_sizes=c.min_size,
        max_size=c.max_size,
        mean=c.image_mean,
        std=c.image_std,
        divisor=c.size_divisor,
        bgr=c.bgr,
        # GroupNorm looks at the whole canvas, and would see the padding beside a smaller image.
        same_size_only="group_norm" in (config.backbone.norm, config.fpn.norm),
    )


def backbone(config: Config, rng: Rng) -> Features:
    """The maps that everything else reads."""
    c = config.backbone
    body: Any
    if c.name == "small":
        body = SmallBackbone(
            widths=c.small_widths,
            blocks=c.small_blocks,
            norm=c.norm,
            eps=c.norm_eps,
            frozen_stages=c.frozen_stages,
            rng=rng,
        )
    elif c.name == "efficientnet_lite0":
        body = EfficientNetLite0(
            norm=c.norm, eps=c.norm_eps, frozen_stages=c.frozen_stages, rng=rng
        )
    else:
        body = ResNet(
            int(c.name.removeprefix("resnet")),
            norm=c.norm,
            eps=c.norm_eps,
            frozen_stages=c.frozen_stages,
            stride_in_1x1=c.stride_in_1x1,
            last="C4" if c.maps == "c4" else "C5",
            dilated=c.maps == "dc5",
            dilated_first=c.dilated_first,
            rng=rng,
        )
    if c.maps != "fpn":
        return SingleMap(body)
    fpn = config.fpn
    norm = None if fpn.norm == "none" else make_norm(fpn.norm)
    return BackboneWithFPN(body, fpn.channels, extra_level=fpn.extra_level, norm=norm, rng=rng)


def anchor_generator(config: Config) -> AnchorGenerator:
    """The boxes that the region proposal network starts from."""
    c = config.anchors
    return AnchorGenerator(
        c.sizes,
        c.ratios,
        rounded=c.rounded,
        cell_rounded=c.cell_rounded,
        offset=c.offset,
        integer_strides=c.integer_strides,
    )


def region_proposal_network(config: Config, features: Features, rng: Rng) -> RegionProposalNetwork:
    """Where something might be."""
    c, anchors = config.rpn, anchor_generator(config)
    common = {"nms_iou": c.nms_iou, "min_side": c.min_side, "score_threshold": c.score_threshold}
    channels = next(iter(features.channels.values()))
    return RegionProposalNetwork(
        RPNHead(channels, anchors.per_place, convolutions=c.convolutions, rng=rng),
        anchors,
        Matcher(c.background_iou, c.foreground_iou, force=True, crowd_overlap=c.crowd_overlap),
        Sampler(c.samples, c.positive_fraction),
        training=Selection(c.pre_nms_train, c.post_nms_train, **common),
        inference=Selection(c.pre_nms_test, c.post_nms_test, **common),
        coder=BoxCoder(c.box_weights),
        beta=c.beta,
        drop_outside=c.drop_outside,
    )


def region_sampler(config: Config) -> RegionSampler:
    """Which proposals the heads learn from."""
    c = config.roi
    return RegionSampler(c.samples, c.positive_fraction, c.foreground_iou, c.crowd_overlap)


def trunk(config: Config, rng: Rng) -> Sequential:
    """ResNet's last stage as a part of the heads: (R, C4's channels, S, S) → (R, C5's, S / 2, S / 2)."""
    c = config.backbone
    stage = resnet_stage(
        int(c.name.removeprefix("resnet")),
        5,
        norm=make_norm(c.norm, c.norm_eps),
        stride_in_1x1=c.stride_in_1x1,
        rng=rng,
    )
    if c.frozen_stages == 5:
        stage.freeze()
    return stage


def head_channels(config: Config, features: Features) -> int:
    """Channels of what the heads are given."""
    if config.backbone.maps == "c4":
        return stage_channels(int(config.backbone.name.removeprefix("resnet")), 5)
    return features.channels[features.region_levels[0]]


def pooler(
    config: Config, features: Features, size: int, reader: str, shared: Module | None = None
) -> RoIPooler | TrunkPooler:
    """What a head, the `reader`, sees of a region; behind the trunk if there is one."""
    c = config.roi
    plain = RoIPooler(
        c.operation,
        size,
        {name: features.strides[name] for name in features.region_levels},
        reader=reader,
        sampling_ratio=c.sampling,
        aligned=c.aligned,
        canonical_size=c.canonical_size,
        canonical_level=c.canonical_level,
        eps=c.level_eps,
        rule=c.level_rule,
    )
    return plain if shared is None else TrunkPooler(plain, shared, reader)


def box_head(config: Config, features: Features, rng: Rng, shared: Module | None = None) -> Head:
    """What is in a region, and where it ends."""
    c, last = config.box, config.background_last
    channels = head_channels(config, features)
    # Behind a trunk there is nothing left to do but to average.
    width = c.width if shared is None else channels
    network = (
        TwoLayerHead(channels * c.pool**2, width, rng=rng) if shared is None else AveragePool()
    )
    return BoxHead(
        pooler(config, features, c.pool, "box", shared),
        network,
        BoxPredictor(width, config.num_classes, background_last=last, rng=rng),
        num_classes=config.num_classes,
        background_last=last,
        coder=BoxCoder(c.weights),
        beta=c.beta,
        score_threshold=c.score_threshold,
        nms_iou=c.nms_iou,
        max_detections=c.max_detections,
        min_side=c.min_side,
    )


def mask_head(config: Config, features: Features, rng: Rng, shared: Module | None = None) -> Head:
    """Which pixels of a region are the object."""
    c, last = config.mask, config.background_last
    channels = head_channels(config, features)
    return MaskHead(
        pooler(config, features, c.pool, "mask", shared),
        MaskConvolutions(channels, c.width, c.convolutions, rng=rng),
        MaskPredictor(
            c.width if c.convolutions else channels,
            c.width,
            config.num_classes,
            background_last=last,
            rng=rng,
        ),
        background_last=last,
        aligned={"aligned": True, "unaligned": False}.get(c.targets, config.roi.aligned),
        paste_mode=c.paste,
        rule=c.rule,
        threshold=c.threshold,
    )


def keypoint_head(config: Config, features: Features, rng: Rng) -> Head:
    """Where in a region the keypoints are."""
    c = config.keypoint
    channels = features.channels[features.region_levels[0]]
    return KeypointHead(
        pooler(config, features, c.pool, "keypoint"),
        KeypointConvolutions(channels, c.width, c.convolutions, rng=rng),
        KeypointPredictor(c.width, c.count, rng=rng),
        count=c.count,
    )
