"""Photographs that lost all their objects, or that nobody has labelled: none teaches background unasked."""

from __future__ import annotations

import json
from pathlib import Path

import convert_cases as cases
import numpy as np
import pytest
from convert_cases import NAMES, Picture, save

from minirnn.data.convert import Summary, convert
from minirnn.errors import InputError

pytest.importorskip("yaml", reason="reading data.yaml needs PyYAML: pip install '.[convert]'")

BOX = {"x": 50, "y": 50, "width": 25, "height": 10, "rotation": 0}
SQUARE = [[10, 10], [30, 10], [30, 30], [10, 30]]


def run(source: Path, out: Path, **settings: object) -> Summary:
    return convert(source, out, progress=False, **settings)  # type: ignore[arg-type]


def photo(name: str) -> Picture:
    return Picture(
        name, np.random.default_rng(len(name)).integers(0, 255, (60, 80, 3), np.uint8), []
    )


def images_of(folder: Path) -> list[str]:
    content = json.loads((folder / "annotations" / "instances_all.json").read_text())
    return sorted(record["file_name"] for record in content["images"])


# Each writes good.png with an object, none.png without, and lost.png with one that cannot be used.


def labelme(folder: Path) -> None:
    square, point = (
        cases.labelme_shape("cup", SQUARE),
        cases.labelme_shape("cup", [[1, 1]], "point"),
    )
    no_object = cases.labelme_shape("_background_", SQUARE)
    for name, shapes in {"good": [square, point], "none": [no_object], "lost": [point]}.items():
        cases.labelme_file(folder, photo(f"{name}.png"), shapes)


def labelme_outside(folder: Path) -> None:
    """What `write` leaves out in place of the reader."""
    labelme(folder)
    outside = cases.labelme_shape("cup", [[110, 10], [130, 10], [130, 30]])
    cases.labelme_file(folder, photo("lost.png"), [outside])


def yolo(folder: Path) -> None:
    for name, line in {
        "good": "0 0.5 0.5 0.2 0.2",
        "none": "",
        "lost": "77 0.5 0.5 0.2 0.2",
    }.items():
        (folder / f"{name}.txt").write_text(line)
    (folder / "classes.txt").write_text("\n".join(NAMES))


def cvat(folder: Path) -> None:
    box = '<box label="cup" xtl="10" ytl="20" xbr="30" ybr="25"/>'
    shapes = {"good": box, "none": '<tag label="cup"/>', "lost": '<cuboid label="cup"/>'}
    images = [cases.cvat_image(photo(f"{name}.png"), text) for name, text in shapes.items()]
    cases.cvat_xml_file(folder, "".join(images))


def labelstudio(folder: Path) -> None:
    good = cases.ls_result(photo("a"), "rectanglelabels", "cup", BOX)
    turned = {**good, "image_rotation": 90}
    choice = {"id": "c", "type": "choices", "value": {"choices": ["no cup"]}}
    results = {"good": [good, turned], "none": [choice], "lost": [turned, choice]}
    cases.write_json(
        folder / "export.json",
        [cases.ls_task(photo(f"{n}.png"), r, i) for i, (n, r) in enumerate(results.items())],
    )


def voc(folder: Path) -> None:
    box = cases.voc_object("cup", (10, 10, 30, 30))
    for name, objects in {
        "good": box,
        "none": "",
        "lost": "<object><name>cup</name></object>",
    }.items():
        (folder / f"{name}.xml").write_text(cases.voc_xml(photo(f"{name}.png"), objects))


def coco(folder: Path) -> None:
    names = {1: "good.png", 2: "none.png", 3: "lost.png"}
    box = {"category_id": 1, "bbox": [10, 10, 20, 20]}
    content = {
        "images": [{"id": i, "file_name": n, "height": 60, "width": 80} for i, n in names.items()],
        "annotations": [{"id": 1, "image_id": 1, **box}, {"id": 2, "image_id": 3, **box}],
        "categories": [{"id": 1, "name": "cup"}],
    }
    content["annotations"][1]["category_id"] = 9
    cases.write_json(folder / "labels.json", content)


