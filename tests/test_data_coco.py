"""COCO's format read as it is, and every kind of bad file refused with a name, or skipped."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from minirnn.data import CocoDataset
from minirnn.errors import InputError

HEIGHT, WIDTH = 20, 30
SQUARE = [[4, 4, 12, 4, 12, 10, 4, 10]]


def annotation(number: int, image_id: int = 7, **changes: Any) -> dict:
    base = {
        "id": number,
        "image_id": image_id,
        "category_id": 18,
        "bbox": [4, 4, 8, 6],
        "area": 48,
        "iscrowd": 0,
        "segmentation": SQUARE,
    }
    return base | changes


def small_set() -> dict:
    """Three images: two objects and a crowd, none, one; two categories of ids 5 and 18."""
    crowd = {"size": [HEIGHT, WIDTH], "counts": [100, 40, HEIGHT * WIDTH - 140]}
    names = ["head", "left_foot", "right_foot"]
    return {
        "images": [
            {"id": 7, "file_name": "a.png", "height": HEIGHT, "width": WIDTH},
            {"id": 3, "file_name": "sub/b.png", "height": HEIGHT, "width": WIDTH},
            {"id": 9, "file_name": "c.png", "height": HEIGHT, "width": WIDTH},
        ],
        "annotations": [
            annotation(1),
            annotation(2, category_id=5, segmentation=[*SQUARE, [20, 4, 26, 4, 26, 9]]),
            annotation(3, iscrowd=1, segmentation=crowd, bbox=[5, 0, 2, 20]),
            annotation(4, image_id=9, keypoints=[5, 6, 2, 0, 0, 0, 7, 8, 1]),
        ],
        "categories": [
            {"id": 18, "name": "dog", "keypoints": names, "skeleton": []},
            {"id": 5, "name": "plane"},
        ],
    }


class Folder:
    """A small set on disk, whose JSON a test changes before reading it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images = root / "train"
        self.file = root / "annotations" / "instances_train.json"
        (self.images / "sub").mkdir(parents=True)
        self.file.parent.mkdir()
        for seed, name in enumerate(("a.png", "sub/b.png", "c.png")):
            pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            Image.fromarray(pixels).save(self.images / name)
        self.content = small_set()

    def read(self, **settings: Any) -> CocoDataset:
        self.file.write_text(json.dumps(self.content))
        return CocoDataset(self.file, self.images, **settings)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_reads_boxes_masks_and_crowd(folder):
    dataset = folder.read()
    assert len(dataset) == 3
    assert dataset.image_ids == [7, 3, 9]
    sample = dataset[0]
    assert sample.image.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(sample.image, np.array(Image.open(folder.images / "a.png")))
    target = sample.target
    np.testing.assert_array_equal(target.boxes, [[4, 4, 12, 10], [4, 4, 12, 10], [5, 0, 7, 20]])
    assert target.boxes.dtype == np.float32
    assert target.labels.dtype == np.int64
    assert target.is_crowd.tolist() == [False, False, True]
    assert (target.image_id, target.file_name, target.keypoints) == (7, "a.png", None)
    assert target.masks.shape == (3, HEIGHT, WIDTH)
    assert target.masks.dtype == bool
    assert target.masks[0, 4:10, 4:12].all()
    assert target.masks[0].sum() == 48
    assert target.masks[1, 5, 24]  # the second part of the second object
    assert np.argwhere(target.masks[2].T.ravel()).ravel().tolist() == list(range(100, 140))


def test_the_fingerprint_is_that_of_the_content(folder, tmp_path):
    first = folder.read().fingerprint
    assert folder.read().fingerprint == first
    assert folder.read(keypoints=True).fingerprint != first
    assert folder.read(categories=[(5, "plane"), (18, "dog"), (1, "x")]).fingerprint != first
    folder.content["annotations"][0]["category_id"] = 5
    assert folder.read().fingerprint != first


def test_image_without_instances(folder):
    target = folder.read()[1].target
    assert target.boxes.shape == (0, 4)
    assert target.labels.shape == target.is_crowd.shape == (0,)
    assert target.masks.shape == (0, HEIGHT, WIDTH)
    assert target.file_name == "sub/b.png"


