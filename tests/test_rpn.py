"""The region proposal network against its textbook twin, and the traps that it lies among."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirnn import matching
from minirnn.anchors import pyramid_anchors
from minirnn.autograd import Tensor
from minirnn.backend import to_host
from minirnn.data.sample import Target
from minirnn.proposals import rpn
from minirnn.textbook import rpn as textbook

SIZE = (48, 64)


def draw_target(rng, count=3, crowds=0, size=SIZE):
    """A ground truth with boxes anywhere in the image."""
    corner = rng.uniform(0, [size[1] * 0.7, size[0] * 0.7], (count + crowds, 2))
    extent = rng.uniform(4, 30, (count + crowds, 2))
    boxes = np.concatenate([corner, np.minimum(corner + extent, size[::-1])], 1)
    return Target(
        boxes.astype(np.float32),
        rng.integers(1, 4, count + crowds),
        np.zeros((count + crowds, *size), bool),
        np.arange(count + crowds) >= count,
    )


def _on(target, xp):
    return Target(
        *(xp.asarray(a) for a in (target.boxes, target.labels, target.masks, target.is_crowd))
    )


def _anchors(xp=np):
    return xp.concatenate(
        pyramid_anchors(SIZE, [(6, 8), (3, 4)], ((8,), (20,)), (0.5, 1, 2), xp=xp)
    )


def _head_maps(rng, images=2):
    logits = [
        rng.standard_normal((images, 3, h, w)).astype(np.float32) for h, w in [(6, 8), (3, 4)]
    ]
    deltas = [
        0.3 * rng.standard_normal((images, 12, h, w)).astype(np.float32)
        for h, w in [(6, 8), (3, 4)]
    ]
    return logits, deltas


def test_flatten_is_the_textbook():
    logits, deltas = _head_maps(np.random.default_rng(0))
    for fast, plain in zip(
        rpn.flatten(logits, deltas), textbook.flatten(logits, deltas), strict=True
    ):
        np.testing.assert_array_equal(fast, plain)


def test_trap_11_one_hot_output_decodes_to_its_anchor():
    levels = pyramid_anchors(SIZE, [(6, 8), (3, 4)], ((8,), (20,)), (0.5, 1, 2))
    for level, (height, width) in enumerate([(6, 8), (3, 4)]):
        for y, x, a in [(0, 0, 0), (1, 3, 2), (height - 1, width - 1, 1)]:
            logits, deltas = _head_maps(np.random.default_rng(0), images=1)
            logits = [np.zeros_like(m) for m in logits]
            logits[level][0, a, y, x] = 1
            flat, _ = rpn.flatten(logits, deltas)
            best = np.concatenate(levels)[flat[0].argmax()]
            np.testing.assert_array_equal(best, levels[level].reshape(height, width, 3, 4)[y, x, a])


@given(st.integers(0, 4), st.integers(0, 2), st.booleans(), st.integers(0, 10**6))
@settings(max_examples=25)
def test_targets_are_the_textbook(count, crowds, drop_outside, seed):
    target = draw_target(np.random.default_rng(seed), count, crowds)
    result = rpn.rpn_targets(_anchors(), target, SIZE, drop_outside=drop_outside)
    expected = textbook.rpn_targets(_anchors(), target, SIZE, drop_outside=drop_outside)
    np.testing.assert_array_equal(result, expected)


def test_targets_on_devices(xp):
    target = draw_target(np.random.default_rng(1), 3, 1)
    result = rpn.rpn_targets(_anchors(xp), _on(target, xp), SIZE)
    np.testing.assert_array_equal(to_host(result), textbook.rpn_targets(_anchors(), target, SIZE))


def test_trap_27_crowds_are_neither_positive_nor_negative():
    anchors = _anchors()
    crowd = draw_target(np.random.default_rng(0), 0, 1)
    crowd.boxes[0] = 0, 0, 64, 48
    matches = rpn.rpn_targets(anchors, crowd, SIZE)
    assert (matches < 0).all()
    inside = (anchors[:, :2] >= 0).all(1) & (anchors[:, 2] <= 64) & (anchors[:, 3] <= 48)
    assert (matches[inside] == matching.IGNORE).all()


def test_trap_19_anchors_across_the_border_both_ways():
    anchors, target = _anchors(), draw_target(np.random.default_rng(3))
    outside = (anchors[:, :2] < 0).any(1) | (anchors[:, 2] > 64) | (anchors[:, 3] > 48)
    assert outside.any()
    assert (rpn.rpn_targets(anchors, target, SIZE)[outside] != matching.IGNORE).any()
    dropped = rpn.rpn_targets(anchors, target, SIZE, drop_outside=True)
    assert (dropped[outside] == matching.IGNORE).all()


def _losses(seed, counts, xp=np):
    rng = np.random.default_rng(seed)
    logits, deltas = textbook.flatten(*_head_maps(rng, len(counts)))
    targets = [draw_target(rng, n) for n in counts]
    anchors = _anchors()
    matches = [textbook.rpn_targets(anchors, t, SIZE) for t in targets]
    sampled = [matching.sample(m, 16, 0.5, rng) for m in matches]
    result = rpn.rpn_losses(
        Tensor(xp.asarray(logits), requires_grad=True),
        Tensor(xp.asarray(deltas), requires_grad=True),
        _anchors(xp),
        [_on(t, xp) for t in targets],
        [xp.asarray(m) for m in matches],
        [(xp.asarray(p), xp.asarray(n)) for p, n in sampled],
    )
    return result, textbook.rpn_losses(logits, deltas, anchors, targets, matches, sampled)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=3), st.integers(0, 10**6))
@settings(max_examples=20)
def test_losses_are_the_textbook(counts, seed):
    result, expected = _losses(seed, counts)
    np.testing.assert_allclose([float(r) for r in result], expected, rtol=2e-5, atol=1e-6)


def test_losses_on_devices(xp):
    result, expected = _losses(5, [2, 0], xp)
    np.testing.assert_allclose([float(r) for r in result], expected, rtol=2e-5)
    (result[0] + result[1]).backward()


def test_trap_33_no_objects_keeps_every_gradient_defined():
    rng = np.random.default_rng(0)
    logits, deltas = textbook.flatten(*_head_maps(rng, 1))
    logits, deltas = Tensor(logits, requires_grad=True), Tensor(deltas, requires_grad=True)
    target = draw_target(rng, 0)
    matches = rpn.rpn_targets(_anchors(), target, SIZE)
    sampled = matching.sample(matches, 16, 0.5, rng)
    objectness, box = rpn.rpn_losses(logits, deltas, _anchors(), [target], [matches], [sampled])
    assert float(box) == 0
    assert float(objectness) > 0
    (objectness + box).backward()
    assert np.isfinite(logits.grad).all()
    assert not deltas.grad.any()


@given(st.integers(1, 60), st.integers(1, 30), st.sampled_from([0.0, 0.4]), st.integers(0, 10**6))
@settings(max_examples=25)
def test_proposals_are_the_textbook(pre, post, threshold, seed):
    rng = np.random.default_rng(seed)
    logits, deltas = textbook.flatten(*_head_maps(rng, 1))
    arguments = logits[0], deltas[0], _anchors(), [144, 36], SIZE
    chosen = {"pre_nms": pre, "post_nms": post, "score_threshold": threshold, "min_side": 3.0}
    boxes, scores = rpn.proposals_of_image(*arguments, **chosen)
    expected_boxes, expected_scores = textbook.proposals_of_image(*arguments, **chosen)
    np.testing.assert_allclose(boxes, expected_boxes, atol=1e-4)
    np.testing.assert_array_equal(scores, expected_scores)


def test_proposals_on_devices(xp):
    rng = np.random.default_rng(2)
    logits, deltas = textbook.flatten(*_head_maps(rng, 1))
    boxes, _ = rpn.proposals_of_image(
        xp.asarray(logits[0]), xp.asarray(deltas[0]), _anchors(xp), [144, 36], SIZE,
        pre_nms=50, post_nms=20,
    )  # fmt: skip
    expected, _ = textbook.proposals_of_image(
        logits[0], deltas[0], _anchors(), [144, 36], SIZE, pre_nms=50, post_nms=20
    )
    np.testing.assert_allclose(to_host(boxes), expected, atol=1e-4)


def test_trap_20_proposals_are_clipped_to_the_image_not_to_its_padding():
    logits, deltas = textbook.flatten(*_head_maps(np.random.default_rng(0), 1))
    boxes, _ = rpn.proposals_of_image(
        logits[0], deltas[0], _anchors(), [144, 36], (30, 40), pre_nms=100, post_nms=100
    )
    assert boxes[:, 2].max() <= 40
    assert boxes[:, 3].max() <= 30


def test_head_is_shared_by_the_levels():
    head = rpn.RPNHead(8, 3, rng=np.random.default_rng(0))
    maps = [np.ones((2, 8, 6, 8), np.float32), np.ones((2, 8, 3, 4), np.float32)]
    logits, deltas = head(maps)
    assert [m.shape for m in logits] == [(2, 3, 6, 8), (2, 3, 3, 4)]
    assert [m.shape for m in deltas] == [(2, 12, 6, 8), (2, 12, 3, 4)]
    assert logits[0].data[0, 0, 3, 3] == pytest.approx(float(logits[1].data[0, 0, 1, 1]), rel=1e-5)
