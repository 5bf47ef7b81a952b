"""COCO's numbers: from scratch they equal pycocotools', and slips in the data do no harm."""

import copy
import json
import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from minirnn import masks
from minirnn.data.sample import Detections
from minirnn.errors import InputError
from minirnn.evaluation import (
    Evaluation,
    average_precision,
    category_table,
    evaluate_results,
    summary_table,
    to_results,
    write_results,
)
from minirnn.evaluation.checks import check_ground_truth

BOTH = (evaluate_results, average_precision.evaluate_results)
# The 80 category ids of COCO: 1…90 without ten.
COCO_IDS = [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for kind, numbers in theirs.items():
        assert list(ours[kind]) == list(numbers)
        for name, value in numbers.items():
            if value is None:
                assert ours[kind][name] is None, (kind, name)
            else:
                assert ours[kind][name] == pytest.approx(value, abs=1e-12), (kind, name)


def rectangle(x, y, width, height, image=(100, 120)):
    mask = np.zeros(image, bool)
    mask[y : y + height, x : x + width] = True
    return masks.encode(mask)


def annotation(number, box, *, image_id=1, category_id=1, crowd=0):
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [float(v) for v in box],
        "area": float(box[2] * box[3]),
        "iscrowd": crowd,
        "segmentation": rectangle(*box),
    }


def result(box, score, *, image_id=1, category_id=1):
    return {
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [float(v) for v in box],
        "score": score,
        "segmentation": rectangle(*box),
    }


def dataset(annotations, images=1, categories=(1,)):
    return {
        "images": [
            {"id": i, "height": 100, "width": 120, "file_name": f"{i}.jpg"}
            for i in range(1, images + 1)
        ],
        "categories": [{"id": c, "name": str(c)} for c in categories],
        "annotations": annotations,
    }