def test_set_without_masks(folder):
    for record in folder.content["annotations"]:
        record["segmentation"] = []  # how home-made sets of boxes write it
    dataset = folder.read()
    assert not dataset.has_masks
    assert dataset[0].target.masks is None
    del folder.content["annotations"][0]["area"]
    areas = [a["area"] for a in folder.read().ground_truth["annotations"]]
    assert areas[0] == 48


def test_trap_30_category_ids_with_gaps(folder):
    dataset = folder.read()
    assert dataset.categories == [(5, "plane"), (18, "dog")]
    assert dataset[0].target.labels.tolist() == [2, 1, 2]
    assert dataset.label_to_category == {1: 5, 2: 18}
    for category in (5, 18):
        assert dataset.label_to_category[dataset.category_to_label[category]] == category
    # A model whose labels were given in another order is followed.
    dataset = folder.read(categories=[(18, "dog"), (99, "cat"), (5, "plane")])
    assert dataset[0].target.labels.tolist() == [1, 3, 1]
    with pytest.raises(InputError, match="categories has an id twice"):
        folder.read(categories=[(18, "dog"), (5, "plane"), (5, "plane")])
    with pytest.raises(InputError, match="category 18 is 'dog'; for the model it is 'cat'"):
        folder.read(categories=[(18, "cat"), (5, "plane")])


@pytest.mark.coco
def test_trap_30_map_and_unmap_on_cocos_80_ids(coco_subset):
    dataset = CocoDataset.from_folder(coco_subset, "val")
    ids = [record["id"] for record in dataset.ground_truth["categories"]]
    assert len(ids) == 80
    assert max(ids) == 90
    assert sorted(dataset.category_to_label.values()) == list(range(1, 81))
    assert [dataset.label_to_category[dataset.category_to_label[i]] for i in ids] == ids
    assert dataset.categories[0] == (1, "person")
    assert dataset.categories[79] == (90, "toothbrush")


@pytest.mark.coco
@pytest.mark.parametrize(
    ("split", "images", "instances", "crowds"), [("train", 50, 470, 5), ("val", 25, 177, 3)]
)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
def test_coco_subset(coco_subset, split, images, instances, crowds):
    """All real images; masks and areas are those of COCO's own tools."""
    dataset = CocoDataset.from_folder(coco_subset, split)
    assert len(dataset) == images
    own = COCO()
    own.dataset = dataset.ground_truth
    own.createIndex()
    counts = [0, 0, 0]
    for index in range(images):
        sample = dataset[index]
        target = sample.target
        height, width = sample.image.shape[:2]
        records = own.loadAnns(own.getAnnIds([target.image_id]))
        assert len(records) == len(target.boxes)
        assert (target.boxes[:, 2:] > target.boxes[:, :2]).all()
        assert (target.boxes >= 0).all()
        assert (target.boxes <= [width, height, width, height]).all()
        for record, mask in zip(records, target.masks, strict=True):
            np.testing.assert_array_equal(mask, own.annToMask(record).astype(bool))
        counts[0] += len(target.boxes)
        counts[1] += int(target.is_crowd.sum())
        counts[2] += not len(target.boxes)
    assert counts[:2] == [instances, crowds]
    assert counts[2] >= (split == "train")  # images without any instance
    assert CocoDataset.from_folder(coco_subset, split, skip_invalid=True).skipped_summary == ""


@pytest.mark.coco
def test_coco_subset_keypoints(coco_subset):
    dataset = CocoDataset.from_folder(coco_subset, "train2017", keypoints=True)
    assert dataset.categories == [(1, "person")]
    assert len(dataset.keypoint_names) == 17
    people = [dataset[i].target for i in range(len(dataset))]
    assert sum(len(target.boxes) for target in people) == 99
    assert all(target.keypoints.shape[1:] == (17, 3) for target in people)
    assert sum(int((target.keypoints[:, :, 2] > 0).sum()) for target in people) > 500


