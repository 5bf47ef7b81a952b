"""Runs on a GPU for a while: they learn what NumPy learns, give memory back, and say what was too much.

On the stand-in a few steps of a small network, so that the lines are known to run; on a GPU the demo's own.
"""

from __future__ import annotations

import gc
from typing import Any, NamedTuple

import numpy as np
import pytest
from cli_cases import fail, succeed
from conftest import why_no_gpu
from standin import DeviceArray, standin

from minirnn.bench.scenes import made_up
from minirnn.models import build_model
from minirnn.training.optimiser import SGD, clip_gradients
from minirnn.training.whole import Whole
from minirnn.transform import Transform

SMALL = {
    "fpn_channels": 16, "box_width": 32, "mask_width": 16, "mask_convolutions": 1, "min_size": (64,),
    "max_size": 96, "rpn_pre_nms_train": 100, "rpn_post_nms_train": 40, "roi_samples": 16,
    "rpn_samples": 32, "norm": "frozen_batch_norm",
}  # fmt: skip


class Machine(NamedTuple):
    """Where a run goes, and how much of it."""

    xp: Any
    real: bool
    fields: dict[str, Any]
    side: int
    batch: int
    steps: int


@pytest.fixture(params=["standin", pytest.param("cupy", marks=pytest.mark.gpu)])
def machine(request):
    if request.param == "standin":
        request.getfixturevalue("gpu")
        return Machine(standin, False, SMALL, 64, 1, 2)
    if why_no_gpu():
        pytest.skip(why_no_gpu())
    return Machine(pytest.importorskip("cupy"), True, {}, 128, 8, 100)


def steps_of(xp, machine, dtype):
    """Take steps as the demo does, from the same weights and pictures; yields the losses of each."""
    model = build_model("maskrcnn_shapes", num_classes=4, seed=0, **machine.fields)
    model.astype(dtype).to_library(xp)
    optimiser, passes = SGD(model), Whole(model)
    for step in range(machine.steps):
        seeds = range(machine.batch * step, machine.batch * (step + 1))
        samples = [made_up(seed, (machine.side, machine.side), "easy") for seed in seeds]
        images, targets = [s.image for s in samples], [s.target for s in samples]
        optimiser.zero_grad()
        rngs = passes.streams(np.random.default_rng(step), len(images))
        losses = passes.losses(images, targets, rngs)
        passes.backward()
        clip_gradients(optimiser.parameters(), 3.0)
        optimiser.step(0.02)
        yield losses


@pytest.fixture
def in_float64(monkeypatch):
    """Pictures come in float64. In float32 rounding decides in the end which of two anchors is taken."""
    batch = Transform.batch

    def wide(*given, **settings):
        made = batch(*given, **settings)
        made.images = made.images.astype(np.float64)
        return made

    monkeypatch.setattr(Transform, "batch", wide)


@pytest.mark.usefixtures("in_float64")
def test_steps_of_the_demo_are_numpys(machine):
    """100 steps on a GPU, each loss of each step within a thousandth."""
    both = zip(
        steps_of(np, machine, np.float64), steps_of(machine.xp, machine, np.float64), strict=True
    )
    for step, (host, device) in enumerate(both):
        assert device == pytest.approx(host, rel=1e-3, abs=1e-5), step


def test_a_step_in_float32_is_numpys_to_rounding(machine):
    one = machine._replace(steps=1)
    (host,), (device,) = (list(steps_of(xp, one, np.float32)) for xp in (np, machine.xp))
    assert device == pytest.approx(host, rel=1e-4)


def held(machine):
    """Bytes of a GPU's memory that are in use; on the stand-in, how many arrays there are."""
    gc.collect()
    if machine.real:
        return machine.xp.get_default_memory_pool().used_bytes()
    return sum(isinstance(each, DeviceArray) for each in gc.get_objects())


def test_memory_is_back_where_it_was_after_each_epoch(machine):
    after = []
    steps = steps_of(machine.xp, machine._replace(steps=12 if machine.real else 4), np.float32)
    for step, _ in enumerate(steps):
        if step % (4 if machine.real else 2):
            after.append(held(machine))
    # The first step makes what stays: velocities, and what was looked up once.
    assert len(after) >= 2
    assert max(after[1:]) <= after[0] * (1.001 if machine.real else 1)


def test_out_of_memory_says_what_to_reduce(machine, tmp_path, monkeypatch):
    if machine.real:
        pool = machine.xp.get_default_memory_pool()
        pool.free_all_blocks()
        pool.set_limit(size=pool.used_bytes() + 30 * 2**20)
    else:
        kind = type("OutOfMemoryError", (MemoryError,), {})  # as cupy.cuda.memory has it
        whole = standin.zeros

        def zeros(shape, *settings, **more):
            if np.prod(shape) > 1000:
                raise kind("Out of memory allocating 1,024 bytes (allocated so far: 512 bytes).")
            return whole(shape, *settings, **more)

        monkeypatch.setattr(standin, "zeros", zeros)
    succeed("data", "shapes", "--out", tmp_path / "data", "--train", 8, "--val", 1)
    words = ["train", "--data", tmp_path / "data", "--preset", "maskrcnn_shapes", "--steps", 2]
    try:
        fail(
            1,
            r"out of memory \(Out of memory allocating .*a smaller --batch-size or --set min_size",
            *(*words, "--out", tmp_path / "run", "--device", "cuda", "--set", "processes=1"),
        )
    finally:
        if machine.real:
            pool.set_limit(size=0)
