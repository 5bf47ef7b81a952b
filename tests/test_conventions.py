"""Where libraries differ: each convention has an answer worked out by hand, each preset its own."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_heads import SIZE, _proposals
from test_model import scene
from test_rpn import draw_target

from minirnn import masks as mask_ops
from minirnn import transform
from minirnn.anchors import base_anchors, grid_anchors, pyramid_anchors
from minirnn.autograd import Tensor, no_grad
from minirnn.backbones.resnet import ResNet
from minirnn.backend import to_host
from minirnn.errors import InputError
from minirnn.heads import box, mask
from minirnn.heads import regions as sampling
from minirnn.heads.head import Found
from minirnn.models import PRESETS, Config, build, build_model
from minirnn.models.conventions import CONVENTIONS, conventions_table, with_table
from minirnn.ops.roi_align import roi_align
from minirnn.roi.levels import assign_levels
from minirnn.textbook import anchors as textbook_anchors
from minirnn.textbook import heads as textbook_heads
from minirnn.textbook import levels as textbook_levels
from minirnn.training.checkpoint import restore_checkpoint, save_checkpoint
from minirnn.weights import load_weights, recognise

TORCHVISION = "maskrcnn_resnet50_fpn"
DETECTRON2 = "maskrcnn_resnet50_fpn_detectron2"
CHAINERCV = "maskrcnn_resnet50_fpn_chainercv"
MATTERPORT = "maskrcnn_resnet101_fpn_matterport"

#: What makes any of the presets small, and leaves its conventions alone (but for the stride).
SMALL = {
    "backbone": "small", "norm": "group_norm", "frozen_stages": 0, "stride_in_1x1": False,
    "small_widths": (8, 8, 8, 8), "small_blocks": (1, 1, 1, 1), "fpn_channels": 8, "box_width": 8,
    "mask_width": 8, "mask_convolutions": 1, "min_size": (64,), "max_size": 64,
    "size_divisor": 64, "num_classes": 4, "rpn_pre_nms_train": 60, "rpn_post_nms_train": 30,
    "rpn_pre_nms_test": 60, "rpn_post_nms_test": 30, "roi_samples": 16, "rpn_samples": 32,
}  # fmt: skip

#: What each preset makes of the same inputs; the tests below say how it is measured.
KNOWN = {
    TORCHVISION: {
        "pixel": [1.30705, -0.28501, -0.93299],
        "anchor": [-23, -11, 23, 11],
        "spacing": 61,
        "moved": 16.0,
        "ramp": [3.0, 5.0],
        "squares": [13.0, 43.0],
        "level_336": 4,
        "level_224": 4,
        "background": 0,
        "pasted": 25,
        "edge": 0.5,
        "blind": False,
    },
    DETECTRON2: {
        "pixel": [50 - 103.53, 100 - 116.28, 200 - 123.675],  # blue first
        "anchor": [-22.627417, -11.313708, 22.627417, 11.313708],
        "spacing": 64,
        "moved": 16.0,
        "ramp": [2.5, 4.5],
        "squares": [29 / 3, 110 / 3],  # (4 + 9 + 16) / 3 and (25 + 36 + 49) / 3
        "level_336": 4,
        "level_224": 3,
        "background": 3,
        "pasted": 16,
        "edge": 1.0,
        "blind": True,
    },
    CHAINERCV: {
        "pixel": [200 - 123.15163, 100 - 115.90288, 50 - 103.06262],
        "anchor": [2 - 24, 2 - 12, 2 + 24, 2 + 12],  # 6 x 3 in a cell of 4, eightfold
        "spacing": 64,
        "moved": 16.0,
        "ramp": [3.0, 5.0],
        "squares": [13.0, 43.0],
        "level_336": 4,
        "level_224": 4,
        "background": 0,
        "pasted": 16,
        "edge": 1.0,
        "blind": True,
    },
    MATTERPORT: {
        "pixel": [200 - 123.7, 100 - 116.8, 50 - 103.9],
        "anchor": [-11.313708, -22.627417, 11.313708, 22.627417],  # its "0.5" is a tall box
        "spacing": 64,
        "moved": 1.6,
        "ramp": [2.5, 4.5],
        "squares": [9.0, 36.0],  # the one point in the middle of each bin: cells 3 and 6
        "level_336": 5,
        "level_224": 4,
        "background": 0,
        "pasted": 16,
        "edge": 1.0,
        "blind": True,
    },
}
presets = pytest.mark.parametrize("preset", KNOWN)


def small(preset, **overrides):
    return build_model(preset, **{**SMALL, **overrides})


def canvas(side, height=None):
    return transform.Batch(
        np.zeros((1, 3, height or side, side), np.float32), [(side, side)], [(side, side)]
    )


def pooler_of(model, size):
    """What the box head reads regions with, but for the number of bins."""
    box_head, *_ = model.roi_heads
    box_head.pooler.size = size
    return box_head.pooler


def maps(side, value, strides=(4, 8, 16, 32, 64)):
    """A pyramid of the preset's eight channels; `value` makes a map of (level, columns)."""
    levels = {}
    for k, stride in enumerate(strides):
        cells = -(-side // stride)
        row = np.broadcast_to(np.asarray(value(k + 2, np.arange(cells)), np.float32), (cells,))
        levels[f"P{k + 2}"] = np.ascontiguousarray(np.broadcast_to(row, (1, 8, cells, cells)))
    return levels


# ------------------------------------------------------------------- each preset


def test_every_preset_of_another_library_is_here():
    libraries = {
        name for name in PRESETS if name.endswith(("detectron2", "chainercv", "matterport"))
    }
    assert libraries | {TORCHVISION} == set(KNOWN)


@presets
def test_first_pixel(preset):
    """A pixel with red 200, green 100, blue 50, as the network gets it."""
    image = np.full((64, 64, 3), (200, 100, 50), np.uint8)
    pixel = small(preset).transform.batch([image], [64]).images[0, :, 0, 0]
    np.testing.assert_allclose(pixel, KNOWN[preset]["pixel"], atol=2e-5)


@presets
def test_first_anchor(preset):
    """The first anchor of 32 pixels, at cell (0, 0) of the map at stride 4."""
    anchors = small(preset).rpn.anchors_of(maps(128, lambda level, x: 0), canvas(128))
    np.testing.assert_allclose(anchors[0], KNOWN[preset]["anchor"], atol=1e-5)


@presets
def test_anchor_spacing(preset):
    """From cell to cell on P6, 13 cells of an image of 800 pixels: trap 9."""
    anchors = small(preset).rpn.anchors_of(maps(800, lambda level, x: 0), canvas(800))
    p6 = anchors[-13 * 13 * 3 :].reshape(13, 13, 3, 4)
    step = KNOWN[preset]["spacing"]
    np.testing.assert_allclose(p6[0, 1, 0] - p6[0, 0, 0], [step, 0, step, 0])
    np.testing.assert_allclose(p6[1, 0, 0] - p6[0, 0, 0], [0, step, 0, step])


@presets
def test_box_code_of_proposals(preset):
    """dx = 0.5 on an anchor 32 wide: half its width, over the weight of the code."""
    anchors = np.array([[10, 10, 42, 42]], np.float32)
    deltas = np.array([[[0.5, 0, 0, 0]]], np.float32)
    network = small(preset).rpn
    (proposals,) = network.select(
        np.zeros((1, 1), np.float32), deltas, anchors, [1], canvas(64), network.inference
    )
    shift = KNOWN[preset]["moved"]
    np.testing.assert_allclose(proposals, [[10 + shift, 10, 42 + shift, 42]], rtol=1e-6)


@presets
@pytest.mark.parametrize(
    ("measure", "right", "values"), [("ramp", 24, lambda x: x), ("squares", 32, lambda x: x**2)]
)
def test_where_features_are_read(preset, measure, right, values):
    """Cell i of P2 holds i (where?) or i² (how many points?); a box from cell 2, two bins."""
    boxes = [np.array([[8, 8, right, right]], np.float32)]
    pyramid = maps(64, lambda level, x: values(x))
    read = pooler_of(small(preset), 2)(pyramid, boxes)
    np.testing.assert_allclose(read[0, 0, 0], KNOWN[preset][measure], rtol=1e-6)


@presets
@pytest.mark.parametrize(("measure", "side"), [("level_336", 336), ("level_224", 223.9999)])
def test_level_of_a_box(preset, measure, side):
    """Every map holds its own level."""
    boxes = [np.array([[0, 0, side, side]], np.float32)]
    pyramid = maps(512, lambda level, x: level)
    read = pooler_of(small(preset), 1)(pyramid, boxes)
    # A mean of up to 7056 points in float32; levels are whole numbers.
    assert float(read[0, 0, 0, 0]) == pytest.approx(KNOWN[preset][measure], abs=1e-3)


@presets
def test_which_score_is_background(preset):
    """With three classes, one of the four columns says "nothing"; the others are 1, 2, 3 in order."""
    model = small(preset)
    head, mask_head = model.roi_heads
    predictor = head.box_predictor
    proposed = [Found.proposed(np.array([[8, 8, 40, 40]], np.float32))]
    found = []
    for column in range(4):
        predictor.cls_score.weight.data[:] = 0
        predictor.cls_score.bias.data[:] = 20 * (np.arange(4) == column)
        with no_grad():
            (detected,) = head.predict(
                maps(64, lambda level, x: 0), proposed, canvas(64), score_threshold=0.9
            )
        found.append(detected.labels.tolist())
    background = KNOWN[preset]["background"]
    assert found == ([[], [1], [2], [3]] if background == 0 else [[1], [2], [3], []])
    columns = 4 if background == 0 else 3  # and only the first has deltas and a mask
    assert predictor.bbox_pred.weight.shape == (4 * columns, 8)
    assert mask_head.mask_predictor.mask_fcn_logits.weight.shape[0] == columns


@presets
def test_mask_targets_and_the_half_pixel(preset):
    """Of a mask of the first 5 of 10 pixels, ten bins over all: does the fifth read pixel 4, or 4½?"""
    box_head, mask_head = small(preset).roi_heads
    whole = np.array([[0, 0, 10, 10]], np.float32)
    rois = sampling.SampledRois(whole, np.ones(1, int), np.zeros(1, int), 1)
    masks = np.zeros((1, 10, 10), bool)
    masks[:, :, :5] = True
    cut, _ = mask.mask_targets(
        [rois], [SimpleNamespace(masks=masks)], 10, aligned=mask_head.aligned
    )
    expected = [1, 1, 1, 1, KNOWN[preset]["edge"], 0, 0, 0, 0, 0]
    np.testing.assert_allclose(cut[0, 3], expected, atol=1e-6)
    assert box_head.pooler is not mask_head.pooler


@presets
def test_pasted_pixels(preset):
    """A full mask in the box 2.4 … 6.4 covers the 4 x 4 pixels with their centres inside, or 5 x 5."""
    found = Found(
        np.full((1, 4), (2.4, 2.4, 6.4, 6.4), np.float32),
        np.ones(1, int),
        np.ones(1),
        np.ones((1, 28, 28), np.float32),
    )
    detections = small(preset).roi_heads.finish(found, (10, 10), (10, 10))
    assert detections.masks.sum() == KNOWN[preset]["pasted"]
    assert detections.masks[0, 2:6, 2:6].all()


@presets
def test_stride_in_the_1x1_does_not_see_odd_pixels(preset):
    """A halving block whose 1×1 has the stride reads every second row and column only."""
    body = build.backbone(PRESETS[preset], np.random.default_rng(0)).body
    x = np.random.default_rng(1).standard_normal((1, 256, 6, 6)).astype(np.float32)
    changed = x.copy()
    changed[:, :, 1::2] += 1
    changed[:, :, :, 1::2] += 1
    block = body.layer2[0]
    with no_grad():
        first, second = block(x), block(changed)
    assert first.shape == (1, 512, 3, 3)
    assert np.array_equal(first, second) == KNOWN[preset]["blind"]


@presets
def test_whole_networks_learn_and_answer(preset):
    model = small(preset)
    losses = model.losses(*zip(scene(0), scene(1), strict=True))
    sum(losses.values(), start=0.0).backward()
    assert all(np.isfinite(float(value)) for value in losses.values())
    for name, tensor in model.named_parameters():
        assert tensor.grad is not None, name
        assert np.isfinite(tensor.grad).all(), name
    detections = model.predict([scene(2)[0]], score_threshold=0.0)[0]
    assert len(detections.boxes) > 0
    assert set(detections.labels) <= {1, 2, 3}


def test_detectron2_with_its_own_backbone():
    model = build_model(
        DETECTRON2, fpn_channels=8, box_width=8, mask_width=8, min_size=(64,), max_size=64,
        num_classes=4, rpn_post_nms_test=5,
    )  # fmt: skip
    assert len(model.predict([scene(0)[0]], score_threshold=0.0)[0].boxes) > 0
    trained = {
        name.split(".")[0] for name, p in model.backbone.body.named_parameters() if p.requires_grad
    }
    assert trained == {"layer2", "layer3", "layer4"}


def test_matterport_canvas_is_a_square_of_1024():
    config = PRESETS[MATTERPORT]
    assert transform.scaled_size(
        480, 640, config.transform.min_size[-1], config.transform.max_size
    ) == (768, 1024)
    batch = small(
        MATTERPORT, max_size=1024, size_divisor=config.transform.size_divisor
    ).transform.batch([np.zeros((6, 8, 3), np.uint8)], [12])
    assert batch.images.shape == (1, 3, 1024, 1024)


# --------------------------------------------------------------- each convention


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ({}, [[-22.627417, -11.313708, 22.627417, 11.313708], [-16, -16, 16, 16]]),
        ({"rounded": True}, [[-23, -11, 23, 11], [-16, -16, 16, 16]]),
        ({"cell": 4}, [[-24, -12, 24, 12], [-16, -16, 16, 16]]),
        # round(8 / √½) = 11 and round(11 / 2) = 6 (to the even one), fourfold.
        ({"cell": 8}, [[-22, -12, 22, 12], [-16, -16, 16, 16]]),
    ],
)
def test_anchors_of_32_pixels(kind, expected):
    np.testing.assert_allclose(base_anchors(32, (0.5, 1), **kind), expected, rtol=1e-6)