@pytest.mark.parametrize(
    "writer",
    [labelme, labelme_outside, yolo, cvat, labelstudio, voc, coco],
    ids=lambda w: w.__name__,
)
def test_a_photograph_that_lost_all_its_objects_is_left_out_and_named(writer, tmp_path):
    for name in ("good", "none", "lost"):
        save(photo(f"{name}.png"), tmp_path / "in")
    writer(tmp_path / "in")
    summary = run(tmp_path / "in", tmp_path / "out")
    assert images_of(tmp_path / "out") == ["good.png", "none.png"]
    assert summary.splits["all"] == {"images": 2, "without_objects": 1, "objects": 1}
    assert summary.left_out[-1].what == "the picture lost.png"
    assert "left out with all of their objects: 1 (lost.png)" in summary.notes[-1]


# Each labels good.png and says nothing of new.png; broken.png has labels that cannot be read.


def labelme_of_some(folder: Path) -> None:
    cases.labelme_file(folder, photo("good.png"), [cases.labelme_shape("cup", SQUARE)])
    (folder / "broken.json").write_text("{")


def labelstudio_of_some(folder: Path) -> None:
    def task(name: str, number: int, **extra: object) -> dict:
        good = cases.ls_result(photo("a"), "rectanglelabels", "cup", BOX)
        return cases.ls_task(photo(name), [good], number, **extra)

    skipped = [{"id": 1, "was_cancelled": True, "result": []}]
    tasks = [task("good.png", 1), task("new.png", 2, annotations=[])]
    tasks += [task("broken.png", 3, annotations=skipped)]
    tasks += [task("guessed.png", 4, annotations=[], predictions=[{"result": [{}]}])]
    cases.write_json(folder / "export.json", tasks)


def voc_of_some(folder: Path) -> None:
    text = cases.voc_xml(photo("good.png"), cases.voc_object("cup", (10, 10, 30, 30)))
    (folder / "good.xml").write_text(text)
    (folder / "broken.xml").write_text("<annotation")


@pytest.mark.parametrize("writer", [labelme_of_some, labelstudio_of_some, voc_of_some])
def test_pictures_that_nobody_has_labelled_show_nothing_only_if_it_is_said(writer, tmp_path):
    source = tmp_path / "in"
    for name in ("good.png", "new.png", "broken.png", "guessed.png"):
        if name != "guessed.png" or writer is labelstudio_of_some:
            save(photo(name), source)
    save(photo("good.jpg"), source)  # the camera's own beside the one that was labelled
    writer(source)
    summary = run(source, tmp_path / "out")
    assert images_of(tmp_path / "out") == ["good.png"]
    left = [each for each in summary.left_out if "new.png" in str(each)]
    assert len(left) == 1
    (note,) = [each for each in summary.notes if "--unlabelled empty takes them" in each]
    assert note.startswith("pictures that nobody has labelled are left out: 1.")

    summary = run(source, tmp_path / "again", unlabelled="empty")
    assert images_of(tmp_path / "again") == ["good.png", "new.png"]
    assert summary.splits["all"] == {"images": 2, "without_objects": 1, "objects": 1}
    assert "pictures that nobody has labelled are taken as showing none of the objects: 1" in (
        summary.notes
    )
    assert "broken" in "".join(map(str, summary.left_out))


def test_voc_picture_without_labels_goes_to_the_split_of_its_list(tmp_path):
    source = tmp_path / "in"
    cases.voc(source, cases.pictures(2), masks=False)
    for name in ("new.png", "other.png"):
        save(photo(name), source / "JPEGImages")
    with (source / "ImageSets" / "Main" / "val.txt").open("a") as stream:
        stream.write("new\n")
    summary = run(source, tmp_path / "out", unlabelled="empty")
    assert {split: counts["images"] for split, counts in summary.splits.items()} == {
        "train": 1,
        "val": 2,
    }
    with pytest.raises(InputError, match="unlabelled is 'all'; it should be leave-out or empty"):
        run(source, tmp_path / "never", unlabelled="all")
