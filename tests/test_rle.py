"""Run lengths: pycocotools' bytes, the loops' answers, and a clear no to bad input."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from minirnn import masks as fast
from minirnn.errors import InputError
from minirnn.masks import rle as rle_module
from minirnn.textbook import masks as textbook


@st.composite
def drawn_masks(draw):
    height, width = draw(st.integers(0, 12)), draw(st.integers(0, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.random((height, width)) < draw(st.sampled_from([0, 0.05, 0.5, 0.95, 1]))


def coco_encode(mask):
    return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))


@settings(max_examples=150, deadline=None)
@given(drawn_masks())
def test_encode_equals_pycocotools_and_the_loops(mask):
    result = fast.encode(mask)
    theirs = coco_encode(mask)
    assert result["counts"].encode() == theirs["counts"]
    assert result["size"] == list(theirs["size"])
    assert result == textbook.encode(mask)
    assert fast.encode(mask, compressed=False) == textbook.encode(mask, compressed=False)


@settings(max_examples=100, deadline=None)
@given(drawn_masks())
def test_decode_undoes_encode(mask):
    for compressed in (True, False):
        rle = fast.encode(mask, compressed=compressed)
        back = fast.decode(rle)
        assert back.dtype == bool
        np.testing.assert_array_equal(back, mask)
        np.testing.assert_array_equal(textbook.decode(rle), mask)
        assert fast.area(rle) == textbook.area(rle) == np.count_nonzero(mask)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2**31), min_size=1, max_size=12))
def test_text_of_any_counts_equals_pycocotools(counts):
    """Counts that need up to seven characters, which a drawn mask never has."""
    counts = np.array(counts, dtype=np.int64)
    text = rle_module.pack(counts)
    assert text == textbook._to_text(counts.tolist())
    np.testing.assert_array_equal(rle_module.unpack(text), counts)
    assert textbook._to_counts(text) == counts.tolist()
    total = int(counts.sum())
    # pycocotools keeps six characters for each count and none for the end of the text, so that
    # counts of six characters each can already make it write past its buffer (and end the process).
    if total < 2**24:
        theirs = coco_mask.frPyObjects({"size": [total, 1], "counts": counts.tolist()}, total, 1)
        assert text.encode() == theirs["counts"]


def test_known_answer():
    mask = np.array([[0, 1, 1], [0, 1, 0]], dtype=bool)  # column order: 0 0 1 1 1 0
    assert fast.encode(mask, compressed=False) == {"size": [2, 3], "counts": [2, 3, 1]}
    assert fast.encode(mask) == {"size": [2, 3], "counts": "231"}
    assert fast.encode(~mask, compressed=False)["counts"] == [0, 2, 3, 1]


def test_real_size_equals_pycocotools_both_ways():
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:427, :640]
    for _ in range(20):
        cy, cx, a, b = rng.uniform(0, [427, 640, 300, 300])
        mask = ((y - cy) / a) ** 2 + ((x - cx) / b) ** 2 < 1
        assert fast.encode(mask)["counts"].encode() == coco_encode(mask)["counts"]
        np.testing.assert_array_equal(fast.decode(coco_encode(mask)), mask)


def test_encode_many_and_devices(xp):
    rng = np.random.default_rng(0)
    host = rng.random((4, 9, 7)) < 0.4
    results = fast.encode_many(xp.asarray(host))
    assert results == textbook.encode_many(host)
    assert fast.encode(xp.asarray(host[1])) == results[1]
    assert json.loads(json.dumps(results)) == results


def test_trap_33_no_masks():
    assert fast.encode_many(np.zeros((0, 5, 6), bool)) == []
    assert fast.decode(fast.encode(np.zeros((0, 6), bool))).shape == (0, 6)
    assert fast.decode({"size": [0, 4], "counts": []}).shape == (0, 4)


def test_numbers_count_as_on_where_not_zero():
    mask = np.array([[0, 2], [255, 0]])
    assert fast.encode(mask, compressed=False)["counts"] == [1, 2, 1]


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ("231", "'size' and 'counts'"),
        ({"size": [2, 3]}, "'size' and 'counts'"),
        ({"size": [2], "counts": "231"}, "size"),
        ({"size": [2, -3], "counts": "231"}, "size"),
        ({"size": [2.0, 3], "counts": "231"}, "size"),
        ({"size": "23", "counts": "231"}, "size"),
        ({"size": None, "counts": "231"}, "size"),
        ({"size": [2, 3], "counts": "232"}, "add up to 7"),
        ({"size": [2, 3], "counts": "23"}, "add up to 5"),
        ({"size": [2, 3], "counts": [2, 3]}, "add up to 5"),
        ({"size": [2, 3], "counts": []}, "add up to 0"),
        ({"size": [2, 3], "counts": [2, 5, -1]}, "negative"),
        ({"size": [2, 3], "counts": [2.0, 4.0]}, "neither"),
        ({"size": [2, 3], "counts": [True, 5]}, "neither"),
        ({"size": [2, 3], "counts": 6}, "neither"),
        ({"size": [2, 3], "counts": None}, "neither"),
        ({"size": [2, 3], "counts": [2**64]}, "too large"),
        ({"size": [0, 0], "counts": [2**61] * 8}, "add up"),
        # Of some bytes, and nine gigabytes if it were unpacked.
        ({"size": [100_000, 100_000], "counts": [10**10]}, "100000 x 100000 pixels, .* too large"),
        ({"size": [2, 3], "counts": "23Q"}, "cut short"),
        ({"size": [2, 3], "counts": "2 3"}, "characters"),
        ({"size": [2, 3], "counts": b"2\xff3"}, "characters"),
        ({"size": [2, 3], "counts": "2é3"}, "characters"),
        ({"size": [2, 3], "counts": "P" * 9 + "1"}, "too large"),
    ],
)
def test_malformed_run_lengths_are_refused(rle, message):
    for function in (fast.decode, fast.area):
        with pytest.raises(InputError, match=message):
            function(rle)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(H, W\)"):
        fast.encode(np.zeros((1, 2, 3), bool))
    with pytest.raises(ValueError, match=r"\(D, H, W\)"):
        fast.encode_many(np.zeros((2, 3), bool))
