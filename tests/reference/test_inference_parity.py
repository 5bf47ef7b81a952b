"""The same weights in torchvision's Mask R-CNN and in ours: every array on the way, and the answers."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn.data.sample import Detections
from minirnn.verify.parity_inference import (
    compare_batch,
    compare_detections,
    inference_parity,
    run_torchvision,
)
from minirnn.verify.parity_rows import Comparison, as_table
from minirnn.verify.torchvision_model import build_pair

pytestmark = [pytest.mark.reference, pytest.mark.coco]

INTERMEDIATES = {
    "resized image, torchvision", "C2", "C3", "C4", "C5", "P2", "P3", "P4", "P5", "P6", "anchors",
    "objectness logits", "deltas", "boxes in order, from the same logits", "box features",
    "class logits", "box deltas", "mask logits", "labels", "boxes", "scores", "masks: 1 - IoU",
}  # fmt: skip


def check(rows):
    print("\n" + as_table(rows))
    missed = [row for row in rows if not row.agrees]
    assert not missed, "\n" + as_table(missed)
    assert {row.name for row in rows} >= INTERMEDIATES
    assert all(row.cases > 0 for row in rows)
    detections = next(r for r in rows if r.name == "labels" and r.stage == "final").cases
    assert detections >= 24, "too few detections to compare"


@pytest.mark.parametrize(("seed", "number"), [(0, 3), (1, 5), (2, 9)])
def test_every_intermediate_agrees(photographs, seed, number):
    check(inference_parity([photographs[number].image], seed, 256))


def test_images_of_different_shapes_in_one_batch(photographs):
    images = [photographs[3].image, np.rot90(photographs[0].image).copy()]
    check(inference_parity(images, 0, 192, together=True))


def test_every_intermediate_of_keypoints_agrees(photographs):
    rows = inference_parity([photographs[3].image], 0, 192, keypoints=True)
    print("\n" + as_table(rows))
    missed = [row for row in rows if not row.agrees]
    assert not missed, "\n" + as_table(missed)
    assert {"keypoint logits", "x and y", "keypoints: x and y", "keypoints: scores"} <= {
        row.name for row in rows
    }
    assert next(row for row in rows if row.name == "keypoints: x and y").cases > 17


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "number"), [(0, 3), (1, 9)])
def test_every_intermediate_agrees_at_full_size(photographs, seed, number):
    check(inference_parity([photographs[number].image], seed, 800))


def test_detections_from_pixels_are_torchvisions(photographs):
    """Nothing handed over: from the pixels to the masks."""
    reference, model = build_pair(0, min_size=256)
    image = photographs[0].image
    comparison = Comparison("torchvision")
    (theirs,) = run_torchvision(reference, [image])["detections"]
    compare_detections(comparison, model.predict([image])[0], theirs)
    assert len(theirs["boxes"]) >= 24
    assert all(row.agrees for row in comparison.rows), "\n" + as_table(comparison.rows)


def test_a_wrong_weight_is_noticed_where_it_is(photographs):
    reference, model = build_pair(0, min_size=128)
    model.backbone.fpn.layer_blocks[0][0].bias.data[0] += 0.01
    comparison = Comparison("torchvision")
    compare_batch(comparison, reference, model, [photographs[3].image])
    verdicts = {row.name: row.agrees for row in comparison.rows}
    assert verdicts["C5"]
    assert verdicts["P3"]
    assert not verdicts["P2"]
    assert not verdicts["box features"]


class TestDetections:
    boxes = np.array([[0, 0, 10, 10], [5, 5, 20, 20], [30, 30, 60, 40]], np.float32)

    def missed(self, boxes=None, labels=(1, 2, 2), scores=(0.9, 0.8, 0.7)):
        masks = np.zeros((3, 60, 60), bool)
        masks[:, :30, :30] = True
        theirs = {
            "boxes": self.boxes,
            "labels": np.array([1, 2, 2]),
            "scores": np.array([0.9, 0.8, 0.7], np.float32),
            "masks": masks[:, None].astype(np.float32),
        }
        ours = Detections(
            self.boxes if boxes is None else boxes,
            np.array(labels),
            np.array(scores, np.float32),
            masks,
        )
        comparison = Comparison("drawn")
        compare_detections(comparison, ours, theirs)
        return {row.name for row in comparison.rows if not row.agrees}

    def test_equal(self):
        assert self.missed() == set()

    def test_a_box_moved_by_a_tenth_of_a_pixel(self):
        moved = self.boxes.copy()
        moved[1, 2] += 0.1
        assert self.missed(moved) == {"detections without a partner"}

    def test_another_label(self):
        assert self.missed(labels=(1, 2, 1)) == {"detections without a partner"}

    def test_another_order(self):
        order = [1, 0, 2]
        missed = self.missed(self.boxes[order], (2, 1, 2), (0.8, 0.9, 0.7))
        assert missed == {"their scores, in our order: largest rise"}
