"""Segmentations in all of COCO's forms give the mask that pycocotools gives."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from minirnn import masks
from minirnn.errors import InputError

SQUARE = [2.0, 3.0, 8.0, 3.0, 8.0, 9.0, 2.0, 9.0]


def test_polygon_known_answer():
    mask = masks.polygons_to_mask([SQUARE], 12, 15)
    expected = np.zeros((12, 15), bool)
    expected[3:9, 2:8] = True
    np.testing.assert_array_equal(mask, expected)
    assert mask.dtype == bool


def test_several_parts_are_united():
    other = [5, 1, 14, 1, 14, 6, 5, 6]
    both = masks.polygons_to_mask([SQUARE, other], 12, 15)
    one, two = (masks.polygons_to_mask([p], 12, 15) for p in (SQUARE, other))
    np.testing.assert_array_equal(both, one | two)
    assert (one & two).any()


def test_points_outside_the_image_are_clipped():
    mask = masks.polygons_to_mask([[-5, -5, 30, -5, 30, 30, -5, 30]], 12, 15)
    assert mask.all()
    assert not masks.polygons_to_mask([[50, 50, 60, 50, 60, 60]], 12, 15).any()


def test_all_forms_of_a_segmentation_agree():
    expected = masks.polygons_to_mask([SQUARE], 12, 15)
    listed = masks.encode(expected, compressed=False)
    packed = masks.encode(expected)
    as_bytes = {"size": [12, 15], "counts": packed["counts"].encode()}
    for form in ([SQUARE], [[int(v) for v in SQUARE]], listed, packed, as_bytes):
        np.testing.assert_array_equal(masks.segmentation_to_mask(form, 12, 15), expected)
        assert masks.segmentation_to_rle(form, 12, 15) == packed


def test_random_polygons_equal_pycocotools():
    rng = np.random.default_rng(0)
    for _ in range(50):
        height, width = rng.integers(1, 60, 2).tolist()
        polygons = [
            (rng.uniform(-0.2, 1.2, (n, 2)) * [width, height]).ravel().tolist()
            for n in rng.integers(3, 9, rng.integers(1, 4))
        ]
        merged = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
        theirs = masks.decode(merged)
        np.testing.assert_array_equal(masks.segmentation_to_mask(polygons, height, width), theirs)


def test_trap_33_no_polygons_fill_nothing():
    mask = masks.polygons_to_mask([], 5, 6)
    assert mask.shape == (5, 6)
    assert not mask.any()
    assert masks.polygons_to_mask([SQUARE], 0, 6).shape == (0, 6)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "not a list of polygons"),
        (7, "not a list of polygons"),
        ("polygon", "not a list of polygons"),
        ([], "empty list"),
        (SQUARE, r"\[0\] is not a flat list"),
        ([SQUARE, SQUARE[:4]], r"\[1\] has 4 numbers"),
        ([SQUARE[:7]], "has 7 numbers"),
        ([[]], "not a flat list|has 0 numbers"),
        ([[[2, 3], [8, 3], [8, 9]]], "not a flat list"),
        ([[2, 3, 8, 3, [8], 9]], "not a flat list"),
        ([[2, 3, 8, 3, "8", 9]], "not a flat list"),
        ([[2, 3, 8, 3, None, 9]], "not a flat list"),
        ([[2, 3, 8, 3, float("nan"), 9]], "not finite"),
        ([[2, 3, 8, 3, float("inf"), 9]], "not finite"),
        ([[2, 3, 8, 3, 1e9, 9]], "beyond"),
        ({"counts": [180]}, "'size' and 'counts'"),
        ({"size": [12, 15], "counts": [179]}, "add up to 179"),
        ({"size": [15, 12], "counts": [180]}, "15 x 12; this one is 12 x 15"),
    ],
)
def test_malformed_segmentations_are_refused(segmentation, message):
    with pytest.raises(InputError, match=message) as error:
        masks.segmentation_to_mask(segmentation, 12, 15, name="annotation 5 of image 9")
    assert "annotation 5 of image 9" in str(error.value)


def test_image_too_large_to_fill_is_refused():
    with pytest.raises(InputError, match="too large"):
        masks.polygons_to_mask([SQUARE], 2**15, 2**14)


@pytest.mark.coco
@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_every_annotation_of_the_coco_subset_equals_pycocotools(coco_subset, split):
    data = json.loads((coco_subset / "annotations" / f"instances_{split}.json").read_text())
    coco = COCO()
    coco.dataset = data
    coco.createIndex()
    forms = set()
    for annotation in data["annotations"]:
        image = coco.imgs[annotation["image_id"]]
        segmentation = annotation["segmentation"]
        forms.add(type(segmentation))
        result = masks.segmentation_to_rle(segmentation, image["height"], image["width"])
        assert result["counts"].encode() == coco.annToRLE(annotation)["counts"]
    if split == "train2017":
        assert forms == {list, dict}  # crowds among them
