"""Converting reads the right files of a folder, whatever else lies there, and writes into its own alone."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import convert_cases as cases
import numpy as np
import pytest
from cli_cases import call, succeed
from convert_cases import Picture, pictures, save
from hypothesis import given
from hypothesis import strategies as st

from minirnn.data import CocoDataset
from minirnn.data.convert import Summary, convert, recognise
from minirnn.data.convert.found import Found, Labelled, Photo
from minirnn.data.convert.splits import is_folder_name, name_splits, splits_of_files
from minirnn.data.convert.write import write as write_set
from minirnn.data.split import split
from minirnn.errors import InputError

pytest.importorskip("yaml", reason="reading data.yaml needs PyYAML: pip install '.[convert]'")


def run(source: Path, out: Path, **settings: object) -> Summary:
    return convert(source, out, progress=False, **settings)  # type: ignore[arg-type]


def one(name: str = "p0.png", *, seed: int = 0) -> Picture:
    return Picture(name, np.random.default_rng(seed).integers(0, 255, (60, 80, 3), np.uint8), [])


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def boxes_in(folder: Path, split: str) -> dict[str, list[list[float]]]:
    """By file name."""
    content: Any = json.loads((folder / "annotations" / f"instances_{split}.json").read_text())
    names = {record["id"]: record["file_name"] for record in content["images"]}
    result: dict[str, list[list[float]]] = {name: [] for name in names.values()}
    for annotation in content["annotations"]:
        result[names[annotation["image_id"]]].append(annotation["bbox"])
    return result


def left(summary: Summary) -> dict[str, str]:
    """The reasons by file."""
    return {each.file.name: f"{each.what}: {each.reason}" for each in summary.left_out}


# ---------------------------------------------------------------- results among the labels


@pytest.mark.parametrize(
    "writer",
    [
        *(cases.labelme, cases.yolo, cases.roboflow_yolo, cases.cvat_coco, cases.cvat_xml),
        *(cases.roboflow, cases.labelstudio, cases.labelstudio_coco, cases.voc),
    ],
)
def test_what_minirnn_made_inside_of_the_source_is_passed_over(writer, tmp_path):
    scenes = pictures(3, one_piece=True)
    source = tmp_path / "in"
    writer(source, scenes)
    fresh = recognise(source)
    first = run(source, source / "cups")
    assert recognise(source) == fresh
    parts = list(first.splits)
    largest = max(parts, key=lambda part: first.splits[part]["images"])
    split(source / "cups", source / "Asplit", part=largest, val=0.4, progress=False)
    for folder in ("deeper/cups2", "cups3"):
        again = run(source, source / folder)
        assert (again.form, again.splits, again.left_out) == (first.form, first.splits, [])
        for part in parts:
            assert boxes_in(source / folder, part) == boxes_in(source / "cups", part)
    assert [note for note in again.notes if "minirnn has made it" in note] == [
        f"{source / name} is passed over: minirnn has made it"
        for name in ("Asplit", "cups", "deeper/cups2")
    ]


def test_folder_of_results_alone_has_no_labels(tmp_path):
    cases.labelme(tmp_path / "in", pictures(1))
    run(tmp_path / "in", tmp_path / "made" / "cups")
    with pytest.raises(InputError, match="no labels but those that minirnn has written itself"):
        run(tmp_path / "made", tmp_path / "out")


# ---------------------------------------------------------------- YOLO: whose labels are whose


def labels_file(path: Path, number: int) -> list[float]:
    """A box whose width tells it from others; as it comes out."""
    write(path, f"0 0.5 0.5 {number / 80} 0.5\n")
    return [40 - number / 2, 15, number, 30]


@pytest.mark.parametrize("source", ["labels", "."])
@pytest.mark.parametrize(
    ("photo", "labels"),
    [
        ("photos/train/1.png", "labels/train/1.txt"),
        ("photos/day/Train/1.png", "labels/day/train/1.txt"),
        ("photos/train/images/1.png", "labels/train/1.txt"),
        ("images/train/1.png", "labels/train/1.txt"),
    ],
)
def test_yolo_pictures_of_one_name_get_the_labels_of_their_folder(photo, labels, source, tmp_path):
    expected = {}
    for number, part in enumerate(("train", "val", "test"), start=10):
        path = photo.replace("train", part).replace("Train", part.capitalize())
        save(one("1.png", seed=number), (tmp_path / path).parent)
        expected[part] = labels_file(tmp_path / labels.replace("train", part), number)
    write(tmp_path / "labels" / "classes.txt", "cup\n")
    images = tmp_path / photo.split("/")[0]
    summary = run(tmp_path / source, tmp_path / "out", form="yolo", images=images)
    assert summary.left_out == []
    for part, box in expected.items():
        assert boxes_in(tmp_path / "out", part) == {"1.png": [box]}
    only = run(tmp_path / "labels", tmp_path / "val", images=(tmp_path / path).parent)
    assert boxes_in(tmp_path / "val", "test") == {"1.png": [expected["test"]]}
    assert left(only) == {
        "1.txt": "its 1 lines: no picture goes with it; that of this name has other labels"
    }
    assert len(only.left_out) == 2


@pytest.mark.parametrize(
    ("photos", "labels"),
    [
        (["1.png"], ["a/1.txt", "b/1.txt"]),
        (["a/1.png", "b/1.png"], ["1.txt"]),
        (["a/1.png", "b/1.png"], ["c/1.txt", "d/1.txt"]),
        (["1.png", "1.jpg"], ["1.txt"]),
    ],
)
def test_yolo_pictures_that_may_have_other_labels_are_left_out_by_name(photos, labels, tmp_path):
    for name in photos:
        save(one(Path(name).name), (tmp_path / "photos" / name).parent)
    for name in labels:
        labels_file(tmp_path / "labels" / name, 8)
    save(one("sure.png"), tmp_path / "photos")
    box = labels_file(tmp_path / "labels" / "elsewhere" / "sure.txt", 9)
    write(tmp_path / "labels" / "classes.txt", "cup\n")
    summary = run(tmp_path / "labels", tmp_path / "out", images=tmp_path / "photos")
    assert boxes_in(tmp_path / "out", "all") == {"sure.png": [box]}
    unclear = [each for each in summary.left_out if "is not clear" in each.reason]
    assert sorted(each.file for each in unclear) == sorted(tmp_path / "photos" / n for n in photos)
    assert all(labels[0] in each.reason for each in unclear)
    assert len(summary.left_out) == len(photos) + len(labels)  # the label files, too


def test_yolo_picture_without_labels_beside_one_of_its_name_has_no_objects(tmp_path):
    for part in ("train", "val"):
        save(one("1.png"), tmp_path / "photos" / part)
    box = labels_file(tmp_path / "labels" / "train" / "1.txt", 8)
    write(tmp_path / "labels" / "classes.txt", "cup\n")
    run(tmp_path / "labels", tmp_path / "out", images=tmp_path / "photos")
    assert boxes_in(tmp_path / "out", "train") == {"1.png": [box]}
    assert boxes_in(tmp_path / "out", "val") == {"1.png": []}


def test_yolo_splits_are_those_of_the_labels_or_are_said_to_be_lost(tmp_path):
    for name in ("a.png", "b.png"):
        save(one(name), tmp_path / "photos")
    labels_file(tmp_path / "in" / "labels" / "train" / "a.txt", 8)
    labels_file(tmp_path / "in" / "labels" / "val" / "b.txt", 8)
    write(tmp_path / "in" / "data.yaml", "train: train.txt\nval: val.txt\nnames: [cup]\n")
    summary = run(tmp_path / "in", tmp_path / "out", images=tmp_path / "photos")
    assert (sorted(summary.splits), summary.notes) == (["train", "val"], [])
    for part in ("train", "val"):
        (tmp_path / "in" / "labels" / part).rename(tmp_path / "in" / "labels" / f"set{part[0]}")
    summary = run(tmp_path / "in", tmp_path / "again", images=tmp_path / "photos")
    assert list(summary.splits) == ["all"]
    assert summary.notes == [
        "the splits of data.yaml (train, val) are lost: with --images they are told by the names of "
        "folders, train/ and val/"
    ]


# ---------------------------------------------------------------- YOLO: what is not there


def test_yolo_pictures_of_a_list_that_are_not_there_are_named(tmp_path):
    save(one(), tmp_path / "in" / "images")
    labels_file(tmp_path / "in" / "labels" / "p0.txt", 8)
    write(tmp_path / "in" / "data.yaml", "train: train.txt\nnames: [cup]\n")
    write(tmp_path / "in" / "train.txt", "./images/p0.png\n\n./images/gone.png\n")
    summary = run(tmp_path / "in", tmp_path / "out")
    assert left(summary) == {"train.txt": "picture './images/gone.png': it is not there"}


def test_yolo_label_files_beside_missing_pictures_are_named(tmp_path):
    """As darknet has them: no folder is called labels."""
    folder = tmp_path / "in" / "obj_train_data"
    save(one(), folder)
    for name in ("p0", "gone"):
        labels_file(folder / f"{name}.txt", 8)
    write(tmp_path / "in" / "obj.names", "cup\n")
    write(tmp_path / "in" / "train.txt", "data/obj_train_data/p0.png\n")
    write(tmp_path / "in" / "README.txt", "5 photographs of 2 cups, made in 2024\n")
    summary = run(tmp_path / "in", tmp_path / "out")
    assert left(summary) == {"gone.txt": "its 1 lines: there is no picture of this name"}


def test_yolo_labels_of_a_split_that_is_not_named_are_said_to_be_so(tmp_path):
    for part in ("train", "test"):
        save(one(), tmp_path / "in" / "images" / part)
        labels_file(tmp_path / "in" / "labels" / part / "p0.txt", 8)
    write(tmp_path / "in" / "data.yaml", "train: images/train\nnames: [cup]\n")
    summary = run(tmp_path / "in", tmp_path / "out")
    assert [each.file.parent.name for each in summary.left_out] == ["test"]
    assert left(summary) == {
        "p0.txt": "its 1 lines: its picture images/test/p0.png is in no split that data.yaml names"
    }


# ---------------------------------------------------------------- the names of splits


def cvat_subsets(folder: Path, subsets: list[str]) -> None:
    box = '<box label="cup" xtl="10" ytl="20" xbr="30" ybr="25"/>'
    images = ""
    for number, subset in enumerate(subsets):
        picture = one(f"{number}.png", seed=number)
        save(picture, folder / "images")
        images += cases.cvat_image(picture, box, number).replace('"default"', f'"{subset}"')
    cases.cvat_xml_file(folder, images)


@pytest.mark.parametrize(
    ("subset", "split"),
    [
        *(("2024/05", "2024-05"), ("../../evil", "evil"), ("/tmp/evil", "tmp-evil")),
        *(
            ("annotations", "annotations-2"),
            ("..", "split"),
            ("C:\\x", "C-x"),
            ("a" * 300, "a" * 45),
        ),
        *(("Train", "train"), ("Validation", "val"), ("default", "all"), ("Küche 2", "Küche 2")),
    ],
)
def test_cvat_subset_becomes_a_split_that_a_folder_can_be(subset, split, tmp_path):
    cvat_subsets(tmp_path / "a" / "in", [subset, "other"])
    before = sorted(tmp_path.rglob("*"))
    summary = run(tmp_path / "a" / "in", tmp_path / "a" / "b" / "out")
    assert sorted(summary.splits) == sorted([split, "other"])
    assert boxes_in(tmp_path / "a" / "b" / "out", split) == {"0.png": [[10, 20, 20, 5]]}
    assert (tmp_path / "a" / "b" / "out" / split / "0.png").is_file()
    new = {path for path in tmp_path.rglob("*") if path not in before}
    assert all(path.is_relative_to(tmp_path / "a" / "b") for path in new)
    kept = subset in ("Train", "Validation", "default", "Küche 2")
    assert summary.notes == (
        [] if kept else [f"split {subset!r} is called {split}, which a folder can be"]
    )


def test_cvat_subsets_whose_names_become_one_stay_apart(tmp_path):
    cvat_subsets(tmp_path / "in", ["2024/05", "2024:05", "2024-05", "Day", "day"])
    summary = run(tmp_path / "in", tmp_path / "out")
    found = {split: list(boxes_in(tmp_path / "out", split)) for split in summary.splits}
    assert found == {
        **{"2024-05-2": ["0.png"], "2024-05-3": ["1.png"], "2024-05": ["2.png"]},
        **{"Day": ["3.png"], "day-2": ["4.png"]},
    }


@given(st.lists(st.text(max_size=70), unique=True))
def test_splits_of_any_name_become_folders_of_their_own(names):
    found = Found("cvat", photos=[Photo(Path("a.png"), Path("a.xml"), name) for name in names])
    name_splits(found)
    splits = [photo.split for photo in found.photos]
    assert all(map(is_folder_name, splits))
    assert len({split.lower() for split in splits}) == len(splits)
    assert len(found.notes) == sum(a != b for a, b in zip(names, splits, strict=True))


@pytest.mark.parametrize(
    "split", ["../evil", "a/b", "annotations", "", ".", "a\\b", "a.", "Annotations"]
)
def test_split_that_cannot_be_a_folder_is_never_written(split, tmp_path):
    photo = Photo(save(one(), tmp_path), tmp_path / "a.xml", split)
    photo.objects = [Labelled("cup", "shape 1", box=(1, 1, 9, 9))]
    with pytest.raises(InputError, match="cannot be a folder's name"):
        write_set(Found("cvat", photos=[photo]), tmp_path / "out" / "in", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["p0.png"]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["a/labels.json"], ["all"]),
        (["labels_train2017.json"], ["train"]),
        (["train/labels.json", "valid/labels.json"], ["train", "val"]),
        (["day1.json", "day2.json"], ["day1", "day2"]),
        (["b1/annotations.json", "b2/annotations.json"], ["b1", "b2"]),
        (["b1/x/annotations.json", "b2/x/annotations.json"], ["b1", "b2"]),
        (["b1/annotations.json", "b2/Annotations.json"], ["b1/annotations", "b2/Annotations"]),
        (["a/b/x.json", "a/x.json"], ["b/x", "x"]),
        (["x.json", "a/x.json", "train.json"], ["x", "a/x", "train"]),
    ],
)
def test_splits_of_coco_files_are_told_by_what_differs(names, splits):
    found = splits_of_files([Path("/data/in", name) for name in names])
    assert {str(path.relative_to("/data/in")): split for path, split in found.items()} == dict(
        zip(names, splits, strict=True)
    )


# ---------------------------------------------------------------- COCO's JSON, with its pictures beside it


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        *(("images", "annotations.json"), (".", "annotations.json")),
        ("images", "annotations/labels.json"),
    ],
)
def test_coco_files_of_several_folders_find_their_own_pictures(images, labels, tmp_path):
    scenes = pictures(2)
    for batch, scene in zip(("batch1", "batch2"), scenes, strict=True):
        scene = Picture("a.png", scene.image, scene.things)
        save(scene, tmp_path / "in" / batch / images)
        content = cases.coco_content([scene], cases.plain_categories(1))
        cases.write_json(tmp_path / "in" / batch / labels, content)
    summary = run(tmp_path / "in", tmp_path / "out")
    assert summary.left_out == []
    for batch, scene in zip(("batch1", "batch2"), scenes, strict=True):
        (boxes,) = boxes_in(tmp_path / "out", batch).values()
        x1, y1, x2, y2 = scene.things[0].box
        assert boxes[0] == [x1, y1, x2 - x1, y2 - y1]
        copied = (tmp_path / "out" / batch / "a.png").read_bytes()
        assert copied == (tmp_path / "in" / batch / images / "a.png").read_bytes()


# ---------------------------------------------------------------- CVAT's "COCO 1.0"


def test_cvat_subsets_in_coco_form_are_converted_with_their_masks_as_objects(tmp_path):
    scenes = pictures(2)
    for scene, subset in zip(scenes, ("Train", "Validation"), strict=True):
        cases.cvat_coco(tmp_path / "in", [Picture("a.png", scene.image, scene.things)], subset)
    summary = run(tmp_path / "in", tmp_path / "out")
    assert (summary.form, summary.left_out, len(summary.notes)) == ("cvat", [], 2)
    assert list(summary.splits) == ["train", "val"]
    for scene, part in zip(scenes, summary.splits, strict=True):
        sample = CocoDataset.from_folder(tmp_path / "out", part)[0]
        assert not sample.target.is_crowd.any()
        np.testing.assert_array_equal(sample.image, scene.image)
        np.testing.assert_array_equal(sample.target.masks, [thing.mask for thing in scene.things])


def test_several_exports_of_cvat_in_one_folder_are_one_set(tmp_path):
    scenes = pictures(2)
    for number, scene in enumerate(scenes):
        picture = Picture("a.png", scene.image, scene.things)
        cases.cvat_coco(tmp_path / "in" / f"task{number}", [picture])
    summary = run(tmp_path / "in", tmp_path / "out")
    assert (summary.form, summary.left_out, len(summary.notes)) == ("cvat", [], 2)
    assert sorted(boxes_in(tmp_path / "out", "all")) == ["a.png", "default_a.png"]


@pytest.mark.parametrize("attributes", [True, False])
@pytest.mark.parametrize("place", ["in/annotations/instances_Train.json", "in/export.json"])
def test_file_of_cvat_masks_alone_is_told_by_its_content(place, attributes, tmp_path):
    cases.cvat_coco(tmp_path / "in", pictures(1), "Train")
    file = tmp_path / "in" / "annotations" / "instances_Train.json"
    content = json.loads(file.read_text())
    del content["annotations"][1:]
    if not attributes:
        del content["annotations"][0]["attributes"]
    cases.write_json(file, content)
    file.rename(tmp_path / place)
    for source in (tmp_path / "in", tmp_path / place):
        out = tmp_path / f"out{source.suffix}"
        summary = run(source, out, images=tmp_path / "in")
        assert (summary.form, summary.left_out, len(summary.notes)) == ("cvat", [], 1)
        (part,) = summary.splits
        assert not CocoDataset.from_folder(out, part)[0].target.is_crowd.any()


def test_coco_with_some_crowds_or_keypoints_is_not_taken_for_cvat(tmp_path):
    scenes = pictures(1)
    content = cases.coco_content(scenes, cases.plain_categories(1))
    file = tmp_path / "in" / "annotations" / "instances_train.json"
    cases.write_json(file, content)
    save(scenes[0], tmp_path / "in" / "train")
    with pytest.raises(InputError, match="in COCO's layout already") as refused:
        run(tmp_path / "in", tmp_path / "out")
    assert "CVAT" not in str(refused.value)
    content["annotations"][0]["iscrowd"] = 1
    cases.write_json(file, content)
    with pytest.raises(InputError, match=r"in COCO's layout already .* --format cvat takes them"):
        run(tmp_path / "in", tmp_path / "out")
    assert run(tmp_path / "in", tmp_path / "cvat", form="cvat").notes[0].endswith(": 1")
    for annotation in content["annotations"]:
        annotation |= {"attributes": {"occluded": False}, "keypoints": [1, 1, 2]}
    cases.write_json(file, content)
    with pytest.raises(InputError, match="in COCO's layout already"):
        run(tmp_path / "in", tmp_path / "out")


def test_command_that_check_advises_for_cvat_masks_works(tmp_path):
    folder = tmp_path / "my cups"
    cases.cvat_coco(folder, pictures(1), "Train")
    file = folder / "annotations" / "instances_Train.json"
    content = json.loads(file.read_text())
    del content["annotations"][1:]
    cases.write_json(file, content)
    said = succeed("data", "check", folder).out
    command = said[said.index("minirnn data convert") : said.index(" takes them as objects")]
    assert "--format cvat" in command  # whatever it would be taken for
    words = [str(tmp_path / "out") if word == "DIR" else word for word in shlex.split(command)[1:]]
    succeed(*words)
    assert not CocoDataset.from_folder(tmp_path / "out", "train")[0].target.is_crowd.any()
    assert "minirnn data convert DIR --format cvat" in call("data", "inspect", folder).out