def drawn_case(seed):
    """Images with objects of all sizes and crowds, and detections near them, twice and nowhere."""
    rng = np.random.default_rng(seed)
    images, categories = int(rng.integers(1, 5)), COCO_IDS[10 : 10 + int(rng.integers(1, 4))]
    truths, found = [], []

    def box():
        width, height = (int(v) for v in rng.choice([1, 5, 12, 30, 40, 60, 97, 99], 2))
        return [
            int(rng.integers(0, 120 - width)),
            int(rng.integers(0, 100 - height)),
            width,
            height,
        ]

    def near(b):
        x, y, width, height = (int(v) for v in np.array(b) + rng.integers(-3, 4, 4))
        x, y = min(max(x, 0), 118), min(max(y, 0), 98)
        return [x, y, min(max(width, 1), 120 - x), min(max(height, 1), 100 - y)]

    def person(b):
        """17 keypoints somewhere in the box, some of them not labelled."""
        xy = rng.uniform(0, 1, (17, 2)) * b[2:] + b[:2]
        flags = rng.integers(0, 3, 17) if rng.random() < 0.8 else np.zeros(17)
        return np.column_stack([xy, flags])

    for image_id in range(1, images + 1):
        for _ in range(rng.integers(0, 7)):
            truth = annotation(
                len(truths) + 1,
                box(),
                image_id=image_id,
                category_id=int(rng.choice(categories)),
                crowd=int(rng.random() < 0.2),
            )
            points = person(truth["bbox"])
            truth["keypoints"] = points.ravel().tolist()
            truth["num_keypoints"] = int((points[:, 2] > 0).sum())
            truth["area"] *= float(rng.choice([1, 0.7]))  # a mask's area is not its box's
            truths.append(truth)
            for _ in range(rng.integers(0, 4)):
                # Few different scores, so that there are ties.
                score = float(rng.integers(0, 10)) / 10
                place = near([int(v) for v in truth["bbox"]])
                found.append(
                    result(place, score, image_id=image_id, category_id=truth["category_id"])
                )
                moved = points[:, :2] + rng.normal(0, rng.choice([0.5, 3, 10]), (17, 2))
                found[-1]["keypoints"] = np.column_stack([moved, points[:, 2]]).ravel().tolist()
        for _ in range(rng.integers(0, 4)):
            found.append(
                result(
                    box(),
                    float(rng.random()),
                    image_id=image_id,
                    category_id=int(rng.choice(categories)),
                )
            )
            found[-1]["keypoints"] = person(found[-1]["bbox"]).ravel().tolist()
    for region in truths + found:
        if rng.random() < 0.5:  # a mask that is not its box
            x, y, width, height = (int(v) for v in region["bbox"])
            region["segmentation"] = rectangle(x, y, max(width * 3 // 4, 1), height)
    if not truths:
        truths.append(annotation(1, [10, 10, 40, 40], category_id=categories[0], crowd=1))
        truths[0] |= {"keypoints": [0] * 51, "num_keypoints": 0}
    rng.shuffle(truths)
    rng.shuffle(found)
    return dataset(truths, images, categories), found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_from_scratch_equals_pycocotools(seed):
    truth, found = drawn_case(seed)
    kinds = ("bbox", "segm", "keypoints")
    theirs = evaluate_results(truth, found, kinds)
    assert_same(average_precision.evaluate_results(truth, found, kinds), theirs)


def test_more_than_a_hundred_detections_an_image():
    rng = np.random.default_rng(0)
    truth = dataset([annotation(i + 1, [5 * i, 3 * i, 20, 20]) for i in range(20)])
    found = [
        result([5 * i + int(rng.integers(0, 5)), 3 * i, 20, 20], float(rng.random()))
        for i in list(range(20)) * 7
    ]
    theirs = evaluate_results(truth, found)
    assert_same(average_precision.evaluate_results(truth, found), theirs)
    assert theirs["bbox"]["AR1"] < theirs["bbox"]["AR10"] < theirs["bbox"]["AR100"]


@pytest.mark.parametrize("evaluate", BOTH)
def test_of_equal_overlaps_the_last_object_is_taken(evaluate):
    """The first detection lies evenly on both objects (IoU 9/11), the second is one of them.

    Where the first takes the second's own object, the second can only have the other one, at
    IoU 2/3: up to 0.65 both are found, after that one.
    """
    truth = dataset([annotation(1, [0, 0, 40, 40]), annotation(2, [0, 8, 40, 40])])
    between, second = result([0, 4, 40, 40], 0.9), result([0, 8, 40, 40], 0.8)
    scores = evaluate(truth, [between, second])["bbox"]
    assert scores["AR100"] == pytest.approx((4 * 1 + 6 * 0.5) / 10)
    truth["annotations"].reverse()
    scores = evaluate(truth, [between, second])["bbox"]
    assert scores["AR100"] == pytest.approx((7 * 1 + 3 * 0.5) / 10)


def subset_with_detections(folder, split="val2017", keypoints=False):
    stem = "person_keypoints" if keypoints else "instances"
    truth = json.loads((folder / "annotations" / f"{stem}_{split}.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    rng = np.random.default_rng(0)
    categories = [category["id"] for category in truth["categories"]]
    found = []
    for item in truth["annotations"]:
        if rng.random() < 0.15:
            continue
        mask = masks.segmentation_to_mask(item["segmentation"], *sizes[item["image_id"]])
        shift = np.round(rng.normal(0, 0.06, 2) * item["bbox"][2:]).astype(int)
        box = np.array(item["bbox"], dtype=float)
        box[:2] += shift
        box[2:] *= rng.uniform(0.85, 1.15, 2)
        entry = {
            "image_id": item["image_id"],
            "category_id": item["category_id"]
            if rng.random() < 0.95
            else int(rng.choice(categories)),
            "bbox": box.tolist(),
            "score": float(rng.random()),
            "segmentation": masks.encode(np.roll(mask, shift[::-1], axis=(0, 1))),
        }
        if keypoints:
            points = np.reshape(item["keypoints"], (17, 3)).astype(float)
            points[:, :2] += rng.normal(0, 0.04, (17, 2)) * math.sqrt(item["area"])
            entry["keypoints"] = points.ravel().tolist()
        found.append(entry)
    return truth, found


@pytest.mark.coco
@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_from_scratch_equals_pycocotools_on_the_coco_subset(coco_subset, split):
    truth, found = subset_with_detections(coco_subset, split)
    theirs = evaluate_results(truth, found)
    assert 0.2 < theirs["bbox"]["AP"] < 0.9
    assert_same(average_precision.evaluate_results(truth, found), theirs)


@pytest.mark.coco
def test_from_scratch_equals_pycocotools_on_the_keypoints_of_the_coco_subset(coco_subset):
    truth, found = subset_with_detections(coco_subset, keypoints=True)
    theirs = evaluate_results(truth, found, ("keypoints",))
    assert 0.2 < theirs["keypoints"]["AP"] < 1
    assert_same(average_precision.evaluate_results(truth, found, ("keypoints",)), theirs)


@pytest.mark.coco
def test_result_file_of_the_coco_subset_is_loaded_by_pycocotools(tmp_path, coco_subset):
    truth, found = subset_with_detections(coco_subset)
    write_results(tmp_path / "results.json", found)
    coco = COCO()
    coco.dataset = truth
    coco.createIndex()
    assert len(coco.loadRes(str(tmp_path / "results.json")).anns) == len(found)


@pytest.mark.parametrize("evaluate", BOTH)
def test_trap_27_crowd(evaluate):
    """A detection in a crowd is no mistake; one elsewhere is; a crowd need not be found."""
    truth = dataset(
        [annotation(1, [0, 0, 40, 40]), annotation(2, [50, 0, 60, 90], crowd=1)], categories=(1, 7)
    )
    found = result([0, 0, 40, 40], 0.5)
    # The IoU of a small detection in a large crowd is intersection over the detection's area.
    inside = [result([60, 10, 20, 20], 0.9), result([80, 40, 20, 20], 0.8)]
    mostly_outside = result([0, 60, 90, 30], 0.9)  # 40 of 90 columns are in the crowd
    assert evaluate(truth, [found])["segm"]["AP"] == pytest.approx(1)
    for kind in ("bbox", "segm"):
        assert evaluate(truth, [*inside, found])[kind]["AP"] == pytest.approx(1)
        assert evaluate(truth, [mostly_outside, found])[kind]["AP"] == pytest.approx(0.5)
    only_crowd = dataset([annotation(1, [50, 0, 60, 90], crowd=1)])
    assert evaluate(only_crowd, inside)["bbox"]["AP"] is None


@pytest.mark.parametrize("evaluate", BOTH)
def test_trap_28_annotation_with_id_0_is_found(evaluate):
    truth = dataset([annotation(0, [10, 10, 50, 50])])
    scores = evaluate(truth, [result([10, 10, 50, 50], 0.9)])
    for kind in ("bbox", "segm"):
        assert scores[kind]["AP"] == pytest.approx(1)
        assert scores[kind]["AR1"] == pytest.approx(1)


@pytest.mark.parametrize("evaluate", BOTH)
def test_trap_28_iscrowd_and_area_may_be_missing_and_ids_double(evaluate):
    truth = dataset([annotation(3, [10, 10, 50, 50]), annotation(3, [70, 10, 20, 50])])
    for item in truth["annotations"]:
        del item["iscrowd"], item["area"]
    found = [result([10, 10, 50, 50], 0.9), result([70, 10, 20, 50], 0.8)]
    scores = evaluate(truth, found)
    assert scores["bbox"]["AP"] == scores["segm"]["AP"] == pytest.approx(1)
    for size in "sm":  # 1,000 square pixels are small, 2,500 medium
        assert scores["bbox"][f"AP{size}"] == pytest.approx(1)
    assert scores["bbox"]["APl"] is None


@pytest.mark.parametrize("evaluate", BOTH)
def test_trap_28_ignore_counts_as_coco_counts_it(evaluate):
    """COCO overwrites "ignore" with "iscrowd": an object marked so is still to be found."""
    truth = dataset([annotation(1, [10, 10, 50, 50]) | {"ignore": 1}])
    assert evaluate(truth, [])["bbox"]["AP"] == 0
    truth = dataset([annotation(1, [10, 10, 50, 50], crowd=1) | {"ignore": 0}])
    assert evaluate(truth, [])["bbox"]["AP"] is None


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_trap_29_recall_is_at_most_one(seed):
    """Many detections of the same object find it once, the first object (index 0) included."""
    rng = np.random.default_rng(seed)
    detections, truths = int(rng.integers(0, 12)), int(rng.integers(1, 4))
    iou = rng.choice([0, 0.5, 0.7, 0.9], (detections, truths))
    ignored = np.zeros(truths, bool)
    found, excused = average_precision.match(iou, 0.5, ignored, ignored)
    assert not excused.any()
    assert found.sum() <= truths
    assert found.sum() <= (iou >= 0.5).any(axis=0).sum()
    precision, recall = average_precision.precision_at_recalls(found, truths)
    assert 0 <= recall <= 1
    assert ((precision >= 0) & (precision <= 1)).all()
    assert (np.diff(precision) <= 0).all()


def test_trap_29_second_detection_of_the_first_object_is_wrong():
    one = np.zeros(1, bool)
    found, _ = average_precision.match(np.array([[0.9], [0.95], [0.8]]), 0.5, one, one)
    assert found.tolist() == [True, False, False]


def test_trap_30_categories_come_back_as_they_were():
    """Labels 1…80 and COCO's ids 1…90 with gaps: there and back again."""
    to_category = dict(enumerate(COCO_IDS, start=1))
    to_label = {category: label for label, category in to_category.items()}
    labels = np.array([to_label[category] for category in COCO_IDS])
    assert labels.tolist() == list(range(1, 81))
    detections = Detections(np.zeros((80, 4), np.float32), labels, np.ones(80, np.float32), None)
    for table in (to_category, [0, *COCO_IDS]):
        written = to_results(detections, 5, table)
        assert [entry["category_id"] for entry in written] == COCO_IDS
    assert {entry["image_id"] for entry in written} == {5}


@pytest.mark.parametrize("label", [0, -1, 3])
@pytest.mark.parametrize("table", [{1: 7, 2: 9}, [0, 7, 9]])
def test_trap_30_label_without_a_category_is_refused(label, table):
    detections = Detections(np.zeros((1, 4)), np.array([label]), np.ones(1), None)
    with pytest.raises(InputError, match=f"image 8: label {label}"):
        to_results(detections, 8, table)


@pytest.mark.parametrize("evaluate", BOTH)
def test_trap_33_no_detections_score_zero(evaluate):
    truth = dataset([annotation(1, [10, 10, 50, 50])], images=2, categories=(1, 2))
    scores = evaluate(truth, [], ("bbox", "segm"))
    for numbers in scores.values():
        assert numbers["AP"] == numbers["AP50"] == numbers["APm"] == numbers["AR100"] == 0
        assert numbers["APs"] is None
        assert numbers["ARl"] is None
        assert len(numbers) == 12


@pytest.mark.parametrize("evaluate", BOTH)
def test_trap_33_no_ground_truth_is_said(evaluate):
    with pytest.raises(InputError, match="no ground truth"):
        evaluate(dataset([]), [result([0, 0, 9, 9], 0.5)])
    one = dataset([annotation(1, [0, 0, 9, 9])], images=2)
    with pytest.raises(InputError, match="no ground truth"):
        evaluate(one, [], image_ids=[2])


@pytest.mark.parametrize("evaluate", BOTH)
def test_some_images_only(evaluate):
    truth = dataset(
        [annotation(1, [0, 0, 50, 50]), annotation(2, [0, 0, 50, 50], image_id=2)], images=2
    )
    found = [result([0, 0, 50, 50], 0.9)]
    assert evaluate(truth, found)["bbox"]["AR1"] == pytest.approx(0.5)
    assert evaluate(truth, found, image_ids=[1])["bbox"]["AR1"] == pytest.approx(1)
    with pytest.raises(InputError, match="image 5"):
        evaluate(truth, found, image_ids=[5])
    with pytest.raises(InputError, match="image 1, which is not"):
        evaluate(truth, found, image_ids=[2])


@pytest.mark.parametrize("evaluate", BOTH)
def test_arguments_stay_as_they_are_and_nothing_is_printed(evaluate, capsys):
    truth, found = drawn_case(1)
    before = copy.deepcopy((truth, found))
    first = evaluate(truth, found)
    assert (truth, found) == before
    assert evaluate(truth, found) == first
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("evaluate", BOTH)
def test_size_of_a_mask_is_the_masks_own(evaluate):
    """A thin diagonal is small, though its box is medium: no mistake among medium objects."""
    diagonal = np.zeros((100, 120), bool)
    np.fill_diagonal(diagonal[:60, :60], True)
    truth = dataset([annotation(1, [70, 20, 45, 45])])
    thin = result([0, 0, 60, 60], 0.9) | {"segmentation": masks.encode(diagonal)}
    found = result([70, 20, 45, 45], 0.5)
    scores = evaluate(truth, [thin, found])
    assert scores["segm"]["APm"] == pytest.approx(1)
    assert scores["bbox"]["APm"] == pytest.approx(0.5)


def test_loaded_without_boxes_a_written_file_gives_the_same_numbers_of_masks(tmp_path):
    """The way of docs/using.md: with boxes, pycocotools takes their areas for those of the masks."""
    diagonal = np.zeros((100, 120), bool)
    np.fill_diagonal(diagonal[:60, :60], True)  # small, in a medium box
    truth = dataset([annotation(1, [70, 20, 45, 45])])
    thin = result([0, 0, 60, 60], 0.9) | {"segmentation": masks.encode(diagonal)}
    found = [thin, result([70, 20, 45, 45], 0.5)]
    write_results(tmp_path / "results.json", found)
    rows = json.loads((tmp_path / "results.json").read_text())
    from pycocotools.cocoeval import COCOeval

    coco = COCO()
    coco.dataset = check_ground_truth(truth, ["segm"])
    coco.createIndex()
    numbers = {}
    for way, kept in (
        ("with boxes", rows),
        ("without", [{name: row[name] for name in row if name != "bbox"} for row in rows]),
    ):
        evaluation = COCOeval(coco, coco.loadRes(kept), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        numbers[way] = [None if number == -1 else number for number in evaluation.stats.tolist()]
    ours = list(evaluate_results(truth, found, ["segm"])["segm"].values())
    assert numbers["without"] == pytest.approx(ours)
    assert numbers["with boxes"][:3] == pytest.approx(ours[:3])  # of all sizes
    assert numbers["with boxes"][4] == pytest.approx(0.5)
    assert ours[4] == pytest.approx(1)


@pytest.mark.parametrize("evaluate", BOTH)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, r: t.pop("images"), "list 'images'"),
        (lambda t, r: t.update(annotations={}), "list 'annotations'"),
        (lambda t, r: t["images"].append(t["images"][0]), "same id"),
        (lambda t, r: t["annotations"][0].update(image_id=9), "annotation 4 is of image 9"),
        (lambda t, r: t["annotations"][0].update(category_id=9), "category 9"),
        (lambda t, r: t["annotations"][0].pop("bbox"), "annotation 4 has no 'bbox'"),
        (lambda t, r: t["annotations"][0].pop("segmentation"), "4 has no 'segmentation'"),
        (lambda t, r: t["annotations"][0].update(bbox=[1, 2, 3]), "4 numbers"),
        (lambda t, r: t["annotations"][0].update(bbox=[1, 2, 3, math.nan]), "4 numbers"),
        (lambda t, r: t["annotations"][0].update(area="big"), "area 'big'"),
        (lambda t, r: t["annotations"][0].update(segmentation=[[1, 2]]), "annotation 4"),
        (lambda t, r: t["images"][0].update(width=99), "size 100 x 120"),
        (lambda t, r: t["images"][0].pop("width"), "no 'width'"),
        (lambda t, r: r[0].update(image_id=9), "result 0 is of image 9"),
        (lambda t, r: r[0].update(category_id=9), "result 0 is of category 9"),
        (lambda t, r: r[0].pop("score"), "result 0 has no 'score'"),
        (lambda t, r: r[0].update(score=math.nan), "score nan"),
        (lambda t, r: r[0].update(score="0.5"), "score '0.5'"),
        (lambda t, r: r[0].pop("bbox"), "result 0 has no 'bbox'"),
        (lambda t, r: r[0].update(segmentation={"size": [1, 1], "counts": "1"}), "1 x 1"),
        (lambda t, r: r.append("detection"), "result 1 has no 'image_id'"),
    ],
)
def test_malformed_input_is_refused(evaluate, change, message):
    truth = dataset([annotation(4, [10, 10, 50, 50])])
    found = [result([10, 10, 50, 50], 0.9)]
    evaluate(truth, found)
    change(truth, found)
    with pytest.raises(InputError, match=message):
        evaluate(truth, found)


@pytest.mark.parametrize("evaluate", BOTH)
def test_wrong_kinds_of_argument_are_refused(evaluate):
    truth = dataset([annotation(4, [10, 10, 50, 50])])
    with pytest.raises(InputError, match="kind 'masks' is unknown"):
        evaluate(truth, [], ("masks",))
    with pytest.raises(InputError, match="not COCO's format"):
        evaluate([], [])
    with pytest.raises(InputError, match="not a list"):
        evaluate(truth, {"image_id": 1})
    with pytest.raises(InputError, match="no 'keypoints'"):
        evaluate(truth, [], ("keypoints",))


def test_detections_become_results(xp):
    host = Detections(
        boxes=np.array([[1.25, 2, 4.5, 8], [0, 0, 3, 3]], np.float32),
        labels=np.array([2, 1]),
        scores=np.array([0.75, 0.1], np.float32),
        masks=np.arange(48).reshape(2, 4, 6) % 5 < 2,
        keypoints=np.arange(12, dtype=np.float32).reshape(2, 2, 3),
    )
    device = Detections(**{name: xp.asarray(value) for name, value in vars(host).items()})
    results = to_results(device, 42, {1: 17, 2: 90})
    assert results[0] == {
        "image_id": 42,
        "category_id": 90,
        "bbox": [1.25, 2.0, 3.25, 6.0],
        "score": 0.75,
        "segmentation": masks.encode(host.masks[0]),
        "keypoints": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
    }
    assert results[1]["score"] == float(np.float32(0.1))  # in full precision
    assert json.loads(json.dumps(results)) == results
    empty = Detections(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0), np.zeros((0, 4, 6), bool))
    assert to_results(empty, 1, {}) == []


def test_results_are_written_and_loaded_by_pycocotools(tmp_path, capsys):
    truth, found = drawn_case(1)
    path = tmp_path / "deep" / "results.json"
    write_results(path, found)
    coco = COCO()
    coco.dataset = copy.deepcopy(truth)
    coco.createIndex()
    loaded = coco.loadRes(str(path))
    assert len(loaded.anns) == len(found) > 0
    assert json.loads(path.read_text()) == found
    assert evaluate_results(truth, json.loads(path.read_text())) == evaluate_results(truth, found)
    assert os.listdir(path.parent) == ["results.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "results.json"
    write_results(path, [])
    with pytest.raises(InputError, match="not finite"):
        write_results(path, [{"score": math.nan}])
    with pytest.raises(InputError, match="nothing that JSON can hold"):
        write_results(path, [{"score": object()}])
    assert path.read_text() == "[]"
    assert os.listdir(tmp_path) == ["results.json"]
    with pytest.raises(InputError, match=r"results\.json"):
        write_results(path / "under-a-file.json", [])
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder: cannot be written"):
        write_results(tmp_path / "folder", [])
    assert sorted(os.listdir(tmp_path)) == ["folder", "results.json"]


def test_numbers_of_numpy_are_written(tmp_path):
    row = {"image_id": np.int64(3), "score": np.float32(0.5), "bbox": np.array([1.0, 2, 3, 4])}
    write_results(tmp_path / "r.json", [row])
    written = json.loads((tmp_path / "r.json").read_text())
    assert written == [{"image_id": 3, "score": 0.5, "bbox": [1, 2, 3, 4]}]


def test_summary_table():
    table = summary_table({"bbox": {"AP": 0.61234, "APs": None}, "segm": {"AP": 1.0, "APs": 0.0}})
    assert table.splitlines() == [
        "         AP    APs",
        "bbox  0.612      -",
        "segm  1.000  0.000",
    ]
    assert summary_table({}) == ""
    mixed = summary_table({"bbox": {"AP": 0.5, "AR1": 0.5}, "keypoints": {"AP": 0.25, "AR": 0.5}})
    assert mixed.splitlines()[2].split() == ["keypoints", "0.250", "-", "0.500"]


# ------------------------------------------------------------- category by category


def only(category, records):
    return [record for record in records if record["category_id"] == category]


@pytest.mark.parametrize("seed", range(4))
def test_ap_of_a_category_is_that_of_its_own_evaluation(seed):
    """By the evaluation from scratch, which sees nothing but this category."""
    truth, results = drawn_case(seed)
    evaluation = Evaluation(truth, results)
    names = {str(category["id"]): category["id"] for category in truth["categories"]}
    per_category = evaluation.per_category()
    for kind, found in per_category.items():
        assert list(found) == list(names)
        for name, category in names.items():
            own = only(category, truth["annotations"])
            if not own:
                assert found[name] is None
                continue
            alone = {**truth, "annotations": own}
            expected = average_precision.evaluate_results(alone, only(category, results), [kind])
            expected = expected[kind]["AP"]
            assert found[name] == (None if expected is None else pytest.approx(expected, abs=1e-12))
        known = [value for value in found.values() if value is not None]
        assert evaluation.summary()[kind]["AP"] == pytest.approx(np.mean(known))


def test_categories_of_one_name_are_told_apart_and_the_table_has_them():
    truth = dataset([annotation(1, [10, 10, 50, 50])], categories=(1, 2, 3))
    for category, name in zip(truth["categories"], ("cat", "cat", "dog"), strict=True):
        category["name"] = name
    evaluation = Evaluation(truth, [result([10, 10, 50, 50], 0.9)])
    assert evaluation.per_category()["bbox"] == {
        "cat (1)": pytest.approx(1),
        "cat (2)": None,
        "dog": None,
    }
    assert category_table(evaluation.per_category()).splitlines() == [
        "AP of         bbox       segm",
        "cat (1)      1.000      1.000",
        "cat (2)          -          -",
        "dog              -          -",
    ]