def test_keypoints(folder):
    dataset = folder.read(keypoints=True)
    assert dataset.keypoint_names == ("head", "left_foot", "right_foot")
    np.testing.assert_array_equal(dataset[2].target.keypoints, [[[5, 6, 2], [0, 0, 0], [7, 8, 1]]])
    assert dataset[0].target.keypoints.shape == (3, 3, 3)  # not given: not labelled
    assert not dataset[0].target.keypoints.any()
    assert dataset[1].target.keypoints.shape == (0, 3, 3)
    for record in folder.content["categories"]:
        record.pop("keypoints", None)
    with pytest.raises(InputError, match="keypoints were asked for"):
        folder.read(keypoints=True)


def test_box_is_clipped_to_the_image(folder):
    folder.content["annotations"][0].update(
        bbox=[-3, 15.5, 10, 40], segmentation=[[0, 16, 7, 16, 7, 20]]
    )
    np.testing.assert_array_equal(folder.read()[0].target.boxes[0], [0, 15.5, 7, HEIGHT])


def test_ground_truth_is_what_pycocotools_needs(folder):
    """Ids from 1, area and iscrowd filled in; the rest as in the file."""
    for number, record in enumerate(folder.content["annotations"]):
        record["id"] = number  # 0, 1, 2, 3
    for key in ("iscrowd", "area"):
        del folder.content["annotations"][1][key]
    truth = folder.read().ground_truth
    assert [a["id"] for a in truth["annotations"]] == [1, 2, 3, 4]
    second = truth["annotations"][1]
    assert second["iscrowd"] == 0
    runs = coco_mask.merge(coco_mask.frPyObjects(second["segmentation"], HEIGHT, WIDTH))
    assert second["area"] == coco_mask.area(runs)
    assert truth["annotations"][0]["bbox"] == [4, 4, 8, 6]
    assert {a["category_id"] for a in truth["annotations"]} == {5, 18}
    assert "area" not in folder.content["annotations"][1]


def test_from_folder(folder):
    folder.read()
    assert len(CocoDataset.from_folder(folder.root, "train")) == 3
    with pytest.raises(InputError, match=r"there is no instances_val\.json"):
        CocoDataset.from_folder(folder.root, "val")
    folder.file.rename(folder.file.with_name("instances_train2017.json"))
    with pytest.raises(InputError, match="train2017: the folder of the images is missing"):
        CocoDataset.from_folder(folder.root, "train")
    (folder.root / "images").mkdir()
    folder.images.rename(folder.root / "images" / "train2017")
    assert len(CocoDataset.from_folder(folder.root, "train")) == 3
    assert len(CocoDataset.from_folder(folder.root, "train2017", keypoints=True)) == 3
    copied = folder.file.with_name("instances_train2014.json")
    copied.write_bytes(folder.file.with_name("instances_train2017.json").read_bytes())
    with pytest.raises(InputError, match=r"any of instances_train2014\.json, .*name one"):
        CocoDataset.from_folder(folder.root, "train")


def test_survives_pickling(folder):
    dataset = folder.read()
    again = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(again[0].target.masks, dataset[0].target.masks)
    assert "image 3 (" in dataset.describe(1)
    assert "b.png" in dataset.describe(1)


# Bad files as a whole


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "the annotation file is missing"),
        ("", "not a JSON file"),
        ('{"images": [', "not a JSON file"),
        ("\xff\xfe", "not a JSON file"),
        ("[" * 200_000, "not a JSON file"),
        ("[]", "holds a list"),
        ('{"annotations": [], "categories": []}', "'images' is missing"),
        ('{"images": {}, "annotations": [], "categories": []}', "'images' is dict"),
        ('{"images": [], "annotations": 3, "categories": []}', "'annotations' is int"),
        ('{"images": [], "annotations": []}', "'categories' is missing"),
        ('{"images": [], "annotations": [], "categories": []}', "there are no categories"),
        ('{"images": [], "annotations": [], "categories": [1]}', "a category has no id"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "1 has no name"),
    ],
)
@pytest.mark.parametrize("skip_invalid", [False, True])
def test_file_that_is_not_coco(folder, text, message, skip_invalid):
    if text is not None:
        folder.file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message) as error:
        CocoDataset(folder.file, folder.images, skip_invalid=skip_invalid)
    assert str(folder.file) in str(error.value)


