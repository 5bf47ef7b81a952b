"""Every fault is named by file and id, and nothing else is; a repair mends it and leaves the rest alone."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from inspection_cases import COUNTS, FAULTS, HEIGHT, NOTES, OPEN, WIDTH, Case, Set, texture
from PIL import Image

from minirnn.data import CocoDataset
from minirnn.data.inspection import KINDS, SEVERITIES, inspect, kind_of, repaired_copy, work
from minirnn.data.inspection.clip import clip_polygon
from minirnn.data.inspection.looks import look_at
from minirnn.data.inspection.objects import crosses_itself, signed_area
from minirnn.data.inspection.twins import twins_among
from minirnn.data.workers import WorkerPool
from minirnn.errors import InputError, WorkerError
from minirnn.masks import polygons_to_mask

CASES = FAULTS | OPEN | NOTES


@pytest.fixture
def data(tmp_path) -> Set:
    return Set(tmp_path / "data")


@pytest.fixture(autouse=True)
def no_heic(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)


def look(root: Path):
    return inspect(root, workers=0, progress=False)


def test_a_clean_set_has_nothing(data):
    seen = look(data.root)
    assert [str(problem) for problem in seen.problems] == []
    assert [split.name for split in seen.splits] == ["train", "val"]
    for split in seen.splits:
        assert split.figures() == {
            "images": COUNTS[split.name],
            "without_instances": 0,
            "instances": 2 * COUNTS[split.name],
            "crowd_regions": 0,
            "categories": 2,
        }


@pytest.mark.parametrize("name", CASES)
def test_each_fault_is_named_and_is_the_only_one(data, name):
    case: Case = CASES[name]
    case.spoil(data)
    data.write()
    seen = look(data.root)
    (problem,) = seen.problems
    assert (problem.reason, problem.image_id, problem.annotation_id) == (
        case.reason,
        case.image_id,
        case.annotation_id,
    )
    assert problem.file == data.root / "annotations" / "instances_train.json"
    assert re.search(case.detail, problem.detail), problem.detail
    assert bool(seen.faults) == (name not in NOTES)
    for number in (case.image_id, case.annotation_id):
        assert number is None or str(number) in problem.place
    if case.image_id == 3 and name not in ("no file name", "annotation id twice"):
        assert problem.file_name == data.train["images"][2]["file_name"]


@pytest.mark.parametrize("name", CASES)
def test_check_and_inspect_do_not_contradict_each_other(data, name):
    """What `data check` leaves out is what inspection says training stops at."""
    CASES[name].spoil(data)
    data.write()
    dataset = CocoDataset.from_folder(data.root, "train", skip_invalid=True)
    stops = [p for p in look(data.root).problems if kind_of(p.reason).severity == "stops"]
    assert dataset.problems == stops


def test_the_cases_are_of_all_kinds():
    """Of what the table lists, all but what other cases cover is made for real."""
    elsewhere = {"file that cannot be used", "image without an id", "keypoints of unknown form"}
    elsewhere |= {"look-alike in a split", "image that is too large for its file"}
    elsewhere |= {"masks that the memory cannot hold"}  # see test_faults
    elsewhere |= {"category ids unlike train's", "categories that train does not have"}
    assert {case.reason for case in CASES.values()} == set(KINDS) - elsewhere
    assert {kind.severity for kind in KINDS.values()} == set(SEVERITIES)
    assert all(kind.repair == "" for kind in KINDS.values() if kind.severity == "note")


# Repair


def of_rest(content: dict, image_id: int) -> dict:
    """A file's content without what belongs to one image."""
    return content | {
        "images": [r for r in content["images"] if r["id"] != image_id],
        "annotations": [a for a in content["annotations"] if a.get("image_id") != image_id],
    }


