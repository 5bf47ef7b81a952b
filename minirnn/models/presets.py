"""The named models: a configuration for each, with a comment where a value needs a reason."""

from __future__ import annotations

from minirnn.errors import InputError
from minirnn.fields import suggestion
from minirnn.models.config import Config

_TORCHVISION = Config().replace(norm_eps=0.0)

# What the other libraries agree on, and torchvision does otherwise: 80 classes, a network that takes
# 0…255 minus the mean, stride in the 1×1, true strides between anchors.
_OTHERS = Config().replace(
    stride_in_1x1=True,
    frozen_stages=2,
    num_classes=81,
    image_std=(1 / 255, 1 / 255, 1 / 255),
    anchors_rounded=False,
    anchor_integer_strides=False,
    rpn_min_side=0.0,
)

# Detectron2's, without a pyramid: all anchors stand on one map of stride 16, and many more of them go
# into the suppression. Its canvas is no larger than the largest picture.
_DETECTRON2_SINGLE = _OTHERS.replace(
    background_last=True,
    image_mean=(103.53 / 255, 116.28 / 255, 123.675 / 255),
    bgr=True,
    min_size=(640, 672, 704, 736, 768, 800),
    size_divisor=1,
    backbone_maps="c5",
    anchor_sizes=((32, 64, 128, 256, 512),),
    rpn_pre_nms_train=12000,
    rpn_pre_nms_test=6000,
    rpn_beta=0.0,
    roi_sampling=0,
    roi_aligned=True,
    box_beta=0.0,
    mask_paste="continuous",
)
_C4 = _DETECTRON2_SINGLE.replace(backbone_maps="c4", box_pool=14, mask_pool=14, mask_convolutions=0)
_DC5 = _DETECTRON2_SINGLE.replace(backbone_maps="dc5", dilated_first=True)

# Photographs on a laptop, from scratch: the small backbone with one more stage.
_LAPTOP = Config().replace(
    backbone="small",
    norm="group_norm",
    small_widths=(64, 128, 256, 256),
    small_blocks=(1, 1, 1, 1),
    fpn_channels=64,
    num_classes=81,
    min_size=(640,),
    max_size=1066,
    anchor_sizes=((16,), (32,), (64,), (128,), (256,)),
    anchors_rounded=False,
    anchor_offset=0.5,
    anchor_integer_strides=False,
    rpn_pre_nms_train=500,
    rpn_pre_nms_test=1000,
    rpn_post_nms_train=300,
    # Nothing is learned about crowd regions, so that they fill with detections that count for
    # nothing. There must be room beside them.
    rpn_post_nms_test=1000,
    roi_aligned=True,
    roi_canonical_size=128.0,
    roi_samples=128,
    box_width=256,
    box_max_detections=300,
    # Masks are what this network learns last; with 64 channels it takes much longer over them.
    mask_width=256,
    mask_convolutions=2,
    mask_paste="continuous",
)

# A backbone that knows photographs (`--weights imagenet`): stem and C2 stay as they are.
_LITE0 = _LAPTOP.replace(
    transform={"image_mean": (127 / 255,) * 3, "image_std": (128 / 255,) * 3},
    backbone={
        "name": "efficientnet_lite0",
        "norm": "frozen_batch_norm",
        "norm_eps": 1e-3,
        "frozen_stages": 2,
    },
    # This backbone's maps are as its projections leave them, of any size: without a normalisation
    # above them the first mask losses were 8 to 28.
    fpn={"channels": 128, "norm": "group_norm"},
)

