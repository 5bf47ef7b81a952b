"""Labels of other tools come out in COCO's layout as they were drawn, and what does not is named."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import convert_cases as cases
import numpy as np
import pytest
from convert_cases import NAMES, Picture, pictures, save
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minirnn.data import CocoDataset, read_image
from minirnn.data.convert import Summary, convert, recognise
from minirnn.data.convert.brush import decode_brush
from minirnn.data.convert.found import Unusable
from minirnn.data.convert.shapes import box_of, ellipse, rectangle
from minirnn.data.convert.voc_masks import colour_of, number_of
from minirnn.errors import InputError
from minirnn.masks import boxes_of_masks, polygons_to_mask

pytest.importorskip("yaml", reason="reading data.yaml needs PyYAML: pip install '.[convert]'")

Writer = Callable[[Path, list[Picture]], None]
# Format, what writes it, and whether it can have an object in several pieces.
WITH_OUTLINES: list[tuple[str, Writer, bool]] = [
    ("labelme", cases.labelme, True),
    ("labelme", cases.labelme_masks, True),
    ("yolo", cases.yolo, False),
    ("yolo", cases.roboflow_yolo, False),
    ("cvat", cases.cvat_coco, True),
    ("cvat", cases.cvat_xml, True),
    ("roboflow", cases.roboflow, True),
    ("labelstudio", cases.labelstudio, True),
    ("labelstudio", cases.labelstudio_coco, True),
    ("voc", cases.voc, True),
    ("voc", cases.voc_masks_alone, True),
]
WITH_BOXES: list[tuple[str, Writer]] = [("yolo", cases.yolo_boxes), ("voc", cases.voc_boxes)]


def run(source: Path, out: Path, **settings: object) -> Summary:
    return convert(source, out, progress=False, **settings)  # type: ignore[arg-type]


def samples_of(folder: Path, splits: list[str]) -> dict[str, tuple]:
    """By file name: image, names, boxes and masks, as training reads them."""
    result = {}
    for split in splits:
        dataset = CocoDataset.from_folder(folder, split)
        names = [name for _, name in dataset.categories]
        for sample in (dataset[i] for i in range(len(dataset))):
            target = sample.target
            assert not target.is_crowd.any()
            labels = [names[label - 1] for label in target.labels]
            result[target.file_name] = (sample.image, labels, target.boxes, target.masks)
    return result


def assert_same(folder: Path, summary: Summary, scenes: list[Picture], *, masks: bool) -> None:
    found = samples_of(folder, list(summary.splits))
    assert sorted(found) == sorted(scene.name for scene in scenes)
    for scene in scenes:
        image, labels, boxes, outlines = found[scene.name]
        np.testing.assert_array_equal(image, scene.image)
        assert labels == [thing.name for thing in scene.things]
        np.testing.assert_allclose(boxes, [thing.box for thing in scene.things], atol=0.01)
        if masks:
            np.testing.assert_array_equal(outlines, [thing.mask for thing in scene.things])
        else:
            assert outlines is None


# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize(
    ("form", "writer", "pieces"), WITH_OUTLINES, ids=[w.__name__ for _, w, _ in WITH_OUTLINES]
)
def test_outlines_come_out_as_they_were_drawn(form, writer, pieces, tmp_path):
    scenes = pictures(one_piece=not pieces)
    assert pieces == any(len(t.polygons) > 1 for s in scenes for t in s.things)
    source, out = tmp_path / "source", tmp_path / "out"
    writer(source, scenes)
    before = sorted((p, p.stat().st_mtime_ns) for p in source.rglob("*"))
    recognised = recognise(source)
    assert recognised is not None
    assert recognised.form == form
    summary = run(source, out)
    assert summary.form == form
    assert summary.left_out == []
    assert_same(out, summary, scenes, masks=True)
    assert sorted((p, p.stat().st_mtime_ns) for p in source.rglob("*")) == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize(("form", "writer"), WITH_BOXES, ids=[w.__name__ for _, w in WITH_BOXES])
def test_boxes_come_out_as_they_were_drawn_and_without_masks(form, writer, tmp_path):
    scenes = pictures()
    writer(tmp_path / "source", scenes)
    summary = run(tmp_path / "source", tmp_path / "out")
    assert (summary.form, summary.has_masks, summary.left_out) == (form, False, [])
    assert_same(tmp_path / "out", summary, scenes, masks=False)


@pytest.mark.parametrize(
    ("writer", "splits"),
    [
        (cases.labelme, ["all"]),
        (cases.cvat_coco, ["all"]),
        (cases.cvat_xml, ["all"]),
        (cases.labelstudio, ["all"]),
        (cases.labelstudio_coco, ["all"]),
        (cases.yolo, ["train", "val"]),
        (cases.roboflow, ["train", "val"]),
        (cases.roboflow_yolo, ["train", "val"]),
        (cases.voc, ["train", "val"]),
    ],
)
def test_splits_of_the_tool_are_kept(writer, splits, tmp_path):
    scenes = pictures(3, one_piece=True)
    writer(tmp_path / "source", scenes)
    summary = run(tmp_path / "source", tmp_path / "out")
    assert sorted(summary.splits) == splits
    if "val" in splits:
        assert (summary.splits["val"]["images"], summary.splits["train"]["images"]) == (1, 2)


def test_boxes_only_leaves_outlines_away(tmp_path):
    scenes = pictures(2)
    cases.labelme(tmp_path / "source", scenes)
    summary = run(tmp_path / "source", tmp_path / "out", boxes_only=True)
    assert not summary.has_masks
    assert_same(tmp_path / "out", summary, scenes, masks=False)


# ---------------------------------------------------------------- LabelMe


def one(name: str = "p0.png", *, size: tuple[int, int] = (60, 80)) -> Picture:
    return Picture(name, np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8), [])


def labelme(folder: Path, shapes: list, picture: Picture | None = None, **extra: object) -> None:
    picture = picture or one()
    save(picture, folder)
    cases.labelme_file(folder, picture, shapes, **extra)


def boxes_of(folder: Path, split: str = "all") -> list[list[float]]:
    content = json.loads((folder / "annotations" / f"instances_{split}.json").read_text())
    return [annotation["bbox"] for annotation in content["annotations"]]


def reasons(summary: Summary) -> list[str]:
    return [f"{each.what}: {each.reason}" for each in summary.left_out]


def test_labelme_rectangle_has_two_corners_in_any_order(tmp_path):
    labelme(tmp_path / "in", [cases.labelme_shape("cup", [[50, 40], [10, 20.5]], "rectangle")])
    summary = run(tmp_path / "in", tmp_path / "out")
    assert boxes_of(tmp_path / "out") == [[10, 20.5, 40, 19.5]]
    assert not summary.has_masks


def test_labelme_circle_is_as_large_as_it_was_drawn(tmp_path):
    labelme(tmp_path / "in", [cases.labelme_shape("cup", [[40, 30], [40, 50]], "circle")])
    run(tmp_path / "in", tmp_path / "out")
    assert boxes_of(tmp_path / "out") == [[20, 10, 40, 40]]
    mask = samples_of(tmp_path / "out", ["all"])["p0.png"][3][0]
    y, x = np.mgrid[:60, :80] + 0.5
    truth = (x - 40) ** 2 + (y - 30) ** 2 <= 20**2
    assert (mask != truth).sum() < 0.03 * truth.sum()


def test_labelme_pieces_of_one_group_and_label_are_one_object(tmp_path):
    def square(x: float, **extra: object) -> dict:
        return cases.labelme_shape("cup", [[x, 0], [x + 9, 0], [x + 9, 9], [x, 9]], **extra)

    shapes = [square(0, group_id=1), square(20, group_id=1), square(40), square(60, group_id=2)]
    shapes.append({**square(60, group_id=2), "label": "plate"})
    labelme(tmp_path / "in", shapes)
    run(tmp_path / "in", tmp_path / "out")
    assert boxes_of(tmp_path / "out") == [
        [0, 0, 29, 9],
        [40, 0, 9, 9],
        [60, 0, 9, 9],
        [60, 0, 9, 9],
    ]


def test_labelme_rectangle_among_outlines_is_its_own_outline_and_is_counted(tmp_path):
    triangle = cases.labelme_shape("cup", [[10, 10], [30, 10], [20, 30]])
    labelme(tmp_path / "in", [triangle, cases.labelme_shape("cup", [[1, 2], [9, 9]], "rectangle")])
    summary = run(tmp_path / "in", tmp_path / "out")
    assert summary.boxes_filled.total() == 1
    masks = samples_of(tmp_path / "out", ["all"])["p0.png"][3]
    assert masks[1].sum() == 8 * 7
    assert masks[1][2:9, 1:9].all()


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (cases.labelme_shape("cup", [[1, 1]], "point"), "a point has no area"),
        (cases.labelme_shape("cup", [[1, 1], [9, 9]], "line"), "a line has no area"),
        (cases.labelme_shape("cup", [[1, 1], [9, 9], [5, 1]], "linestrip"), "no area"),
        (cases.labelme_shape("cup", [[1, 1], [9, 9]]), "a polygon of 2 points"),
        (cases.labelme_shape("cup", [[1, 1], [9]]), "no list of x, y"),
        (cases.labelme_shape("cup", [[1, 1], [1, "a"], [2, 2]]), "no numbers"),
        (cases.labelme_shape("cup", [[1, 1], [1, float("nan")], [2, 2]]), "not finite"),
        (cases.labelme_shape("", [[1, 1], [9, 9]], "rectangle"), "no label"),
        (cases.labelme_shape("_background_", [[1, 1], [9, 9]], "rectangle"), "no object"),
        (cases.labelme_shape("cup", [[1, 1], [9, 9]], "star"), "'star' is not known"),
        (cases.labelme_shape("cup", [[5, 5], [5, 9]], "rectangle"), "above 0"),
        (cases.labelme_shape("cup", [[200, 5], [290, 9]], "rectangle"), "nothing of it is in"),
        (cases.labelme_shape("cup", [[1, 1], [9, 9]], "mask", mask="!"), "cannot be read"),
        (cases.labelme_shape("cup", [[1, 1], [9, 9]], "mask"), "cannot be read"),
        ("cup", "no JSON object"),
    ],
)
def test_labelme_shape_that_cannot_be_used_is_named(shape, reason, tmp_path):
    good = cases.labelme_shape("cup", [[1, 1], [9, 9]], "rectangle")
    labelme(tmp_path / "in", [good, shape])
    summary = run(tmp_path / "in", tmp_path / "out")
    assert len(boxes_of(tmp_path / "out")) == 1
    (left,) = summary.left_out
    assert left.file == tmp_path / "in" / "p0.json"
    assert "shape 2" in left.what
    assert reason in left.reason


@pytest.mark.parametrize(
    "name",
    [
        "..\\photos\\p0.png",
        "C:\\Users\\me\\p0.png",
        "/home/me/p0.png",
        "../photos/p0.png",
        "P0.PNG",
    ],
)
def test_labelme_picture_is_found_wherever_the_labels_were_made(name, tmp_path):
    save(one(), tmp_path / "in" / "photos")
    shape = cases.labelme_shape("cup", [[1, 1], [9, 9]], "rectangle")
    (tmp_path / "in" / "labels").mkdir()
    cases.labelme_file(tmp_path / "in" / "labels", one(), [shape], imagePath=name)
    assert run(tmp_path / "in", tmp_path / "out").left_out == []
    assert (tmp_path / "out" / "all" / "p0.png").is_file()


@pytest.mark.parametrize(("here", "there"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_labelme_picture_is_found_whichever_way_its_accents_are_written(here, there, tmp_path):
    name = unicodedata.normalize(here, "Müller.png")
    save(one(name), tmp_path / "in" / unicodedata.normalize(here, "Köln"))
    labels = one(unicodedata.normalize(there, name))
    corners = [cases.labelme_shape("cup", [[1, 1], [20, 20]], "rectangle")]
    path = unicodedata.normalize(there, "Köln\\Müller.PNG")
    cases.labelme_file(tmp_path / "in", labels, corners, imagePath=path)
    assert run(tmp_path / "in", tmp_path / "out").left_out == []


def test_labelme_picture_outside_of_the_source_is_not_taken(tmp_path):
    save(one("secret.png"), tmp_path)
    shape = cases.labelme_shape("cup", [[1, 1], [9, 9]], "rectangle")
    labelme(tmp_path / "in", [shape])
    cases.labelme_file(tmp_path / "in", one("q.png"), [shape], imagePath="../secret.png")
    summary = run(tmp_path / "in", tmp_path / "out")
    assert reasons(summary) == ["all 1 shapes: picture '../secret.png' is not there"]
    assert [p.name for p in (tmp_path / "out" / "all").iterdir()] == ["p0.png"]
    summary = run(tmp_path / "in", tmp_path / "again", images=tmp_path)  # unless it is asked for
    assert (tmp_path / "again" / "all" / "secret.png").is_file()


def test_labelme_pictures_of_one_name_in_two_folders_are_both_kept(tmp_path):
    shape = cases.labelme_shape("cup", [[1, 1], [9, 9]], "rectangle")
    for folder in ("a", "b"):
        labelme(tmp_path / "in" / folder, [shape])
    run(tmp_path / "in", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out" / "all").iterdir()) == ["b_p0.png", "p0.png"]


def test_labelme_files_that_cannot_be_used_are_named(tmp_path):
    shape = cases.labelme_shape("cup", [[1, 1], [9, 9]], "rectangle")
    labelme(tmp_path / "in", [shape])
    (tmp_path / "in" / "broken.json").write_text("{")
    (tmp_path / "in" / "other.json").write_text('{"a": 1}')
    (tmp_path / "in" / "._p0.json").write_bytes(b"macOS")  # passed over
    cases.labelme_file(tmp_path / "in", one("twice.png"), [shape], imagePath="p0.png")
    cases.labelme_file(tmp_path / "in", one("gone.png"), [shape], imageData="aGVsbG8=")
    save(one("unlabelled.png"), tmp_path / "in")
    (tmp_path / "in" / "phone.heic").write_bytes(b"ftypheic")
    cases.labelme_file(tmp_path / "in", one("phone.png"), [shape, shape], imagePath="phone.heic")
    left = {each.file.name: each.reason for each in run(tmp_path / "in", tmp_path / "out").left_out}
    assert sorted(left) == [
        *("broken.json", "gone.json", "other.json", "phone.json", "twice.json", "unlabelled.png")
    ]
    assert "not a JSON file" in left["broken.json"]
    assert "imageData" in left["gone.json"]
    assert "labels from" in left["twice.json"]
    assert "not a readable image" in left["phone.json"]


def test_label_file_with_a_byte_order_mark_is_read(tmp_path):
    labelme(tmp_path / "in", [cases.labelme_shape("Tässchen", [[1, 1], [9, 9]], "rectangle")])
    path = tmp_path / "in" / "p0.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert list(run(tmp_path / "in", tmp_path / "out").categories) == ["Tässchen"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("upright", [True, False])
def test_labels_fit_a_photograph_that_exif_turns(orientation, upright, tmp_path):
    """They belong to the picture of the size that their file gives, as `read_image` has it."""
    folder = tmp_path / "in"
    folder.mkdir()
    stored = one("p0.jpg").image
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(folder / "p0.jpg", exif=exif)
    height, width = read_image(folder / "p0.jpg").shape[:2] if upright else stored.shape[:2]
    shape = cases.labelme_shape("cup", [[0, 0], [width, height]], "rectangle")
    picture = one("p0.jpg", size=(height, width))
    cases.labelme_file(folder, picture, [shape])
    assert run(folder, tmp_path / "out").left_out == []
    image, _, boxes, _ = samples_of(tmp_path / "out", ["all"])["p0.jpg"]
    assert image.shape[:2] == (height, width)
    assert boxes.tolist() == [[0, 0, width, height]]


def test_labels_of_a_picture_of_another_size_are_left_out(tmp_path):
    shape = cases.labelme_shape("cup", [[1, 1], [9, 9]], "rectangle")
    labelme(tmp_path / "in", [shape])
    labelme(tmp_path / "in", [shape, shape], one("q.png"), imageWidth=81)
    (left,) = run(tmp_path / "in", tmp_path / "out").left_out
    assert left.what == "the picture q.png with its 2 objects"
    assert "80 x 60 pixels (width x height); it should be 81 x 60" in left.reason


# ---------------------------------------------------------------- YOLO


def yolo(folder: Path, text: str, lines: str | None = "0 0.5 0.5 0.5 0.5\n") -> Path:
    save(one(), folder / "images" / "train")
    (folder / "labels" / "train").mkdir(parents=True)
    if lines is not None:
        (folder / "labels" / "train" / "p0.txt").write_text(lines)
    if text:
        (folder / "data.yaml").write_text(text)
    return folder


@pytest.mark.parametrize(
    "text",
    [
        "train: images/train\nnames: [cup, plate]\n",
        "train: images/train\nnames:\n  0: cup\n  1: plate\n",
        "train: [images/train]\nnames: {1: plate, 0: cup}\n",
        "path: /somebody/elses\ntrain: /somebody/elses/images/train\nnames: [cup, plate]\n",
        "path: C:\\data\ntrain: C:\\data\\images\\train\nnames: [cup, plate]\n",
        "path: .\ntrain: ./images/train/\nval:\nnames: [cup, plate]\n",
        "train: ../images/train\nnc: 2\nnames: ['cup', 'plate']\n",
        "train: train.txt\nnames: [cup, plate]\n",
        "names: [cup, plate]\n",
    ],
)
def test_yolo_data_yaml_in_any_of_its_forms(text, tmp_path):
    yolo(tmp_path / "in", text)
    (tmp_path / "in" / "train.txt").write_text("data/images/train/p0.png\n")
    summary = run(tmp_path / "in", tmp_path / "out")
    assert (summary.form, summary.left_out) == ("yolo", [])
    assert list(summary.categories) == ["cup", "plate"]
    assert boxes_of(tmp_path / "out", "train") == [[20, 15, 40, 30]]


@pytest.mark.parametrize("name", ["classes.txt", "obj.names"])
def test_yolo_without_data_yaml(name, tmp_path):
    yolo(tmp_path / "in", "")
    (tmp_path / "in" / name).write_text("cup\nplate\n")
    assert list(run(tmp_path / "in", tmp_path / "out").categories) == ["cup", "plate"]


def test_yolo_labels_beside_their_pictures(tmp_path):
    save(one(), tmp_path / "in" / "obj_train_data")
    (tmp_path / "in" / "obj_train_data" / "p0.txt").write_text("0 0.5 0.5 0.5 0.5")
    (tmp_path / "in" / "obj.names").write_text("cup\n")
    run(tmp_path / "in", tmp_path / "out")
    assert boxes_of(tmp_path / "out", "train") == [[20, 15, 40, 30]]


def test_yolo_picture_without_labels_has_no_objects(tmp_path):
    yolo(tmp_path / "in", "train: images/train\nnames: [cup]\n")
    save(one("empty.png"), tmp_path / "in" / "images" / "train")
    save(one("bare.png"), tmp_path / "in" / "images" / "train")
    (tmp_path / "in" / "labels" / "train" / "empty.txt").write_text("")
    summary = run(tmp_path / "in", tmp_path / "out")
    assert summary.splits == {"train": {"images": 3, "without_objects": 2, "objects": 1}}
    assert summary.notes == ["pictures without a label file, taken as pictures without objects: 1"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("7 0.5 0.5 0.1 0.1", "class 7 has no name"),
        ("0.5 0.5 0.5 0.1 0.1", "class 0.5 has no name"),
        ("0 0.5 0.5 0.1", "3 numbers after the class"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "7 numbers after the class"),
        ("0 40 30 10 10", "is no share of a side"),
        ("0 0.5 nan 0.1 0.1", "not finite"),
        ("0 0.5 a 0.1 0.1", "no numbers"),
        ("0 0.5 0.5 0 0.1", "above 0"),
        ("0 0.5 0.5 -0.2 0.1", "negative size"),
        ("0 1.5 0.5 0.1 0.1", "nothing of it is in the image"),
    ],
)
def test_yolo_line_that_cannot_be_used_is_named(line, reason, tmp_path):
    lines = f"0 0.5 0.5 0.5 0.5\n\n{line}\n"
    yolo(tmp_path / "in", "train: images/train\nnames: [cup]\n", lines)
    summary = run(tmp_path / "in", tmp_path / "out")
    assert len(boxes_of(tmp_path / "out", "train")) == 1
    (left,) = summary.left_out
    assert left.file.name == "p0.txt"
    assert left.what.startswith("line 3")
    assert reason in f"{left.reason}"


def test_yolo_score_and_keypoints_after_a_box(tmp_path):
    text = "train: images/train\nnames: [cup]\nkpt_shape: [2, 3]\n"
    lines = "0 0.5 0.5 0.5 0.5 0.93\n0 0.5 0.5 0.25 0.5 0.1 0.1 2 0.2 0.2 1\n"
    yolo(tmp_path / "in", text, lines)
    summary = run(tmp_path / "in", tmp_path / "out")
    assert boxes_of(tmp_path / "out", "train") == [[20, 15, 40, 30], [30, 15, 20, 30]]
    assert summary.notes == ["keypoints are not taken, boxes and outlines are"]


def test_yolo_entries_lead_to_nothing_outside_of_the_data_set(tmp_path):
    yolo(tmp_path / "in", "train: images/train\nval: ../others\ntest: list.txt\nnames: [cup]\n")
    save(one("secret.png"), tmp_path / "others")
    (tmp_path / "in" / "list.txt").write_text(
        f"{tmp_path}/others/secret.png\n../others/secret.png\n"
    )
    run(tmp_path / "in", tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").rglob("*.png")] == ["p0.png"]


def test_yolo_entries_and_labels_that_lead_nowhere_are_named(tmp_path):
    yolo(tmp_path / "in", "train: images/train\nval: images/val\nnames: [cup]\n")
    (tmp_path / "in" / "labels" / "train" / "gone.txt").write_text("0 0.5 0.5 0.1 0.1\n" * 3)
    summary = run(tmp_path / "in", tmp_path / "out")
    assert summary.notes == ["data.yaml names images/val for val, which is not there"]
    assert reasons(summary) == ["its 3 lines: there is no picture of this name"]


@pytest.mark.parametrize(
    ("text", "lines", "message"),
    [
        ("train: images/train\n", "0 .5 .5 .5 .5", "the names of the classes are nowhere"),
        ("train: images/train\nnames: cup\n", "0 .5 .5 .5 .5", "names should be a list"),
        ("train: images/train\nnames: [\n", "0 .5 .5 .5 .5", "not a YAML file"),
        ("train: images/train\nnames: [cup]\n", None, "none of its 1 pictures has a label file"),
    ],
)
def test_yolo_that_cannot_be_read_says_why(text, lines, message, tmp_path):
    yolo(tmp_path / "in", text, lines)
    with pytest.raises(InputError, match=message):
        run(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_yolo_without_pyyaml_names_what_to_install(tmp_path, monkeypatch):
    yolo(tmp_path / "in", "train: images/train\nnames: [cup]\n")
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(InputError, match=r"pip install '\.\[convert\]'"):
        run(tmp_path / "in", tmp_path / "out")


# ---------------------------------------------------------------- VOC


def voc(folder: Path, *boxes: tuple[float, ...]) -> Path:
    save(one(), folder / "JPEGImages")
    (folder / "Annotations").mkdir()
    objects = "".join(cases.voc_object("cup", box, 0) for box in boxes)
    (folder / "Annotations" / "p0.xml").write_text(cases.voc_xml(one(), objects))
    return folder


def test_voc_boxes_count_from_1_and_hold_their_last_pixel(tmp_path):
    voc(tmp_path / "in", (1, 1, 80, 60), (11, 21, 20, 40))
    run(tmp_path / "in", tmp_path / "out")
    assert boxes_of(tmp_path / "out") == [[0, 0, 80, 60], [10, 20, 10, 20]]


def test_voc_file_renamed_with_its_picture_finds_it(tmp_path):
    voc(tmp_path / "in", (1, 1, 80, 60))
    for path in ("Annotations/p0.xml", "JPEGImages/p0.png"):
        old = tmp_path / "in" / path
        old.rename(old.with_stem("renamed"))
    save(one(), tmp_path / "in" / "JPEGImages")  # another by the name that is written inside
    run(tmp_path / "in", tmp_path / "out")
    assert [p.name for p in (tmp_path / "out" / "all").iterdir()] == ["renamed.png"]


@pytest.mark.parametrize("boxes", [[(11, 21, 20, 40), (0, 5, 10, 15)], [(11.0, 21.0, 20.0, 40.0)]])
def test_voc_of_tools_that_count_from_0_is_seen(boxes, tmp_path):
    voc(tmp_path / "in", *boxes)
    summary = run(tmp_path / "in", tmp_path / "out")
    assert boxes_of(tmp_path / "out")[0] == [11, 21, 9, 19]
    assert "count pixels from 0" in summary.notes[0]


def test_voc_with_a_box_between_pixels_counts_from_1_all_the_same(tmp_path):
    voc(tmp_path / "in", (11, 21, 20, 40), (5.5, 5, 10, 15))
    summary = run(tmp_path / "in", tmp_path / "out")
    assert boxes_of(tmp_path / "out") == [[10, 20, 10, 20], [4.5, 4, 5.5, 11]]
    assert summary.notes == []


def test_voc_outlines_that_roboflow_writes_into_the_xml_are_read(tmp_path):
    voc(tmp_path / "in", (11, 21, 40, 50), (1, 1, 8, 8))
    file = tmp_path / "in" / "Annotations" / "p0.xml"
    points = [(10, 20), (40, 22), (38.5, 50)]
    text = "".join(f"<x{i}>{x}</x{i}><y{i}>{y}</y{i}>" for i, (x, y) in enumerate(points, 1))
    file.write_text(file.read_text().replace("</object>", f"<polygon>{text}</polygon></object>", 1))
    summary = run(tmp_path / "in", tmp_path / "out")
    assert summary.has_masks
    assert summary.boxes_filled.total() == 1  # the other has only its box
    content = json.loads((tmp_path / "out" / "annotations" / "instances_all.json").read_text())
    drawn = content["annotations"][0]
    assert drawn["segmentation"] == [[10, 20, 40, 22, 38.5, 50]]
    assert drawn["bbox"] == [10, 20, 30, 30]
    file.write_text(file.read_text().replace("<x3>38.5</x3><y3>50</y3>", ""))
    (left,) = run(tmp_path / "in", tmp_path / "again").left_out
    assert left.reason == "a polygon of 2 points; it needs three"


def test_voc_colours_lead_back_to_their_numbers():
    assert [colour_of(n) for n in (0, 1, 2, 3, 4, 8, 255)] == [
        *((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)),
        *((64, 0, 0), (224, 224, 192)),
    ]
    assert [number_of(*colour_of(n)) for n in range(256)] == list(range(256))
    assert len({number_of(*colour) for colour in ((1, 2, 3), (1, 2, 4), (128, 0, 1))}) == 3


def test_voc_masks_without_xml_or_colours(tmp_path):
    scenes = pictures(2)
    cases.voc_masks_alone(tmp_path / "in", scenes, colours=False)
    summary = run(tmp_path / "in", tmp_path / "out")
    assert_same(tmp_path / "out", summary, scenes, masks=True)
    assert list(summary.categories) == list(NAMES)
    (tmp_path / "in" / "SegmentationClass" / "p1.png").unlink()
    (left,) = run(tmp_path / "in", tmp_path / "again").left_out
    assert left.file.name == "p1.png"
    (tmp_path / "in" / "labelmap.txt").unlink()
    with pytest.raises(InputError, match=r"nor labelmap\.txt says what its objects are"):
        run(tmp_path / "in", tmp_path / "third")


def test_voc_photographs_without_masks_are_left_out_beside_such_with(tmp_path):
    scenes = pictures(3)
    cases.voc(tmp_path / "in", scenes)
    (tmp_path / "in" / "SegmentationObject" / "p1.png").unlink()
    summary = run(tmp_path / "in", tmp_path / "out")
    (left,) = summary.left_out
    assert left.file.name == "p1.xml"
    assert "--boxes-only" in left.reason
    assert run(tmp_path / "in", tmp_path / "boxes", boxes_only=True).left_out == []


def test_voc_masks_that_belong_to_no_object_are_named(tmp_path):
    scenes = pictures(2)
    cases.voc(tmp_path / "in", scenes)
    path = tmp_path / "in" / "SegmentationObject" / "p1.png"
    with Image.open(path) as image:
        numbered = np.array(image)
    numbered[0, :2] = 77
    numbered[numbered == 1] = 255
    Image.fromarray(numbered).save(path)
    left = run(tmp_path / "in", tmp_path / "out").left_out
    assert [str(each.what) for each in left] == ["mask 77"]
    numbered[:] = 0
    numbered[-2:, -2:] = 1
    Image.fromarray(numbered).save(path)
    (left,) = run(tmp_path / "in", tmp_path / "again", boxes_only=True).left_out
    assert (left.what, left.reason) == ("mask 1", "it does not lie in the box of object 1")


def test_voc_pictures_in_no_list_and_files_of_another_form_are_named(tmp_path):
    cases.voc(tmp_path / "in", pictures(3))
    (tmp_path / "in" / "ImageSets" / "Main" / "val.txt").write_text("")
    (tmp_path / "in" / "Annotations" / "x.xml").write_text("<a/>")
    (tmp_path / "in" / "Annotations" / "y.xml").write_text("<annotation")
    left = {each.file.name: each.reason for each in run(tmp_path / "in", tmp_path / "out").left_out}
    assert sorted(left) == ["p0.xml", "x.xml", "y.xml"]
    assert "ImageSets" in left["p0.xml"]


VOC_LISTS = {
    "a space": ("IMG 1", "IMG 1"),
    "quotes": ("IMG 1", '"IMG 1"'),
    "quotes in the name": ('a "b" 1', '"a \\"b\\" 1"'),
    "a folder": ("s1/p", "s1/p"),
    "a folder of Windows": ("s1/p", r"s1\p"),
    "a category that is there": ("IMG", "IMG  1"),
    "a category that is not there": ("IMG 7", "IMG 7 -1"),
    "a category after quotes": ("IMG 7", '"IMG 7"  0'),
}


@pytest.mark.parametrize("case", VOC_LISTS)
@pytest.mark.parametrize("kind", ["boxes", "masks", "masks alone"])
def test_voc_lists_name_pictures_with_spaces_quotes_and_folders(kind, case, tmp_path):
    name, line = VOC_LISTS[case]
    scenes = pictures(2)
    for scene, to in zip(scenes, (name, "s2/p"), strict=True):
        scene.name = f"{to}.png"
    source = tmp_path / "in"
    for folder in ("Annotations", "SegmentationObject", "SegmentationClass", "JPEGImages"):
        for to in (name, "s2/p"):
            (source / folder / to).parent.mkdir(parents=True, exist_ok=True)
    if kind == "masks alone":
        cases.voc_masks_alone(source, scenes)
        (source / "Annotations" / "s2").rmdir()
    else:
        cases.voc(source, scenes, masks=kind == "masks")
    (source / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
    (source / "ImageSets" / "Main" / "train.txt").write_text(line + "\n")
    (source / "ImageSets" / "Main" / "val.txt").write_text("s2/p\n")
    summary = run(source, tmp_path / "out")
    assert (summary.left_out, list(summary.splits)) == ([], ["train", "val"])
    for split, scene in zip(("train", "val"), scenes, strict=True):
        sizes = sorted(t.box[2] - t.box[0] for t in scene.things)
        assert sorted(box[2] for box in boxes_of(tmp_path / "out", split)) == sizes
    assert summary.has_masks == (kind != "boxes")


# ---------------------------------------------------------------- CVAT


def test_cvat_masks_made_with_the_brush_are_objects_and_no_crowds(tmp_path):
    cases.cvat_coco(tmp_path / "in", pictures(2))
    summary = run(tmp_path / "in", tmp_path / "out")
    assert "marked as crowds" in summary.notes[0]
    assert summary.notes[0].endswith(": 1")


def test_crowds_of_other_tools_stay_crowds(tmp_path):
    scenes = pictures(2)
    content = cases.coco_content(scenes, cases.plain_categories(1))
    content["annotations"][0]["iscrowd"] = 1
    cases.write_json(tmp_path / "in" / "labels.json", content)
    for scene in scenes:
        save(scene, tmp_path / "in" / "photos")
    summary = run(tmp_path / "in", tmp_path / "out")
    assert (summary.form, summary.notes) == ("coco", [])
    dataset = CocoDataset.from_folder(tmp_path / "out", "all")
    assert dataset[0].target.is_crowd.tolist()[0] is True


def test_cvat_layout_is_read_as_it_is(tmp_path):
    scenes = pictures(2)
    cases.cvat_coco(tmp_path, scenes)
    assert len(CocoDataset.from_folder(tmp_path, "default")) == 2
    for path in (tmp_path / "images" / "default").iterdir():  # as older versions have it
        path.rename(tmp_path / "images" / path.name)
    (tmp_path / "images" / "default").rmdir()
    assert len(CocoDataset.from_folder(tmp_path, "default")) == 2


def test_cvat_boxes_turned_boxes_and_ellipses(tmp_path):
    picture = one()
    save(picture, tmp_path / "in" / "images")
    shapes = (
        '<box label="cup" xtl="10" ytl="20" xbr="30" ybr="25" occluded="1"/>'
        '<box label="cup" xtl="30" ytl="20" xbr="50" ybr="40" rotation="45"/>'
        '<ellipse label="cup" cx="40" cy="30" rx="20" ry="10"/>'
        '<ellipse label="cup" cx="40" cy="30" rx="20" ry="10" rotation="90"/>'
    )
    cases.cvat_xml_file(tmp_path / "in", cases.cvat_image(picture, shapes))
    run(tmp_path / "in", tmp_path / "out")
    half = 10 * 2**0.5
    np.testing.assert_allclose(
        boxes_of(tmp_path / "out"),
        [
            *([10, 20, 20, 5], [40 - half, 30 - half, 2 * half, 2 * half]),
            *([20, 20, 40, 20], [30, 10, 20, 40]),
        ],
        atol=0.001,
    )


@pytest.mark.parametrize(
    ("box", "area", "named"),
    [
        ((52, 30, 60, 40), 180, False),  # beside the polygon, a second piece
        ((45, 30, 60, 40), 200, False),
        ((38, 28, 52, 42), 100, True),  # around it
        ((40, 30, 50, 40), 100, True),
    ],
)
def test_cvat_box_grouped_with_an_outline_is_a_piece_or_is_named(box, area, named, tmp_path):
    picture = one()
    save(picture, tmp_path / "in" / "images")
    corners = " ".join(f'{k}="{v}"' for k, v in zip(("xtl", "ytl", "xbr", "ybr"), box, strict=True))
    shapes = (
        f'<box label="cup" group_id="1" {corners}/>'
        '<polygon label="cup" group_id="1" points="40,30;50,30;50,40;40,40"/>'
    )
    cases.cvat_xml_file(tmp_path / "in", cases.cvat_image(picture, shapes))
    summary = run(tmp_path / "in", tmp_path / "out")
    dataset = CocoDataset.from_folder(tmp_path / "out", "all")
    assert [mask.sum() for mask in dataset[0].target.masks] == [area]
    expected = ["image 'p0.png', shape 1 (box, 'cup')"] if named else []
    assert [each.what for each in summary.left_out] == expected


def test_cvat_shapes_that_cannot_be_used_are_named(tmp_path):
    picture = one()
    save(picture, tmp_path / "in" / "images")
    shapes = (
        '<box label="cup" xtl="10" ytl="20" xbr="30" ybr="25"/><tag label="cup"/>'
        '<polyline label="cup" points="1,1;2,2;9,9"/><points label="cup" points="1,1"/>'
        '<polygon label="cup" points="1,1;2,2"/><cuboid label="cup" xtl1="1"/>'
        '<mask label="cup" rle="1, 2" left="0" top="0" width="9" height="9"/>'
        '<box label="cup" xtl="a" ytl="20" xbr="30" ybr="25"/>'
    )
    images = cases.cvat_image(picture, shapes) + cases.cvat_image(
        one("gone.png"), "<box/><box/>", 1
    )
    cases.cvat_xml_file(tmp_path / "in", f'{images}<track id="3" label="cup"><box/></track>')
    summary = run(tmp_path / "in", tmp_path / "out")
    assert len(boxes_of(tmp_path / "out")) == 1
    text = "\n".join(reasons(summary))
    assert len(summary.left_out) == 9
    for part in ("tag", "polyline", "points", "2 points", "cuboid", "add up to 3", "no numbers"):
        assert part in text
    assert "image 'gone.png' with 2 shapes: picture 'gone.png' is not there" in text
    assert "a track belongs to a video" in text


# ---------------------------------------------------------------- Roboflow, Label Studio


def test_roboflow_category_that_only_groups_is_none(tmp_path):
    cases.roboflow(tmp_path / "in", pictures(3))
    summary = run(tmp_path / "in", tmp_path / "out")
    assert list(summary.categories) == list(NAMES)
    assert summary.notes == ["'shapes' only groups the other categories, and is none itself"]


def test_category_that_groups_others_and_has_objects_stays(tmp_path):
    scenes = pictures(2)
    content = cases.coco_content(scenes, cases.plain_categories(0))
    for record in content["categories"][1:]:
        record["supercategory"] = NAMES[0]
    content["annotations"][0]["category_id"] = 0
    cases.write_json(tmp_path / "in" / "_annotations.coco.json", content)
    for scene in scenes:
        save(scene, tmp_path / "in")
    assert list(run(tmp_path / "in", tmp_path / "out").categories) == list(NAMES)


def ls(folder: Path, results: list, **extra: object) -> None:
    save(one(), folder)
    cases.write_json(folder / "export.json", [cases.ls_task(one(), results, **extra)])


def test_label_studio_rectangle_is_turned_about_its_corner(tmp_path):
    value = {"x": 50, "y": 50, "width": 25, "height": 10, "rotation": 0}
    turned = {**value, "rotation": 90}
    ls(
        tmp_path / "in",
        [cases.ls_result(one(), "rectanglelabels", "cup", v) for v in (value, turned)],
    )
    run(tmp_path / "in", tmp_path / "out")
    assert boxes_of(tmp_path / "out") == [[40, 30, 20, 6], [34, 30, 6, 20]]


def test_label_studio_takes_one_annotation_of_several_people(tmp_path):
    value = {"x": 50, "y": 50, "width": 25, "height": 10, "rotation": 0}
    results = [cases.ls_result(one(), "rectanglelabels", "cup", value)]
    other = [cases.ls_result(one(), "rectanglelabels", "plate", value)] * 2
    annotations = [
        {"id": 1, "result": results, "updated_at": "2026-01-02", "ground_truth": True},
        {"id": 2, "result": other, "updated_at": "2026-01-03"},
        {"id": 3, "result": other, "updated_at": "2026-01-04", "was_cancelled": True},
    ]
    ls(tmp_path / "in", [], annotations=annotations)
    summary = run(tmp_path / "in", tmp_path / "out")
    assert list(summary.categories) == ["cup"]
    assert reasons(summary) == [
        "task 1, annotation 2 with 2 results: annotation 1 of the same picture is taken",
        "task 1, annotation 3 with 2 results: it was cancelled",
    ]


def test_label_studio_task_that_nobody_labelled_is_no_picture_without_objects(tmp_path):
    value = {"x": 50, "y": 50, "width": 25, "height": 10, "rotation": 0}
    results = [cases.ls_result(one(), "rectanglelabels", "cup", value)]
    tasks = [cases.ls_task(one(), results)]
    tasks += [cases.ls_task(one("empty.png"), []), cases.ls_task(one("q.png"), [], annotations=[])]
    for name in ("p0.png", "empty.png", "q.png"):
        save(one(name), tmp_path / "in")
    cases.write_json(tmp_path / "in" / "export.json", tasks)
    summary = run(tmp_path / "in", tmp_path / "out")
    assert summary.splits["all"] == {"images": 2, "without_objects": 1, "objects": 1}
    assert reasons(summary) == ["task 1 (q.png): nobody has labelled it"]


@pytest.mark.parametrize(
    "image",
    [
        "/data/upload/1/0a1b2c3d-p0.png",
        "/data/local-files/?d=photos/p0.png",
        "s3://bucket/photos/p0.png",
        "https://example.org/a/p0.png?token=1",
        "/data/upload/1/0a1b2c3d-P0.png",
    ],
)
def test_label_studio_picture_is_found_by_any_of_its_names(image, tmp_path):
    value = {"x": 50, "y": 50, "width": 25, "height": 10, "rotation": 0}
    results = [cases.ls_result(one(), "rectanglelabels", "cup", value)]
    save(one(), tmp_path / "photos")
    task = cases.ls_task(one(), results, data={"image": image}, file_upload=None)
    cases.write_json(tmp_path / "in" / "export.json", [task])
    summary = run(tmp_path / "in", tmp_path / "out", images=tmp_path / "photos")
    assert (summary.form, summary.left_out) == ("labelstudio", [])


def test_label_studio_picture_is_found_whose_name_an_upload_has_changed(tmp_path):
    value = {"x": 50, "y": 50, "width": 25, "height": 10, "rotation": 0}
    results = [cases.ls_result(one(), "rectanglelabels", "cup", value)]
    image = {"image": "/data/upload/1/0a1b2c3d-IMG_1_2_%C3%BC.png"}
    task = cases.ls_task(one(), results, data=image, file_upload="0a1b2c3d-IMG_1_2_ü.png")
    cases.write_json(tmp_path / "in" / "export.json", [task])
    for folder in ("photos", "more/1", "more/2"):
        save(one("IMG 1 (2) ü.png"), tmp_path / folder)
    summary = run(tmp_path / "in", tmp_path / "out", images=tmp_path / "photos")
    assert (summary.splits["all"]["images"], summary.left_out) == (1, [])
    with pytest.raises(InputError, match="is not there"):  # which of the two?
        run(tmp_path / "in", tmp_path / "again", images=tmp_path / "more")


@pytest.mark.parametrize(
    ("writer", "name", "form"),
    [
        (cases.labelstudio, "project-1-at-2026-01-01.json", "labelstudio"),
        (cases.labelme, "p0.json", "labelme"),
        (cases.cvat_xml, "annotations.xml", "cvat"),
        (cases.roboflow_yolo, "data.yaml", "yolo"),
        (cases.labelstudio_coco, "result.json", "labelstudio"),
    ],
)
def test_one_file_of_labels_is_a_source(writer, name, form, tmp_path):
    scenes = pictures(2, one_piece=True)
    writer(tmp_path / "in", scenes)
    summary = run(tmp_path / "in" / name, tmp_path / "out")
    assert (summary.form, summary.left_out) == (form, [])
    scenes = scenes[:1] if form == "labelme" else scenes
    assert_same(tmp_path / "out", summary, scenes, masks=True)


def test_one_file_of_labels_takes_pictures_of_the_named_folder_only(tmp_path):
    scenes = pictures(1)
    cases.labelstudio(tmp_path / "downloads", scenes)
    (tmp_path / "photos").mkdir()
    file = tmp_path / "downloads" / "project-1-at-2026-01-01.json"
    with pytest.raises(InputError, match=r"is not there; --images DIR says where"):
        run(file, tmp_path / "out", images=tmp_path / "photos")


def ls_two(folder: Path, *tags: str, missing: str = "") -> None:
    """A task with the pictures "left" and "right", and one box for each tag, further right each time."""
    results = []
    for number, tag in enumerate(tags):
        value = {"x": 25 * number, "y": 50, "width": 25, "height": 10, "rotation": 0}
        result = cases.ls_result(one(), "rectanglelabels", "cup", value)
        results.append({**result, "id": str(number), "to_name": tag})
    data = {"left": "/data/upload/1/0a1b2c3d-l.png", "right": "/data/upload/1/0a1b2c3e-r.png"}
    task = cases.ls_task(one(), results, data=data, file_upload="0a1b2c3f-tasks.json")
    cases.write_json(folder / "export.json", [task])
    for name in {"l.png", "r.png"} - {missing}:
        save(one(name), folder)


def test_label_studio_pictures_of_one_task_have_what_is_drawn_on_each(tmp_path):
    ls_two(tmp_path / "in", "right", "left", "right")
    summary = run(tmp_path / "in", tmp_path / "out")
    assert summary.left_out == []
    content = json.loads((tmp_path / "out/annotations/instances_all.json").read_text())
    names = {record["id"]: record["file_name"] for record in content["images"]}
    found = sorted((names[a["image_id"]], a["bbox"][0]) for a in content["annotations"])
    assert found == [("l.png", 20), ("r.png", 0), ("r.png", 40)]


def test_label_studio_pictures_of_one_task_that_cannot_be_told_apart_are_left_out(tmp_path):
    ls_two(tmp_path / "in", "right", "img")
    text = "\n".join(reasons(run(tmp_path / "in", tmp_path / "out")))
    assert len(boxes_of(tmp_path / "out")) == 1
    assert "1 results with to_name 'img'" in text
    assert "the picture l.png: no result of the task has the to_name 'left'" in text
    ls_two(tmp_path / "one", "right")
    (left,) = reasons(run(tmp_path / "one", tmp_path / "other"))
    assert left == "task 1, the picture l.png: no result of the file has the to_name 'left'"
    ls_two(tmp_path / "gone", "right", "left", missing="r.png")
    (left,) = reasons(run(tmp_path / "gone", tmp_path / "again"))
    assert boxes_of(tmp_path / "again") == [[20, 30, 20, 6]]
    assert left.startswith("task 1, right with its 1 results: picture")


def test_label_studio_small_json(tmp_path):
    region = {
        "x": 50,
        "y": 50,
        "width": 25,
        "height": 10,
        "rotation": 0,
        "rectanglelabels": ["cup"],
    }
    region |= {"original_width": 80, "original_height": 60}
    task = {"image": "/data/upload/1/p0.png", "id": 4, "label": [region], "annotator": 1}
    cases.write_json(tmp_path / "in" / "min.json", [{**task, "annotation_id": 1, "lead_time": 2.0}])
    save(one(), tmp_path / "in")
    run(tmp_path / "in", tmp_path / "out")
    assert boxes_of(tmp_path / "out") == [[40, 30, 20, 6]]


def test_label_studio_results_that_cannot_be_used_are_named(tmp_path):
    def result(kind: str, value: dict, **extra: object) -> dict:
        return {**cases.ls_result(one(), kind, "cup", value), "id": str(len(results)), **extra}

    box = {"x": 50, "y": 50, "width": 25, "height": 10, "rotation": 0}
    results: list[dict] = []
    results.append(result("rectanglelabels", box))
    results.append(
        {**results[0], "type": "rectangle", "value": box}
    )  # the same region's bare shape
    results.append(result("keypointlabels", {"x": 1, "y": 1}))
    results.append(result("polygonlabels", {"points": [[1, 1], [2, 2]]}))
    results.append(result("brushlabels", {"rle": [1, 2, 3]}))
    results.append(result("rectanglelabels", box, image_rotation=90))
    results.append(result("rectanglelabels", box, original_width=81))
    results.append(result("rectanglelabels", {**box, "x": "a"}))
    both = result("rectanglelabels", box)
    both["value"] = {**box, "rectanglelabels": ["cup", "plate"]}
    results.append(both)
    ls(tmp_path / "in", results)
    summary = run(tmp_path / "in", tmp_path / "out")
    assert len(boxes_of(tmp_path / "out")) == 1
    text = "\n".join(reasons(summary))
    assert len(summary.left_out) == 7, text
    for part in (
        "keypointlabels",
        "three x, y",
        "too early",
        "turned by 90",
        "81 x 60",
        "no numbers",
    ):
        assert part in text
    assert "['cup', 'plate']" in text


@given(st.data())
def test_brush_runs_are_decoded_as_they_were_encoded(data):
    height, width = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 40))
    bits = data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    mask = np.array(bits).reshape(height, width)
    np.testing.assert_array_equal(decode_brush(cases.brush(mask), height, width), mask)


@given(st.lists(st.integers(0, 255), max_size=60))
def test_brush_runs_that_are_none_are_refused(values):
    with pytest.raises(Unusable):
        decode_brush(values, 5, 7)
    with pytest.raises(Unusable):
        decode_brush(cases.brush(np.ones((5, 7), bool))[:-2], 5, 7)


def test_picture_that_is_there_twice_is_taken_once(tmp_path):
    scenes = pictures(2)
    content = cases.coco_content(scenes, cases.plain_categories(1))
    content["images"][1]["file_name"] = "p0.png"
    cases.write_json(tmp_path / "in" / "labels.json", content)
    save(scenes[0], tmp_path / "in")
    (left,) = run(tmp_path / "in", tmp_path / "out").left_out
    assert f"with its {len(scenes[1].things)} objects" in left.what
    assert "has its labels from" in left.reason


def test_pieces_of_an_outline_with_too_few_points_are_named(tmp_path):
    content = cases.coco_content(pictures(1), cases.plain_categories(1))
    content["annotations"][0]["segmentation"].append([1.0, 1.0, 2.0, 2.0])
    cases.write_json(tmp_path / "in" / "labels.json", content)
    save(pictures(1)[0], tmp_path / "in")
    (left,) = run(tmp_path / "in", tmp_path / "out").left_out
    assert left.what.startswith("1 pieces of annotation 0")


# ---------------------------------------------------------------- the folder that is made


def test_nothing_is_overwritten(tmp_path):
    cases.labelme(tmp_path / "in", pictures(1))
    (tmp_path / "out").mkdir()
    run(tmp_path / "in", tmp_path / "out")  # empty: taken
    kept = sorted(p for p in tmp_path.rglob("*"))
    with pytest.raises(InputError, match="is there and not empty; nothing was written"):
        run(tmp_path / "in", tmp_path / "out")
    with pytest.raises(InputError, match="is the source itself; name another folder"):
        run(tmp_path / "in", tmp_path / "in")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="nothing was written"):
        run(tmp_path / "in", tmp_path / "file")
    assert sorted(p for p in tmp_path.rglob("*") if p.name != "file") == kept


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    cases.labelme(tmp_path / "in", pictures(1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copy2", full)
    with pytest.raises(OSError, match="No space"):
        run(tmp_path / "in", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_links_take_no_room_and_copies_are_copies(tmp_path):
    cases.labelme(tmp_path / "in", pictures(1))
    run(tmp_path / "in", tmp_path / "copy")
    run(tmp_path / "in", tmp_path / "link", link=True)
    original = tmp_path / "in" / "p0.png"
    assert (tmp_path / "link" / "all" / "p0.png").samefile(original)
    assert not (tmp_path / "copy" / "all" / "p0.png").samefile(original)
    assert len(CocoDataset.from_folder(tmp_path / "link", "all")) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no such folder"),
        (
            lambda path: path.write_text(""),
            "is a file; it should be the folder that a labelling tool",
        ),
        (lambda path: path.mkdir(), "its format is not recognised; it should be one of labelme"),
        (
            lambda path: cases.write_json(path / "a.json", {"shapes": [], "imagePath": "b.png"}),
            "is not there",
        ),
    ],
)
def test_source_that_is_none_says_why(make, message, tmp_path):
    make(tmp_path / "in")
    with pytest.raises(InputError, match=message):
        run(tmp_path / "in", tmp_path / "out")


def test_folder_in_coco_layout_needs_no_conversion(tmp_path):
    cases.labelme(tmp_path / "in", pictures(1))
    run(tmp_path / "in", tmp_path / "out")
    with pytest.raises(InputError, match=r"in COCO's layout already \(split all\)"):
        run(tmp_path / "out", tmp_path / "again")


def test_categories_that_differ_in_capitals_are_pointed_out(tmp_path):
    box = [[1, 1], [9, 9]]
    shapes = [cases.labelme_shape(name, box, "rectangle") for name in ("Cup", "cup ", "plate")]
    labelme(tmp_path / "in", shapes)
    summary = run(tmp_path / "in", tmp_path / "out")
    assert list(summary.categories) == ["Cup", "cup", "plate"]
    assert len(summary.notes) == 2


# ---------------------------------------------------------------- damaged files


ALL_WRITERS = [writer for _, writer, _ in WITH_OUTLINES] + [writer for _, writer in WITH_BOXES]
NONSENSE = [
    None,
    True,
    -1,
    1e308,
    float("nan"),
    10**400,
    "",
    "\0",
    "a" * 999,
    [],
    [[]],
    {},
    {"a": 1},
]


def places_in(content: Any, path: tuple = ()) -> list[tuple]:
    """Where something stands in a JSON file's content."""
    inner: Any = []
    if isinstance(content, dict):
        inner = content.items()
    elif isinstance(content, list):
        inner = list(enumerate(content))[:3]
    return [p for key, value in inner for p in [(*path, key), *places_in(value, (*path, key))]]


