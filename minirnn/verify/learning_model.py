"""The demo's network twice, in torchvision and here: the same layers, first weights and conventions.

torchvision has no small backbone, so it is put together from torch's layers under the names that ours
has; everything after it is torchvision's own code. Where the two differ in conventions (rounded
anchors, RoIAlign without the half pixel, masks pasted at whole pixels), ours takes torchvision's,
each of which is a field of the configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minirnn.models import RCNN, Config, build_model
from minirnn.verify.torchvision_cpu import import_torchvision
from minirnn.verify.torchvision_model import copy_weights

#: The fields in which the demo's network differs from torchvision's conventions.
CONVENTIONS: dict[str, Any] = {
    "anchors_rounded": True,
    "anchor_offset": 0.0,
    "anchor_integer_strides": True,
    "roi_aligned": False,
    "mask_paste": "legacy",
}


def build_learning_pair(
    seed: int = 0, preset: str = "maskrcnn_shapes", **overrides: Any
) -> tuple[Any, RCNN]:
    """torchvision's Mask or Keypoint R-CNN with the demo's layers, and ours with the same first weights.

    Args:
        seed: of the first weights, which are ours.
        preset: the demo's network, "maskrcnn_shapes" or "keypointrcnn_shapes".
        **overrides: fields of the configuration, for both.

    Returns:
        The torch module, in training mode, and the model.

    Raises:
        ImportError: torch or torchvision is not installed.
    """
    model = build_model(preset, seed=seed, **{**CONVENTIONS, **overrides})
    reference = _torchvision_network(model.config)
    copy_weights_into(reference, model)
    return reference.train(), model


def copy_weights_into(reference: Any, model: RCNN) -> None:
    """Put our weights into a torch module and back, which fails if either lacks one of the names."""
    import torch

    state = {name: torch.from_numpy(array.copy()) for name, array in model.state_dict().items()}
    reference.load_state_dict(state)  # strict: raises at a name that only one of them has
    copy_weights(reference, model)


def _torchvision_network(config: Config) -> Any:
    torchvision = import_torchvision()
    import torch
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.rpn import RPNHead

    levels = [str(k) for k in range(len(config.backbone.small_widths))]

    def roi_align(side: int) -> Any:
        return torchvision.ops.MultiScaleRoIAlign(
            levels,
            output_size=side,
            sampling_ratio=config.roi.sampling,
            canonical_scale=int(config.roi.canonical_size),
            canonical_level=config.roi.canonical_level,
        )

    channels = config.fpn.channels
    # The first weights are thrown away: they should not move the caller's random numbers.
    with torch.random.fork_rng(devices=[]):
        anchors = AnchorGenerator(
            config.anchors.sizes, (config.anchors.ratios,) * len(config.anchors.sizes)
        )
        network, further_head = _network_and_head(config, roi_align)
        return network(
            _backbone(config),
            min_size=config.transform.min_size[-1],
            max_size=config.transform.max_size,
            image_mean=list(config.transform.image_mean),
            image_std=list(config.transform.image_std),
            size_divisible=config.transform.size_divisor,
            rpn_anchor_generator=anchors,
            rpn_head=RPNHead(
                channels, anchors.num_anchors_per_location()[0], config.rpn.convolutions
            ),
            rpn_pre_nms_top_n_train=config.rpn.pre_nms_train,
            rpn_pre_nms_top_n_test=config.rpn.pre_nms_test,
            rpn_post_nms_top_n_train=config.rpn.post_nms_train,
            rpn_post_nms_top_n_test=config.rpn.post_nms_test,
            rpn_nms_thresh=config.rpn.nms_iou,
            rpn_fg_iou_thresh=config.rpn.foreground_iou,
            rpn_bg_iou_thresh=config.rpn.background_iou,
            rpn_batch_size_per_image=config.rpn.samples,
            rpn_positive_fraction=config.rpn.positive_fraction,
            rpn_score_thresh=config.rpn.score_threshold,
            box_roi_pool=roi_align(config.box.pool),
            box_head=TwoMLPHead(channels * config.box.pool**2, config.box.width),
            box_predictor=FastRCNNPredictor(config.box.width, config.num_classes),
            box_score_thresh=config.box.score_threshold,
            box_nms_thresh=config.box.nms_iou,
            box_detections_per_img=config.box.max_detections,
            box_fg_iou_thresh=config.roi.foreground_iou,
            box_bg_iou_thresh=config.roi.foreground_iou,
            box_batch_size_per_image=config.roi.samples,
            box_positive_fraction=config.roi.positive_fraction,
            **further_head,
        )


def _network_and_head(config: Config, roi_align: Callable[[int], Any]) -> tuple[Any, dict]:
    """torchvision's class with the head beside the box head, and that head."""
    from torchvision.models.detection.keypoint_rcnn import (
        KeypointRCNN,
        KeypointRCNNHeads,
        KeypointRCNNPredictor,
    )
    from torchvision.models.detection.mask_rcnn import MaskRCNN, MaskRCNNHeads, MaskRCNNPredictor

    channels, mask, keypoint = config.fpn.channels, config.mask, config.keypoint
    if keypoint.enabled:
        return KeypointRCNN, {
            "keypoint_roi_pool": roi_align(keypoint.pool),
            "keypoint_head": KeypointRCNNHeads(channels, (keypoint.width,) * keypoint.convolutions),
            "keypoint_predictor": KeypointRCNNPredictor(keypoint.width, keypoint.count),
        }
    return MaskRCNN, {
        "mask_roi_pool": roi_align(mask.pool),
        "mask_head": MaskRCNNHeads(channels, (mask.width,) * mask.convolutions, 1),
        "mask_predictor": MaskRCNNPredictor(mask.width, mask.width, config.num_classes),
    }


def _backbone(config: Config) -> Any:
    """The small backbone with its pyramid, as a torch module."""
    import torch
    from torch import nn
    from torchvision.ops import FeaturePyramidNetwork

    def norm(channels: int) -> Any:
        return nn.GroupNorm(min(32, channels // 4), channels, eps=config.backbone.norm_eps)

    class Block(nn.Module):
        def __init__(self, inputs: int, width: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
            self.bn1 = norm(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.bn2 = norm(width)
            same = stride == 1 and inputs == width
            self.downsample = (
                None
                if same
                else nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), norm(width))
            )

        def forward(self, x: Any) -> Any:
            y = torch.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            return torch.relu(y + (x if self.downsample is None else self.downsample(x)))

    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            inputs = config.backbone.small_widths[0] // 2
            self.conv1 = nn.Conv2d(3, inputs, 3, 2, 1, bias=False)
            self.bn1 = norm(inputs)
            self.stages = len(config.backbone.small_widths)
            for stage, (width, count) in enumerate(
                zip(config.backbone.small_widths, config.backbone.small_blocks, strict=True)
            ):
                blocks = []
                for index in range(count):
                    blocks.append(Block(inputs, width, 2 if index == 0 else 1))
                    inputs = width
                setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))

        def forward(self, x: Any) -> dict[str, Any]:
            x = torch.relu(self.bn1(self.conv1(x)))
            maps = {}
            for stage in range(self.stages):
                x = getattr(self, f"layer{stage + 1}")(x)
                maps[str(stage)] = x
            return maps

    class Backbone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = Body()
            self.fpn = FeaturePyramidNetwork(
                list(config.backbone.small_widths), config.fpn.channels
            )
            self.out_channels = config.fpn.channels

        def forward(self, x: Any) -> Any:
            return self.fpn(self.body(x))

    return Backbone()
