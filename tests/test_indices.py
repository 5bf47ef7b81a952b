"""Indices are `numpy.intp`, so that a platform of 32 bits runs the same code."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from standin import with_pointers_of_32_bits

import minirnn
from minirnn import build_model
from minirnn.data.sample import Target

#: Where 64 bits are what is meant: numbers that are counted or packed, and kinds in files.
MEANT = {
    "kernels/cpu/rectangles.py",  # value and place in one number
    "ops/interpolation.py",  # a product of two lengths, before it is divided
    "masks/rle.py",  # counts of pixels
    "kernels/cpu/masks.py",
    "data/people.py",  # coordinates
    "data/scenes.py",
    "data/inspection/twins.py",  # hashes of 64 bits
    "files/safetensors_file.py",
    "weights/torch_file.py",
}
ELSEWHERE = ("kernels/cuda/", "verify/", "bench/", "textbook/", "draw/")


@pytest.fixture
def xp32(monkeypatch):
    monkeypatch.setattr(np, "intp", np.int32)
    return with_pointers_of_32_bits()


def test_the_stand_in_of_32_bits_refuses_wide_indices(xp32):
    values = xp32.asarray(np.arange(6.0, dtype=np.float32))
    wide = xp32.asarray(np.array([1, 2]), dtype=np.int64)
    assert wide.dtype == np.int64
    for use in (
        lambda: values[wide],
        lambda: values[wide + 1],
        lambda: values.take(wide),
        lambda: xp32.take(values, wide),
        lambda: xp32.bincount(wide),
        lambda: xp32.add.at(values, wide, 1),
    ):
        with pytest.raises(TypeError, match="rule 'safe'"):
            use()
    narrow = wide.astype(xp32.intp)
    assert values[narrow].tolist() == values.take(narrow).tolist() == [1, 2]
    for made in (
        xp32.arange(3),
        xp32.argsort(values),
        values.argsort(),
        xp32.nonzero(values)[0],
        (values > 2).sum(),
        (values > 2) * 2,
        xp32.cumsum(values > 2),
    ):
        assert made.dtype == np.int32


OPTIONS = [
    {},
    {"roi_operation": "pool"},
    {"roi_operation": "warp"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_chain_runs_with_indices_of_32_bits(options, xp32):
    """A training step and a prediction, with the results of the usual platform."""
    rng = np.random.default_rng(3)
    image = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    masks = np.zeros((2, 64, 64), bool)
    masks[0, 10:30, 10:40] = masks[1, 30:60, 20:50] = True
    target = Target(
        boxes=np.array([[10, 10, 40, 30], [20, 30, 50, 60]], np.float32),
        labels=np.array([1, 2]),
        masks=masks,
        is_crowd=np.zeros(2, bool),
        image_id=1,
    )

    def results(xp):
        model = build_model("maskrcnn_shapes", seed=0, **options).to_library(xp)
        losses = model.losses([image], [target], rng=[np.random.default_rng(0)])
        total = sum(losses.values(), 0.0)
        total.backward()
        return {k: float(v) for k, v in losses.items()}, model.predict(
            [image], score_threshold=0.0
        )[0]

    usual, found = results(np)
    losses, detections = results(xp32)
    assert losses == pytest.approx(usual, rel=1e-4)
    assert len(found.labels)
    np.testing.assert_allclose(detections.boxes, found.boxes, atol=1e-2)
    assert detections.labels.tolist() == found.labels.tolist()


def test_int64_is_named_only_where_it_is_meant():
    """On NumPy itself nothing here can refuse an index of 64 bits; so its name is looked for, too."""
    root = Path(minirnn.__file__).parent
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if name not in MEANT and not name.startswith(ELSEWHERE):
            assert not re.search(r"int64", path.read_text(encoding="utf-8")), name
