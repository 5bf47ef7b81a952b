"""What was trained before the configuration was nested and the detector composed still lives.

tests/fixtures/make_checkpoint.py tells how the files were made.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from minirnn.models import Config, build_model
from minirnn.training import read_checkpoint, train
from minirnn.weights import model_from

FIXTURES = Path(__file__).parent / "fixtures"
sys.path.insert(0, str(FIXTURES))
from make_checkpoint import FIELDS, STEPS, STOP, Pictures, settings  # noqa: E402

CHECKPOINT = FIXTURES / "trained_before.safetensors"


@pytest.fixture(scope="module")
def before():
    with np.load(FIXTURES / "trained_before.npz") as kept:
        return dict(kept)


def test_the_old_checkpoint_gives_the_same_detections(before):
    (found,) = model_from(CHECKPOINT).predict([Pictures()[2].image])
    assert {1, 2} <= set(before["labels"].tolist())  # it had learned both
    np.testing.assert_array_equal(found.labels, before["labels"])
    np.testing.assert_allclose(found.scores, before["scores"], atol=1e-4)
    np.testing.assert_allclose(found.boxes, before["boxes"], atol=1e-2)
    # At a probability of one half a pixel may turn over by rounding.
    turned = np.unpackbits(np.packbits(found.masks, axis=-1) ^ before["masks"]).sum()
    assert turned <= 2


def test_the_old_checkpoint_is_trained_on_to_the_same_losses(tmp_path, before):
    shutil.copy(CHECKPOINT, tmp_path / "checkpoint.safetensors")
    metadata = read_checkpoint(CHECKPOINT)[1]
    assert (metadata["step"], metadata["preset"]) == (STOP, "maskrcnn_shapes")
    model = build_model("maskrcnn_shapes", **FIELDS)
    summary = train(model, Pictures(), settings(), tmp_path, resume=True, progress=False)
    expected = json.loads(str(before["losses"]))
    assert summary.steps == STEPS
    assert summary.losses.keys() == expected.keys()
    for name, value in expected.items():
        assert summary.losses[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name


def test_the_old_names_of_fields_are_those_of_now():
    stored = read_checkpoint(CHECKPOINT)[1]["config"]
    config = Config().replace(**stored)
    again = build_model("maskrcnn_shapes", **FIELDS).config
    assert config == again