@pytest.mark.parametrize("skip_invalid", [False, True])
def test_nothing_to_learn(folder, skip_invalid):
    whole = copy.deepcopy(folder.content)
    folder.content["annotations"] = []
    with pytest.raises(InputError, match=r"instances_train\.json: there are no annotations"):
        folder.read(skip_invalid=skip_invalid)
    folder.content = whole | {"images": []}
    with pytest.raises(InputError, match=r"instances_train\.json: there are no images"):
        folder.read(skip_invalid=skip_invalid)
    folder.content = copy.deepcopy(whole)
    folder.content["categories"].append({"id": 5, "name": "again"})
    with pytest.raises(InputError, match="category id 5 is there twice"):
        folder.read(skip_invalid=skip_invalid)
    folder.content = whole
    folder.images.rename(folder.root / "elsewhere")
    with pytest.raises(InputError, match="the folder of the images is missing"):
        folder.read(skip_invalid=skip_invalid)


# Single bad annotations: annotation 1 of image 7 is changed


def rle(mask: np.ndarray, **changes: Any) -> dict:
    runs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": runs["size"], "counts": runs["counts"].decode()} | changes


CORNER = np.zeros((HEIGHT, WIDTH), bool)
CORNER[-2:, -2:] = True

BAD_ANNOTATIONS = {
    "category": ({"category_id": 6}, "unknown category", "category_id 6"),
    "category type": ({"category_id": [5]}, "unknown category", r"category_id \[5\]"),
    "image": ({"image_id": 8}, "annotation for an unknown image", "no image 8"),
    "id twice": ({"id": 4}, "duplicate annotation id", "there twice"),
    "no id": ({"id": None}, "annotation without an id", "it should have an id"),
    "iscrowd": ({"iscrowd": 2}, "iscrowd of unknown form", "iscrowd is 2"),
    "area": ({"area": float("nan")}, "area of unknown form", "area is nan"),
    "no bbox": ({"bbox": None}, "box that is not four numbers", "bbox is None"),
    "short bbox": ({"bbox": [1, 2, 3]}, "box that is not four numbers", "four finite"),
    "text bbox": ({"bbox": [1, 2, 3, "4"]}, "box that is not four numbers", "four finite"),
    "NaN": ({"bbox": [1, float("nan"), 3, 4]}, "box that is not four numbers", "nan"),
    "infinity": ({"bbox": [1, 2, float("inf"), 4]}, "box that is not four numbers", "inf"),
    "huge": ({"bbox": [1, 2, 10**400, 4]}, "box that is not four numbers", "bbox is"),
    "no width": ({"bbox": [4, 4, 0, 6]}, "box of no area", "should be above 0"),
    "no height": ({"bbox": [4, 4, 8, 0]}, "box of no area", "should be above 0"),
    "float32": ({"bbox": [25, 4, 1e-7, 6]}, "box of no area", "should be above 0"),
    "negative": ({"bbox": [12, 4, -8, 6]}, "box of negative size", "positive"),
    "right of": ({"bbox": [WIDTH, 4, 8, 6]}, "box outside the image", "30 x 20 pixels"),
    "above": ({"bbox": [4, -6, 8, 6]}, "box outside the image", "nothing of it"),
    "all the world": (
        {"bbox": [-1e8, -1e8, 5e8, 5e8]},
        "box that does not fit the image",
        "the image is 30 x 20 pixels",
    ),
    "no mask": ({"segmentation": []}, "annotation without a mask", "others in the file have"),
    "mask type": ({"segmentation": "x"}, "mask of unknown form", "segmentation is 'x'"),
    "2 points": (
        {"segmentation": [[1, 1, 2, 2]]},
        "mask of unknown form",
        "4 numbers; .*three points",
    ),
    "line": ({"segmentation": [[4, 4, 9, 4, 7, 4]]}, "mask of no area", "on one line"),
    "point": ({"segmentation": [[5, 5] * 3]}, "mask of no area", "on one line"),
    "slanted line": (
        {"segmentation": [[4.1, 4.1, 9.3, 8.3, 6.7, 6.2], [5, 5] * 4]},
        "mask of no area",
        "on one line",
    ),
    "odd": ({"segmentation": [[4, 4, 9, 4, 9, 9, 4]]}, "mask of unknown form", "has 7 numbers"),
    "flat": ({"segmentation": [4, 4, 9, 4, 9, 9]}, "mask of unknown form", "0 is not a flat list"),
    "true": (
        {"segmentation": [[4, 4, 9, 4, True, 9]]},
        "mask of unknown form",
        "polygon 0 is not a flat list of numbers",
    ),
    "true bbox": ({"bbox": [1, 2, 3, True]}, "box that is not four numbers", "four finite"),
    "NaN mask": (
        {"segmentation": [[4, 4, 9, 4, 9, float("nan")]]},
        "mask of unknown form",
        "polygon 0 has a coordinate that is not finite",
    ),
    "other image's polygon": (
        {"segmentation": [[4, 4, 90, 4, 90, 9]]},
        "mask that does not fit the image",
        "x 4 to 90, .* 30 x 20 pixels",
    ),
    "polygon elsewhere": (
        {"segmentation": [[20, 4, 28, 4, 28, 9]]},
        "mask outside its box",
        "x 20 to 28, .* box is x 4 to 12",
    ),
    "size": (
        {"segmentation": {"size": [WIDTH, HEIGHT], "counts": [600]}},
        "mask that does not fit the image",
        r"size is \[30, 20\]; the image's is \[20, 30\]",
    ),
    "sum": (
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [100, 40]}},
        "mask that does not fit the image",
        "add up to 140",
    ),
    "counts": (
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [700, -100]}},
        "mask of unknown form",
        "a negative count",
    ),
    "no counts": (
        {"segmentation": {"size": [HEIGHT, WIDTH]}},
        "mask of unknown form",
        "not a run-length encoding with 'size' and 'counts'",
    ),
    "fractions": (
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [100.5, 499.5]}},
        "mask of unknown form",
        "neither text nor a list of whole numbers",
    ),
    "broken runs": (
        {"segmentation": rle(CORNER, counts="\x7f\x01!")},
        "mask that cannot be decoded",
        "counts",
    ),
    "runs elsewhere": ({"segmentation": rle(CORNER)}, "mask outside its box", "4 pixels, none"),
    "no pixels": (
        {"segmentation": rle(np.zeros((HEIGHT, WIDTH)))},
        "mask outside its box",
        "has 0 pixels",
    ),
}


