"""The whole chain on real photographs: a few images learned by heart, and found again.

The long form of this test, four images with crowds and small objects to mask AP50 ≥ 0.90, is a
command (docs/results.md). Here two images with large objects are enough to see that every part
works with every other on COCO's own files.
"""

import json

import pytest
from click.testing import CliRunner

from minirnn.cli import cli

#: Three large objects; two.
IMAGES = "86408,12448"


@pytest.mark.slow
@pytest.mark.coco
def test_two_photographs_are_learned_by_heart(coco_subset, tmp_path):
    def run(*arguments):
        result = CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result

    run(
        "train", "--data", coco_subset, "--split", "train2017", "--image-ids", IMAGES,
        "--preset", "maskrcnn_small_fpn", "--out", tmp_path / "run", "--steps", 120,
        "--batch-size", 1, "--learning-rate", 0.02, "--set", "min_size=160", "--set", "flip=0",
        "--set", "warmup_steps=20", "--set", "workers=0",
    )  # fmt: skip
    run(
        "evaluate", "--weights", tmp_path / "run" / "checkpoint.safetensors", "--data", coco_subset,
        "--split", "train2017", "--image-ids", IMAGES, "--out", tmp_path / "results.json",
    )  # fmt: skip
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO(coco_subset / "annotations" / "instances_train2017.json")
    found = truth.loadRes(str(tmp_path / "results.json"))
    evaluation = COCOeval(truth, found, "segm")
    evaluation.params.imgIds = [int(i) for i in IMAGES.split(",")]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[1] >= 0.9, "mask AP50"
    assert json.loads((tmp_path / "results.json").read_text())