@pytest.mark.parametrize("name", FAULTS)
def test_a_repaired_copy_is_clean_and_equal_where_nothing_was_broken(data, name, tmp_path):
    case = FAULTS[name]
    case.spoil(data)
    data.write()
    before = {path: path.read_bytes() for path in data.root.rglob("*") if path.is_file()}

    repair = repaired_copy(look(data.root), tmp_path / "out")

    assert {path: path.read_bytes() for path in data.root.rglob("*") if path.is_file()} == before
    assert repair.left == []
    assert [str(problem) for problem in look(tmp_path / "out").faults] == []
    assert case.reason in {change.reason for change in repair.changes}
    assert (tmp_path / "out/changes.txt").read_text().count("\n") == len(repair.changes)
    for split in COUNTS:
        old = data.content[split]
        new = json.loads((tmp_path / f"out/annotations/instances_{split}.json").read_text())
        if name == "category name twice":
            assert new["categories"] == old["categories"][:2]
            continue
        if name == "boxes as corners":
            assert new == Set(tmp_path / f"clean_{split}").content[split]
            continue
        assert new["categories"] == old["categories"]
        spoiled = of_rest(of_rest(of_rest(old, 3), 6), 77)
        assert of_rest(of_rest(of_rest(new, 3), 6), 77) == spoiled
        for record in spoiled["images"]:
            path = f"{split}/{record['file_name']}"
            assert (tmp_path / "out" / path).read_bytes() == before[data.root / path]
    listed = {r["file_name"] for r in new["images"]}
    assert {path.name for path in (tmp_path / "out/val").iterdir()} == listed


def test_the_file_of_keypoints_beside_it_is_taken_over(data, tmp_path):
    """For the images that are left, under the names that they have now."""
    gone, renamed = (next(r for r in data.train["images"] if r["id"] == i) for i in (3, 5))
    data.write()
    file = data.root / "annotations/person_keypoints_train.json"
    people = {"id": 1, "name": "person", "keypoints": ["nose"], "skeleton": []}
    annotations = [{"id": 900 + r["id"], "image_id": r["id"]} for r in data.train["images"]]
    content = {**data.train, "categories": [people], "annotations": annotations}
    file.write_text(json.dumps(content))
    (data.root / "train" / gone["file_name"]).unlink()
    there = data.root / "train" / renamed["file_name"]
    there.rename(there.with_name(there.name.upper()))

    repair = repaired_copy(look(data.root), tmp_path / "out")

    (told,) = (change for change in repair.changes if change.place == file.name)
    assert told.done.startswith("taken over for the images that are left")
    first, second = (
        json.loads((tmp_path / f"out/annotations/{kind}_train.json").read_text())
        for kind in ("instances", "person_keypoints")
    )
    assert second["images"] == first["images"]
    assert second["categories"] == [people]
    assert second["annotations"] == [a for a in annotations if a["image_id"] != 3]
    assert renamed["file_name"].upper() in {r["file_name"] for r in second["images"]}
    assert not (tmp_path / "out/annotations/person_keypoints_val.json").exists()

    file.write_text("{")
    repair = repaired_copy(look(data.root), tmp_path / "other")
    assert ("left out", file.name) in {(change.done, change.place) for change in repair.changes}
    assert not (tmp_path / "other/annotations" / file.name).exists()


def repaired(data: Set, out: Path) -> dict:
    data.write()
    repaired_copy(look(data.root), out)
    return json.loads((out / "annotations/instances_train.json").read_text())


def annotation_of(content: dict, annotation_id: int) -> dict:
    return next(a for a in content["annotations"] if a["id"] == annotation_id)