def damage(file: Path, rng: np.random.Generator) -> None:
    """Put nonsense somewhere into a file of labels."""
    text = file.read_text()
    if file.suffix != ".json":
        start, stop = sorted(rng.integers(0, len(text) + 1, 2).tolist())
        stop = min(stop, start + 5)
        new = ["", "<", '"', "nan", "-5", "1e999", "[", ": ", "\0", text[:start]][rng.integers(10)]
        file.write_text(text[:start] + new + text[stop:])
        return
    content = json.loads(text)
    places = places_in(content)
    *path, last = places[rng.integers(len(places))]
    inner = content
    for key in path:
        inner = inner[key]
    inner[last] = NONSENSE[rng.integers(len(NONSENSE))]
    file.write_text(json.dumps(content))


@pytest.mark.parametrize("writer", ALL_WRITERS, ids=[w.__name__ for w in ALL_WRITERS])
def test_damaged_files_are_named_and_never_a_traceback(writer, tmp_path):
    """Either they are converted, and can be trained on, or there is a message."""
    scenes = pictures(2, one_piece=True)
    for seed in range(15):
        rng = np.random.default_rng(seed)
        source, out = tmp_path / f"in{seed}", tmp_path / f"out{seed}"
        writer(source, scenes)
        files = [
            p for p in sorted(source.rglob("*")) if p.suffix in (".json", ".xml", ".txt", ".yaml")
        ]
        damage(files[rng.integers(len(files))], rng)
        try:
            summary = run(source, out)
        except InputError:
            assert not out.exists()
            continue
        for split, counts in summary.splits.items():
            if counts["objects"]:
                dataset = CocoDataset.from_folder(out, split)
                assert sum(len(dataset[i].target.boxes) for i in range(len(dataset))) > 0


