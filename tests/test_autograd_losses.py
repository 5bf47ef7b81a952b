"""Losses against plain loops, at extremes, and of nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirnn.autograd import Tensor
from minirnn.backend import to_host
from minirnn.ops import losses as fast
from minirnn.textbook import losses as textbook

seeds = st.integers(0, 2**32 - 1)
reductions = st.sampled_from(["mean", "sum", "none"])


def drawn_rows(
    rng: np.random.Generator, n: int, k: int, ignore: int | None, weighted: bool
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Logits, labels, of which some are to be ignored, and settings of cross_entropy."""
    logits, labels = rng.standard_normal((n, k)) * 5, rng.integers(0, k, n)
    if ignore == -1:
        labels[rng.random(n) < 0.4] = -1
    weights = rng.choice([0, 0.5, 1, 3], k) if weighted else None
    return logits, labels, {"ignore": ignore, "class_weights": weights}


@given(
    st.integers(0, 6),
    st.integers(1, 5),
    st.sampled_from([None, -1, 0]),
    st.booleans(),
    reductions,
    seeds,
)
@settings(max_examples=80, deadline=None)
def test_cross_entropy_equals_the_textbook(
    n: int, k: int, ignore: int | None, weighted: bool, reduction: str, seed: int
) -> None:
    logits, labels, how = drawn_rows(np.random.default_rng(seed), n, k, ignore, weighted)
    expected = textbook.cross_entropy(logits, labels, **how, reduction=reduction)
    result = fast.cross_entropy(logits, labels, **how, reduction=reduction)
    np.testing.assert_allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_and_its_gradient_are_torchs(weighted: bool, reduction: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    for ignore in (None, -1, 2):
        logits, labels, how = drawn_rows(rng, 20, 4, ignore, weighted)
        if weighted:
            how["class_weights"] += 0.1  # where all weights are 0, torch's mean is 0 / 0
        a, b = Tensor(logits, requires_grad=True), torch.tensor(logits, requires_grad=True)
        loss = fast.cross_entropy(a, labels, **how, reduction=reduction)
        wanted = torch.nn.functional.cross_entropy(
            b,
            torch.tensor(labels),
            weight=torch.tensor(how["class_weights"]) if weighted else None,
            ignore_index=-100 if ignore is None else ignore,
            reduction=reduction,
        )
        np.testing.assert_allclose(loss.data, wanted.detach().numpy(), rtol=1e-12, atol=1e-14)
        dy = np.asarray(rng.standard_normal(loss.shape))
        loss.backward(dy)
        wanted.backward(torch.tensor(dy))
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-12, atol=1e-14)


def test_class_weights_stay_on_their_device(xp: Any) -> None:
    logits, labels, how = drawn_rows(np.random.default_rng(1), 6, 3, None, True)
    expected = fast.cross_entropy(logits, labels, **how)
    how["class_weights"] = xp.asarray(how["class_weights"])
    result = fast.cross_entropy(xp.asarray(logits), xp.asarray(labels), **how)
    assert float(result) == pytest.approx(float(expected), rel=1e-12)


@given(st.integers(0, 4), st.integers(0, 4), reductions, seeds)
@settings(max_examples=50, deadline=None)
def test_binary_cross_entropy_equals_the_textbook(
    n: int, m: int, reduction: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    logits, targets = rng.standard_normal((n, m)) * 10, rng.random((n, m))
    expected = textbook.binary_cross_entropy_with_logits(logits, targets, reduction=reduction)
    result = fast.binary_cross_entropy_with_logits(logits, targets, reduction=reduction)
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-12)


