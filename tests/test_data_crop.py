"""Cropping: what a window shows, with boxes, masks, keypoints and proposals moved along."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirnn.data.cropping import crop, random_crop
from minirnn.data.loader import Loader
from minirnn.data.people import KEYPOINTS
from minirnn.data.sample import Sample, Target
from minirnn.data.transforms import horizontal_flip
from minirnn.errors import InputError


def a_sample(seed: int, count: int, height: int, width: int, masks: bool) -> Sample:
    """Objects that fill their boxes in part; no two pixels have the same colour."""
    rng = np.random.default_rng(seed)
    low = np.stack([rng.integers(0, side, count) for side in (width, height)], 1)
    high = np.stack([rng.integers(low[:, a] + 1, (width, height)[a] + 1) for a in (0, 1)], 1)
    drawn = np.zeros((count, height, width), bool)
    for mask, (x1, y1), (x2, y2) in zip(drawn, low, high, strict=True):
        mask[y1:y2, x1:x2] = rng.random((y2 - y1, x2 - x1)) < 0.6
    points = np.zeros((count, 17, 3), np.float32)
    points[..., 2] = rng.integers(0, 3, (count, 17))
    points[..., 0] = rng.integers(0, width, (count, 17))
    points[..., 1] = rng.integers(0, height, (count, 17))
    points *= points[..., 2:] > 0
    boxes = np.concatenate([low, high], 1).astype(np.float32)
    image = np.arange(height * width * 3).reshape(height, width, 3).astype(np.uint8)
    target = Target(
        boxes,
        np.arange(1, count + 1),
        drawn if masks else None,
        rng.random(count) < 0.3,
        points,
        proposals=boxes + np.float32(0.25),
    )
    return Sample(image, target)


samples = st.builds(
    a_sample,
    st.integers(0, 10_000),
    st.integers(0, 3),
    st.integers(1, 9),
    st.integers(1, 9),
    st.booleans(),
)


def a_window(data: st.DataObject, height: int, width: int) -> tuple[int, int, int, int]:
    spans = []
    for side in (width, height):
        start = data.draw(st.integers(0, side - 1))
        spans.append((start, data.draw(st.integers(start + 1, side))))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def assert_equal(a: Sample, b: Sample) -> None:
    np.testing.assert_array_equal(a.image, b.image)
    for name, value in vars(a.target).items():
        np.testing.assert_array_equal(value, getattr(b.target, name), err_msg=name)


@given(sample=samples)
def test_the_whole_picture_changes_nothing(sample):
    height, width = sample.image.shape[:2]
    cropped = crop(sample, (0, 0, width, height))
    sample.target.proposals = np.minimum(sample.target.proposals, [width, height] * 2)
    wide = (sample.target.proposals[:, 2:] > sample.target.proposals[:, :2]).all(axis=1)
    sample.target.proposals = sample.target.proposals[wide]
    assert_equal(cropped, sample)
    assert not np.shares_memory(cropped.image, sample.image)
    assert not np.shares_memory(cropped.target.boxes, sample.target.boxes)


@given(sample=samples, data=st.data())
def test_a_window_in_a_window_is_one_window(sample, data):
    outer = a_window(data, *sample.image.shape[:2])
    inner = a_window(data, outer[3] - outer[1], outer[2] - outer[0])
    both = tuple(int(x) for x in np.add(inner, outer[:2] * 2))
    assert_equal(crop(crop(sample, outer), inner), crop(sample, both))


@given(sample=samples, data=st.data())
def test_a_mirrored_window_of_a_mirrored_picture(sample, data):
    window = left, top, right, bottom = a_window(data, *sample.image.shape[:2])
    width = sample.image.shape[1]
    mirrored = (width - right, top, width - left, bottom)
    assert_equal(horizontal_flip(crop(sample, window)), crop(horizontal_flip(sample), mirrored))


@given(sample=samples, data=st.data())
def test_everything_stays_on_its_pixel(sample, data):
    """A kept object's points and mask lie on the same pixels of the scene; its box holds its mask."""
    left, top, right, bottom = window = a_window(data, *sample.image.shape[:2])
    before, after = sample.target, crop(sample, window).target
    for label, box, points in zip(after.labels, after.boxes, after.keypoints, strict=True):
        old = before.keypoints[label - 1]
        inside = (old[:, 0] >= left) & (old[:, 0] < right) & (old[:, 1] >= top)
        inside &= (old[:, 1] < bottom) & (old[:, 2] > 0)
        np.testing.assert_array_equal(points[inside], old[inside] - [left, top, 0])
        assert not points[~inside].any()
        assert (box[2:] > box[:2]).all()
        assert (box >= 0).all()
        assert (box <= [right - left, bottom - top] * 2).all()
    if after.masks is not None:
        for label, box, mask in zip(after.labels, after.boxes, after.masks, strict=True):
            y, x = np.nonzero(mask)
            whole = before.masks[label - 1]
            np.testing.assert_array_equal(mask, whole[top:bottom, left:right])
            assert (box[:2] <= [x.min(initial=99), y.min(initial=99)]).all()
            assert (box[2:] > [x.max(initial=-1), y.max(initial=-1)]).all()
    # Dropped is what has no pixel in the window (without masks: no area).
    for label in set(before.labels) - set(after.labels):
        if before.masks is None:
            x1, y1, x2, y2 = before.boxes[label - 1]
            assert min(x2, right) <= max(x1, left) or min(y2, bottom) <= max(y1, top)
        else:
            assert not before.masks[label - 1, top:bottom, left:right].any()


