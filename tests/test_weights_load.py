"""Weights into a network, and the network that belongs to weights."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
from safetensors.numpy import save, save_file
from weights_cases import (
    checkpoint,
    constant_checkpoint,
    old_name,
    torchvision_shapes,
)

import minirnn
from minirnn import build_model
from minirnn.backend import to_host
from minirnn.errors import InputError
from minirnn.models import PRESETS
from minirnn.training.checkpoint import save_checkpoint
from minirnn.training.settings import TrainingSettings
from minirnn.weights import (
    COCO_CATEGORIES,
    COCO_NAMES,
    convert,
    describe,
    load_weights,
    model_from,
    read_weights,
    start_from,
)
from minirnn.weights.comparison import OF_CLASSES
from minirnn.weights.names import modern, modern_name
from minirnn.weights.recognise import CONVENTIONS, torchvision_config

MASK_RCNN = torchvision_shapes("maskrcnn_resnet50_fpn")
KEYPOINT_RCNN = torchvision_shapes("keypointrcnn_resnet50_fpn")
RESNET18 = torchvision_shapes("resnet18")
VALUES = {name: np.float32(index / 1000) for index, name in enumerate(MASK_RCNN)}

#: A network of little weight with torchvision's names: everything narrow that can be.
NARROW = {
    "fpn_channels": 4,
    "box_width": 3,
    "mask_width": 2,
    "mask_convolutions": 1,
    "num_classes": 3,
}


def resnet18_detector(seed=0, **overrides):
    return build_model("maskrcnn_resnet18_fpn", seed=seed, **(NARROW | overrides))


@pytest.fixture(scope="module")
def narrow():
    return resnet18_detector(seed=1)


def host(model):
    return {name: to_host(array) for name, array in model.state_dict().items()}


def copies(model):
    return {name: array.copy() for name, array in host(model).items()}


def same_state(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def shapes_of(model):
    return {name: tuple(array.shape) for name, array in model.state_dict().items()}


def without(shapes, *parts):
    return {k: v for k, v in shapes.items() if not any(part in k for part in parts)}


# ------------------------------------------------------------------ names


def test_the_network_has_exactly_torchvisions_names_and_shapes(tmp_path):
    """And a V1 file with the old names, in the old format, lands where it should, whole."""
    path = tmp_path / "maskrcnn.pth"
    path.write_bytes(
        constant_checkpoint({old_name(k): v for k, v in MASK_RCNN.items()}, stream=True)
    )
    assert "rpn.head.conv.weight" in read_weights(path).stored
    model = model_from(path)
    state = host(model)
    assert {name: array.shape for name, array in state.items()} == MASK_RCNN
    for name, array in state.items():
        assert array.dtype == np.float32
        assert (array == VALUES[name]).all(), name
    assert model.backbone.body.bn1.eps == 0.0
    assert model.config.categories[0] == (1, "person")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rpn.head.conv.weight", "rpn.head.conv.0.0.weight"),
        ("backbone.fpn.inner_blocks.3.bias", "backbone.fpn.inner_blocks.3.0.bias"),
        ("backbone.fpn.layer_blocks.0.weight", "backbone.fpn.layer_blocks.0.0.weight"),
        ("roi_heads.mask_head.mask_fcn1.weight", "roi_heads.mask_head.0.0.weight"),
        ("roi_heads.mask_head.mask_fcn4.bias", "roi_heads.mask_head.3.0.bias"),
        ("module.rpn.head.conv.bias", "rpn.head.conv.0.0.bias"),
        (
            "roi_heads.mask_predictor.conv5_mask.weight",
            "roi_heads.mask_predictor.conv5_mask.weight",
        ),
    ],
)
def test_old_names(old, new):
    assert modern_name(old) == new
    assert modern_name(new) == new


def test_all_names_of_torchvision_stay_and_their_old_forms_come_back():
    for name in MASK_RCNN:
        assert modern_name(name) == name
        assert modern_name(old_name(name)) == name
    changed = [name for name in MASK_RCNN if old_name(name) != name]
    assert len(changed) == 2 + 16 + 8


def test_a_parameter_under_two_names_is_refused(tmp_path):
    both = {"rpn.head.conv.weight": np.zeros(1), "rpn.head.conv.0.0.weight": np.ones(1)}
    with pytest.raises(InputError, match="twice"):
        modern(both)
    save_file({k: v.astype(np.float32) for k, v in both.items()}, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=r"x\.safetensors.*twice"):
        read_weights(tmp_path / "x.safetensors")


# ------------------------------------------------------------------ which network, which conventions


def test_coco_checkpoint_brings_torchvisions_conventions():
    config = torchvision_config(MASK_RCNN, trained_norm=False)
    assert config == PRESETS["maskrcnn_resnet50_fpn"].replace(categories=COCO_CATEGORIES)
    assert (config.backbone.norm_eps, config.num_classes, config.backbone.name) == (
        0.0,
        91,
        "resnet50",
    )
    assert config.anchors.rounded
    assert not config.roi.aligned
    assert config.transform.image_mean == (0.485, 0.456, 0.406)
    assert config.transform.image_std == (0.229, 0.224, 0.225)
    assert not config.transform.bgr


def test_eps_of_a_norm_that_was_trained_and_of_other_classes():
    assert torchvision_config(MASK_RCNN, trained_norm=True).backbone.norm_eps == 1e-5
    own = MASK_RCNN | {"roi_heads.box_predictor.cls_score.weight": (5, 1024)}
    config = torchvision_config(own, trained_norm=False)
    assert (config.num_classes, config.backbone.norm_eps, config.categories) == (5, 1e-5, ())
    assert torchvision_config(own, trained_norm=False, norm_eps=0.0).backbone.norm_eps == 0.0


def test_faster_rcnn_has_no_mask_head():
    faster = torchvision_config(without(MASK_RCNN, "mask_"), trained_norm=False)
    assert faster == torchvision_config(MASK_RCNN, trained_norm=False).replace(mask=False)


def test_keypoint_checkpoint_brings_preset_points_and_conventions():
    config = torchvision_config(KEYPOINT_RCNN, trained_norm=False)
    expected = PRESETS["keypointrcnn_resnet50_fpn"].replace(categories=((1, "person"),))
    assert config == expected
    assert (config.keypoint.count, config.keypoint.width, config.keypoint.convolutions) == (
        17,
        512,
        8,
    )
    assert (config.num_classes, config.mask.enabled, config.backbone.norm_eps) == (2, False, 0.0)
    assert torchvision_config(KEYPOINT_RCNN, trained_norm=True) == expected.replace(norm_eps=1e-5)


def test_other_points_and_a_mask_head_beside_them_are_seen():
    own = KEYPOINT_RCNN | {
        "roi_heads.keypoint_predictor.kps_score_lowres.weight": (512, 4, 4, 4),
        "roi_heads.keypoint_predictor.kps_score_lowres.bias": (4,),
    }
    config = torchvision_config(own, trained_norm=False)
    assert config.keypoint.count == 4
    assert config.categories == ()  # four points are no person of COCO's
    assert config.backbone.norm_eps == 1e-5
    mask_head = {k: v for k, v in MASK_RCNN.items() if "mask_" in k}
    both = torchvision_config(KEYPOINT_RCNN | mask_head, trained_norm=False)
    assert (both.mask.enabled, both.keypoint.enabled) == (True, True)


def test_model_from_a_keypoint_checkpoint_in_its_old_names(tmp_path):
    made = build_model(
        "keypointrcnn_resnet50_fpn",
        **{"backbone": "resnet18", "fpn_channels": 4, "box_width": 3},
        **{"keypoint_width": 3, "keypoint_convolutions": 2},
    )
    path = tmp_path / "keypointrcnn.pth"
    path.write_bytes(constant_checkpoint({old_name(k): v for k, v in shapes_of(made).items()}))
    assert "rpn.head.conv.weight" in read_weights(path).stored
    assert describe(path).network == (
        "Keypoint R-CNN with resnet18 and FPN, 2 classes with background, 17 keypoints"
    )
    model = model_from(path)
    assert shapes_of(model) == shapes_of(made)
    assert model.config == made.config.replace(categories=((1, "person"),))
    (found,) = model.predict([np.zeros((64, 64, 3), np.uint8)])
    assert found.keypoints.shape[1:] == (17, 3)


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_depth_and_widths_are_seen(depth):
    made = build_model(f"maskrcnn_resnet{depth}_fpn", **NARROW, rpn_convolutions=2, box_pool=5)
    config = torchvision_config(shapes_of(made), trained_norm=False)
    assert config == made.config.replace(norm_eps=1e-5)


def test_networks_that_cannot_be_built_are_named():
    def refused(shapes, match, **overrides):
        with pytest.raises(InputError, match=match):
            torchvision_config(shapes, trained_norm=False, **overrides)

    refused(MASK_RCNN | {"roi_heads.keypoint_head.0.weight": (512, 256, 3, 3)}, "keypoint")
    refused(MASK_RCNN | {"roi_heads.box_head.0.0.weight": (256, 256, 3, 3)}, "v2")
    refused(without(MASK_RCNN, "layer3.5"), r"\(3, 4, 5, 3\) blocks")
    refused({"a": (1,)}, r"no roi_heads\.box_predictor")
    refused(MASK_RCNN | {"roi_heads.box_head.fc6.weight": (4, 4, 4)}, "2 axes")
    more_anchors = MASK_RCNN | {"rpn.head.cls_logits.weight": (6, 256, 1, 1)}
    refused(more_anchors, "6 anchors.*anchor_sizes")
    sizes = tuple((s, 1.5 * s) for s in (32, 64, 128, 256, 512))
    given = torchvision_config(more_anchors, trained_norm=False, anchor_sizes=sizes)
    assert given.anchors.sizes == sizes


def test_model_from_a_faster_rcnn_of_other_classes_with_counters(tmp_path):
    made = resnet18_detector(mask=False)
    path = tmp_path / "faster.pth"
    path.write_bytes(constant_checkpoint(shapes_of(made), counters=True))
    assert any(name.endswith("num_batches_tracked") for name in read_weights(path).stored)
    model = model_from(path, box_score_threshold=0.5)
    assert shapes_of(model) == shapes_of(made)
    for name in ("backbone", "num_classes", "mask", "fpn_channels", "box_width", "categories"):
        assert model.config[name] == made.config[name]
    assert (model.config.backbone.norm_eps, model.config.box.score_threshold) == (1e-5, 0.5)
    with pytest.raises(InputError, match=r"faster\.pth.*did you mean"):
        model_from(path, box_score_treshold=0.5)


def test_model_from_our_own_checkpoint(tmp_path):
    made = build_model(
        "maskrcnn_shapes", seed=3, fpn_channels=8, categories=((5, "disc"), (7, "box"), (9, "star"))
    )
    path = tmp_path / "own.safetensors"
    optimiser = {"backbone.fpn": np.zeros(3, np.float32)}
    save_checkpoint(path, made.state_dict(), made.config, optimiser_state=optimiser)
    model = model_from(path)
    assert model.config == made.config
    assert same_state(host(model), host(made))
    assert model_from(path, box_score_threshold=0.7).config.box.score_threshold == 0.7
    with pytest.raises(InputError, match=r"own\.safetensors does not fit"):
        model_from(path, fpn_channels=4)


def test_coco_names():
    assert len(COCO_NAMES) == 80
    assert len(COCO_CATEGORIES) == 90
    assert [number for number, _ in COCO_CATEGORIES] == list(range(1, 91))
    unused = [number for number, name in COCO_CATEGORIES if name == "N/A"]
    assert unused == [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]
    assert COCO_NAMES[44] == "bottle"
    assert COCO_NAMES[90] == "toothbrush"


@pytest.mark.coco
def test_coco_names_are_those_of_the_data_set(coco_subset):
    text = (coco_subset / "annotations" / "instances_val2017.json").read_text(encoding="utf-8")
    assert {c["id"]: c["name"] for c in json.loads(text)["categories"]} == COCO_NAMES


# ------------------------------------------------------------------ loading


@pytest.mark.parametrize("stream", [False, True], ids=["zip", "stream"])
def test_pth_into_a_model(stream, tmp_path, narrow):
    path = tmp_path / "net.pth"
    path.write_bytes(checkpoint(host(narrow), stream=stream))
    model = resnet18_detector()
    assert not same_state(host(model), host(narrow))
    assert minirnn.load_weights(model, path) == []
    assert same_state(host(model), host(narrow))


@pytest.mark.parametrize("kind", ["plain", "own"])
def test_safetensors_into_a_model(kind, tmp_path, narrow):
    path = tmp_path / "net.safetensors"
    if kind == "plain":
        save_file(host(narrow), path)
    else:
        save_checkpoint(path, narrow.state_dict(), narrow.config)
    model = resnet18_detector()
    assert load_weights(model, str(path)) == []
    assert same_state(host(model), host(narrow))


def test_weights_come_to_the_device_and_kind_of_the_model(xp, tmp_path, narrow):
    path = tmp_path / "net.safetensors"
    save_file({k: v.astype(np.float16) for k, v in host(narrow).items()}, path)
    model = resnet18_detector().to_library(xp)
    load_weights(model, path)
    for name, array in model.state_dict().items():
        assert array.dtype == np.float32
        assert type(array) is type(xp.zeros(1))
        wanted = host(narrow)[name].astype(np.float16).astype(np.float32)
        assert np.array_equal(to_host(array), wanted)


def test_loaded_weights_are_the_models_own_memory(tmp_path, narrow):
    path = tmp_path / "net.pth"
    path.write_bytes(constant_checkpoint(shapes_of(narrow)))  # all from one row of numbers
    model = resnet18_detector()
    load_weights(model, path)
    for tensor in model.parameters():
        assert tensor.requires_grad
        tensor.data += 1  # training writes into them
    first, second = model.parameters()[:2]
    assert not np.shares_memory(first.data, second.data)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(value, tmp_path, narrow):
    """Else the network would find nothing, and say that with exit code 0."""
    state = host(narrow)
    name = "roi_heads.box_predictor.bbox_pred.bias"
    state[name] = state[name].copy()
    state[name][:2] = value
    path, model = tmp_path / "net.safetensors", resnet18_detector()
    message = rf"net\.safetensors holds weights .*\n  {name}: 2 of {state[name].size} numbers"
    before = host(model)
    for write in (save_file, lambda state, path: save_checkpoint(path, state, narrow.config)):
        write(state, path)
        for strict in (True, False):
            with pytest.raises(InputError, match=message):
                load_weights(model, path, strict=strict)
    with pytest.raises(InputError, match=message):
        model_from(path)
    assert same_state(host(model), before)


def test_coco_weights_bring_the_names_of_the_classes(tmp_path):
    model = resnet18_detector(num_classes=91)
    path = tmp_path / "net.pth"
    path.write_bytes(constant_checkpoint(shapes_of(model)))
    load_weights(model, path)
    assert model.config.category(18) == (18, "dog")


def test_resnet_goes_into_the_backbone(tmp_path):
    path = tmp_path / "resnet18.pth"
    path.write_bytes(constant_checkpoint(RESNET18, counters=True))
    values = {name: np.float32(i / 1000) for i, name in enumerate(RESNET18)}
    model = resnet18_detector()
    before = copies(model)
    left_out = load_weights(model, path)
    assert [line.partition(" (")[0] for line in left_out] == [
        "left out: fc.weight",
        "left out: fc.bias",
    ]
    for name, array in host(model).items():
        if name.startswith("backbone.body."):
            assert (array == values[name.removeprefix("backbone.body.")]).all()
        else:
            assert np.array_equal(array, before[name])
    with pytest.raises(InputError, match=r"resnet18\.pth.*backbone only.*build_model"):
        model_from(path)
    assert describe(path).network == "ResNet-18 for classification"


def test_resnet_of_another_depth_is_refused(tmp_path):
    path = tmp_path / "resnet.pth"
    path.write_bytes(constant_checkpoint(without(RESNET18, "layer4.1")))
    model = resnet18_detector()
    with pytest.raises(InputError, match=r"missing: backbone\.body\.layer4\.1\.conv1\.weight"):
        load_weights(model, path)
    assert "depth that is not known" in describe(path).network


# ------------------------------------------------------------------ what does not fit


def test_everything_that_does_not_fit_is_listed_and_nothing_changed(tmp_path, narrow):
    arrays = host(narrow)
    arrays["backbone.body.conv1.weight"] = np.zeros((64, 3, 3, 3), np.float32)
    arrays["backbone.body.extra.weight"] = np.zeros(1, np.float32)
    arrays["rpn.head.bbox_pred.bias"] = np.zeros(12, np.int64)
    del arrays["roi_heads.box_head.fc7.bias"]
    path = tmp_path / "net.safetensors"
    save_file(arrays, path)
    model = resnet18_detector()
    before = copies(model)
    with pytest.raises(InputError) as caught:
        load_weights(model, path)
    lines = [
        "shape: backbone.body.conv1.weight is (64, 3, 3, 3), the model has (64, 3, 7, 7)",
        "kind: rpn.head.bbox_pred.bias is int64, it should be of floating-point numbers",
        "missing: roi_heads.box_head.fc7.bias",
        "unexpected: backbone.body.extra.weight",
    ]
    assert str(caught.value).startswith(f"{path} does not fit the model:\n  ")
    for line in [*lines, "strict=False"]:
        assert line in str(caught.value)
    assert same_state(host(model), before)
    assert load_weights(model, path, strict=False) == lines
    for name, array in host(model).items():
        untouched = name in str(lines)
        assert np.array_equal(array, (before if untouched else arrays)[name]), name


def test_other_classes_need_strict_false(tmp_path, narrow):
    path = tmp_path / "net.pth"
    path.write_bytes(checkpoint(host(narrow)))
    model = resnet18_detector(num_classes=7)
    before = copies(model)
    with pytest.raises(InputError, match="classes: the file has 3 with background, the model 7"):
        load_weights(model, path)
    assert same_state(host(model), before)
    left_out = load_weights(model, path, strict=False)
    named = {re.sub(r" is .*", "", line.removeprefix("shape: ")) for line in left_out[1:]}
    last_layers = {
        f"roi_heads.{part}.{kind}"
        for part in (
            "box_predictor.cls_score",
            "box_predictor.bbox_pred",
            "mask_predictor.mask_fcn_logits",
        )
        for kind in ("weight", "bias")
    }
    assert named == last_layers
    for name, array in host(model).items():
        assert np.array_equal(array, before[name] if name in last_layers else host(narrow)[name])


def test_a_start_from_coco_says_what_begins_anew(tmp_path, narrow):
    path = tmp_path / "maskrcnn.pth"
    path.write_bytes(constant_checkpoint(shapes_of(resnet18_detector(num_classes=91))))
    model = resnet18_detector(num_classes=2, norm_eps=0.0)
    loaded, left_out, fresh = start_from(model, path)
    layers = "roi_heads.box_predictor.cls_score, roi_heads.box_predictor.bbox_pred, "
    layers += "roi_heads.mask_predictor.mask_fcn_logits"
    total = len(host(model))
    assert loaded == (
        f"loaded: {total - 6} of {total} arrays: backbone.body, backbone.fpn, rpn, "
        "roi_heads.box_head, roi_heads.mask_head, roi_heads.mask_predictor.conv5_mask"
    )
    assert left_out == f"left out: {layers} (91 classes with background there, 2 here)"
    assert fresh == f"starts fresh: {layers}"


@pytest.mark.parametrize("names", [("cup", "plate"), ("ball", "cube")])
def test_a_start_on_as_many_other_categories_begins_anew_with_them(tmp_path, names):
    """The layers that say "cup" would fit those that are to say "ball", by their shapes."""
    path = tmp_path / "own.safetensors"
    old = resnet18_detector(seed=1, num_classes=3, categories=((1, "cup"), (2, "plate")))
    save_checkpoint(path, old.state_dict(), old.config)
    model = resnet18_detector(num_classes=3, categories=((1, names[0]), (2, names[1])))
    before = {name: array.copy() for name, array in host(model).items()}
    _, left_out, fresh = start_from(model, path)  # and no line about conventions
    layers = "roi_heads.box_predictor.cls_score, roi_heads.box_predictor.bbox_pred, "
    layers += "roi_heads.mask_predictor.mask_fcn_logits"
    others = names != ("cup", "plate")
    assert (
        left_out
        == f"left out: {layers + ' (tells other categories apart)' if others else 'nothing'}"
    )
    assert fresh == f"starts fresh: {layers if others else 'nothing'}"
    for name, array in host(model).items():
        kept = others and name.startswith(OF_CLASSES)
        assert np.array_equal(array, before[name] if kept else host(old)[name])


def test_a_start_from_another_network_says_why_little_fits(tmp_path):
    path = tmp_path / "net.pth"
    path.write_bytes(constant_checkpoint(shapes_of(resnet18_detector(mask_width=3))))
    left_out = start_from(resnet18_detector(norm="group_norm"), path)[1]
    assert "roi_heads.mask_head, roi_heads.mask_predictor.conv5_mask" in left_out
    assert "(another shape)" in left_out
    assert "backbone.body (no place in this network)" in left_out  # the running statistics
    assert "classes" not in left_out  # there are as many


def test_frozen_parts_of_the_backbone_that_a_file_does_not_bring_are_refused(tmp_path, narrow):
    """A network with frozen statistics that nobody measured learns nothing, whatever else was loaded."""
    path = tmp_path / "net.safetensors"

    def start(arrays, **fields):
        save_file(arrays, path)
        model = resnet18_detector(**fields)
        before = copies(model)
        try:
            return start_from(model, path)
        except InputError:
            assert same_state(host(model), before)
            raise

    whole = host(narrow)
    heads = without(whole, "backbone.body")
    count = len(whole) - len(heads)
    ways = r"resnet18 and frozen_batch_norm, or --weights imagenet; .*: --set norm=group_norm$"
    with pytest.raises(InputError, match=rf"lacks {count - 20} arrays .*\(norm is 'frozen.*{ways}"):
        start(heads)  # the 20 convolutions could be learned
    without_one = without(whole, "layer4.1.bn2.running_mean")
    with pytest.raises(InputError, match=r"lacks 1 arrays .*layer4\.1\.bn2\.running_mean"):
        start(without_one)
    moved = {"norm": "group_norm", "frozen_stages": 2}
    with pytest.raises(InputError, match=r"\(frozen_stages is 2\).*conv1\.weight.*: --set frozen_"):
        start(without(whole, "layer1.0.conv1.weight"), **moved)
    # Fresh, and trained: stages that are not frozen, convolutions below a frozen normalisation, GroupNorm.
    fresh = start(without(whole, "layer3"), **moved)[2]
    assert re.fullmatch(r"starts fresh: backbone\.body \(15 of 60\)", fresh)
    loaded, _, fresh = start(without(whole, "layer3.0.conv1.weight"))
    assert fresh == f"starts fresh: backbone.body (1 of {count})"
    assert f" arrays: backbone.body ({count - 1} of {count}), backbone.fpn, " in loaded
    assert "starts fresh: backbone.body" in start(heads, norm="group_norm")[2].split(", ")


@pytest.mark.parametrize("kind", ["detector", "classifier"])
def test_another_normalisation_is_named_though_its_arrays_fit(tmp_path, narrow, kind):
    """GroupNorm takes the scale and shift of a batch normalisation, which mean something else there."""
    path = tmp_path / "net.pth"
    shapes = shapes_of(narrow) if kind == "detector" else RESNET18
    path.write_bytes(constant_checkpoint(shapes))
    lines = start_from(resnet18_detector(norm="group_norm"), path)
    said = "convention: norm is 'frozen_batch_norm' for the file, 'group_norm' in the model"
    assert said in lines
    assert said not in start_from(resnet18_detector(), path)
    own = tmp_path / "own.safetensors"
    save_checkpoint(own, narrow.state_dict(), narrow.config)
    assert said in start_from(resnet18_detector(norm="group_norm"), own)


def test_classes_are_named_for_the_layers_alone_that_depend_on_them(tmp_path):
    """A mask head of another width: conv5_mask differs by its inputs, whatever the classes."""
    path = tmp_path / "net.pth"
    wide = resnet18_detector(mask_width=3, num_classes=5, norm_eps=0.0)
    path.write_bytes(constant_checkpoint(shapes_of(wide)))
    left_out = start_from(resnet18_detector(num_classes=4), path)[1]
    assert left_out == (
        "left out: roi_heads.box_predictor.cls_score, roi_heads.box_predictor.bbox_pred, "
        "roi_heads.mask_predictor.mask_fcn_logits (5 classes with background there, 4 here); "
        "roi_heads.mask_head, roi_heads.mask_predictor.conv5_mask, "
        "roi_heads.mask_predictor.mask_fcn_logits (another shape)"
    )


def test_long_lists_are_cut_with_their_count(tmp_path, narrow):
    path = tmp_path / "net.safetensors"
    save_file(without(host(narrow), "layer4"), path)
    with pytest.raises(InputError) as caught:
        load_weights(resnet18_detector(), path)
    missing = [name for name in host(narrow) if "layer4" in name]
    assert str(caught.value).count("missing: ") == 21
    assert f"missing: {len(missing) - 20} more" in str(caught.value)


def test_nothing_in_common_is_an_error_even_if_not_strict(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"embedding.weight": np.zeros((2, 2), np.float32)}, path)
    with pytest.raises(InputError, match="nothing in common"):
        load_weights(resnet18_detector(), path, strict=False)


def conventions_refused(tmp_path, match, counters=False, **overrides):
    """A torchvision file for a model with other conventions: refused, unless asked otherwise."""
    model = resnet18_detector(num_classes=91, **overrides)
    path = tmp_path / "net.pth"
    path.write_bytes(constant_checkpoint(shapes_of(model), counters=counters))
    with pytest.raises(InputError, match=match):
        load_weights(model, path)
    left_out = load_weights(model, path, strict=False)
    assert len(left_out) == 1
    assert left_out[0].startswith("convention: ")
    assert (next(iter(host(model).values())) == 0).all()


def test_trap_13_import_into_other_box_weights_fails_loudly(tmp_path):
    conventions_refused(
        tmp_path, r"convention: box_weights is \(10.0, .*model", box_weights=(1, 1, 1, 1)
    )
    conventions_refused(tmp_path, "rpn_box_weights", rpn_box_weights=(10, 10, 5, 5))


def test_trap_36_import_into_other_conventions_fails_loudly(tmp_path):
    conventions_refused(tmp_path, "bgr is False for the file, True in the model", bgr=True)
    conventions_refused(tmp_path, "image_mean", image_mean=(0.5, 0.5, 0.5))
    conventions_refused(tmp_path, "image_std", image_std=(1, 1, 1))
    conventions_refused(tmp_path, r"norm_eps is 0\.0 for the file, 1e-05", norm_eps=1e-5)
    conventions_refused(tmp_path, r"norm_eps is 1e-05 for the file, 0\.0", counters=True)
    conventions_refused(tmp_path, "roi_aligned", roi_aligned=True)
    conventions_refused(tmp_path, "anchors_rounded", anchors_rounded=False)
    conventions_refused(
        tmp_path,
        r"categories: label 2 is \(2, 'bicycle'\) in the file, \(3, 'car'\)",
        categories=((1, "person"), (3, "car"), (2, "bicycle"), *COCO_CATEGORIES[3:]),
    )


def test_own_checkpoint_into_other_conventions_is_refused(tmp_path, narrow):
    path = tmp_path / "own.safetensors"
    save_checkpoint(path, narrow.state_dict(), narrow.config)
    with pytest.raises(InputError, match="convention: roi_sampling is 2 for the file, 0"):
        load_weights(resnet18_detector(roi_sampling=0), path)
    # What is decided after the network has spoken is free.
    assert load_weights(resnet18_detector(box_score_threshold=0.9), path) == []


def test_eps_of_own_classes_on_a_frozen_norm_is_not_known_and_not_refused(tmp_path, narrow):
    path = tmp_path / "net.pth"
    path.write_bytes(checkpoint(host(narrow)))
    assert load_weights(resnet18_detector(norm_eps=0.0), path) == []
    assert load_weights(resnet18_detector(norm_eps=1e-5), path) == []


def test_conventions_are_fields():
    assert set(CONVENTIONS) <= set(resnet18_detector().config.flat())


# ------------------------------------------------------------------ files that are none


def test_files_that_are_no_weights(tmp_path, narrow):
    whole = save(host(narrow))
    cases = {
        "empty.pth": (b"", "is empty"),
        "page.pth": (b"<!DOCTYPE html><html>404 Not Found</html>", "web page"),
        "lfs.pth": (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n", "git lfs pull"),
        "keras.h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "Keras"),
        "text.txt": (b"hello world, this is a text", "no file of weights"),
        "packed.pth.gz": (b"\x1f\x8b" + bytes(60), "gzip"),
        "labels.json": (b'{"a": 1, "bbbbbbb": 2}', "JSON"),
        "cut.safetensors": (whole[:-1], "cut short"),
        "header.safetensors": (whole[:200], "cut short"),
        "cut.pth": (checkpoint({"a": np.ones(3)})[:-10], "cut short"),
    }
    for name, (content, match) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        for read in (read_weights, describe, model_from, lambda p: load_weights(narrow, p)):
            with pytest.raises(InputError, match=match) as caught:
                read(path)
            assert str(path) in str(caught.value)
    with pytest.raises(InputError, match=r"nowhere\.pth: there is no such file"):
        load_weights(narrow, tmp_path / "nowhere.pth")
    with pytest.raises(InputError, match="is a folder"):
        load_weights(narrow, tmp_path)


def test_a_damaged_checkpoint_of_ours_is_refused(tmp_path, narrow):
    path = tmp_path / "own.safetensors"
    save_checkpoint(path, narrow.state_dict(), narrow.config)
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"own\.safetensors is damaged"):
        load_weights(narrow, path)


def raw_safetensors(dtype, shape, data):
    header = {"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_safetensors_kinds(tmp_path):
    path = tmp_path / "kinds.safetensors"
    path.write_bytes(raw_safetensors("BF16", [2], bytes([0x80, 0x3F, 0x20, 0xC0])))
    file = read_weights(path)
    assert file.stored["a"].tolist() == [1.0, -2.5]
    assert file.stored["a"].dtype == np.float32
    assert file.dtypes == {"a": "bfloat16"}
    path.write_bytes(raw_safetensors("F8_E4M3", [2], bytes(2)))
    with pytest.raises(InputError, match=r"kinds\.safetensors: a is of the kind F8_E4M3"):
        read_weights(path)
    kinds = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]
    arrays = {kind: np.arange(6).reshape(2, 3).astype(kind) for kind in kinds}
    arrays |= {"scalar": np.array(2.5, np.float32), "none": np.zeros((0, 2), np.float32)}
    save_file(arrays, path)
    for name, array in read_weights(path).stored.items():
        assert (array.dtype, array.shape) == (arrays[name].dtype, arrays[name].shape)
        np.testing.assert_array_equal(array, arrays[name])


def with_header_of(length, value=1.5):
    """A safetensors file of one number whose header is exactly so many bytes long."""
    header = {"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode().ljust(length)
    assert len(text) == length
    return length.to_bytes(8, "little") + text + np.array([value], "<f4").tobytes()


@pytest.mark.parametrize("second", [1, 2, 5])
def test_a_header_of_any_length_is_told_from_a_pickle_and_from_a_zip(second, tmp_path):
    """The length is the first thing in the file: 0x80 is also how a pickle begins."""
    path = tmp_path / "weights"
    for first in range(256):
        path.write_bytes(with_header_of(second << 8 | first))
        file = read_weights(path)
        assert file.kind == "safetensors", first
        assert file.stored["w"].tolist() == [1.5]


@pytest.mark.parametrize(
    "start",
    [b"PK", b"PK\x01", b"PK\x02", b"PK\x03\x04", b"\x80\x02}", b"\x80\x04\x95", b"\x80\x05K"],
)
def test_a_header_whose_length_reads_as_another_format(start, tmp_path):
    path = tmp_path / "weights"
    data = with_header_of(int.from_bytes(start, "little"))
    assert data.startswith(start)
    path.write_bytes(data)
    assert read_weights(path).kind == "safetensors"
    for cut in (9, 100, len(data) - 1):  # what is cut short is still called by its right name
        path.write_bytes(data[:cut])
        if start == b"PK\x03\x04" and cut < len(data) - 1:
            continue  # with no whole header it may as well be a zip
        with pytest.raises(InputError, match="safetensors file, or was cut short"):
            read_weights(path)


def test_our_own_checkpoints_of_every_header_length(tmp_path, narrow):
    """The header is padded to a multiple of 8: 32 lengths that a byte can hold, all of them met."""
    path, met = tmp_path / "own.safetensors", set()
    settings = TrainingSettings(steps=1000)
    velocities = {"w": np.ones(2, np.float32)}
    for letters in range(0, 264, 4):
        save_checkpoint(
            path,
            {"w": np.full(2, 3, np.float32)},
            dataclasses.replace(narrow.config, categories=((1, "x" * letters + "y"), (2, "z"))),
            step=4,
            settings=settings,
            optimiser_state=velocities,
            images=8000,
        )
        met.add(path.read_bytes()[0])
        file = read_weights(path)
        assert file.kind == "minirnn checkpoint"
        assert file.stored["w"].tolist() == [3, 3]
    assert met == set(range(0, 256, 8))


# ------------------------------------------------------------------ looking inside, converting


def test_describe_lists_what_is_in_the_file(tmp_path):
    path = tmp_path / "maskrcnn.pth"
    path.write_bytes(constant_checkpoint({old_name(k): v for k, v in MASK_RCNN.items()}))
    found = describe(path)
    assert found.kind == "PyTorch (zip)"
    assert found.network == "Mask R-CNN with resnet50 and FPN, 91 classes with background"
    assert found.config is not None
    assert found.config["norm_eps"] == 0.0
    assert {a.name: a.shape for a in found.arrays} == {old_name(k): v for k, v in MASK_RCNN.items()}
    assert {a.dtype for a in found.arrays} == {"float32"}
    # torchvision documents 44,401,393: without the 53,120 weights and biases of its frozen norms.
    assert found.parameters == 44_401_393 + 53_120
    assert found.numbers == sum(int(np.prod(shape)) for shape in MASK_RCNN.values())
    json.dumps(dataclasses.asdict(found))


def test_describe_says_why_a_network_cannot_be_built(tmp_path):
    path = tmp_path / "part.safetensors"
    save_file({"embedding": np.zeros((2, 3), np.float16)}, path)
    found = describe(path)
    assert (found.config, found.numbers, found.arrays[0].dtype) == (None, 6, "float16")
    assert found.network.startswith("no detector that can be built here (it has no roi_heads")


def test_convert_a_detector_makes_a_checkpoint_that_says_what_it_is(tmp_path):
    made = resnet18_detector(num_classes=91)
    old = {old_name(name): array for name, array in host(made).items()}
    (tmp_path / "net.pth").write_bytes(checkpoint(old, stream=True))
    target = tmp_path / "net.safetensors"
    written = convert(tmp_path / "net.pth", target, box_nms_iou=0.3)
    assert written == describe(target)
    assert written.kind == "minirnn checkpoint"
    model = model_from(target)
    assert same_state(host(model), host(made))
    assert (model.config.backbone.norm_eps, model.config.box.nms_iou) == (0.0, 0.3)
    assert model.config.categories == COCO_CATEGORIES


def test_convert_other_weights_keeps_their_numbers(tmp_path):
    source, target = tmp_path / "resnet18.pth", tmp_path / "resnet18.safetensors"
    source.write_bytes(constant_checkpoint(without(RESNET18, "layer2"), counters=True))
    written = convert(source, target)
    assert written.kind == "safetensors"
    assert [a.name for a in sorted(written.arrays, key=lambda a: a.name)] == sorted(
        without(RESNET18, "layer2")
    )
    stored = read_weights(source).stored
    for name, array in read_weights(target).stored.items():
        np.testing.assert_array_equal(array, stored[name])


def test_convert_overwrites_nothing_unasked(tmp_path):
    source = tmp_path / "part.safetensors"
    save_file({"w": np.ones(2, np.float32)}, source)
    before = source.read_bytes()
    target = tmp_path / "there.safetensors"
    target.write_bytes(b"precious")
    cases = [
        (source, tmp_path / "x.pth", "should end in"),
        (source, tmp_path / "no" / "x.safetensors", "no folder"),
        (source, source, "source itself"),
        (source, target, "there already"),
        (tmp_path / "nowhere.pth", tmp_path / "x.safetensors", "no such file"),
    ]
    for given, wanted, match in cases:
        with pytest.raises(InputError, match=match):
            convert(given, wanted)
    assert target.read_bytes() == b"precious"
    assert source.read_bytes() == before
    with pytest.raises(InputError, match="no roi_heads"):
        convert(source, tmp_path / "x.safetensors", norm_eps=0.0)
    assert not (tmp_path / "x.safetensors").exists()
    convert(source, target, overwrite=True)
    assert read_weights(target).stored["w"].tolist() == [1, 1]
