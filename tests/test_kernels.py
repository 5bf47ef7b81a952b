"""Every kernel equals the plain form of its operation, by enumeration; and what the table promises."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import types
from contextlib import nullcontext
from pathlib import Path

import kernel_cases_ops
import kernel_cases_regions
import numpy as np
import pytest

import minirnn
from minirnn import kernels
from minirnn.bench import against_plain
from minirnn.data import Target
from minirnn.errors import InputError
from minirnn.kernels import report, table
from minirnn.kernels.cpu import winograd
from minirnn.kernels.cpu.correlation import Geometry
from minirnn.kernels.cpu.layout import nhwc_of
from minirnn.ops.checks import sides

CASES = {**kernel_cases_ops.CASES, **kernel_cases_regions.CASES}
TABLE = report.every_operation()
#: Those for NumPy arrays. `test_cuda_kernels.py` has the others.
WITH_KERNELS = [
    name for name, entry in TABLE.items() if any(k.device == "cpu" for k in entry.kernels)
]
DRAWS = 60
LONGEST = 25  # lines of a plain form
EXACT = {"iou", "intersection", "sgd_step"}  # the same steps in the same order, bit for bit


def of_cpu(name):
    """The first kernel for NumPy arrays."""
    return next(k.function for k in TABLE[name].kernels if k.device == "cpu")


@pytest.mark.parametrize("name", WITH_KERNELS)
def test_every_operation_with_a_kernel_has_a_case(name):
    assert name in CASES, f"{name} has a kernel, but no case in tests/kernel_cases_*.py"


def test_every_case_belongs_to_an_operation():
    assert set(CASES) <= set(TABLE)


def computed(name, arrays, settings, seed):
    """The result, where there are gradients that of each array, and the arrays as they are then."""
    arrays = [copy.deepcopy(array) for array in arrays]  # deepcopy keeps the order in memory
    result = TABLE[name].chosen(arrays, settings)(*arrays, **settings)
    found = (
        [result] if isinstance(result, np.ndarray) else []
    )  # an operation in place returns nothing
    if isinstance(result, tuple):
        value, vjps = result
        dy = np.random.default_rng(seed).standard_normal(value.shape).astype(value.dtype)
        vjps = vjps if isinstance(vjps, tuple) else (vjps,)
        found = [value, *(vjp(dy) for vjp in vjps if vjp is not None)]
    return found + [array for array in arrays if isinstance(array, np.ndarray)]


@pytest.mark.parametrize("name", sorted(CASES))
def test_kernel_equals_the_plain_form(name):
    taken = set()
    for seed in range(DRAWS):
        arrays, settings = CASES[name](np.random.default_rng(seed))
        taken.add(TABLE[name].chosen(arrays, settings))
        fast = computed(name, arrays, settings, seed)
        with kernels.plain():
            assert TABLE[name].chosen(arrays, settings) is TABLE[name].plain
            slow = computed(name, arrays, settings, seed)
        assert len(fast) == len(slow)
        for a, b in zip(fast, slow, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape), (seed, settings)
            where = f"seed {seed}, {settings}"
            if a.dtype.kind != "f" or name in EXACT:
                np.testing.assert_array_equal(a, b, err_msg=where)
                continue
            # Sums of up to a few thousand products; Winograd may err as in tests/test_winograd.py.
            error = (
                3e-5 if by_winograd(name, arrays, settings) else 60 * float(np.finfo(b.dtype).eps)
            )
            most = max(float(np.abs(b).max(initial=0)), 1) * error
            np.testing.assert_allclose(a, b, rtol=0, atol=most, err_msg=where)
    assert {k.function for k in TABLE[name].kernels if k.device == "cpu"} <= taken


def by_winograd(name, arrays, settings):
    """Whether a call, or its way back, goes by Winograd's algorithm."""
    if name == "conv_transpose2d":
        return arrays[1].shape[2:] == (3, 3) and settings["stride"] == (1, 1)
    if name != "conv2d":
        return False
    x, weight, *_ = arrays
    if settings["groups"] > 1:
        return False
    (top, bottom), (left, right) = sides(settings["padding"])
    ring, more = (min(top, bottom), min(left, right)), (abs(top - bottom), abs(left - right))
    size = x.shape[2] + more[0], x.shape[3] + more[1]
    geometry = Geometry(weight.shape[2:], settings["stride"], ring, settings["dilation"], size)
    return winograd.suits(nhwc_of(x), len(weight), geometry)


def test_winograd_is_among_the_cases():
    found = [
        by_winograd("conv2d", *CASES["conv2d"](np.random.default_rng(seed)))
        for seed in range(DRAWS)
    ]
    assert sum(found) >= 5
    assert not all(found)


@pytest.mark.parametrize("name", TABLE)
def test_plain_forms_are_short(name):
    assert report.lines(TABLE[name].plain) <= LONGEST


def test_the_document_is_in_step():
    text = (Path(__file__).parents[1] / "docs" / "kernels.md").read_text()
    assert report.as_markdown() in text, "python -m minirnn.kernels prints the table anew"


