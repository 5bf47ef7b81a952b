"""The threshold of the largest expected IoU: against the loops, all subsets of pixels, and in the chain."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minirnn import masks
from minirnn.backend import to_host
from minirnn.errors import InputError
from minirnn.models import build_model
from minirnn.textbook import masks as textbook

#: Eighths, so that many pixels of a mask are equal and all sums are exact.
PROBABILITIES = st.integers(0, 8).map(lambda eighths: eighths / 8)


def expected_iou(probabilities, inside):
    """Expected intersection over expected union of the pixels `inside` and the truth."""
    return probabilities[inside].sum() / (inside.sum() + probabilities[~inside].sum())


@given(arrays(float, (2, 3, 3), elements=PROBABILITIES))
@settings(max_examples=25, deadline=None)
def test_no_choice_of_pixels_expects_more(probabilities):
    """All 511 sets of the nine pixels are tried, not only those above a threshold."""
    for mask, threshold in zip(probabilities, masks.best_thresholds(probabilities), strict=True):
        if not mask.any():
            assert threshold == 1
            continue
        sets = (np.reshape(bits, (3, 3)) for bits in product((False, True), repeat=9) if any(bits))
        most = max(expected_iou(mask, each) for each in sets)
        reached = expected_iou(mask, mask >= threshold)
        assert reached == pytest.approx(most, abs=1e-12)
        # It is the last pixel worth its place: p / (1 - p) is not below what was reached.
        assert threshold >= reached / (1 + reached) - 1e-12


@given(arrays(np.float32, (3, 4, 4), elements=PROBABILITIES))
@settings(max_examples=50, deadline=None)
def test_equals_the_loops(probabilities):
    result = masks.best_thresholds(probabilities)
    loops = textbook.best_thresholds(probabilities)
    assert result.dtype == loops.dtype == np.float32
    # Two thresholds can expect the same; then the pixels may differ, and what they expect does not.
    for mask, one, other in zip(probabilities, result, loops, strict=True):
        if mask.any():
            reached = [expected_iou(mask, mask >= each) for each in (one, other)]
            assert reached[0] == pytest.approx(reached[1], abs=1e-6)


def test_on_each_device(xp):
    probabilities = np.random.default_rng(0).random((5, 7, 7))
    result = masks.best_thresholds(xp.asarray(probabilities))
    np.testing.assert_array_equal(to_host(result), textbook.best_thresholds(probabilities))


def test_a_network_that_is_sure_keeps_what_it_would_with_one_half():
    sure = np.where(np.arange(25).reshape(1, 5, 5) < 12, 0.99, 0.01)
    assert masks.best_thresholds(sure) == 0.99


def test_a_network_that_is_unsure_keeps_more_than_with_one_half():
    """The middle of a person is likely, and each of its limbs a little less likely than not."""
    unsure = np.full((1, 4, 4), 0.05)
    unsure[0, 1:3, 1:3] = 0.7
    unsure[0, 0, 1:3] = unsure[0, 3, 1:3] = 0.4
    assert masks.best_thresholds(unsure) == 0.4


def test_of_nothing_and_of_wrong_shapes():
    assert masks.best_thresholds(np.zeros((0, 28, 28))).shape == (0,)
    assert textbook.best_thresholds(np.zeros((0, 28, 28))).shape == (0,)
    for wrong in (np.zeros((2, 4)), np.zeros((1, 0, 0))):
        with pytest.raises(InputError, match=r"should be \(D, H, W\)"):
            masks.best_thresholds(wrong)


@pytest.mark.parametrize("paste", ["continuous", "legacy"])
def test_the_network_pastes_each_mask_with_its_own(paste):
    model = build_model(
        "maskrcnn_shapes",
        min_size=(64,),
        max_size=64,
        mask_paste=paste,
        mask_rule="expected_iou",
        box_score_threshold=0.0,
        box_max_detections=10,
    )
    image = np.random.default_rng(1).integers(0, 256, (64, 60, 3)).astype(np.uint8)
    stages = model.stages(image)
    found = stages["detections"]
    assert len(found.boxes) == 10
    for mask, cells, box in zip(found.masks, stages["masks"][0], found.boxes, strict=True):
        own = float(masks.best_thresholds(cells[None])[0])
        surely, perhaps = (
            masks.paste(cells[None], box[None], 64, 60, threshold=own + slack, mode=paste)[0]
            for slack in (1e-5, -1e-5)
        )
        assert (surely <= mask).all()
        assert (mask <= perhaps).all()
    assert found.masks.any()