def test_what_a_repair_makes_of_boxes_and_masks(data, tmp_path):
    """Several faults in one set, and what is right for each."""
    FAULTS["box 30 pixels off"].spoil(data)  # 32
    data.annotation(12)["bbox"] = [0, 0, 0, 0]
    data.annotation(22)["segmentation"] = [[100, 50, 150, 50, 150, 80, 100, 80]]
    data.annotation(22)["bbox"] = [100, 50, 28, 30]
    data.annotation(42)["segmentation"] = [[1, 2, 3, 4]]
    content = repaired(data, tmp_path / "out")
    assert annotation_of(content, 32)["bbox"] == [70, 50, 40, 30]
    assert annotation_of(content, 12)["bbox"] == [70, 50, 40, 30]
    cut = annotation_of(content, 22)
    assert cut["segmentation"] == [[100, 50, 128, 50, 128, 80, 100, 80]]
    assert cut["area"] == 28 * 30
    crowd = annotation_of(content, 42)
    assert (crowd["iscrowd"], crowd["area"]) == (1, 1200)


@pytest.mark.parametrize(
    ("value", "whole"),
    [(text, 0) for text in ("0", " 0.0", "false", "False", "no", "", None)]
    + [(text, 1) for text in ("1", "true", "yes", "crowd", 2)],
)
def test_iscrowd_becomes_what_it_says(data, tmp_path, value, whole):
    data.annotation(32)["iscrowd"] = value
    content = repaired(data, tmp_path / "out")
    assert annotation_of(content, 32)["iscrowd"] == whole