# ---------------------------------------------------------------- shapes


@given(st.floats(1, 300), st.floats(1, 300), st.floats(-180, 180))
def test_ellipse_is_a_tenth_of_a_pixel_away_at_most(rx, ry, turn):
    points = np.reshape(ellipse(400, 400, rx, ry), (-1, 2)) - 400
    edges = (points + np.roll(points, -1, axis=0)) / 2
    inside = np.hypot(edges[:, 0] / rx, edges[:, 1] / ry)
    assert ((1 - inside) * max(rx, ry) <= 0.1 + 1e-9).all()
    x1, y1, x2, y2 = box_of([ellipse(400, 400, rx, ry)])
    np.testing.assert_allclose([x1, y1, x2, y2], [400 - rx, 400 - ry, 400 + rx, 400 + ry])
    turned = np.reshape(ellipse(400, 400, rx, ry, turn), (-1, 2)) - 400
    np.testing.assert_allclose(np.hypot(*turned.T), np.hypot(*points.T))


def test_rectangle_turns_clockwise_as_it_is_seen():
    assert rectangle((10, 10, 30, 20)) == [10, 10, 30, 10, 30, 20, 10, 20]
    quarter = rectangle((10, 10, 30, 20), 90, about=(10, 10))
    np.testing.assert_allclose(quarter, [10, 10, 10, 30, 0, 30, 0, 10], atol=1e-9)


def test_outlines_of_the_cases_are_exact():
    for picture in pictures(3):
        for thing in picture.things:
            mask = polygons_to_mask(thing.polygons, *thing.mask.shape)
            np.testing.assert_array_equal(mask, thing.mask)
            assert boxes_of_masks(mask[None])[0].tolist() == list(thing.box)