@pytest.mark.parametrize(("offset", "centre"), [(0.0, 0), (0.5, 2)])
def test_anchor_offset_is_a_part_of_the_cell(offset, centre):
    first = grid_anchors(base_anchors(32, [1]), 2, 2, 4, 4, offset)[0]
    np.testing.assert_array_equal(first, [centre - 16, centre - 16, centre + 16, centre + 16])


def test_every_level_rounds_in_its_own_cell():
    levels = pyramid_anchors(
        (64, 64), [(16, 16), (8, 8)], [32, 64], [0.5, 2], cell_rounded=True, offset=0.5
    )
    np.testing.assert_array_equal(levels[0][:2], [[-22, -10, 26, 14], [-10, -22, 14, 26]])
    np.testing.assert_array_equal(levels[1][:2], [[-40, -20, 48, 28], [-20, -44, 28, 52]])


@settings(max_examples=60)
@given(
    st.lists(st.integers(8, 600), min_size=1, max_size=3),
    st.lists(st.sampled_from([0.25, 0.5, 0.7, 1, 2, 3]), min_size=1, max_size=4),
    st.sampled_from([4, 8, 12, 16, 32, 64]),
)
def test_cell_rounded_anchors_equal_the_textbook(sizes, ratios, cell):
    np.testing.assert_allclose(
        base_anchors(sizes, ratios, cell=cell),
        textbook_anchors.base_anchors(sizes, ratios, cell=cell),
        rtol=1e-12,
    )
    image, sides = (200, 300), [(50, 75), (25, 38)]
    for ours, plain in zip(
        pyramid_anchors(image, sides, [16, 64], ratios, cell_rounded=True),
        textbook_anchors.pyramid_anchors(image, sides, [16, 64], ratios, cell_rounded=True),
        strict=True,
    ):
        np.testing.assert_allclose(ours, plain, rtol=1e-6)


