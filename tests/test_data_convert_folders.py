"""Converting reads the right files of a folder, whatever else lies there, and writes into its own alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import convert_cases as cases
import pytest
from convert_cases import pictures

from minirnn.data.convert import Summary, convert, recognise
from minirnn.data.split import split
from minirnn.errors import InputError

pytest.importorskip("yaml", reason="reading data.yaml needs PyYAML: pip install '.[convert]'")


def run(source: Path, out: Path, **settings: object) -> Summary:
    return convert(source, out, progress=False, **settings)  # type: ignore[arg-type]


def boxes_in(folder: Path, split: str) -> dict[str, list[list[float]]]:
    """By file name."""
    content: Any = json.loads((folder / "annotations" / f"instances_{split}.json").read_text())
    names = {record["id"]: record["file_name"] for record in content["images"]}
    result: dict[str, list[list[float]]] = {name: [] for name in names.values()}
    for annotation in content["annotations"]:
        result[names[annotation["image_id"]]].append(annotation["bbox"])
    return result


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
