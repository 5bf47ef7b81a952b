"""The heads' targets, losses and decoding against their textbook twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_rpn import SIZE, draw_target

from minirnn import matching
from minirnn.autograd import Tensor
from minirnn.backend import to_host
from minirnn.heads import box, mask
from minirnn.heads import regions as sampling
from minirnn.textbook import heads as textbook


def _proposals(rng, count, target):
    """Random boxes, and some near the objects."""
    corner = rng.uniform(0, 40, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(2, 24, (count, 2))], 1)
    if len(target.boxes):
        near = target.boxes[rng.integers(len(target.boxes), size=count // 2)]
        boxes[: count // 2] = near + rng.normal(0, 2, near.shape)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    return boxes.astype(np.float32)


@given(st.integers(0, 4), st.integers(0, 2), st.integers(0, 10**6))
@settings(max_examples=25)
def test_targets_are_the_textbook(count, crowds, seed):
    rng = np.random.default_rng(seed)
    target = draw_target(rng, count, crowds)
    proposals = _proposals(rng, 20, target)
    np.testing.assert_array_equal(
        sampling.roi_targets(proposals, target), textbook.roi_targets(proposals, target)
    )


@given(st.integers(0, 4), st.integers(0, 2), st.integers(0, 10**6))
@settings(max_examples=25)
def test_samples_are_what_they_should_be(count, crowds, seed):
    rng = np.random.default_rng(seed)
    target = draw_target(rng, count, crowds)
    proposals = _proposals(rng, 30, target)
    drawn = sampling.sample_rois(proposals, target, rng, count=16)
    assert len(drawn.boxes) <= 16
    assert drawn.positives <= 4
    assert (drawn.positives > 0) == (count > 0)  # an object's own box is always there to be drawn
    assert (drawn.labels[: drawn.positives] > 0).all()
    assert not drawn.labels[drawn.positives :].any()
    matches = textbook.roi_targets(drawn.boxes, target)
    np.testing.assert_array_equal(matches[: drawn.positives], drawn.matched[: drawn.positives])
    assert (matches[drawn.positives :] == matching.BACKGROUND).all()


def _case(seed, count=2, regions=12, xp=np):
    rng = np.random.default_rng(seed)
    targets = [draw_target(rng, count), draw_target(rng, 0), draw_target(rng, 1)]
    sampled = [sampling.sample_rois(_proposals(rng, 30, t), t, rng, count=regions) for t in targets]
    total = sum(len(s.boxes) for s in sampled)
    logits = rng.standard_normal((total, 4)).astype(np.float32)
    deltas = rng.standard_normal((total, 16)).astype(np.float32)
    return sampled, targets, logits, deltas


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_box_losses_are_the_textbook(seed):
    sampled, targets, logits, deltas = _case(seed)
    result = box.box_losses(Tensor(logits), Tensor(deltas), sampled, targets)
    expected = textbook.box_losses(logits, deltas, sampled, targets)
    np.testing.assert_allclose([float(r) for r in result], expected, rtol=2e-5)


def test_trap_23_background_gives_no_gradient_to_boxes():
    sampled, targets, logits, deltas = _case(1)
    deltas = Tensor(deltas, requires_grad=True)
    _, regression = box.box_losses(Tensor(logits), deltas, sampled, targets)
    regression.backward()
    labels = np.concatenate([s.labels for s in sampled])
    touched = deltas.grad.reshape(len(labels), 4, 4).any(axis=2)
    assert not touched[labels == 0].any()
    assert not touched[:, 0].any()
    assert touched[labels > 0, labels[labels > 0]].all()


@pytest.mark.parametrize("deltas_scale", [0.5])
def test_detections_are_the_textbook(xp, deltas_scale):
    rng = np.random.default_rng(3)
    target = draw_target(rng, 3)
    proposals = _proposals(rng, 30, target)
    logits = rng.standard_normal((30, 4)) * 2
    probabilities = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    deltas = (deltas_scale * rng.standard_normal((30, 16))).astype(np.float32)
    found = box.detections_of_image(
        xp.asarray(probabilities), xp.asarray(deltas), xp.asarray(proposals), SIZE,
        score_threshold=0.1, max_detections=25,
    )  # fmt: skip
    boxes, labels, scores = textbook.detections_of_image(
        probabilities, deltas, proposals, SIZE, score_threshold=0.1, max_detections=25
    )
    np.testing.assert_allclose(to_host(found.boxes), boxes, atol=1e-4)
    np.testing.assert_array_equal(to_host(found.labels), labels)
    np.testing.assert_array_equal(to_host(found.scores), scores)


def test_trap_22_the_kept_detections_are_the_best():
    rng = np.random.default_rng(0)
    corner = np.arange(40)[:, None] * 3.0
    proposals = np.concatenate([corner, corner, corner + 2, corner + 2], 1).astype(np.float32)
    scores = rng.permutation(40).astype(np.float32) / 100 + 0.1
    probabilities = np.stack([1 - scores, scores], 1)
    found = box.detections_of_image(
        probabilities, np.zeros((40, 8), np.float32), proposals, (200, 200), max_detections=10
    )
    np.testing.assert_array_equal(found.scores, np.sort(scores)[::-1][:10])


def test_trap_42_classes_may_be_permuted():
    rng = np.random.default_rng(4)
    proposals = _proposals(rng, 30, draw_target(rng, 3))
    logits = rng.standard_normal((30, 5))
    probabilities = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    deltas = rng.standard_normal((30, 20)).astype(np.float32)
    order = np.array([0, 4, 3, 1, 2])  # new class i is old class order[i]
    plain = box.detections_of_image(probabilities, deltas, proposals, SIZE)
    turned = box.detections_of_image(
        probabilities[:, order], deltas.reshape(30, 5, 4)[:, order].reshape(30, 20), proposals, SIZE
    )
    np.testing.assert_array_equal(plain.scores, turned.scores)
    np.testing.assert_array_equal(plain.labels, order[turned.labels])
    assert set(plain.labels) == {1, 2, 3, 4}  # the last class is among them


@given(st.integers(0, 5), st.integers(0, 10**6))
@settings(max_examples=15)
def test_mask_loss_is_the_textbook(count, seed):
    rng = np.random.default_rng(seed)
    logits = (4 * rng.standard_normal((count, 4, 6, 6))).astype(np.float32)
    masks = rng.random((count, 6, 6)).astype(np.float32)
    labels = rng.integers(1, 4, count)
    tensor = Tensor(logits, requires_grad=True)
    loss = mask.mask_loss(tensor, masks, labels)
    assert float(loss) == pytest.approx(textbook.mask_loss(logits, masks, labels), rel=2e-5)
    loss.backward()
    others = np.ones((count, 4), bool)
    others[np.arange(count), labels] = False
    assert not tensor.grad[others].any()  # classes do not compete
    np.testing.assert_allclose(
        mask.mask_probabilities(logits, labels),
        textbook.mask_probabilities(logits, labels),
        atol=1e-6,
    )


def test_mask_targets_fit_the_regions(xp):
    rng = np.random.default_rng(0)
    target = draw_target(rng, 2)
    for g, (x1, y1, x2, y2) in enumerate(np.round(target.boxes).astype(int)):
        target.masks[g, y1:y2, x1:x2] = True
        target.boxes[g] = x1, y1, x2, y2
    rois = sampling.SampledRois(
        xp.asarray(target.boxes), xp.asarray(target.labels), xp.asarray(np.arange(2)), 2
    )
    target.masks = xp.asarray(target.masks)
    masks, labels = mask.mask_targets([rois], [target], 14, aligned=True)
    np.testing.assert_array_equal(to_host(labels), target.labels)
    assert to_host(masks).min() > 0.5  # the whole region is object, up to its last half pixel


def test_head_shapes_and_names():
    rng = np.random.default_rng(0)
    head, predictor = (
        mask.MaskConvolutions(8, 16, 2, rng=rng),
        mask.MaskPredictor(16, 16, 5, rng=rng),
    )
    logits = predictor(head(np.zeros((3, 8, 14, 14), np.float32)))
    assert logits.shape == (3, 5, 28, 28)
    assert "1.0.weight" in head.state_dict()
    two = box.TwoLayerHead(8 * 49, 32, rng=rng)
    scores, deltas = box.BoxPredictor(32, 5, rng=rng)(two(np.zeros((0, 8, 7, 7), np.float32)))
    assert scores.shape == (0, 5)
    assert deltas.shape == (0, 20)