@pytest.mark.parametrize("case", BAD_ANNOTATIONS)
def test_bad_annotation_is_refused(folder, case):
    changes, reason, message = BAD_ANNOTATIONS[case]
    folder.content["annotations"][0].update(changes)
    with pytest.raises(InputError, match=f"{reason}: .*{message}") as error:
        folder.read()[0]  # runs are decoded when they are asked for
    text = str(error.value)
    assert str(folder.file) in text
    if case == "no id":
        assert "annotation number 0" in text
    elif case == "id twice":
        assert "annotation 4 of image 9" in text
    else:
        assert f"annotation 1 of image {changes.get('image_id', 7)}" in text


@pytest.mark.parametrize("case", BAD_ANNOTATIONS)
def test_bad_annotation_is_skipped_and_counted(folder, case):
    changes, reason, _ = BAD_ANNOTATIONS[case]
    folder.content["annotations"][0].update(changes)
    dataset = folder.read(skip_invalid=True)
    assert dict(dataset.skipped) == {reason: 1}
    assert f"skipped 1: 1 x {reason} (annotation " in dataset.skipped_summary
    (problem,) = dataset.problems
    assert problem.reason == reason
    assert str(problem).startswith(f"{folder.file}: annotation ")
    kept = sum(len(dataset[i].target.boxes) for i in range(len(dataset)))
    assert kept == len(dataset.ground_truth["annotations"]) == 3


def test_annotation_that_is_no_object(folder):
    folder.content["annotations"].insert(0, [1, 2])
    with pytest.raises(InputError, match="annotation number 0: annotation without an id"):
        folder.read()
    assert folder.read(skip_invalid=True).skipped.total() == 1


