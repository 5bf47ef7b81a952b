"""Detectors without a pyramid: C4 with a trunk in the heads, C5, and C5 with dilation."""

import numpy as np
import pytest
from test_model import scene

from minirnn.autograd import Tensor, data_of
from minirnn.errors import InputError
from minirnn.models import PRESETS, build_model
from minirnn.nn import Module
from minirnn.training.optimiser import SGD, clip_gradients
from minirnn.weights.names import as_backbone

TINY = {
    "backbone": "resnet18", "stride_in_1x1": False, "frozen_stages": 0, "norm": "group_norm",
    "num_classes": 4, "min_size": (64,), "max_size": 64, "anchor_sizes": ((16, 32),),
    "rpn_pre_nms_train": 60, "rpn_post_nms_train": 20, "rpn_pre_nms_test": 60,
    "rpn_post_nms_test": 10, "roi_samples": 16, "rpn_samples": 32, "box_score_threshold": 0.0,
    "box_max_detections": 5,
}  # fmt: skip
KINDS = {
    "c4": ("maskrcnn_resnet50_c4", {"box_pool": 6, "mask_pool": 6, "mask_width": 16}),
    "dc5": (
        "maskrcnn_resnet50_dc5",
        {"box_width": 32, "mask_width": 16, "mask_convolutions": 1, "mask_pool": 7},
    ),
    "c5": (
        "maskrcnn_resnet50_dc5",
        {
            "backbone_maps": "c5", "dilated_first": False, "box_width": 32, "mask_width": 16,
            "mask_convolutions": 1, "mask_pool": 7,
        },
    ),
}  # fmt: skip


def tiny(kind, **overrides):
    preset, settings = KINDS[kind]
    return build_model(preset, **{**TINY, **settings, **overrides})


def detectron2_c4_shapes():
    """Names and shapes of Detectron2's mask_rcnn_R_50_C4, under ours."""
    shapes = {"backbone.body.conv1.weight": (64, 3, 7, 7)}

    def norm(name, channels):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (channels,)

    norm("backbone.body.bn1", 64)
    inputs = 64
    for number, blocks in enumerate((3, 4, 6, 3)):
        width = 64 * 2**number
        place = f"backbone.body.layer{number + 1}" if number < 3 else "roi_heads.res5"
        for i in range(blocks):
            for part, shape in (
                ("1", (width, inputs, 1, 1)),
                ("2", (width, width, 3, 3)),
                ("3", (4 * width, width, 1, 1)),
            ):
                shapes[f"{place}.{i}.conv{part}.weight"] = shape
                norm(f"{place}.{i}.bn{part}", shape[0])
            if i == 0:
                shapes[f"{place}.{i}.downsample.0.weight"] = (4 * width, inputs, 1, 1)
                norm(f"{place}.{i}.downsample.1", 4 * width)
            inputs = 4 * width
    for name, shape in {
        "rpn.head.conv.0.0": (1024, 1024, 3, 3),
        "rpn.head.cls_logits": (15, 1024, 1, 1),
        "rpn.head.bbox_pred": (60, 1024, 1, 1),
        "roi_heads.box_predictor.cls_score": (81, 2048),
        "roi_heads.box_predictor.bbox_pred": (320, 2048),
        "roi_heads.mask_predictor.conv5_mask": (2048, 256, 2, 2),
        "roi_heads.mask_predictor.mask_fcn_logits": (80, 256, 1, 1),
    }.items():
        shapes[f"{name}.weight"] = shape
        shapes[f"{name}.bias"] = (shape[1] if "conv5_mask" in name else shape[0],)
    return shapes


def test_c4_has_the_parameters_of_detectron2():
    model = build_model("maskrcnn_resnet50_c4")
    ours = {name: tuple(array.shape) for name, array in model.state_dict().items()}
    assert ours == detectron2_c4_shapes()
    c = model.config
    assert c.anchors.sizes == ((32, 64, 128, 256, 512),)
    assert c.anchors.ratios == (0.5, 1.0, 2.0)
    assert (c.rpn.pre_nms_train, c.rpn.pre_nms_test) == (12000, 6000)
    assert (c.rpn.post_nms_train, c.rpn.post_nms_test) == (2000, 1000)
    assert model.backbone.strides == {"C4": 16}
    assert model.backbone.channels == {"C4": 1024}