def test_two_ways_of_rounding_anchors_exclude_each_other():
    with pytest.raises(InputError, match="two ways of rounding"):
        base_anchors(32, [1], rounded=True, cell=4)
    with pytest.raises(InputError, match="rounded to 0"):
        base_anchors(32, [9], cell=1)
    with pytest.raises(InputError, match="integer_strides should be False"):
        pyramid_anchors((8, 8), [(2, 2)], [8], [1], integer_strides=True, cell_rounded=True)
    for other in ({"anchors_rounded": True}, {"anchor_integer_strides": True}):
        with pytest.raises(InputError, match="anchors_cell_rounded is True; it should be without"):
            PRESETS[CHAINERCV].replace(**other)


def test_aligned_reads_half_a_cell_before_legacy():
    ramp = np.broadcast_to(np.arange(16.0), (1, 1, 16, 16)).copy()
    boxes, image_index = np.array([[9.0, 12.0, 31.0, 41.0]]), np.zeros(1, int)
    legacy, aligned = (
        roi_align(ramp, boxes, image_index, output_size=5, spatial_scale=1 / 4, aligned=aligned)
        for aligned in (False, True)
    )
    np.testing.assert_allclose(legacy - aligned, 0.5, rtol=1e-12)


@pytest.mark.parametrize(
    ("ratio", "expected"), [(1, [2.5, 20.5]), (2, [3.0, 21.0]), (0, [19 / 6, 127 / 6])]
)
def test_samples_in_a_bin_of_three_cells(ratio, expected):
    # Cell i holds i². Points of the first bin: 1.5; 0.75 and 2.25; 0.5, 1.5 and 2.5.
    squares = np.broadcast_to(np.arange(12.0) ** 2, (1, 1, 12, 12)).copy()
    read = roi_align(
        squares, np.array([[0.0, 0, 6, 6]]), np.zeros(1, int), output_size=2, spatial_scale=1.0,
        sampling_ratio=ratio,
    )  # fmt: skip
    np.testing.assert_allclose(read[0, 0, 0], expected)


