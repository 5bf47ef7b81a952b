"""Every operation's gradient against central differences, by enumeration."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest

from minirnn.autograd import Tensor
from minirnn.autograd.check import check_gradient
from minirnn.autograd.tensor import OPERATIONS, differentiable
from minirnn.backend import to_host
from minirnn.ops.arithmetic import multiply
from minirnn.verify.drawing import as_type, mapped
from minirnn.verify.operations import CASES

OPERATION_NAMES = sorted(OPERATIONS)
EVERY_CASE = [
    pytest.param(name, number, id=f"{name}-{number}")
    for name in OPERATION_NAMES
    for number in range(len(CASES.get(name, ())))
]
TOLERANCE = 1e-7


def drawn(name: str, number: int) -> tuple[tuple, dict, np.random.Generator]:
    rng = np.random.default_rng([zlib.crc32(name.encode()), number])
    return *CASES[name][number](rng), rng


@pytest.mark.parametrize("name", OPERATION_NAMES)
def test_every_operation_has_cases(name: str) -> None:
    assert CASES.get(name), f"{name} is differentiable but has no case in verify/operations.py"


def test_every_case_belongs_to_an_operation() -> None:
    assert set(CASES) <= set(OPERATION_NAMES)


@pytest.mark.parametrize(("name", "number"), EVERY_CASE)
def test_gradient_is_the_derivative(name: str, number: int) -> None:
    inputs, settings, rng = drawn(name, number)
    result = check_gradient(OPERATIONS[name], inputs, rng=rng, settings=settings)
    assert not result.kinks, "the case stands on a kink"
    assert result.errors, "no input has a gradient"
    assert result.error < TOLERANCE


def run(name: str, inputs: Any, settings: dict, xp: Any, dtype: Any) -> list[Any]:
    """Output and gradients of an operation on the arrays of a library."""
    device, settings = mapped((as_type(inputs, dtype), settings), xp.asarray)
    tensors = [
        Tensor(x, requires_grad=True) if getattr(x, "dtype", np.dtype(bool)).kind == "f" else x
        for x in device
    ]
    output = OPERATIONS[name](*tensors, **settings)
    assert isinstance(output, Tensor)
    rng = np.random.default_rng(1)
    cotangent = xp.asarray(rng.standard_normal(output.shape).astype(dtype))
    output.backward(cotangent)
    gradients = [x.grad for x in tensors if isinstance(x, Tensor) and x.grad is not None]
    assert gradients
    return [output.data, *gradients]


@pytest.mark.parametrize(("name", "number"), EVERY_CASE)
def test_runs_on_every_array_library(name: str, number: int, xp: Any) -> None:
    inputs, settings, _ = drawn(name, number)
    on_host = run(name, inputs, settings, np, np.float64)
    for result, expected in zip(run(name, inputs, settings, xp, np.float64), on_host, strict=True):
        if result.ndim:  # a NumPy reduction to one number is no array any more
            assert isinstance(result, xp.ndarray)
        host = to_host(result) if isinstance(result, xp.ndarray) else result
        np.testing.assert_allclose(host, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("name", "number"), EVERY_CASE)
def test_float32_stays_float32(name: str, number: int, xp: Any) -> None:
    inputs, settings, _ = drawn(name, number)
    exact = run(name, inputs, settings, np, np.float64)
    for result, expected in zip(run(name, inputs, settings, xp, np.float32), exact, strict=True):
        assert result.dtype == np.float32
        assert result.shape == expected.shape
        host = to_host(result) if isinstance(result, xp.ndarray) else result
        np.testing.assert_allclose(host, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("name", "number"), EVERY_CASE)
def test_gradients_do_not_change_what_they_are_given(name: str, number: int) -> None:
    inputs, settings, rng = drawn(name, number)
    output, vjps = OPERATIONS[name].raw(*inputs, **settings)
    before = [np.array(x) for x in inputs if isinstance(x, np.ndarray)]
    kept, cotangent = np.array(output), rng.standard_normal(output.shape)
    given = cotangent.copy()
    for vjp in vjps if isinstance(vjps, tuple) else (vjps,):
        if vjp is not None:
            first = np.array(vjp(given))
            np.testing.assert_array_equal(vjp(given), first)  # asked twice, the same answer
    np.testing.assert_array_equal(given, cotangent)
    np.testing.assert_array_equal(output, kept)
    after = [x for x in inputs if isinstance(x, np.ndarray)]
    for x, y in zip(after, before, strict=True):
        np.testing.assert_array_equal(x, y)


def wrong(x: np.ndarray) -> tuple:
    return x * x, lambda dy: dy * x  # the factor 2 is forgotten


def test_a_wrong_gradient_is_found() -> None:
    lifted = differentiable(wrong)
    del OPERATIONS["wrong"]
    rng = np.random.default_rng(0)
    for size in (3, 1000):  # element by element, and in random directions
        result = check_gradient(lifted, [rng.standard_normal(size)], rng=rng)
        assert result.error > 0.3
        assert not result.kinks


def test_a_nan_gradient_is_found() -> None:
    lifted = differentiable(lambda x: (x * 1, lambda dy: dy * np.nan))
    del OPERATIONS["<lambda>"]
    assert check_gradient(lifted, [np.ones(3)], rng=np.random.default_rng(0)).error == np.inf


def test_a_composition_can_be_checked() -> None:
    rng = np.random.default_rng(0)
    result = check_gradient(
        lambda a, b: multiply(a, b).sum(axis=0),
        [rng.standard_normal((3, 2)), np.float64(2)],
        rng=rng,
    )
    assert result.error < TOLERANCE
    assert list(result.errors) == [0]


@pytest.mark.parametrize(
    ("name", "inputs", "settings"),
    [
        ("relu", [np.array([0.0])], {}),
        ("relu", [np.array([4e-6])], {}),
        ("absolute", [np.array([0.0])], {}),
        ("maximum", [np.array([1.0]), np.array([1.0])], {}),
        ("max", [np.array([2.0, 2.0, 1.0])], {}),
        ("clip", [np.array([0.5])], {"low": 0.5}),
        ("max_pool2d", [np.ones((1, 1, 2, 2))], {"kernel": 2}),
        ("smooth_l1", [np.array([1.0]), np.array([1.0])], {"beta": 0.0}),
    ],
)
def test_trap_40_kinks_are_reported(name: str, inputs: list, settings: dict) -> None:
    rng = np.random.default_rng(0)
    result = check_gradient(OPERATIONS[name], inputs, rng=rng, settings=settings)
    assert (0, 0) in result.kinks


def test_trap_40_curvature_is_no_kink() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, 20)
    assert not check_gradient(OPERATIONS["exp"], [x], rng=rng).kinks
    # Smooth L1 has no kink where the square meets the line; it only stops curving.
    meeting = [np.array([1.0]), np.array([0.0])]
    assert not check_gradient(OPERATIONS["smooth_l1"], meeting, rng=rng).kinks


def test_trap_34_boxes_are_constants() -> None:
    for name in ("roi_pool", "roi_warp", "roi_align", "pyramid_roi"):
        inputs, settings, _ = drawn(name, 0)
        tensors = [Tensor(x, requires_grad=True) if x.dtype.kind == "f" else x for x in inputs]
        *features, boxes, _ = tensors
        OPERATIONS[name](*tensors, **settings).sum().backward()
        assert boxes.grad is None
        assert all(f.grad is not None for f in features)


@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy_with_logits", "smooth_l1"])
def test_trap_34_targets_are_constants(name: str) -> None:
    inputs, settings, _ = drawn(name, 0)
    prediction, target = (Tensor(x, requires_grad=True) for x in inputs)
    OPERATIONS[name](prediction, target, **settings).backward()
    assert target.grad is None
    assert prediction.grad is not None