def test_an_object_that_is_cut_is_what_is_left_of_it():
    mask = np.zeros((2, 6, 8), bool)
    mask[0, 0:6, 0:1] = mask[0, 4:6, 0:8] = True  # an L: its upright part is outside of the window
    mask[1, 1:3, 5:7] = True
    points = np.zeros((2, 17, 3), np.float32)
    points[0, KEYPOINTS.index("nose")] = 0, 0, 2
    points[0, KEYPOINTS.index("left_knee")] = 2, 5, 1
    points[1, KEYPOINTS.index("nose")] = 6, 2, 2
    target = Target(
        boxes=np.array([[0, 0, 8, 6], [4.5, 0.5, 7.5, 3.5]], np.float32),
        labels=np.array([1, 2]),
        masks=mask,
        is_crowd=np.zeros(2, bool),
        keypoints=points,
        proposals=np.array([[0, 0, 3, 3], [0, 0, 2, 6]], np.float32),
    )
    seen = crop(Sample(np.zeros((6, 8, 3), np.uint8), target), (2, 0, 8, 6)).target
    # The L's foot; and the other object is as it was, whatever its mask says of its box.
    np.testing.assert_array_equal(seen.boxes, [[0, 4, 6, 6], [2.5, 0.5, 5.5, 3.5]])
    assert seen.keypoints[0].nonzero()[0].tolist() == [KEYPOINTS.index("left_knee")] * 2
    assert seen.keypoints[0, KEYPOINTS.index("left_knee")].tolist() == [0, 5, 1]
    assert seen.keypoints[1, 0].tolist() == [4, 2, 2]
    np.testing.assert_array_equal(seen.proposals, [[0, 0, 1, 3]])


def test_a_fraction_of_a_pixel_belongs_to_the_nearest():
    sample = a_sample(0, 1, 4, 4, masks=False)
    sample.target.boxes = np.array([[0, 0, 4, 4]], np.float32)
    sample.target.keypoints = np.array([[[0.6, 1, 2], [0.4, 1, 2], [3.4, 1, 2]]], np.float32)
    seen = crop(sample, (1, 1, 4, 4)).target.keypoints[0]
    np.testing.assert_allclose(seen, [[-0.4, 0, 2], [0, 0, 0], [2.4, 0, 2]], atol=1e-6)


@given(seed=st.integers(0, 1000), least=st.floats(0.1, 1))
def test_a_random_window_has_the_share_that_was_asked_for(seed, least):
    sample = a_sample(0, 2, 20, 30, masks=True)
    cropped = random_crop(sample, np.random.default_rng(seed), least)
    again = random_crop(sample, np.random.default_rng(seed), least)
    assert_equal(cropped, again)
    height, width = cropped.image.shape[:2]
    assert 20 * least - 0.5 <= height <= 20
    assert 30 * least - 0.5 <= width <= 30


def test_random_windows_reach_every_border():
    sample = a_sample(0, 0, 4, 4, masks=True)
    sample.image = np.arange(16, dtype=np.uint8).reshape(4, 4, 1).repeat(3, 2)
    rng = np.random.default_rng(0)
    corners = {int(random_crop(sample, rng, 0.4).image[0, 0, 0]) for _ in range(200)}
    assert {0, 1, 2, 4, 5, 6, 8, 9, 10} <= corners


@pytest.mark.parametrize("window", [(0, 0, 0, 3), (-1, 0, 2, 2), (0, 2, 2, 1), (0, 0, 6, 4)])
def test_a_window_beyond_the_picture_is_refused(window):
    with pytest.raises(InputError, match="it should be left < right"):
        crop(a_sample(0, 1, 4, 5, masks=True), window)


@pytest.mark.parametrize("least", [0.0, 1.1])
def test_a_share_out_of_range_is_refused(least):
    with pytest.raises(InputError, match=f"least is {least}"):
        random_crop(a_sample(0, 1, 4, 5, masks=True), np.random.default_rng(0), least)


class People:
    """A data set of one picture, over and over."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Sample:
        sample = a_sample(index, 2, 12, 16, masks=True)
        return replace(sample, target=replace(sample.target, image_id=index))


def test_the_loader_crops_if_asked():
    (whole,) = Loader(People(), 5, steps=1, seed=0, flip=0)
    (cropped,) = Loader(People(), 5, steps=1, seed=0, flip=0, crop=0.5)
    (again,) = Loader(People(), 5, steps=1, seed=0, flip=0, crop=0.5)
    assert {s.image.shape for s in whole} == {(12, 16, 3)}
    assert len({s.image.shape for s in cropped}) > 2
    for a, b in zip(cropped, again, strict=True):
        assert_equal(a, b)
    with pytest.raises(InputError, match=r"crop is 0\.0; it should be more than 0"):
        Loader(People(), 5, steps=1, seed=0, crop=0.0)