@pytest.mark.parametrize(
    ("side", "floor", "nearest"),
    # The border of rounding is at 224 / √2 = 158.39 and 224 · √2 = 316.78.
    [(158, 1, 1), (159, 1, 2), (224, 2, 2), (316, 2, 2), (317, 2, 3), (447, 2, 3), (448, 3, 3)],
)
def test_trap_12_levels_by_floor_and_by_rounding(xp, side, floor, nearest):
    boxes = xp.asarray(np.array([[3, 5, 3 + side, 5 + side]], np.float32))
    assert int(assign_levels(boxes)[0]) == floor
    assert int(assign_levels(boxes, rule="round", eps=0.0)[0]) == nearest


@settings(max_examples=60)
@given(
    st.lists(st.tuples(*[st.integers(-40, 4000)] * 4), max_size=8),
    st.sampled_from(["floor", "round"]),
    st.sampled_from([0.0, 1e-8, 1e-6]),
)
def test_level_rules_equal_the_textbook(corners, rule, eps):
    boxes = np.array(corners, np.float64).reshape(-1, 4)
    np.testing.assert_array_equal(
        assign_levels(boxes, rule=rule, eps=eps),
        textbook_levels.assign_levels(boxes, rule=rule, eps=eps),
    )


def test_unknown_level_rule_is_refused():
    with pytest.raises(InputError, match="rule is 'ceil'"):
        assign_levels(np.zeros((1, 4)), rule="ceil")
    with pytest.raises(InputError, match="roi_level_rule is 'ceil'"):
        Config().replace(roi_level_rule="ceil")


