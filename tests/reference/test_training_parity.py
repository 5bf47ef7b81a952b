"""The same weights, batch and samples: losses, the gradient of every parameter, and steps of SGD."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn.verify import parity_training
from minirnn.verify.parity_rows import as_table
from minirnn.verify.parity_training import LOSSES, training_parity

pytestmark = [pytest.mark.reference, pytest.mark.coco]


def check(rows):
    print("\n" + as_table(rows))
    missed = [row for row in rows if not row.agrees]
    assert not missed, "\n" + as_table(missed)
    assert {row.name for row in rows if row.stage == "losses"} == {*LOSSES, "sum"}
    # 53 convolutions in the backbone, 8 in the pyramid and all heads; every parameter is compared.
    compared = sum(r.cases for r in rows if r.stage == "gradients" and "only" not in r.name)
    assert compared == 95


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_losses_and_gradients(photographs, dtype):
    samples = [photographs[3], photographs[4]]
    check(training_parity(samples, 0, 128, steps=1, roi_samples=32, dtype=dtype))


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