def test_trap_31_boxes_of_no_area_name_the_image(folder):
    """And x1, y1, x2, y2 passed as x, y, width, height is refused where it cannot be right."""
    for bbox in ([4, 4, 0, 0], [4, 4, -1, 5], [40, 4, 48, 10]):
        folder.content["annotations"][0]["bbox"] = bbox
        with pytest.raises(InputError, match="annotation 1 of image 7"):
            folder.read()


def test_trap_32_filter_really_filters(folder):
    """A box with width 0 is dropped, one as narrow as you like is kept."""
    folder.content["annotations"][0]["bbox"] = [4, 4, 0, 6]
    folder.content["annotations"][1]["bbox"] = [4, 4, 0.01, 6]
    dataset = folder.read(skip_invalid=True)
    assert dataset.skipped == {"box of no area": 1}
    boxes = dataset[0].target.boxes
    assert len(boxes) == 2
    assert 0 < boxes[0, 2] - boxes[0, 0] < 0.02


def test_category_unknown_to_the_model(folder):
    with pytest.raises(InputError, match=r"annotation 2 .* category 5 \('plane'\) is not one of"):
        folder.read(categories=[(18, "dog")])
    dataset = folder.read(categories=[(18, "dog")], skip_invalid=True)
    assert dataset.skipped == {"category that the model does not know": 1}


def test_only_some_categories(folder):
    dataset = folder.read(only=["dog"])
    assert dataset.categories == [(18, "dog")]
    assert dataset.image_ids == [7, 3, 9]  # an image without a dog is background, and stays
    assert dataset[0].target.labels.tolist() == [1, 1]
    assert not dataset.skipped
    assert {a["category_id"] for a in dataset.ground_truth["annotations"]} == {18}
    assert [c["name"] for c in dataset.ground_truth["categories"]] == ["dog"]
    assert dataset.fingerprint != folder.read().fingerprint
    # A model that knows one category only is measured on its own objects.
    same = folder.read(only=["dog"], categories=[(18, "dog")])
    assert same.fingerprint == dataset.fingerprint
    # One that knows more keeps its labels: what was label 2 in its training is no other category now.
    model = [(5, "plane"), (18, "dog")]
    part = folder.read(only=["dog"], categories=model)
    assert (part.categories, part.label_to_category) == (model, {1: 5, 2: 18})
    assert part[0].target.labels.tolist() == [2, 2]
    assert part.ground_truth == dataset.ground_truth
    with pytest.raises(InputError, match=r"categories are to be dig; did you mean dog\?"):
        folder.read(only=["dig"])
    for wrong, named in ((["tree"], "tree"), ([], "none at all")):
        with pytest.raises(InputError, match=f"categories are to be {named}; it has dog, plane"):
            folder.read(only=wrong)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([1, 2, 2], "should be 3 times x, y, visibility"),
        ([1, 2, 3] * 3, "visibilities"),
        ([1, float("nan"), 2] * 3, "should be 3 times"),
        ({"x": 1}, "should be 3 times"),
    ],
)
def test_bad_keypoints(folder, points, message):
    folder.content["annotations"][3]["keypoints"] = points
    assert len(folder.read()) == 3  # not asked for
    with pytest.raises(InputError, match=f"annotation 4 of image 9: .*{message}"):
        folder.read(keypoints=True)
    skipped = folder.read(keypoints=True, skip_invalid=True).skipped
    assert skipped == {"keypoints of unknown form": 1}


# Single bad images: image 7 (a.png, three annotations) is changed


def remove(folder: Folder) -> None:
    (folder.images / "a.png").unlink()


def link_out(folder: Folder) -> None:
    (folder.images / "a.png").rename(folder.root / "a.png")
    (folder.images / "a.png").symlink_to(folder.root / "a.png")