def test_paste_continuous_and_legacy_at_a_box_between_pixels():
    full, boxes = np.ones((1, 28, 28)), np.array([[2.4, 3.4, 6.4, 8.6]])
    continuous = mask_ops.paste(full, boxes, 12, 12, mode="continuous")[0]
    legacy = mask_ops.paste(full, boxes, 12, 12, mode="legacy")[0]
    ys, xs = np.nonzero(continuous)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (2, 5, 3, 8)  # centres 2.5 … 5.5, 3.5 … 8.5
    ys, xs = np.nonzero(legacy)
    # 4.4 ± 2 · 30/28 is cut to 2 … 6; 6.0 ± 2.6 · 30/28 to 3 … 8.
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (2, 6, 3, 8)


def test_a_basic_block_has_no_1x1_for_the_stride():
    for make in (
        lambda: ResNet(18, stride_in_1x1=True, rng=np.random.default_rng(0)),
        lambda: Config().replace(backbone="resnet34", stride_in_1x1=True),
        lambda: PRESETS["maskrcnn_shapes"].replace(stride_in_1x1=True),
    ):
        with pytest.raises(InputError, match="stride_in_1x1"):
            make()


# -------------------------------------------------------------------- background


def _moved(first, last):
    """Give `last`, which has background last, the weights of `first`."""
    state = first.state_dict()
    heads = "roi_heads.box_predictor."
    for name, array in state.items():
        if name.startswith(f"{heads}cls_score"):
            state[name] = np.roll(array, -1, axis=0)
        elif name.startswith(f"{heads}bbox_pred"):
            state[name] = array[4:]
        elif "mask_fcn_logits" in name:
            state[name] = array[1:]
    last.load_state_dict(state)