#: The named models. torchvision's names mean torchvision's conventions.
PRESETS: dict[str, Config] = {
    "maskrcnn_resnet50_fpn": _TORCHVISION,
    "maskrcnn_resnet101_fpn": _TORCHVISION.replace(backbone="resnet101"),
    "maskrcnn_resnet34_fpn": _TORCHVISION.replace(backbone="resnet34"),
    "maskrcnn_resnet18_fpn": _TORCHVISION.replace(backbone="resnet18"),
    "fasterrcnn_resnet50_fpn": _TORCHVISION.replace(mask=False),
    "fastrcnn_resnet50_fpn": _TORCHVISION.replace(mask=False, proposals="given"),
    # People with COCO's 17 keypoints; `mask=True` adds the mask head (table 5 of the paper).
    "keypointrcnn_resnet50_fpn": _TORCHVISION.replace(
        num_classes=2,
        mask=False,
        keypoint=True,
        min_size=(640, 672, 704, 736, 768, 800),
    ),
    # The conventions of other libraries; docs/conventions.md names what is theirs and not here.
    "maskrcnn_resnet50_fpn_detectron2": _OTHERS.replace(
        background_last=True,
        image_mean=(103.53 / 255, 116.28 / 255, 123.675 / 255),
        bgr=True,
        min_size=(640, 672, 704, 736, 768, 800),
        rpn_post_nms_train=1000,
        rpn_beta=0.0,
        roi_sampling=0,
        roi_aligned=True,
        roi_level_eps=1e-8,
        box_beta=0.0,
        mask_paste="continuous",
    ),
    "maskrcnn_resnet50_c4": _C4,
    "maskrcnn_resnet101_c4": _C4.replace(backbone="resnet101"),
    "maskrcnn_resnet50_dc5": _DC5,
    "maskrcnn_resnet101_dc5": _DC5.replace(backbone="resnet101"),
    "maskrcnn_resnet50_fpn_chainercv": _OTHERS.replace(
        norm_eps=2e-5,
        image_mean=(123.15163084 / 255, 115.90288257 / 255, 103.0626238 / 255),
        anchors_cell_rounded=True,
        anchor_offset=0.5,
        rpn_positive_fraction=0.25,
        rpn_drop_outside=True,
        box_beta=1.0,
        # Its RoIAlign lacks the half-pixel shift; its mask targets and its pasting have it.
        mask_targets="aligned",
        mask_paste="continuous",
    ),
    "maskrcnn_resnet101_fpn_matterport": _OTHERS.replace(
        backbone="resnet101",
        norm_eps=1e-3,
        frozen_stages=0,
        image_mean=(123.7 / 255, 116.8 / 255, 103.9 / 255),
        max_size=1024,
        size_divisor=1024,
        # Its ratios 0.5, 1, 2 are width / height.
        anchor_ratios=(2.0, 1.0, 0.5),
        rpn_box_weights=(10.0, 10.0, 5.0, 5.0),
        rpn_beta=1.0,
        roi_sampling=1,
        roi_aligned=True,
        roi_level_rule="round",
        roi_level_eps=0.0,
        roi_samples=200,
        roi_positive_fraction=0.33,
        box_beta=1.0,
        box_score_threshold=0.7,
        box_nms_iou=0.3,
        mask_paste="continuous",
    ),
    "maskrcnn_small_fpn": _LAPTOP,
    "maskrcnn_efficientnet_lite0_fpn": _LITE0,
    # From fifty photographs, on a laptop. How it is trained goes with it: `minirnn.training.recipes`.
    "maskrcnn_few_photographs": _LITE0.replace(
        # Half of the objects of small photographs would be too small to be found at 320.
        min_size=(416,),
        max_size=693,
        # Its normalisation stays frozen. With two stages frozen too it was no better, with all worse.
        frozen_stages=0,
        # Few objects: among 128 regions of an image nearly all would be background.
        roi_samples=64,
        # It is unsure of people whom it has not seen: with one half, its masks are too small.
        mask_rule="expected_iou",
    ),
    # 128-pixel pictures of textured shapes, on a laptop: what a texture is, this backbone knows already.
    "maskrcnn_textured_shapes": _LITE0.replace(
        min_size=(128,),
        max_size=256,
        rpn_pre_nms_test=300,
        rpn_post_nms_test=100,
        roi_samples=64,
        box_max_detections=100,
        mask_width=128,
    ),
    # 128-pixel pictures of shapes, from scratch, on a laptop.
    "maskrcnn_shapes": Config().replace(
        backbone="small",
        norm="group_norm",
        fpn_channels=64,
        fpn_extra_level=False,
        num_classes=4,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.25, 0.25, 0.25),
        min_size=(128,),
        max_size=256,
        size_divisor=16,
        anchor_sizes=((16,), (32,), (64,)),
        anchor_ratios=(0.5, 1.0, 2.0),
        anchors_rounded=False,
        anchor_offset=0.5,
        anchor_integer_strides=False,
        rpn_samples=128,
        rpn_pre_nms_train=300,
        rpn_pre_nms_test=300,
        rpn_post_nms_train=150,
        rpn_post_nms_test=100,
        roi_aligned=True,
        roi_canonical_size=32.0,
        roi_canonical_level=3,
        roi_samples=64,
        box_width=256,
        mask_width=64,
        mask_convolutions=2,
        mask_paste="continuous",
    ),
}
# Stick figures (`minirnn data shapes --level people`): the same network with larger anchors, and points.
PRESETS["keypointrcnn_shapes"] = PRESETS["maskrcnn_shapes"].replace(
    num_classes=2,
    mask=False,
    keypoint=True,
    keypoint_width=64,
    keypoint_convolutions=4,
    anchor_sizes=((24,), (48,), (96,)),
    # Figures up to 128 pixels are read at stride 4. At stride 8, one of 72 pixels covers 9 cells a side, of
    # which the head's 14 × 14 would be interpolated.
    roi_canonical_size=128.0,
    # A quarter of 24, six regions of the same two people, teach as much as the sixteen of 64 samples do, in
    # two thirds of the time.
    roi_samples=24,
)


def preset_named(name: str | None) -> Config:
    """The configuration of a preset.

    Raises:
        InputError: there is none of that name; says which are close, or all.
    """
    if name in PRESETS:
        return PRESETS[name]
    hint = suggestion(str(name), PRESETS) or f"; it should be one of {', '.join(sorted(PRESETS))}"
    raise InputError(f"preset is {name!r}{hint}")
