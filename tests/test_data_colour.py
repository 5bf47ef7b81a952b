"""Changes of colour: grey stays grey, nothing but colour changes, and each amount does what it says."""

from __future__ import annotations

import colorsys
from itertools import chain, permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirnn.data.colour import YIQ, amounts_of, color_jitter, colour_matrix, recoloured
from minirnn.data.loader import Loader
from minirnn.errors import InputError
from minirnn.structures import Sample, Target

TARGET = Target(np.zeros((0, 4), np.float32), np.zeros(0, np.intp), None, np.zeros(0, bool))


def picture(seed: int, height: int = 6, width: int = 7, grey: bool = False) -> Sample:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 1 if grey else 3), np.uint8)
    return Sample(np.broadcast_to(image, (height, width, 3)).copy(), TARGET)


def jittered(sample: Sample, seed: int = 0, **amounts: float) -> np.ndarray:
    nothing = dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0.0)
    return color_jitter(sample, np.random.default_rng(seed), **(nothing | amounts)).image


@given(seed=st.integers(0, 999), strength=st.floats(0, 1))
def test_same_seed_same_picture_and_the_target_is_not_touched(seed, strength):
    sample = picture(seed)
    before = sample.image.copy()
    a, b = (
        color_jitter(sample, np.random.default_rng(seed), **amounts_of(strength)) for _ in range(2)
    )
    np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_array_equal(sample.image, before)
    assert a.image.dtype == np.uint8
    assert a.image.shape == sample.image.shape
    assert a.target is sample.target
    assert not np.shares_memory(a.image, sample.image)


@given(seed=st.integers(0, 999), strength=st.floats(0, 1))
def test_a_grey_picture_stays_exactly_grey(seed, strength):
    image = jittered(picture(seed, grey=True), seed, **amounts_of(strength))
    assert (image == image[:, :, :1]).all()


@given(luma=st.floats(0, 4), chroma=st.floats(0, 8), turn=st.floats(-4, 4))
def test_the_matrix_has_no_rounding_in_float32(luma, chroma, turn):
    """So that pictures are the same on every machine, whatever order its products are summed in."""
    matrix = colour_matrix(luma, chroma, turn)
    values = picture(0).image.reshape(-1, 3)
    exact = values.astype(np.float64) @ matrix.T.astype(np.float64)
    np.testing.assert_array_equal(values.astype(np.float32) @ matrix.T, exact)
    assert len(set(matrix.astype(np.float64).sum(axis=1))) == 1


@given(seed=st.integers(0, 999))
def test_nothing_asked_nothing_changed(seed):
    sample = picture(seed)
    np.testing.assert_array_equal(jittered(sample), sample.image)
    np.testing.assert_array_equal(jittered(sample, seed, **amounts_of(0)), sample.image)


@given(seed=st.integers(0, 999), amount=st.floats(0.1, 0.5))
def test_brightness_is_one_factor(seed, amount):
    sample = picture(seed)
    image = jittered(sample, seed, brightness=amount)
    factor = np.random.default_rng(seed).uniform(1 - amount, 1 + amount)
    np.testing.assert_allclose(image, np.clip(sample.image * factor, 0, 255), atol=0.6)


@given(seed=st.integers(0, 999))
def test_contrast_keeps_the_mean_luma_and_an_even_picture(seed):
    rng = np.random.default_rng(seed)
    sample = Sample(rng.integers(100, 150, (9, 9, 3), np.uint8), TARGET)  # nothing is cut off
    image = jittered(sample, seed, contrast=0.8)
    assert (image @ YIQ[0]).mean() == pytest.approx((sample.image @ YIQ[0]).mean(), abs=0.5)
    even = Sample(np.full((4, 5, 3), 90, np.uint8), TARGET)
    np.testing.assert_array_equal(jittered(even, seed, contrast=0.8), even.image)