def _pair():
    """The same network with background first and last, and weights that find something."""
    first, last = small(TORCHVISION), small(TORCHVISION, background_last=True)
    rng = np.random.default_rng(4)
    for layer in (first.roi_heads.box_predictor.cls_score, first.roi_heads.box_predictor.bbox_pred):
        for tensor in (layer.weight, layer.bias):
            tensor.data[:] = rng.standard_normal(tensor.shape)
    _moved(first, last)
    return first, last


def test_background_last_gives_the_same_detections():
    first, last = _pair()
    image = scene(0)[0]
    ours, theirs = (model.predict([image], score_threshold=0.1)[0] for model in (first, last))
    assert set(ours.labels) == {1, 2, 3}
    np.testing.assert_array_equal(ours.labels, theirs.labels)
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-5)
    np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=1e-4)
    np.testing.assert_array_equal(ours.masks, theirs.masks)
    assert ours.masks.any()


def test_background_last_gives_the_same_losses_and_gradients():
    pairs = list(zip(scene(0), scene(1), strict=True))
    gradients = []
    first, last = _pair()
    values = []
    for model in (first, last):
        losses = model.losses(*pairs, rng=np.random.default_rng(1))  # regions on every level
        sum(losses.values(), start=0.0).backward()
        values.append([float(loss) for loss in losses.values()])
        gradients.append({name: tensor.grad for name, tensor in model.named_parameters()})
    assert values[0][2] > 0.1
    assert values[0][4] > 0.1
    np.testing.assert_allclose(values[0], values[1], rtol=1e-6)
    for name, theirs in gradients[1].items():
        ours = gradients[0][name]
        if "cls_score" in name:
            ours = np.roll(ours, -1, axis=0)
        elif "box_predictor.bbox_pred" in name:
            assert not ours[:4].any()  # background learns no box,
            ours = ours[4:]
        elif "mask_fcn_logits" in name:
            assert not ours[0].any()  # and no mask: these are the columns that the other lacks
            ours = ours[1:]
        assert ours.any(), name
        atol = 2e-5 * np.abs(ours).max()
        np.testing.assert_allclose(theirs, ours, atol=atol, rtol=1e-5, err_msg=name)


def test_background_last_by_hand():
    """Two classes, one region of label 1 and one of background; every probability is known."""
    rois = sampling.SampledRois(
        np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float32), np.array([1, 0]), np.array([0, 0]), 1
    )  # fmt: skip
    target = SimpleNamespace(boxes=np.array([[1, 0, 11, 10]], np.float32))
    logits = np.log(np.array([[0.5, 0.2, 0.3], [0.1, 0.2, 0.7]], np.float32))
    deltas = np.zeros((2, 8), np.float32)
    classification, regression = box.box_losses(
        Tensor(logits), Tensor(deltas), [rois], [target], beta=1.0, background_last=True
    )
    assert float(classification) == pytest.approx(-(np.log(0.5) + np.log(0.7)) / 2, rel=1e-6)
    assert float(regression) == pytest.approx((1 - 0.5) / 2)  # dx = 10 · 1/10 = 1, of two regions
    deltas[0, 0], deltas[0, 4] = 1, 9  # the first four are label 1's; label 2's do not matter
    _, regression = box.box_losses(
        Tensor(logits), Tensor(deltas), [rois], [target], beta=1.0, background_last=True
    )
    assert float(regression) == pytest.approx(0, abs=1e-6)
    found = box.detections_of_image(
        np.exp(logits), np.zeros((2, 8), np.float32), rois.boxes, (40, 40), background_last=True,
        score_threshold=0.25,
    )  # fmt: skip
    assert (found.labels.tolist(), found.scores.tolist()) == ([1], [0.5])