@given(st.integers(0, 4), st.sampled_from([0.0, 1 / 9, 1.0]), reductions, seeds)
@settings(max_examples=50, deadline=None)
def test_smooth_l1_equals_the_textbook(n: int, beta: float, reduction: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    prediction, target = rng.standard_normal((2, n, 4))
    expected = textbook.smooth_l1(prediction, target, beta=beta, reduction=reduction)
    result = fast.smooth_l1(prediction, target, beta=beta, reduction=reduction)
    np.testing.assert_allclose(result, expected, atol=1e-12)


def test_losses_on_every_library(xp: Any) -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((5, 3)).astype(np.float32)
    labels, targets = rng.integers(0, 3, 5), rng.random((5, 3)) < 0.5
    for operation, target in (
        (fast.cross_entropy, labels),
        (fast.binary_cross_entropy_with_logits, targets),
        (fast.smooth_l1, targets.astype(np.float32)),
    ):
        x = Tensor(xp.asarray(logits), requires_grad=True)
        loss = operation(x, xp.asarray(target))
        assert loss.dtype == np.float32
        assert float(loss) == pytest.approx(float(operation(logits, target)), rel=1e-5)
        loss.backward()
        assert to_host(x.grad).dtype == np.float32


def test_known_answers() -> None:
    assert fast.cross_entropy(np.zeros((3, 4)), np.array([0, 1, 3])) == pytest.approx(np.log(4))
    zero = np.zeros(2)
    assert fast.binary_cross_entropy_with_logits(zero, np.array([0.0, 1.0])) == pytest.approx(
        np.log(2)
    )
    error = np.array([0.5, 2.0])
    assert fast.smooth_l1(error, zero, reduction="sum") == pytest.approx(0.125 + 1.5)
    assert fast.smooth_l1(error, zero, beta=0, reduction="sum") == pytest.approx(2.5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_logits_stay_finite(dtype: Any) -> None:
    z = np.array([-1e4, -200, 200, 1e4], dtype)
    for target, expected in ((0, [0, 0, 200, 1e4]), (1, [1e4, 200, 0, 0])):
        x = Tensor(z, requires_grad=True)
        loss = fast.binary_cross_entropy_with_logits(x, np.full(4, target, dtype), reduction="none")
        np.testing.assert_allclose(loss.data, expected, atol=1e-30)
        loss.backward(np.ones(4, dtype))
        np.testing.assert_allclose(x.grad, (z > 0) - target, atol=1e-30)
    x = Tensor(np.array([[1e4, -1e4, 0]], dtype), requires_grad=True)
    loss = fast.cross_entropy(x, np.array([1]))
    assert float(loss) == 2e4
    loss.backward()
    np.testing.assert_allclose(x.grad, [[1, -1, 0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_trap_33_a_loss_of_nothing_is_zero(xp: Any, dtype: Any, reduction: str) -> None:
    nothing = np.zeros((0, 4), dtype)
    for operation in (fast.smooth_l1, fast.binary_cross_entropy_with_logits):
        x = Tensor(xp.asarray(nothing), requires_grad=True)
        loss = operation(x, xp.asarray(nothing), reduction=reduction)
        if reduction == "none":
            assert loss.shape == (0, 4)
            loss = loss.sum()
        assert float(loss) == 0
        assert loss.dtype == dtype
        loss.backward()
        assert x.grad is not None
        assert x.grad.shape == (0, 4)
        assert x.grad.dtype == dtype


def test_trap_33_cross_entropy_of_nothing_is_zero(xp: Any) -> None:
    for rows in (0, 3):  # no rows, and none that counts
        x = Tensor(xp.asarray(np.ones((rows, 4), np.float32)), requires_grad=True)
        loss = fast.cross_entropy(x, xp.asarray(np.full(rows, -1)), ignore=-1)
        assert float(loss) == 0
        loss.backward()
        np.testing.assert_array_equal(to_host(x.grad), np.zeros((rows, 4)))


def test_trap_33_an_empty_loss_beside_a_full_one() -> None:
    """A step without positives: all gradients stay defined, those of the empty part are zero."""
    x = Tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)
    chosen = x[np.zeros(0, np.int64)]
    empty = fast.smooth_l1(chosen, np.zeros((0, 4)))
    (empty + fast.cross_entropy(x, np.array([0, 1, 2]))).backward()
    assert x.grad is not None
    assert np.isfinite(x.grad).all()


def test_trap_23_a_label_outside_of_the_classes_is_refused(xp: Any) -> None:
    logits = xp.asarray(np.zeros((2, 3)))
    for labels in ([-1, 0], [0, 3]):
        with pytest.raises(ValueError, match="labels go from"):
            fast.cross_entropy(logits, xp.asarray(np.array(labels)))


def test_losses_refuse() -> None:
    with pytest.raises(ValueError, match=r"labels has shape \(3,\)"):
        fast.cross_entropy(np.zeros((2, 3)), np.array([0, 1, 2]))
    with pytest.raises(ValueError, match="float64"):
        fast.cross_entropy(np.zeros((2, 3)), np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match=r"\(N, K\)"):
        fast.cross_entropy(np.zeros(3), np.array([0, 1, 2]))
    with pytest.raises(ValueError, match=r"class_weights has shape \(2,\)"):
        fast.cross_entropy(np.zeros((1, 3)), np.array([0]), class_weights=np.ones(2))
    with pytest.raises(ValueError, match="'total'"):
        fast.cross_entropy(np.zeros((1, 3)), np.array([0]), reduction="total")
    for operation in (fast.smooth_l1, fast.binary_cross_entropy_with_logits):
        with pytest.raises(ValueError, match=r"\(2, 1\).*\(2,\)"):
            operation(np.zeros((2, 1)), np.zeros(2))
        with pytest.raises(ValueError, match="'total'"):
            operation(np.zeros(2), np.zeros(2), reduction="total")
    with pytest.raises(ValueError, match="beta is -1"):
        fast.smooth_l1(np.zeros(2), np.zeros(2), beta=-1)
