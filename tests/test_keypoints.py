"""The keypoint head: targets, loss and decoding against their textbook twins, and in a detector."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirnn import transform
from minirnn.autograd import Tensor
from minirnn.backend import to_host
from minirnn.data.sample import Target
from minirnn.errors import InputError
from minirnn.evaluation import average_precision, coco
from minirnn.heads import keypoint
from minirnn.models import PRESETS, build_model
from minirnn.ops.bicubic import bicubic
from minirnn.textbook import keypoints as textbook
from minirnn.textbook import transform as textbook_transform
from minirnn.verify import stage_draws

TINY = {
    "keypoint_width": 8, "keypoint_convolutions": 1, "small_widths": (8, 8, 8), "fpn_channels": 8,
    "box_width": 16, "rpn_pre_nms_train": 20, "rpn_post_nms_train": 10, "roi_samples": 8,
}  # fmt: skip


def _regions(rng, count, points):
    corner = rng.integers(0, 20, (count, 2))
    boxes = np.concatenate([corner, corner + rng.integers(1, 12, (count, 2))], 1)
    keypoints = np.zeros((count, points, 3), np.float32)
    # Whole numbers, so that some lie just on an edge.
    keypoints[..., :2] = corner[:, None] + rng.integers(-2, 13, (count, points, 2))
    keypoints[..., 2] = rng.integers(0, 3, (count, points))
    return keypoints, boxes.astype(np.float32)


@given(st.integers(0, 4), st.integers(1, 4), st.integers(1, 7), st.integers(0, 10**6))
@settings(max_examples=30)
def test_cells_and_loss_are_the_textbook(count, points, size, seed):
    rng = np.random.default_rng(seed)
    keypoints, boxes = _regions(rng, count, points)
    cells = keypoint.keypoint_cells(keypoints, boxes, size)
    np.testing.assert_array_equal(cells, textbook.keypoint_cells(keypoints, boxes, size))
    logits = rng.standard_normal((count, points, size, size)) * 3
    tensor = Tensor(logits, requires_grad=True)
    loss = keypoint.keypoint_loss(tensor, cells)
    assert float(loss) == pytest.approx(textbook.keypoint_loss(logits, cells), rel=1e-9, abs=1e-12)
    loss.backward()
    assert not tensor.grad[cells < 0].any()  # a point that is nowhere teaches nothing


@given(st.integers(0, 3), st.integers(1, 3), st.integers(2, 6), st.integers(0, 10**6))
@settings(max_examples=30)
def test_decoding_is_the_textbook(count, points, size, seed):
    rng = np.random.default_rng(seed)  # from 2 × 2 cells: of a single one every pixel is a maximum
    _, boxes = _regions(rng, count, points)
    boxes = (boxes + rng.uniform(0, 0.4, boxes.shape)).astype(np.float64)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 0.1)  # some under a pixel wide
    logits = rng.standard_normal((count, points, size, size))
    np.testing.assert_allclose(
        keypoint.keypoints_of_maps(logits, boxes),
        textbook.keypoints_of_maps(logits, boxes),
        atol=1e-9,
    )


@given(st.tuples(*[st.integers(1, 9)] * 4), st.integers(0, 10**6))
@settings(max_examples=30)
def test_bicubic_is_the_textbook(sides, seed):
    x = np.random.default_rng(seed).standard_normal((2, *sides[:2]))
    y = bicubic(x, size=sides[2:])
    np.testing.assert_allclose(y, textbook.bicubic(x, size=sides[2:]), atol=1e-12)


def test_bicubic_refuses_what_has_no_cells():
    with pytest.raises(InputError, match="no side 0"):
        bicubic(np.zeros((0, 3)), size=(2, 2))


def test_trap_38_decoding_undoes_the_target_within_half_a_cell(xp):
    rng = np.random.default_rng(0)
    boxes = np.array([[3, 5, 45, 61], [0.5, 0.25, 112.5, 56.25]], np.float32)
    at = rng.uniform(0.01, 0.99, (2, 17, 2)) * (boxes[:, None, 2:] - boxes[:, None, :2])
    keypoints = np.concatenate([at + boxes[:, None, :2], np.full((2, 17, 1), 2)], 2)
    cells = to_host(
        keypoint.keypoint_cells(xp.asarray(keypoints.astype(np.float32)), xp.asarray(boxes), 56)
    )
    logits = np.zeros((2, 17, 56 * 56), np.float32)
    np.put_along_axis(logits, cells[:, :, None], 9.0, axis=2)
    found = to_host(
        keypoint.keypoints_of_maps(xp.asarray(logits.reshape(2, 17, 56, 56)), xp.asarray(boxes))
    )
    cell = (boxes[:, None, 2:] - boxes[:, None, :2]) / 56
    # Half a cell, and half a pixel of the map at the region's size.
    assert (np.abs(found[..., :2] - keypoints[..., :2]) <= cell / 2 + 0.5 + 1e-3).all()
    edge = np.array([[[45, 61, 2], [46, 61, 2], [45, 61, 0]]], np.float32)
    assert keypoint.keypoint_cells(edge, boxes[:1], 56).tolist() == [[56 * 56 - 1, -1, -1]]


def test_points_are_scaled_as_the_textbook_says(xp):
    points = np.random.default_rng(0).uniform(0, 20, (2, 3, 3)).astype(np.float32)
    scaled = transform.scale_keypoints(xp.asarray(points), (10, 20), (25, 30))
    expected = textbook_transform.scale_keypoints(points, (10, 20), (25, 30))
    np.testing.assert_allclose(to_host(scaled), expected, rtol=1e-6)


def test_similarity_is_cocos_definition():
    """One point: exp(-d² / 2 s² k²) with k = 2σ; the mean over the labelled ones; 1 on the spot."""
    points = np.zeros((17, 3))
    points[0], points[5] = (10, 20, 2), (30, 20, 1)  # nose (σ 0.026), left shoulder (0.079)
    truth = {"keypoints": points.ravel().tolist(), "area": 400.0, "bbox": [0, 0, 40, 40]}
    found = points.copy()
    assert textbook.keypoint_similarity([{"keypoints": found.ravel().tolist()}], [truth]) == 1
    found[0, :2], found[5, :2] = (13, 24), (30, 18)
    found[1] = 99, 99, 2  # not labelled: counts for nothing
    there = [{"keypoints": found.ravel().tolist()}]
    nose, shoulder = (
        np.exp(-(d**2) / (2 * 400 * (2 * sigma) ** 2)) for d, sigma in ((5, 0.026), (2, 0.079))
    )
    similarity = textbook.keypoint_similarity(there, [truth])
    assert similarity == pytest.approx((nose + shoulder) / 2)
    assert average_precision.keypoint_similarity(there, [truth]) == pytest.approx(similarity)


@given(st.integers(0, 3), st.integers(1, 3), st.integers(0, 10**6))
@settings(max_examples=30)
def test_similarity_is_the_textbook(detections, truths, seed):
    rng = np.random.default_rng(seed)
    (found, there), _ = stage_draws.regions(detections=detections, truths=truths)(rng)
    for truth in there[::2]:  # COCO has a rule for objects without a labelled point, too
        truth["keypoints"] = [0.0] * 51
    np.testing.assert_allclose(
        average_precision.keypoint_similarity(found, there),
        textbook.keypoint_similarity(found, there),
        rtol=1e-9,
        atol=1e-12,
    )


@pytest.mark.parametrize("seed", range(3))
def test_ap_of_the_loops_is_pycocotools(seed, monkeypatch):
    """The textbook's similarity in our AP, beside COCO's own program."""
    draw = stage_draws.evaluation(kind="keypoints", images=4)
    (truth, results, kind), _ = draw(np.random.default_rng(seed))
    theirs = coco.evaluate_results(truth, results, [kind])[kind]
    own = average_precision.evaluate_results(truth, results, [kind])[kind]
    monkeypatch.setattr(average_precision, "keypoint_similarity", textbook.keypoint_similarity)
    loops = average_precision.evaluate_results(truth, results, [kind])[kind]
    assert own == pytest.approx(theirs, abs=1e-12)
    assert loops == pytest.approx(theirs, abs=1e-12)


def _target(count=17):
    rng = np.random.default_rng(1)
    boxes = np.array([[10, 10, 70, 110], [60, 20, 120, 100]], np.float32)
    points = rng.uniform(20, 100, (2, count, 3)).astype(np.float32)
    points[..., 2] = 2
    masks = np.ones((2, 128, 128), bool)
    return Target(boxes, np.ones(2, np.int64), masks, np.zeros(2, bool), points)


@pytest.mark.parametrize("mask", [False, True])
def test_a_detector_has_the_head_with_and_without_the_mask_head(mask):
    model = build_model("keypointrcnn_shapes", mask=mask, **TINY)
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    losses = model.losses([image], [_target()])
    assert ("mask" in losses, "keypoint" in losses) == (mask, True)
    sum(losses.values(), start=0.0).backward()
    weight = dict(model.named_parameters())["roi_heads.keypoint_predictor.kps_score_lowres.weight"]
    assert np.abs(weight.grad).max() > 0
    (found,) = model.predict([image], score_threshold=0.0)
    assert len(found.boxes)
    assert found.keypoints.shape == (len(found.boxes), 17, 3)
    low, high = found.boxes[:, None, :2] - 1, found.boxes[:, None, 2:] + 1
    assert ((found.keypoints[..., :2] >= low) & (found.keypoints[..., :2] <= high)).all()


def test_a_target_without_points_is_refused():
    model = build_model("keypointrcnn_shapes", **TINY)
    image = np.zeros((128, 128, 3), np.uint8)
    with pytest.raises(InputError, match=r"image 0.*17 keypoints.*\(2, 5, 3\)"):
        model.losses([image], [_target(5)])
    target = _target()
    target.keypoints = None
    with pytest.raises(InputError, match=r"image 0.*none"):
        model.losses([image], [target])


def test_preset_has_torchvisions_names():
    assert PRESETS["keypointrcnn_resnet50_fpn"].keypoint.convolutions == 8
    names = set(build_model("keypointrcnn_shapes", **TINY).state_dict())
    assert {
        "roi_heads.keypoint_head.0.weight",
        "roi_heads.keypoint_predictor.kps_score_lowres.bias",
    } <= names