def truncate(folder: Folder) -> None:
    content = (folder.images / "a.png").read_bytes()
    (folder.images / "a.png").write_bytes(content[: len(content) // 2])


def change(**changes: Any) -> Callable[[Folder], None]:
    return lambda folder: folder.content["images"][0].update(changes)


LEADS_OUT = "file name that leads out of the folder"
BAD_IMAGES = {
    "missing": (
        remove,
        "missing image file",
        r"missing image file: .*a\.png: there is no such file",
    ),
    "truncated": (truncate, "broken image", r"a\.png: not a readable image"),
    "other size": (
        change(height=21),
        "image of another size",
        "is 30 x 20 pixels .* should be 30 x 21",
    ),
    "no height": (change(height=None), "image without a size", "height is None"),
    "negative": (change(width=-30), "image without a size", "width is -30"),
    "fraction": (change(width=30.5), "image without a size", "width is 30.5"),
    "no name": (change(file_name=None), "image without a file", "file_name is None"),
    "folder": (change(file_name="a.png/"), "image without a file", r"file_name is 'a\.png/'"),
    "up": (change(file_name="../a.png"), LEADS_OUT, r"'\.\./a\.png' leads out"),
    "absolute": (change(file_name="/etc/passwd"), LEADS_OUT, "'/etc/passwd' leads out"),
    "link": (link_out, LEADS_OUT, r"'a\.png' leads out"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_bad_image_is_refused(folder, case):
    spoil, _, message = BAD_IMAGES[case]
    spoil(folder)
    if case == "other size":  # masks in run lengths would not fit, and say so first
        folder.content["annotations"][2]["segmentation"] = SQUARE
        folder.content["annotations"][2]["bbox"] = [4, 4, 8, 6]
    with pytest.raises(InputError, match=message) as error:
        folder.read()[0]
    assert str(folder.file) in str(error.value)
    assert "image 7" in str(error.value)


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_bad_image_is_skipped_and_counted(folder, case):
    spoil, reason, _ = BAD_IMAGES[case]
    spoil(folder)
    dataset = folder.read(skip_invalid=True)
    assert dict(dataset.skipped) == {reason: 1}  # its annotations go with it, uncounted
    assert f"1 x {reason} (image 7)" in dataset.skipped_summary
    (problem,) = dataset.problems
    assert (problem.image_id, problem.annotation_id, problem.reason) == (7, None, reason)
    assert problem.file_name == folder.content["images"][0]["file_name"]
    assert dataset.image_ids == [3, 9]
    assert len(dataset.ground_truth["annotations"]) == 1
    assert [dataset[i].target.image_id for i in range(2)] == [3, 9]


def test_duplicate_image_id_and_image_without_id(folder):
    folder.content["images"][1]["id"] = 7
    with pytest.raises(InputError, match="image 7: duplicate image id"):
        folder.read()
    dataset = folder.read(skip_invalid=True)
    assert dataset.skipped == {"duplicate image id": 1}
    assert dataset.image_ids == [7, 9]
    folder.content["images"][1]["id"] = "seven"
    with pytest.raises(InputError, match="image number 1: image without an id"):
        folder.read()


def test_two_categories_of_one_name(folder):
    """An error where each has annotations; an empty one does no harm."""
    first, second = folder.content["categories"][:2]
    second["name"] = first["name"]
    for skip_invalid in (False, True):
        with pytest.raises(InputError, match=r"categories \d+ and \d+ are both called '\w+'"):
            folder.read(skip_invalid=skip_invalid)
    for annotation in folder.content["annotations"]:
        annotation["category_id"] = first["id"]
    assert folder.read().categories


def test_a_category_id_below_0(folder):
    folder.content["categories"][0]["id"] = -7
    with pytest.raises(InputError, match="category id -7 is below 0"):
        folder.read()


def test_everything_skipped_is_an_error(folder):
    for record in folder.content["annotations"]:
        record["bbox"] = [0, 0, 0, 0]
    with pytest.raises(InputError, match=r"no annotations to use.*4 x box of no area"):
        folder.read(skip_invalid=True)


def test_trap_41_rotated_file_in_a_set(folder):
    """The file lies on its side; the annotations are of the upright picture."""
    pixels = np.array(Image.open(folder.images / "a.png"))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(pixels))).save(folder.images / "a.png", exif=exif)
    np.testing.assert_array_equal(folder.read()[0].image, pixels)
    assert folder.read(skip_invalid=True).skipped_summary == ""
