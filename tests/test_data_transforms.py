"""Flips move picture, boxes, masks and keypoints together, and undo themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirnn.data.people import KEYPOINTS
from minirnn.data.sample import Sample, Target
from minirnn.data.transforms import horizontal_flip, vertical_flip


def random_sample(seed: int, count: int, height: int, width: int, masks: bool = True) -> Sample:
    """Boxes at quarters of pixels, so that flips are exact; a mask and 17 keypoints for each."""
    rng = np.random.default_rng(seed)
    limit = np.array([width, height]) * 4
    corners = np.sort(rng.integers(0, limit + 1, (count, 2, 2)), axis=1) / 4
    keypoints = np.zeros((count, 17, 3), np.float32)
    keypoints[:, :, 2] = rng.integers(0, 3, (count, 17))
    places = np.stack([rng.integers(0, side, (count, 17)) for side in (width, height)], 2)
    keypoints[:, :, :2] = places * (keypoints[:, :, 2:] > 0)
    target = Target(
        boxes=corners.reshape(count, 4).astype(np.float32),
        labels=rng.integers(1, 4, count),
        masks=rng.random((count, height, width)) < 0.3 if masks else None,
        is_crowd=rng.random(count) < 0.5,
        keypoints=keypoints if masks else None,
        image_id=seed,
        file_name="a.png",
    )
    return Sample(rng.integers(0, 256, (height, width, 3), np.uint8), target)


def assert_equal(a: Sample, b: Sample) -> None:
    np.testing.assert_array_equal(a.image, b.image)
    for name, value in vars(a.target).items():
        np.testing.assert_array_equal(value, getattr(b.target, name), err_msg=name)


samples = st.builds(
    random_sample,
    st.integers(0, 10_000),
    st.integers(0, 3),
    st.integers(1, 9),
    st.integers(1, 9),
    st.booleans(),
)


@pytest.mark.parametrize("flip", [horizontal_flip, vertical_flip])
@given(sample=samples)
def test_trap_06_flip_twice_is_nothing(flip, sample):
    """No +1 in one direction that is missing in the other."""
    once = flip(sample)
    assert_equal(flip(once), sample)
    boxes, flipped = sample.target.boxes, once.target.boxes
    np.testing.assert_array_equal(boxes[:, 2:] - boxes[:, :2], flipped[:, 2:] - flipped[:, :2])
    assert once.image.flags.c_contiguous
    assert not np.shares_memory(once.image, sample.image)


@given(sample=samples)
def test_trap_06_both_axes_are_alike(sample):
    """A vertical flip is a horizontal one of the picture with its axes exchanged."""

    def turned(s: Sample) -> Sample:
        t = s.target
        masks = None if t.masks is None else t.masks.transpose(0, 2, 1)
        target = Target(t.boxes[:, [1, 0, 3, 2]], t.labels, masks, t.is_crowd)
        return Sample(s.image.transpose(1, 0, 2), target)

    sample.target.keypoints, sample.target.image_id, sample.target.file_name = None, 0, ""
    assert_equal(vertical_flip(sample), turned(horizontal_flip(turned(sample))))


def test_trap_38_flip_of_keypoints():
    """Pixel x becomes pixel W-1-x, the box's edge x becomes W-x, and left becomes right."""
    width = 10
    image = np.zeros((5, width, 3), np.uint8)
    keypoints = np.zeros((1, 17, 3), np.float32)
    keypoints[0, KEYPOINTS.index("nose")] = 4, 1, 2
    keypoints[0, KEYPOINTS.index("left_wrist")] = 2, 3, 2
    keypoints[0, KEYPOINTS.index("right_ankle")] = 9, 0, 1
    image[3, 2] = 255
    target = Target(
        boxes=np.array([[2, 0, 9.5, 5]], np.float32),
        labels=np.array([1]),
        masks=None,
        is_crowd=np.array([False]),
        keypoints=keypoints,
    )
    result = horizontal_flip(Sample(image, target))
    flipped = dict(zip(KEYPOINTS, result.target.keypoints[0].tolist(), strict=True))
    assert flipped.pop("nose") == [5, 1, 2]
    assert flipped.pop("right_wrist") == [7, 3, 2]
    assert flipped.pop("left_ankle") == [0, 0, 1]
    assert all(point == [0, 0, 0] for point in flipped.values())  # unlabelled stay at the origin
    assert result.image[3, 7].tolist() == [255] * 3  # the wrist is where the picture has it
    np.testing.assert_array_equal(result.target.boxes, [[0.5, 0, 8, 5]])
    assert keypoints[0, 0].tolist() == [4, 1, 2]  # the argument is as it was


def test_flip_known_mask_and_other_names():
    sample = random_sample(0, 1, 2, 3)
    sample.target.masks = np.array([[[True, False, False], [True, True, False]]])
    sample.target.keypoints = np.array([[[0, 0, 2], [1, 1, 2]]], np.float32)
    flipped = horizontal_flip(sample, ("head", "left_only")).target  # one without an opposite
    np.testing.assert_array_equal(flipped.masks, [[[0, 0, 1], [0, 1, 1]]])
    np.testing.assert_array_equal(flipped.keypoints, [[[2, 0, 2], [1, 1, 2]]])
    with pytest.raises(ValueError, match=r"keypoints has shape \(1, 2, 3\)"):
        horizontal_flip(sample)
