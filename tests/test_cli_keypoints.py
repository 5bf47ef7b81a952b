"""Keypoints on the command line: from made-up people to points in a picture, with and without masks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from cli_cases import TINY, succeed
from PIL import Image

from minirnn.data import read_image
from minirnn.data.people import KEYPOINTS, SKELETON
from minirnn.draw import draw_instances
from minirnn.evaluation.checks import NUMBERS
from minirnn.training import read_checkpoint

SMALL = [*TINY, *("--set", "keypoint_width=8", "--set", "keypoint_convolutions=1")]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "people"
    made = succeed(
        *("data", "shapes", "--level", "people", "--out", folder),
        *("--train", 6, "--val", 3, "--size", 64),
    )
    assert "--preset keypointrcnn_shapes" in made.out  # what to train on it
    return folder


@pytest.fixture(scope="module", params=[False, True], ids=["points", "masks and points"])
def run(people, tmp_path_factory: pytest.TempPathFactory, request) -> tuple[Path, bool]:
    """A finished run of two steps, evaluated at its end, and whether it has the mask head."""
    out = tmp_path_factory.mktemp("runs") / "first"
    result = succeed(
        *("train", "--data", people, "--preset", "keypointrcnn_shapes", "--out", out),
        *("--steps", 2, *SMALL, "--set", f"mask={request.param}", "--set", "crop=0.8"),
        *("--evaluate-every", 2, "--json"),
    )
    losses = {"rpn_objectness", "rpn_box", "roi_class", "roi_box", "keypoint"}
    assert set(json.loads(result.out)["losses"]) == losses | ({"mask"} if request.param else set())
    return out, request.param


def kinds(mask: bool) -> list[str]:
    return ["bbox", *(["segm"] if mask else []), "keypoints"]


def test_train_measures_keypoints_too(run):
    out, mask = run
    last = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    assert list(last["evaluation"]) == kinds(mask)
    config = read_checkpoint(out / "checkpoint.safetensors")[1]["config"]
    assert (config["num_classes"], config["categories"]) == (2, [[1, "person"]])
    assert (config["keypoint_count"], config["mask"]) == (17, mask)


def test_evaluate_prints_cocos_ten_numbers_of_keypoints(run, people, tmp_path):
    out, mask = run
    arguments = [
        *("evaluate", "--weights", out / "checkpoint.safetensors", "--data", people),
        *("--out", tmp_path / "e.json"),
    ]
    table = succeed(*arguments).out.splitlines()
    assert [line.split()[0] for line in table[1 : 1 + len(kinds(mask))]] == kinds(mask)
    report = json.loads(succeed(*arguments, "--json").out)
    assert set(report["keypoints"]) == set(NUMBERS["keypoints"])
    results = json.loads((tmp_path / "e.json").read_text())
    assert results
    assert {len(result["keypoints"]) for result in results} == {51}


def test_predict_writes_and_draws_points(run, people, tmp_path):
    out, mask = run
    photo = people / "val/000001.jpg"
    succeed(
        *("predict", photo, "--weights", out / "checkpoint.safetensors"),
        *("--out", tmp_path, "--score", 0.01),
    )
    found = json.loads((tmp_path / "000001.detections.json").read_text())["detections"]
    assert found
    points = np.array([each["keypoints"] for each in found]).reshape(-1, 17, 3)
    boxes = np.array([each["bbox"] for each in found])
    boxes[:, 2:] += boxes[:, :2]
    assert (points[..., :2] >= boxes[:, None, :2] - 1).all()
    assert (points[..., :2] <= boxes[:, None, 2:] + 1).all()
    assert ("segmentation" in found[0]) == mask
    if mask:
        return
    points[..., 2] = 1  # each is drawn, whatever its score
    scores = np.array([each["score"] for each in found])
    arguments = read_image(photo), boxes, np.ones(len(found), int), scores, None, ["person"]
    with_points = draw_instances(*arguments, keypoints=points, skeleton=SKELETON)
    with Image.open(tmp_path / "000001.detections.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), with_points)
    assert (with_points != draw_instances(*arguments)).any()


def test_a_data_set_with_points_of_its_own(people, tmp_path):
    """Four points in place of COCO's 17: trained and predicted; there is no OKS for them."""
    for split in ("train", "val"):
        file = people / f"annotations/instances_{split}.json"
        content = json.loads(file.read_text())
        chosen = [KEYPOINTS.index(f"{side}_{part}") for part in ("wrist", "ankle")
                  for side in ("left", "right")]  # fmt: skip
        content["categories"][0]["keypoints"] = [KEYPOINTS[i] for i in chosen]
        content["categories"][0]["skeleton"] = [[1, 2]]
        for annotation in content["annotations"]:
            points = np.reshape(annotation["keypoints"], (17, 3))[chosen]
            annotation["keypoints"] = points.ravel().tolist()
            annotation["num_keypoints"] = int((points[:, 2] > 0).sum())
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / f"annotations/person_keypoints_{split}.json").write_text(json.dumps(content))
        (tmp_path / split).symlink_to(people / split)
    out = tmp_path / "run"
    succeed(
        *("train", "--data", tmp_path, "--preset", "keypointrcnn_shapes", "--out", out),
        *("--steps", 2, *SMALL, "--set", "flip=1", "--evaluate-every", 2),
    )
    weights = out / "checkpoint.safetensors"
    assert read_checkpoint(weights)[1]["config"]["keypoint_count"] == 4
    last = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    assert list(last["evaluation"]) == ["bbox"]
    succeed("predict", people / "val/000001.jpg", "--weights", weights,
            "--out", tmp_path / "p", "--score", 0.01)  # fmt: skip
    found = json.loads((tmp_path / "p/000001.detections.json").read_text())["detections"]
    assert found
    assert {len(each["keypoints"]) for each in found} == {12}


def test_demo_with_people(people, tmp_path):
    out = tmp_path / "demo"
    result = succeed(
        *("demo", "--level", "people", "--out", out, "--data", tmp_path / "data", "--steps", 1),
        *("--train-images", 3, "--val-images", 2, *SMALL[: len(TINY) - 2], *SMALL[len(TINY) :]),
        *("--set", "batch_size=2", "--json"),
    )
    report = json.loads(result.out)
    assert set(report["keypoints"]) == set(NUMBERS["keypoints"])
    assert set(json.loads((out / "results.json").read_text())) == {"bbox", "keypoints"}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<h1>Keypoint R-CNN on stick figures</h1>" in page
    assert re.search(r"keypoint head</th><td>17 points", page)
    assert re.search(r"mask head</th><td>no", page)
    assert "Keypoint AP" in page
    assert "(OKS)" in page
    with Image.open(out / "predictions.png") as picture:
        picture.verify()