@given(seed=st.integers(0, 999))
def test_brightness_comes_before_contrast(seed):
    """Or after it: the mean luma that contrast is about is that of the brighter picture."""
    sample = picture(seed)
    image = jittered(sample, seed, brightness=0.4, contrast=0.4)
    b, c = np.random.default_rng(seed).uniform(0.6, 1.4, 2)
    bright = b * sample.image
    mean = (bright @ YIQ[0]).mean()
    np.testing.assert_allclose(image, np.clip(mean + c * (bright - mean), 0, 255), atol=0.7)


@given(seed=st.integers(0, 999), hue=st.floats(0, 0.5), saturation=st.floats(0, 1))
def test_hue_and_saturation_keep_each_pixels_luma(seed, hue, saturation):
    rng = np.random.default_rng(seed)
    sample = Sample(rng.integers(110, 140, (5, 5, 3), np.uint8), TARGET)
    image = jittered(sample, seed, hue=hue, saturation=saturation)
    np.testing.assert_allclose(image @ YIQ[0], sample.image @ YIQ[0], atol=0.9)


def test_without_saturation_all_is_luma():
    sample = picture(0)
    image = recoloured(sample.image, colour_matrix(1, 0, 0.3), 0)
    assert (image == image[:, :, :1]).all()
    np.testing.assert_allclose(image[:, :, 0], sample.image @ YIQ[0], atol=0.6)


def test_hue_turns_as_far_as_it_says():
    """Colour by colour beside colorsys: its hexagon is no circle, so to within a twelfth of a turn."""
    for turn, colour in product((-0.25, 0.1, 0.25), ((200, 90, 80), (90, 170, 220))):
        image = np.array(colour, np.uint8).reshape(1, 1, 3)
        turned = recoloured(image, colour_matrix(1, 1, turn * 2 * np.pi), 0)[0, 0]
        before, after = (colorsys.rgb_to_hsv(*(np.array(c) / 255))[0] for c in (colour, turned))
        moved = (abs(after - before) + 0.5) % 1 - 0.5
        assert abs(abs(moved) - abs(turn)) < 1 / 12


def test_order_does_not_matter_where_nothing_is_cut_off():
    changes = [colour_matrix(1.2, 1.2, 0), colour_matrix(1, 0.7, 0), colour_matrix(1, 1, 0.5)]
    first, *others = [a @ b @ c for a, b, c in permutations(changes)]
    for other in others:
        np.testing.assert_allclose(other, first, atol=2e-3)


@pytest.mark.parametrize(
    ("amounts", "words"),
    [
        ({"brightness": 2}, r"brightness is 2; it should be from 0 to 1"),
        ({"contrast": -0.1}, r"contrast is -0\.1"),
        ({"saturation": 1.1}, r"saturation is 1\.1"),
        ({"hue": 0.6}, r"hue is 0\.6; it should be from 0 to 0\.5"),
    ],
)
def test_amounts_out_of_range_are_refused(amounts, words):
    with pytest.raises(InputError, match=words):
        color_jitter(picture(0), np.random.default_rng(0), **amounts)


def test_strength_out_of_range_is_refused():
    with pytest.raises(InputError, match=r"colour is 1\.5; it should be from 0 to 1"):
        amounts_of(1.5)
    with pytest.raises(InputError, match=r"colour is -1; it should be from 0 to 1"):
        Loader(Pictures(), 2, steps=1, seed=0, colour=-1)


class Pictures:
    """Nine pictures."""

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> Sample:
        return picture(index)


def test_the_loader_changes_colours_if_asked():
    off, zero, on, helped, resumed = (
        list(Loader(Pictures(), 4, steps=3, seed=5, **settings))
        for settings in (
            {},
            {"colour": 0.0},
            {"colour": 0.4},
            {"colour": 0.4, "workers": 1},
            {"colour": 0.4, "start_step": 1},
        )
    )
    for batch, same in ((off, zero), (on, helped), (on[1:], resumed)):
        for a, b in zip(chain(*batch), chain(*same), strict=True):
            np.testing.assert_array_equal(a.image, b.image)
    assert all((a.image != b.image).any() for a, b in zip(off[0], on[0], strict=True))