@pytest.mark.parametrize(
    ("kind", "depth", "name", "channels", "side"),
    [
        ("c4", 18, "C4", 256, 4), ("c4", 34, "C4", 256, 4), ("c4", 50, "C4", 1024, 4),
        ("dc5", 18, "C5", 512, 4), ("dc5", 50, "C5", 2048, 4), ("c5", 34, "C5", 512, 2),
    ],
)  # fmt: skip
def test_the_one_map(kind, depth, name, channels, side):
    model = tiny(kind, backbone=f"resnet{depth}")
    maps = model.backbone(np.zeros((1, 3, 64, 64), np.float32))
    assert {key: value.shape for key, value in maps.items()} == {name: (1, channels, side, side)}
    assert model.backbone.strides == {name: 64 // side}
    assert model.backbone.channels == {name: channels}


@pytest.mark.parametrize("kind", KINDS)
def test_trains_and_predicts(kind):
    image, target = scene()
    model = tiny(kind)
    optimiser = SGD(model, momentum=0.9, weight_decay=0.0)
    sums = []
    for _ in range(20):
        model.zero_grad()
        losses = model.losses([image], [target], np.random.default_rng(1))
        total = sum(losses.values(), Tensor(np.float32(0)))
        total.backward()
        clip_gradients(model.parameters(), 1.0)
        optimiser.step(0.02)
        sums.append(float(total.data))
    assert np.isfinite(sums).all()
    assert sums[-1] < 0.7 * sums[0]
    (found,) = model.predict([image])
    assert len(found.boxes)
    assert found.masks.shape == (len(found.boxes), 64, 64)
    stages = model.stages(image)
    name = "C4" if kind == "c4" else "C5"
    assert {name, "anchors", "proposals", "class_logits", "mask_logits"} <= set(stages)
    assert ("box_trunk_features" in stages) == (kind == "c4")
    again = tiny(kind, seed=5)
    again.load_state_dict(model.state_dict())
    (same,) = again.predict([image])
    np.testing.assert_array_equal(found.boxes, same.boxes)
    np.testing.assert_array_equal(found.masks, same.masks)


@pytest.mark.parametrize("operation", ["align", "warp", "pool"])
def test_regions_of_one_map(operation):
    model = tiny("dc5", roi_operation=operation)
    pooler = model.roi_heads.heads[0].pooler
    features = {"C5": np.random.default_rng(0).standard_normal((1, 3, 4, 4)).astype(np.float32)}
    boxes = np.array([[0, 0, 64, 64], [3, 5, 21, 60], [40, 40, 44, 44]], np.float32)
    index = np.zeros(3, np.int64)
    alone = pooler.operation(
        features["C5"], boxes, index, output_size=(7, 7), spatial_scale=1 / 16, **pooler.settings
    )
    np.testing.assert_array_equal(data_of(pooler(features, [boxes])), data_of(alone))


class InFloat64(Module):
    """A backbone that is given pictures in float64: operations compute in what they are given."""

    def __init__(self, inner):
        self.inner = inner

    def forward(self, x):
        return self.inner(Tensor(data_of(x).astype(np.float64)))


def test_both_heads_teach_the_trunk():
    """The derivative of the whole loss by the trunk's weights, by central differences."""
    image, target = scene()
    model = tiny("c4").astype(np.float64)
    model.backbone = InFloat64(model.backbone)

    def loss():
        terms = model.losses([image], [target], np.random.default_rng(1))
        return terms, sum(terms.values(), Tensor(np.float64(0)))

    names = [name for name, _ in model.named_parameters() if "res5" in name]
    assert len(names) == len(set(names))
    assert all(n.startswith("roi_heads.res5.") for n in names)
    gradients = {}
    for part in ("all", "mask", "roi_class"):
        model.zero_grad()
        terms, total = loss()
        (total if part == "all" else terms[part]).backward()
        gradients[part] = dict(model.named_parameters())["roi_heads.res5.0.conv1.weight"].grad
    assert np.abs(gradients["mask"]).max() > 0
    assert np.abs(gradients["roi_class"]).max() > 0
    model.zero_grad()
    loss()[1].backward()
    rng = np.random.default_rng(3)
    for name in ("roi_heads.res5.0.conv1.weight", "roi_heads.res5.1.bn2.weight"):
        parameter = dict(model.named_parameters())[name]
        for _ in range(3):
            place = tuple(int(rng.integers(n)) for n in parameter.shape)
            before, step, values = parameter.data[place], 1e-6, []
            for sign in (1, -1):
                parameter.data[place] = before + sign * step
                values.append(float(loss()[1].data))
            parameter.data[place] = before
            numeric = (values[0] - values[1]) / (2 * step)
            assert abs(numeric - parameter.grad[place]) < 1e-6 * max(1, abs(numeric))


@pytest.mark.parametrize(
    ("preset", "overrides", "message"),
    [
        ("maskrcnn_resnet50_c4", {"fpn_channels": 64}, "fpn_channels.*no pyramid"),
        ("maskrcnn_resnet50_dc5", {"roi_level_eps": 0.5}, "roi_level_eps.*no pyramid"),
        ("maskrcnn_resnet50_c4", {"box_width": 64}, "box_width.*trunk"),
        ("maskrcnn_resnet50_c4", {"mask_pool": 7}, "mask_pool.*share"),
        ("maskrcnn_resnet50_c4", {"anchor_sizes": ((8,), (16,))}, "one map"),
        ("maskrcnn_resnet50_c4", {"dilated_first": True}, "dilated_first"),
        ("maskrcnn_resnet50_c4", {"backbone_maps": "c3"}, "backbone_maps"),
        ("maskrcnn_resnet50_c4", {"backbone": "small", "stride_in_1x1": False}, "small"),
    ],
)
def test_refuses(preset, overrides, message):
    with pytest.raises(InputError, match=message):
        PRESETS[preset].replace(**overrides)


def test_a_resnet_gives_its_last_stage_to_the_trunk():
    kept, left = as_backbone(
        {"conv1.weight": 1, "layer4.0.conv1.weight": 2, "fc.bias": 3}, trunk=True
    )
    assert kept == {"backbone.body.conv1.weight": 1, "roi_heads.res5.0.conv1.weight": 2}
    assert left == ["fc.bias"]
