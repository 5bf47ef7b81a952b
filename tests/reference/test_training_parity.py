"""The same weights, batch and samples: losses, the gradient of every parameter, and steps of SGD."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn.data import CocoDataset
from minirnn.heads import keypoint
from minirnn.verify import parity_training
from minirnn.verify.parity_rows import as_table
from minirnn.verify.parity_training import LOSSES, training_parity

pytestmark = [pytest.mark.reference, pytest.mark.coco]

#: 53 convolutions in the backbone, 8 with a bias in the pyramid, 3 in the RPN, 4 layers in the box head;
#: then 6 in the mask head or 9 in the keypoint head.
PARAMETERS = {"mask": 53 + 2 * (8 + 3 + 4 + 6), "keypoint": 53 + 2 * (8 + 3 + 4 + 9)}


def check(rows, head="mask"):
    print("\n" + as_table(rows))
    missed = [row for row in rows if not row.agrees]
    assert not missed, "\n" + as_table(missed)
    losses = {*LOSSES, "sum"} - ({"mask", "keypoint"} - {head})
    assert {row.name for row in rows if row.stage == "losses"} == losses
    compared = sum(r.cases for r in rows if r.stage == "gradients" and "only" not in r.name)
    assert compared == PARAMETERS[head]


@pytest.fixture(scope="module")
def people(coco_subset):
    """Two photographs of the COCO subset with people whose keypoints are labelled."""
    dataset = CocoDataset.from_folder(coco_subset, "val2017", keypoints=True)
    samples = (dataset[i] for i in range(len(dataset)))
    return [s for s in samples if (s.target.keypoints[..., 2] > 0).any()][:2]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_losses_and_gradients(photographs, dtype):
    samples = [photographs[3], photographs[4]]
    check(training_parity(samples, 0, 128, steps=1, roi_samples=32, dtype=dtype))


def test_losses_and_gradients_of_keypoints(people):
    """People without a labelled point among them, and the 101 parameters one by one."""
    rows = training_parity(people, 0, 128, steps=1, roi_samples=32, keypoints=True)
    check(rows, "keypoint")


def test_another_keypoint_target_is_noticed(people, monkeypatch):
    cells = keypoint.keypoint_cells

    def rounded(points, boxes, size):  # to the nearest cell, not to the one that it lies in
        return cells(points + 0.5, boxes, size)

    monkeypatch.setattr(keypoint, "keypoint_cells", rounded)
    rows = training_parity(people[:1], 0, 96, steps=1, roi_samples=32, keypoints=True)
    missed = {(row.stage, row.name) for row in rows if not row.agrees}
    assert ("losses", "keypoint") in missed
    assert ("losses", "roi_box") not in missed


@pytest.mark.slow
def test_twenty_steps(photographs):
    samples = [photographs[3], photographs[4]]
    rows = training_parity(samples, 1, 128, steps=20, roi_samples=32)
    check(rows)
    curve = next(row for row in rows if row.stage == "curves" and row.name == "sum")
    assert curve.cases == 21


def test_an_image_without_objects_beside_one_with(photographs):
    empty = photographs[0]
    target = empty.target
    target.is_crowd = np.ones(len(target.labels), bool)  # crowds are left out
    check(training_parity([empty, photographs[3]], 0, 96, steps=1, roi_samples=32))


def test_another_loss_is_noticed(photographs, monkeypatch):
    build = parity_training.build_pair

    def other_beta(*arguments, **settings):
        reference, model = build(*arguments, **settings)
        model.config = model.config.replace(box_beta=1.0)
        next(iter(model.roi_heads)).beta = 1.0
        return reference, model

    monkeypatch.setattr(parity_training, "build_pair", other_beta)
    rows = training_parity([photographs[3]], 0, 96, steps=1, roi_samples=32)
    missed = {(row.stage, row.name) for row in rows if not row.agrees}
    assert ("losses", "roi_box") in missed
    assert ("losses", "mask") not in missed