def test_kernels_of_another_device_need_no_change_of_the_operation(monkeypatch):
    room = types.ModuleType("toy_room")
    monkeypatch.setitem(sys.modules, "toy_room", room)
    room.__spec__ = types.SimpleNamespace()
    monkeypatch.setattr(table, "ROOMS", dict(table.ROOMS))
    kernels.add_room("toyarrays", "toy", "toy_room")

    class ToyArray:
        def __abs__(self):
            return self

    ToyArray.__module__ = "toyarrays.core"
    entry = table.Operation("halved", lambda x: "plain")
    mine = kernels.Kernel(lambda x: "toy", "toy", lambda *a, **s: True, "it is a toy", "same")
    entry.kernels.append(mine)
    assert entry.chosen((ToyArray(),), {})(ToyArray()) == "toy"
    assert entry.chosen((np.ones(2),), {})(np.ones(2)) == "plain"
    with kernels.plain():
        assert entry.chosen((ToyArray(),), {})(ToyArray()) == "plain"


def test_arrays_may_be_named():
    arrays, settings = CASES["crop"](np.random.default_rng(0))
    named = dict(zip(("masks", "boxes", "gt_index"), arrays, strict=True)) | settings
    assert TABLE["crop"].chosen((), named) is of_cpu("crop")
    np.testing.assert_array_equal(TABLE["crop"](**named), TABLE["crop"](*arrays, **settings))


def test_settings_may_stand_by_position():
    (masks, boxes, index), settings = CASES["crop"](np.random.default_rng(0))
    fast = of_cpu("crop")
    assert TABLE["crop"].chosen((masks, boxes, index, settings["size"]), {}) is fast


@pytest.mark.parametrize("name", [name for name, entry in TABLE.items() if entry.check])
def test_input_is_checked_whatever_computes_it(name, monkeypatch):
    def refuse(*arrays, **settings):
        raise InputError("it does not fit")

    arrays, settings = CASES[name](np.random.default_rng(0)) if name in CASES else ((), {})
    monkeypatch.setattr(TABLE[name], "check", refuse)
    for mode in (nullcontext, kernels.plain):
        with mode(), pytest.raises(InputError, match="it does not fit"):
            TABLE[name](*arrays, **settings)


def two_steps():
    """Losses of two steps of the small model on one made-up picture."""
    rng = np.random.default_rng(0)
    model = minirnn.build_model("maskrcnn_shapes", seed=0)
    image = rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)
    masks = np.zeros((2, 96, 128), bool)
    masks[0, 20:60, 10:50] = masks[1, 40:90, 60:120] = True
    boxes = np.array([[10, 20, 50, 60], [60, 40, 120, 90]], np.float32)
    target = Target(boxes, np.array([1, 2]), masks, is_crowd=np.zeros(2, bool))
    found = []
    for step in range(2):
        losses = model.losses([image], [target], [np.random.default_rng(step)])
        total = sum(losses.values())
        total.backward()
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.data = parameter.data - np.float32(0.005) * parameter.grad
                parameter.grad = None
        found.append({name: float(value) for name, value in losses.items()})
    return found


def test_the_environment_is_asked_after_a_plain_block_too(monkeypatch):
    monkeypatch.delenv("MINIRNN_KERNELS", raising=False)
    with kernels.plain(), kernels.plain():
        assert table.plain_only()
    assert not table.plain_only()
    monkeypatch.setenv("MINIRNN_KERNELS", "plain")
    assert table.plain_only()


def test_a_whole_model_trains_plainly():
    fast = two_steps()
    with kernels.plain():
        slow = two_steps()
    for a, b in zip(fast, slow, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name] == pytest.approx(b[name], rel=1e-4), name


def test_a_network_takes_every_kernel_that_there_is(monkeypatch):
    plainly, choose = set(), table.Operation.chosen

    def watched(entry, arrays, settings):
        chosen = choose(entry, arrays, settings)
        if entry.name in WITH_KERNELS and chosen is entry.plain:
            plainly.add(entry.name)
        return chosen

    monkeypatch.setattr(table.Operation, "chosen", watched)
    two_steps()
    model = minirnn.build_model("maskrcnn_shapes", seed=0, box_score_threshold=0.0)
    assert len(model.predict([np.full((96, 128, 3), 90, np.uint8)])[0].boxes)
    assert not plainly


def test_the_environment_switches_kernels_off():
    code = "from minirnn.kernels import plain_only; print(plain_only())"
    for value, wanted in (("plain", "True"), ("", "False")):
        environment = {**os.environ, "MINIRNN_KERNELS": value}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == wanted


def test_bench_times_every_kernel():
    assert {name.partition(" ")[0] for name in against_plain.CASES} == set(WITH_KERNELS)


def test_bench_says_what_a_kernel_buys():
    report = against_plain.run_against_plain(["relu6"], repeat=1)
    assert report.agrees
    forward, backward = report.rows
    assert (forward.name, backward.name) == ("relu6 forward", "relu6 backward")
    assert set(forward.differences) == set(backward.differences) == {"plain"}
    (both,) = report.sums
    assert both.ours == pytest.approx(forward.seconds + backward.seconds)
    assert "relu6: ours" in report.as_text()
    with pytest.raises(ValueError, match="no operation is named nothing"):
        against_plain.run_against_plain(["nothing"])


def test_bench_times_an_operation_in_place():
    (row,) = against_plain.run_against_plain(["sgd_step"], repeat=1).rows
    assert row.seconds > 0