@pytest.mark.parametrize("seed", range(3))
def test_background_last_equals_the_textbook(xp, seed):
    rng = np.random.default_rng(seed)
    targets = [draw_target(rng, 3), draw_target(rng, 0)]
    sampled = [sampling.sample_rois(_proposals(rng, 30, t), t, rng, count=12) for t in targets]
    labels = np.concatenate([s.labels for s in sampled])
    regions = np.concatenate([s.boxes for s in sampled])
    logits = rng.standard_normal((len(labels), 4)).astype(np.float32)
    deltas = rng.standard_normal((len(labels), 12)).astype(np.float32)
    result = box.box_losses(Tensor(logits), Tensor(deltas), sampled, targets, background_last=True)
    expected = textbook_heads.box_losses(logits, deltas, sampled, targets, background_last=True)
    np.testing.assert_allclose([float(r) for r in result], expected, rtol=2e-5)

    probabilities = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    found = box.detections_of_image(
        xp.asarray(probabilities), xp.asarray(deltas), xp.asarray(regions), SIZE,
        score_threshold=0.2, background_last=True,
    )  # fmt: skip
    boxes, found_labels, scores = textbook_heads.detections_of_image(
        probabilities, deltas, regions, SIZE, score_threshold=0.2, background_last=True
    )
    assert len(boxes)
    np.testing.assert_allclose(to_host(found.boxes), boxes, atol=1e-4)
    np.testing.assert_array_equal(to_host(found.labels), found_labels)
    np.testing.assert_array_equal(to_host(found.scores), scores)

    own = np.array([3, 1, 2, 1])
    maps = rng.standard_normal((4, 3, 5, 5)).astype(np.float32)
    masks = rng.uniform(0, 1, (4, 5, 5)).astype(np.float32)
    loss = mask.mask_loss(Tensor(maps), masks, own, background_last=True)
    expected_loss = textbook_heads.mask_loss(maps, masks, own, background_last=True)
    assert float(loss) == pytest.approx(expected_loss, rel=2e-5)
    np.testing.assert_allclose(
        to_host(mask.mask_probabilities(xp.asarray(maps), xp.asarray(own), background_last=True)),
        textbook_heads.mask_probabilities(maps, own, background_last=True),
        rtol=1e-6,
    )


# ------------------------------------------------------ files of weights, the page


def test_trap_36_own_checkpoint_remembers_its_conventions(tmp_path):
    path = tmp_path / "own.safetensors"
    theirs = small(TORCHVISION, roi_level_rule="round", roi_level_eps=0.0)
    save_checkpoint(path, theirs.state_dict(), theirs.config)
    with pytest.raises(InputError, match="convention: roi_level_rule is 'round' for the file"):
        load_weights(small(TORCHVISION), path)
    assert load_weights(small(TORCHVISION, roi_level_rule="round", roi_level_eps=0.0), path) == []
    lines = recognise.differing_conventions({"stride_in_1x1": True}, Config())
    assert lines == ["convention: stride_in_1x1 is True for the file, False in the model"]


def test_background_last_weights_do_not_go_into_background_first(tmp_path):
    path = tmp_path / "own.safetensors"
    theirs = small(TORCHVISION, background_last=True)
    save_checkpoint(path, theirs.state_dict(), theirs.config)
    with pytest.raises(InputError, match="convention: background_last is True for the file"):
        load_weights(small(TORCHVISION), path)


def test_a_checkpoint_from_before_a_convention_was_a_field(tmp_path):
    """What the file does not name was then as the default is now."""
    model = small(TORCHVISION)
    config = {name: value for name, value in model.config.flat().items() if "roi_level" not in name}
    save_checkpoint(tmp_path / "c.safetensors", model.state_dict(), config)
    restore_checkpoint(tmp_path / "c.safetensors", model)
    other = small(TORCHVISION, roi_level_rule="round")
    with pytest.raises(InputError, match="roi_level_rule is 'floor' in the file, 'round' in the"):
        restore_checkpoint(tmp_path / "c.safetensors", other)


def test_the_page_shows_the_presets_as_they_are():
    page = (Path(__file__).parent.parent / "docs" / "conventions.md").read_text("utf-8")
    assert with_table(page) == page, (
        "a preset has changed: python -m minirnn.models.conventions docs/conventions.md"
    )


def test_the_table_names_every_preset_and_every_convention():
    table = conventions_table()
    assert all(f"`{name}`" in table for name in PRESETS)
    assert all(f"- `{name}`: " in table for name in CONVENTIONS)
    known = set(recognise.CONVENTIONS) - {"categories"}
    assert known <= set(CONVENTIONS)
    with pytest.raises(InputError, match="the page should have the lines"):
        with_table("no marks")
