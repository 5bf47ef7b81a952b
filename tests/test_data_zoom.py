"""Zoom: nearer or farther in a picture of the same proportions, with boxes, masks and keypoints along."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirnn.data.cropping import crop, random_crop, start_of_window
from minirnn.data.loader import Loader
from minirnn.data.resizing import resize
from minirnn.data.transforms import horizontal_flip
from minirnn.data.zoom import random_zoom
from minirnn.errors import InputError
from minirnn.masks import boxes_of_masks
from minirnn.structures import Sample, Target


def a_sample(seed: int, count: int, height: int, width: int, masks: bool = True) -> Sample:
    """Objects that fill their boxes up to a corner, with a keypoint each on a pixel."""
    rng = np.random.default_rng(seed)
    low = np.stack([rng.integers(0, side, count) for side in (width, height)], 1)
    high = np.stack([rng.integers(low[:, a] + 1, (width, height)[a] + 1) for a in (0, 1)], 1)
    drawn = np.zeros((count, height, width), bool)
    for mask, (x1, y1), (x2, y2) in zip(drawn, low, high, strict=True):
        mask[y1:y2, x1:x2] = True
        if x2 - x1 > 1 and y2 - y1 > 1:
            mask[y1, x1] = False
    points = np.zeros((count, 1, 3), np.float32)
    points[:, 0] = np.concatenate([high - 1, rng.integers(0, 3, (count, 1))], 1)
    points *= points[..., 2:] > 0
    boxes = np.concatenate([low, high], 1).astype(np.float32)
    target = Target(
        boxes,
        np.arange(1, count + 1),
        drawn if masks else None,
        rng.random(count) < 0.2,
        points,
        proposals=boxes.copy(),
        image_id=seed,
    )
    return Sample(rng.integers(0, 256, (height, width, 3), np.uint8), target)


samples = st.builds(
    a_sample,
    st.integers(0, 10_000),
    st.integers(0, 4),
    st.integers(1, 24),
    st.integers(1, 24),
    st.booleans(),
)
factors = st.floats(0.1, 10)


def assert_equal(a: Sample, b: Sample) -> None:
    np.testing.assert_array_equal(a.image, b.image)
    for name, value in vars(a.target).items():
        np.testing.assert_array_equal(value, getattr(b.target, name), err_msg=name)


def assert_sound(sample: Sample) -> None:
    """All arrays fit together; nothing leaves the picture; each mask is in its box."""
    height, width = sample.image.shape[:2]
    target, count = sample.target, len(sample.target.boxes)
    assert sample.image.dtype == np.uint8
    assert len(target.labels) == len(target.is_crowd) == len(target.keypoints) == count
    assert target.boxes.dtype == target.keypoints.dtype == np.float32
    assert (target.boxes[:, 2:] > target.boxes[:, :2]).all()
    for boxes in (target.boxes, target.proposals):
        assert (boxes >= 0).all()
        assert (boxes <= np.array([width, height] * 2, np.float32)).all()
    labelled = target.keypoints[target.keypoints[..., 2] > 0]
    assert (labelled[:, :2] >= -0.5).all()
    assert (labelled[:, :2] <= [width - 0.5, height - 0.5]).all()
    assert not target.keypoints[target.keypoints[..., 2] == 0].any()
    if target.masks is not None:
        assert target.masks.shape == (count, height, width)
        assert target.masks.any(axis=(1, 2)).all()
        tight = boxes_of_masks(target.masks)  # a pixel belongs to what its centre belongs to
        assert (tight[:, :2] >= target.boxes[:, :2] - 0.501).all()
        assert (tight[:, 2:] <= target.boxes[:, 2:] + 0.501).all()


@given(sample=samples, height=st.integers(1, 40), width=st.integers(1, 40))
def test_a_resized_picture_is_the_same_scene(sample, height, width):
    before, after = sample.target, resize(sample, (height, width)).target
    scale = np.array([width, height], np.float32) / sample.image.shape[1::-1]
    np.testing.assert_allclose(after.boxes / np.tile(scale, 2), before.boxes, rtol=1e-5)
    np.testing.assert_array_equal(after.labels, before.labels)
    middles, old_middles = (t.keypoints[..., :2] + 0.5 for t in (after, before))
    seen = before.keypoints[..., 2] > 0
    np.testing.assert_allclose((middles / scale)[seen], old_middles[seen], rtol=1e-4)
    if before.masks is not None:
        for y, x in np.ndindex(height, width):
            place = (np.array([x, y]) + 0.5) / scale
            if (abs(place - place.round()) > 1e-4).all():  # not on the border between two pixels
                column, row = place.astype(int)
                np.testing.assert_array_equal(after.masks[:, y, x], before.masks[:, row, column])


def test_to_its_own_size_is_nothing():
    sample = a_sample(3, 3, 12, 15)
    assert_equal(resize(sample, (12, 15)), sample)


def test_half_and_double():
    sample = a_sample(0, 0, 8, 6)
    sample.image = np.repeat(np.repeat(sample.image[:4, :3], 2, 0), 2, 1)
    small = resize(sample, (4, 3)).image
    assert small.shape == (4, 3, 3)
    np.testing.assert_allclose(small[1, 1], sample.image[2, 2], atol=80)  # Pillow's triangle
    even = Sample(np.full((8, 6, 3), 77, np.uint8), sample.target)
    assert (resize(even, (3, 9)).image == 77).all()


@given(
    sample=samples,
    seed=st.integers(0, 999),
    pair=st.tuples(factors, factors).map(sorted),
    focus=st.sampled_from([0.0, 0.5, 1.0]),
    least=st.floats(0, 1),
)
def test_a_zoomed_picture_is_sound(sample, seed, pair, focus, least):
    where = {"focus": focus, "min_visible": least}
    rng = np.random.default_rng(seed)
    once = random_zoom(sample, rng, pair, **where)
    again = random_zoom(sample, np.random.default_rng(seed), pair, **where)
    assert_equal(once, again)
    assert_sound(once)
    height, width = sample.image.shape[:2]
    factor = np.exp(np.random.default_rng(seed).uniform(*np.log(pair)))
    share = max(factor, 1)
    assert once.image.shape[:2] == tuple(max(round(side / share), 1) for side in (height, width))
    # Areas never grow by more than the factor, and where it is nearer, not at all: what is left is a part.
    number = {label: i for i, label in enumerate(sample.target.labels)}
    for i, label in enumerate(once.target.labels):
        before = sample.target.boxes[number[label]]
        after = once.target.boxes[i]
        scale = min(factor, 1)
        size = np.maximum(np.round(np.array([width, height]) * scale), 1) / [width, height]
        assert (after[2:] - after[:2] <= (before[2:] - before[:2]) * size + 1e-4).all()
        if sample.target.masks is not None and factor >= 1:
            assert once.target.masks[i].sum() <= sample.target.masks[number[label]].sum()
            np.testing.assert_array_equal(after, boxes_of_masks(once.target.masks[i : i + 1])[0])


@given(sample=samples, seed=st.integers(0, 999))
def test_a_factor_of_1_is_the_picture(sample, seed):
    assert_equal(random_zoom(sample, np.random.default_rng(seed), (1.0, 1.0)), sample)


def test_farther_is_on_a_ground_of_the_mean_colour():
    sample = a_sample(1, 2, 20, 30)
    sample.image[:] = [10, 100, 201]
    far = random_zoom(sample, np.random.default_rng(0), (0.5, 0.5))
    assert (far.image == [10, 100, 201]).all()
    places = set()
    for seed in range(60):
        sample.image[:] = 0
        sample.image[0] = 200  # the first row's edge tells where the picture begins
        far = random_zoom(sample, np.random.default_rng(seed), (0.5, 0.5)).image[..., 0]
        ground = far[0, 0] if far[0, 0] == far[-1, -1] else far[-1, 0]
        places.add(int(np.flatnonzero((far != ground).any(axis=1))[0]))
    assert len(places) > 6  # anywhere from top to bottom


@given(
    side=st.integers(1, 60),
    data=st.data(),
    seed=st.integers(0, 99),
)
def test_a_focused_window_holds_the_object_or_lies_in_it(side, data, seed):
    length = data.draw(st.integers(1, side))
    first = data.draw(st.floats(0, side - 0.5))
    last = data.draw(st.floats(first + 0.25, side))
    start = start_of_window(side, length, np.random.default_rng(seed), np.array([first, last]))
    assert 0 <= start <= side - length
    if length >= np.ceil(last) - np.floor(first):
        assert start <= first
        assert start + length >= last
    else:
        assert start >= np.floor(first) - 1
        assert start + length <= np.ceil(last) + 1


@given(seed=st.integers(0, 999), least=st.floats(0.1, 1))
def test_with_focus_an_object_that_is_no_crowd_is_in_the_window(seed, least):
    sample = a_sample(seed, 3, 30, 40)
    sample.target.is_crowd[:] = [True, False, False]
    sample.target.masks[:] = False
    for mask, box in zip(sample.target.masks, sample.target.boxes.astype(int), strict=True):
        mask[box[1] : box[3], box[0] : box[2]] = True
    for cropped in (
        random_crop(sample, np.random.default_rng(seed), least, focus=1),
        random_zoom(sample, np.random.default_rng(seed), (1 / least, 1 / least), focus=1),
    ):
        assert set(cropped.target.labels) & {2, 3}


def test_focus_without_objects_is_anywhere():
    sample = a_sample(0, 0, 10, 10)
    corners = {
        random_crop(sample, np.random.default_rng(s), 0.5, focus=1).image.shape for s in range(9)
    }
    assert len(corners) > 3


@pytest.mark.parametrize("masks", [True, False])
def test_what_is_hardly_seen_is_neither_object_nor_background(masks):
    sample = a_sample(0, 2, 10, 10, masks)
    sample.target.boxes[:] = [[0, 0, 10, 10], [6, 0, 10, 10]]
    sample.target.is_crowd[:] = False
    if masks:
        sample.target.masks[:] = False
        sample.target.masks[0] = sample.target.masks[1, :, 6:] = True
    window = (0, 0, 7, 10)  # 70 % of the first, 25 % of the second
    assert crop(sample, window).target.is_crowd.tolist() == [False, False]
    assert crop(sample, window, 0.25).target.is_crowd.tolist() == [False, False]
    assert crop(sample, window, 0.3).target.is_crowd.tolist() == [False, True]
    assert crop(sample, window, 0.8).target.is_crowd.tolist() == [True, True]
    assert sample.target.is_crowd.tolist() == [False, False]  # the argument is as it was


@pytest.mark.parametrize("zoom", [(2, 1), (0, 1), (0.05, 1), (1, 20), (1,), (1, 1, 1)])
def test_factors_out_of_range_are_refused(zoom):
    with pytest.raises(
        InputError, match=r"zoom is .*; it should be two factors, the smaller first"
    ):
        random_zoom(a_sample(0, 1, 4, 4), np.random.default_rng(0), zoom)
    with pytest.raises(InputError, match="zoom is "):
        Loader(Scenes(), 2, steps=1, seed=0, zoom=zoom)


@pytest.mark.parametrize("setting", [{"focus": 1.5}, {"min_visible": -0.1}, {"crop": 0.0}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(InputError, match=rf"{next(iter(setting))} is .*; it should be "):
        Loader(Scenes(), 2, steps=1, seed=0, **setting)


class Scenes:
    """Seven scenes of one size."""

    keypoint_names = ("nose",)

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> Sample:
        return a_sample(index, 3, 18, 24)


def all_of(**settings) -> list[Sample]:
    return [s for batch in Loader(Scenes(), 3, steps=5, seed=2, **settings) for s in batch]


def test_the_loader_zooms_if_asked():
    settings = {"zoom": (0.5, 2), "focus": 0.5, "min_visible": 0.2}
    on, helped = all_of(**settings), all_of(**settings, workers=1)
    resumed = all_of(**settings, start_step=2)
    for a, b in zip(on, helped, strict=True):
        assert_equal(a, b)
    for a, b in zip(on[6:], resumed, strict=True):
        assert_equal(a, b)
    assert {s.image.shape for s in all_of()} == {(18, 24, 3)}
    assert len({s.image.shape for s in on}) > 3


@pytest.mark.parametrize("least", [1.0, 0.5])
def test_what_is_off_draws_nothing(least):
    """Flips and windows are those of a loader that knows nothing else: written out here."""
    off = {"zoom": (1, 1), "focus": 0.0, "min_visible": 0.0, "copy_paste": 0.0, "colour": 0.0}
    found = all_of(crop=least, **off)
    loader = Loader(Scenes(), 3, steps=5, seed=2)
    expected = []
    for k in range(5):
        flips = np.random.default_rng([2, 1, k]).random(3)
        for place, index in enumerate(loader.make.indices(k)):
            sample, rng = Scenes()[index], np.random.default_rng([2, 3, 3 * k + place])
            if flips[place] < 0.5:
                sample = horizontal_flip(sample, ("nose",))
            if least < 1:
                width = round(24 * rng.uniform(least, 1))
                left = int(rng.integers(24 - width + 1))
                height = round(18 * rng.uniform(least, 1))
                top = int(rng.integers(18 - height + 1))
                sample = crop(sample, (left, top, left + width, top + height))
            expected.append(sample)
    for a, b in zip(found, expected, strict=True):
        assert_equal(a, b)