def test_a_size_is_corrected_where_it_is_certain_and_the_image_left_out_where_not(data, tmp_path):
    for name, out in (
        ("size of another proportion", "a"),
        ("size halved", "b"),
        ("size doubled", "c"),
        ("size halved and squeezed", "d"),
    ):
        again = Set(tmp_path / f"data_{out}")
        FAULTS[name].spoil(again)
        again.annotation(31)["segmentation"] = [[20, 10, 60, 10, 60, 40, 20, 40]]
        content = repaired(again, tmp_path / out)
        record = next((r for r in content["images"] if r["id"] == 3), None)
        if out == "a":
            assert (record["height"], record["width"]) == (HEIGHT + 20, WIDTH)
            assert annotation_of(content, 32) == again.annotation(32)
        elif out == "b":
            assert (record["height"], record["width"]) == (HEIGHT // 2, WIDTH // 2)
            assert annotation_of(content, 32)["bbox"] == [35, 25, 20, 15]
            assert annotation_of(content, 32)["area"] == 150
        else:
            assert record is None
            assert not (tmp_path / out / "train/003.png").exists()


JUNK = (
    None,
    "text",
    [],
    {},
    [[]],
    [[1, 2, "x"]],
    -1,
    0,
    1.5,
    1e300,
    float("nan"),
    True,
    [1, 2, 3, 4],
)


@pytest.mark.parametrize("seed", range(10))
def test_whatever_stands_in_a_file_is_named_and_mended(data, tmp_path, seed):
    """Junk in some fields of some records, and three faults of the list."""
    rng = np.random.default_rng(seed)
    for name in rng.choice(
        [name for name in FAULTS if name != "boxes as corners"], 3, replace=False
    ):
        try:
            FAULTS[name].spoil(data)
        except (StopIteration, KeyError, FileNotFoundError, TypeError):
            continue  # another fault has taken away what this one would spoil
    for _ in range(6):
        records = data.train[rng.choice(["images", "annotations"])]
        record = records[rng.integers(len(records))]
        record[rng.choice(sorted(record))] = JUNK[rng.integers(len(JUNK))]
    data.write()
    seen = look(data.root)
    assert seen.faults
    repair = repaired_copy(seen, tmp_path / "out")
    assert [str(problem) for problem in repair.left] == []
    assert [str(problem) for problem in look(tmp_path / "out").faults] == []
    dataset = CocoDataset.from_folder(tmp_path / "out", "train")
    for i in range(len(dataset)):
        assert dataset[i].target.boxes.shape[1] == 4


def test_of_two_equal_files_the_one_with_more_annotations_stays(data, tmp_path):
    FAULTS["file twice in train"].spoil(data)
    content = repaired(data, tmp_path / "out")
    assert [r["id"] for r in content["images"]] == [1, 2, 3, 4, 5]
    data.train["annotations"] = [a for a in data.train["annotations"] if a["image_id"] != 3]
    content = repaired(data, tmp_path / "out2")
    assert [r["id"] for r in content["images"]] == [1, 2, 4, 5, 6]


@pytest.mark.parametrize(
    "name",
    ["ÉTÉ.PNG", "e\u0301te\u0301.png", "train/été.png", "..\\photos\\été.png", "C:\\me\\été.png"],
)
def test_a_file_of_nearly_the_name_is_pointed_out_and_taken(data, tmp_path, name):
    """Which Windows, macOS or another folder wrote; leaving the image out would lose its labels."""
    data.file(3).rename(data.root / "train" / "été.png")
    data.train["images"][2]["file_name"] = name
    data.write()
    with pytest.raises(InputError, match=r"but été\.png") as told:
        CocoDataset.from_folder(data.root, "train")
    assert "--fix" in str(told.value)
    content = repaired(data, tmp_path / "out")
    assert content == data.train | {
        "images": [
            r | ({"file_name": "été.png"} if r["id"] == 3 else {}) for r in data.train["images"]
        ]
    }
    assert look(tmp_path / "out").problems == []


def test_of_two_files_of_nearly_the_name_none_is_taken(data, tmp_path):
    for name in ("003.PNG", "a/003.png"):
        (data.root / "train" / name).parent.mkdir(exist_ok=True)
        (data.root / "train" / name).write_bytes(data.file(3).read_bytes())
    data.file(3).unlink()
    assert 3 not in [record["id"] for record in repaired(data, tmp_path / "out")["images"]]


def test_two_records_of_one_file_become_one_with_the_objects_of_both(data, tmp_path):
    FAULTS["file name twice"].spoil(data)
    content = repaired(data, tmp_path / "out")
    assert [r["id"] for r in content["images"]] == [1, 2, 3, 4, 5]
    assert {a["id"] for a in content["annotations"] if a["image_id"] == 3} == {31, 32}


def test_a_repair_refuses_a_place_where_something_is(data, tmp_path):
    seen = look(data.root)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    for out in (
        data.root,
        data.root / "fixed",
        tmp_path,
        tmp_path / "full",
        tmp_path / "full/mine.txt",
    ):
        with pytest.raises(InputError, match=r"beside it|new folder"):
            repaired_copy(seen, out)
    assert (tmp_path / "full/mine.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert repaired_copy(seen, tmp_path / "empty").changes == []
    assert (tmp_path / "empty/changes.txt").read_text() == "nothing had to be changed\n"


def test_what_only_a_person_can_decide_is_left_and_told(data, tmp_path):
    OPEN["all crowd"].spoil(data)
    data.write()
    (left,) = repaired_copy(look(data.root), tmp_path / "out").left
    assert left.reason == "nothing but crowd regions"
    assert left.file == tmp_path / "out/annotations/instances_train.json"


def renamed_in_val(data: Set, categories: list[dict], ids: dict[int, int]) -> None:
    data.content["val"]["categories"] = categories
    for annotation in data.content["val"]["annotations"]:
        annotation["category_id"] = ids[annotation["category_id"]]
    data.write()


def categories_of(root: Path) -> tuple[list[dict], list[str]]:
    """Of val: the list, and the name of each annotation's."""
    content = json.loads((root / "annotations/instances_val.json").read_text())
    names = {record["id"]: record["name"] for record in content["categories"]}
    return content["categories"], [names[a["category_id"]] for a in content["annotations"]]


@pytest.mark.parametrize("ids", [(2, 1), (0, 1), (11, 12), (2, 3)])
def test_splits_that_number_their_categories_otherwise_are_told_and_made_equal(data, tmp_path, ids):
    """Each file alone is right, and training would stop where it begins to measure."""
    square, triangle = ids
    listed = [{"id": triangle, "name": "triangle"}, {"id": square, "name": "square"}]
    listed.append({"id": 1 if 1 not in ids else 7, "name": "star"})
    renamed_in_val(data, listed, {1: square, 2: triangle})
    (problem,) = [p for p in look(data.root).problems if kind_of(p.reason).severity != "note"]
    assert problem.reason == "category ids unlike train's"
    assert problem.file == data.root / "annotations/instances_val.json"
    assert f"'square' is {square} here and 1 in train" in problem.detail
    repair = repaired_copy(look(data.root), tmp_path / "out")
    assert repair.left == []
    before, after = categories_of(data.root), categories_of(tmp_path / "out")
    assert {r["name"]: r["id"] for r in after[0]} | {"star": 0} == {
        **{"triangle": 2, "square": 1, "star": 0}
    }
    assert after[1] == before[1]
    train = CocoDataset.from_folder(tmp_path / "out", "train")
    CocoDataset.from_folder(tmp_path / "out", "val", categories=train.categories)
    with pytest.raises(InputError, match=r"data inspect --fix|does not know"):
        CocoDataset.from_folder(data.root, "val", categories=train.categories)


def test_a_category_that_train_does_not_have_is_left_to_a_person(data, tmp_path):
    renamed_in_val(data, [{"id": 1, "name": "square"}, {"id": 2, "name": "star"}], ids={1: 1, 2: 2})
    assert [p.reason for p in look(data.root).faults] == [
        "category ids unlike train's",
        "categories that train does not have",
    ]
    (left,) = repaired_copy(look(data.root), tmp_path / "out").left
    assert left.detail == "'star'"
    assert categories_of(tmp_path / "out")[0][1] == {"id": 3, "name": "star"}


def test_a_file_that_is_none_is_one_fault(data, tmp_path):
    path = data.root / "annotations/instances_val.json"
    path.write_text("no JSON")
    (problem,) = look(data.root).problems
    assert (problem.reason, problem.file) == ("file that cannot be used", path)
    assert "not a JSON file" in problem.detail
    repair = repaired_copy(look(data.root), tmp_path / "out")
    assert [problem.reason for problem in repair.left] == ["file that cannot be used"]
    with pytest.raises(InputError, match=r"there is no such folder"):
        look(tmp_path / "nothing")


def test_other_layouts_are_looked_at_and_kept(data, tmp_path):
    """CVAT's folders, and a file of keypoints: of one split only."""
    FAULTS["duplicate box"].spoil(data)
    data.write()
    (data.root / "images").mkdir()
    (data.root / "train").rename(data.root / "images/default")
    folder = data.root / "annotations"
    (folder / "instances_train.json").rename(folder / "person_keypoints_default.json")
    (folder / "instances_val.json").unlink()
    seen = look(data.root)
    assert [split.name for split in seen.splits] == ["default"]
    assert [problem.reason for problem in seen.problems] == ["duplicate annotation"]
    repaired_copy(seen, tmp_path / "out")
    assert look(tmp_path / "out").problems == []
    assert (tmp_path / "out/images/default/003.png").is_file()
    assert (tmp_path / "out/annotations/person_keypoints_default.json").is_file()


def test_records_that_are_no_records_are_left_out(data, tmp_path):
    data.train["images"].append("image")
    data.train["annotations"].append(None)
    data.write()
    reasons = [problem.reason for problem in look(data.root).problems]
    assert reasons == ["image without an id", "annotation without an id"]
    repair = repaired_copy(look(data.root), tmp_path / "out")
    assert repair.left == []


def test_other_processes_see_the_same(data, monkeypatch):
    monkeypatch.setattr(work, "WORTH", 0)
    started = []
    monkeypatch.setattr(work, "WorkerPool", lambda *a: started.append(a) or WorkerPool(*a))
    for name in ("box 30 pixels off", "duplicate box"):
        FAULTS[name].spoil(data)
    for i in range(10, 20):
        Image.fromarray(texture(i)).save(data.root / "train" / f"{i:03}.png")
        data.train["images"].append(data.train["images"][0] | {"id": i, "file_name": f"{i:03}.png"})
    data.file(4).write_bytes(b"")
    data.write()
    here, there = look(data.root), inspect(data.root, workers=2, progress=False)
    assert here.problems == there.problems
    assert here.splits[0].looks == there.splits[0].looks
    assert len(here.problems) == 3
    assert len(started) == 4  # images and objects of two splits


def test_a_process_that_dies_names_the_image(data, monkeypatch):
    monkeypatch.setattr(work, "WORTH", 0)
    with pytest.raises(WorkerError, match=r"^image 2: a helper process .* died"):
        work.for_each(
            exit_unless_first,
            [0, 2, 3],
            workers=2,
            what="",
            names=lambda number: f"image {number}",
            progress=False,
        )


def exit_unless_first(number: int) -> int:
    if number:
        os._exit(3)
    return number


# The parts


def test_a_set_without_masks(data):
    for content in data.content.values():
        for annotation in content["annotations"]:
            del annotation["segmentation"]
    data.annotation(32)["area"] = 5000
    data.write()
    (problem,) = look(data.root).problems
    assert (problem.reason, problem.annotation_id) == ("area that is not the object's", 32)


def test_copies_are_known_again_and_other_pictures_are_not(tmp_path):
    """Saved again, smaller, larger; against pictures that are alike but not the same."""
    base = Image.fromarray(texture(1))
    pictures = [
        (base, {}),
        (base, {"format": "JPEG", "quality": 60}),
        (base.resize((64, 48), Image.Resampling.LANCZOS), {}),
        (base.resize((300, 225), Image.Resampling.BICUBIC), {"format": "JPEG", "quality": 80}),
        (base.transpose(Image.Transpose.FLIP_LEFT_RIGHT), {}),
        (Image.fromarray(255 - texture(1)), {}),
        (Image.fromarray(texture(1) // 2 + 60), {}),
        (Image.fromarray(texture(2)), {}),
        (Image.new("RGB", (128, 96), (90, 90, 90)), {}),
        (Image.new("RGB", (128, 97), (91, 90, 90)), {}),
    ]
    looks = []
    for number, (picture, options) in enumerate(pictures):
        path = tmp_path / f"{number}"
        picture.save(path, **({"format": "PNG"} | options))
        looks.append(look_at((path, (picture.height, picture.width))))
    assert [(t.first, t.second) for t in twins_among(looks)] == [(0, 1), (0, 2), (0, 3)]
    assert not any(t.equal for t in twins_among(looks))
    assert [tuple(t) for t in twins_among([looks[0], looks[7], looks[0]])] == [(0, 2, True)]


@pytest.mark.parametrize("seed", range(6))
def test_a_cut_polygon_covers_what_the_whole_one_covers_of_the_image(seed):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    radius = rng.uniform(20, 60, 9)
    middle = rng.uniform(0, 60, 2)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius[:, None] + middle
    polygon = points.ravel().tolist()
    cut = clip_polygon(polygon, 50, 70)
    both = polygons_to_mask([polygon], 50, 70), polygons_to_mask([cut], 50, 70)
    assert (both[0] != both[1]).sum() <= 12  # along the border, of thousands
    xs, ys = np.array(cut).reshape(-1, 2).T
    assert 0 <= xs.min() <= xs.max() <= 70
    assert 0 <= ys.min() <= ys.max() <= 50
    assert clip_polygon((points + 500).ravel().tolist(), 50, 70) == []


def test_area_and_crossing_of_polygons():
    square = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], float)
    assert signed_area(square) == 100 == -signed_area(square[::-1])
    assert not crosses_itself(square)
    assert not crosses_itself(square[::-1])
    assert crosses_itself(4 * square[[0, 2, 1, 3]])


def test_the_coco_subset_has_no_faults(coco_subset):
    seen = inspect(coco_subset, workers=0, progress=False)
    assert [str(problem) for problem in seen.faults] == []
    assert seen.counts() == {"categories without objects": 2, "category ids with gaps": 2}
