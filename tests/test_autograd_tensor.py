"""How gradients travel: the graph, its order, its memory."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirnn.autograd import OPERATIONS, Tensor, data_of, differentiable, no_grad
from minirnn.autograd.tensor import unbroadcast
from minirnn.backend import to_host
from minirnn.ops.activation import relu
from minirnn.ops.arithmetic import add, maximum, minimum, multiply, where
from minirnn.ops.reduction import max as largest


def leaf(*values: float) -> Tensor:
    return Tensor(np.array(values), requires_grad=True)


def test_a_diamond_adds_what_its_paths_bring() -> None:
    x = leaf(3.0)
    y = x * x  # 2x from each of two edges into the same parent
    z = y * 2 + y * y  # and y is used three times
    z.backward()
    np.testing.assert_allclose(x.grad, [2 * 2 * 3 + 4 * 3**3])


def test_each_operation_is_walked_once_however_many_paths_lead_to_it() -> None:
    calls = []

    def counted(x: Any) -> tuple:
        def vjp(dy: Any) -> Any:
            calls.append(1)
            return dy

        return x * 1, vjp

    operation = differentiable(counted)
    del OPERATIONS["counted"]
    x = leaf(1.0)
    y = operation(x)
    for _ in range(30):
        y = y + y  # 2^30 paths
    y.backward()
    assert len(calls) == 1
    np.testing.assert_allclose(x.grad, [2.0**30])


def test_gradients_accumulate_over_calls_until_taken_away() -> None:
    x = leaf(1.0, 2.0)
    (x * 3).sum().backward()
    (x * 4).sum().backward()
    np.testing.assert_allclose(x.grad, [7, 7])
    x.grad = None
    (x * 5).sum().backward()
    np.testing.assert_allclose(x.grad, [5, 5])


def test_a_used_up_graph_is_refused() -> None:
    x = leaf(1.0)
    y = x * 2
    y.backward()
    with pytest.raises(ValueError, match="already used"):
        y.backward()
    z = leaf(1.0) * 2
    (z + 1).backward()
    with pytest.raises(ValueError, match="already used"):
        (z * z).backward()  # a new operation on top of a used one


def test_backward_needs_to_know_its_cotangent() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        (x * 2).backward()
    with pytest.raises(ValueError, match=r"shape \(3,\).*\(2,\)"):
        (x * 2).backward(np.ones(3))
    (x * 2).backward(np.array([1.0, 10.0]))
    np.testing.assert_allclose(x.grad, [2, 20])


def test_a_leaf_can_be_asked_itself() -> None:
    x = leaf(4.0)
    x.backward()
    np.testing.assert_array_equal(x.grad, [1])


def test_no_grad_records_nothing() -> None:
    x = leaf(1.0)
    with no_grad():
        y = x * 2
        with no_grad():
            pass
        z = x * 3  # leaving the inner block does not switch recording on
    assert not isinstance(y, Tensor)
    assert not isinstance(z, Tensor)
    assert isinstance(x * 2, Tensor)


def test_no_grad_ends_with_an_error_too() -> None:
    with pytest.raises(RuntimeError), no_grad():
        raise RuntimeError
    assert isinstance(leaf(1.0) * 2, Tensor)


def test_no_grad_is_of_one_thread() -> None:
    found: list[Any] = []
    with no_grad():
        thread = threading.Thread(target=lambda: found.append(leaf(1.0) * 2))
        thread.start()
        thread.join()
    assert isinstance(found[0], Tensor)


def test_arrays_in_arrays_out() -> None:
    assert isinstance(relu(np.ones(2)), np.ndarray)
    assert isinstance(add(np.ones(2), 1.0), np.ndarray)


def test_what_needs_no_gradient_gets_none() -> None:
    x, constant = leaf(2.0), Tensor(np.array([5.0]))
    (x * constant * np.array([3.0])).backward()
    assert constant.grad is None
    np.testing.assert_allclose(x.grad, [15])
    with pytest.raises(TypeError):
        Tensor([1.0, 2.0])


def test_detach_cuts_the_path() -> None:
    x = leaf(3.0)
    (x * x.detach()).backward()
    np.testing.assert_allclose(x.grad, [3])
    assert data_of(x) is x.data
    assert data_of(3.5) == 3.5


def test_ten_thousand_operations_in_a_row() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(10_000):
        y = y + 1.0
    y.backward()
    np.testing.assert_array_equal(x.grad, [1])
    np.testing.assert_array_equal(y.data, [10_001])


def test_a_long_graph_that_is_never_used_can_be_dropped() -> None:
    y = leaf(1.0)
    for _ in range(100_000):
        y = y + 1.0
    del y  # freeing it must not recurse through the whole chain
    gc.collect()


def test_backward_frees_the_graph_as_it_goes() -> None:
    alive: list[int] = []
    watched: list[weakref.ref] = []

    def passing(x: Any) -> tuple:
        kept = np.ones(1000)  # what an operation keeps for its gradient
        watched.append(weakref.ref(kept))

        def vjp(dy: Any) -> Any:
            alive.append(sum(ref() is not None for ref in watched))
            return dy * kept[0]

        return x * 1, vjp

    operation = differentiable(passing)
    del OPERATIONS["passing"]
    y = leaf(1.0)
    for _ in range(5):
        y = operation(y)
    gc.disable()  # freed at once, not when the collector comes by
    try:
        y.backward()
        assert alive == [5, 4, 3, 2, 1]
        assert all(ref() is None for ref in watched)
    finally:
        gc.enable()


def test_intermediate_tensors_are_freed() -> None:
    x = leaf(1.0)
    y = x * 2
    reference = weakref.ref(y)
    z = y + 1
    del y
    assert reference() is None  # z's gradient goes through it, but needs none of its data
    z.backward()
    np.testing.assert_array_equal(x.grad, 2)


def test_operators_agree_with_numpy() -> None:
    a, b = np.array([1.5, -2.0, 3.0]), np.array([2.0, 4.0, -0.5])
    for function in (
        lambda x, y: x + y,
        lambda x, y: x - y,
        lambda x, y: x * y,
        lambda x, y: x / y,
        lambda x, y: x @ y,
    ):
        for left, right in ((Tensor(a), b), (a, Tensor(b)), (Tensor(a), Tensor(b))):
            result = function(left, right)
            assert isinstance(result, Tensor)
            np.testing.assert_array_equal(result.data, function(a, b))
    np.testing.assert_array_equal((-Tensor(a)).data, -a)
    np.testing.assert_array_equal(abs(Tensor(a)).data, abs(a))
    np.testing.assert_array_equal((Tensor(a) ** 2).data, a**2)
    np.testing.assert_array_equal((2 - Tensor(a)).data, 2 - a)
    np.testing.assert_array_equal((2 / Tensor(a)).data, 2 / a)


def test_reflected_operators_have_gradients() -> None:
    x = leaf(4.0)
    (2 / x + (1 - x) + 3 * x + (5 + x)).backward()
    np.testing.assert_allclose(x.grad, [-2 / 16 - 1 + 3 + 1])


@pytest.mark.parametrize("number", [2, 2.5, np.float64(2.5), np.float32(2.5), np.int64(3)])
def test_numbers_do_not_widen_float32(number: Any) -> None:
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    for y in (x + number, number * x, x - number, number - x, x / number, number / x, x**number):
        assert y.dtype == np.float32
        y.sum().backward()
        assert x.grad is not None
        assert x.grad.dtype == np.float32
        x.grad = None


def test_a_wider_neighbour_does_not_widen_the_gradient() -> None:
    x = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    wide = np.ones(3)
    for operation in (add, multiply, maximum, minimum):
        operation(x, wide * 2).sum().backward()
        assert x.grad is not None
        assert x.grad.dtype == np.float32
        x.grad = None
    where(np.array([True, False, True]), x, wide).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == np.float32


def test_methods_agree_with_numpy(xp: Any) -> None:
    host = np.arange(24.0).reshape(2, 3, 4)
    x = Tensor(xp.asarray(host), requires_grad=True)
    for y, expected in (
        (x.reshape(6, 4), host.reshape(6, 4)),
        (x.reshape((6, -1)), host.reshape(6, -1)),
        (x.transpose(2, 0, 1), host.transpose(2, 0, 1)),
        (x.transpose((2, 0, 1)), host.transpose(2, 0, 1)),
        (x.transpose(), host.transpose()),
        (x.T, host.T),
        (x[1], host[1]),
        (x[:, [0, 0, 2]], host[:, [0, 0, 2]]),
        (x.sum(axis=1), host.sum(axis=1)),
        (x.mean(axis=(0, 2), keepdims=True), host.mean(axis=(0, 2), keepdims=True)),
        (x.max(axis=0), host.max(axis=0)),
    ):
        np.testing.assert_allclose(to_host(y.data), expected)
    assert float(x.sum()) == host.sum()
    assert (len(x), x.ndim, x.shape) == (2, 3, (2, 3, 4))


def test_ties_share_the_gradient() -> None:
    a, b = leaf(1.0, 2.0, 3.0), leaf(1.0, 3.0, 2.0)
    maximum(a, b).sum().backward()
    np.testing.assert_array_equal(a.grad, [0.5, 0, 1])
    np.testing.assert_array_equal(b.grad, [0.5, 1, 0])
    a.grad = b.grad = None
    minimum(a, b).sum().backward()
    np.testing.assert_array_equal(a.grad, [0.5, 1, 0])
    np.testing.assert_array_equal(b.grad, [0.5, 0, 1])
    x = leaf(5.0, 1.0, 5.0, 5.0)
    largest(x).backward()
    np.testing.assert_allclose(x.grad, [1 / 3, 0, 1 / 3, 1 / 3])


def test_max_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no identity"):
        largest(np.zeros((0, 3)), axis=0)


@st.composite
def broadcast_shapes(draw: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A shape, and one that broadcasts to it."""
    large = draw(st.lists(st.integers(0, 4), max_size=4))
    small = [draw(st.sampled_from([1, n])) for n in large[draw(st.integers(0, len(large))) :]]
    return tuple(large), tuple(small)


@given(broadcast_shapes())
@settings(max_examples=60, deadline=None)
def test_unbroadcast_is_the_transpose_of_broadcasting(shapes: tuple) -> None:
    large, small = shapes
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal(small), rng.standard_normal(large)
    back = unbroadcast(dy, small)
    assert np.shape(back) == small
    # <broadcast(x), dy> = <x, unbroadcast(dy)> says that one is the transpose of the other.
    np.testing.assert_allclose((np.broadcast_to(x, large) * dy).sum(), (x * back).sum(), atol=1e-12)


def test_a_leaf_does_not_share_its_gradient_with_another_array() -> None:
    x = leaf(1.0, 2.0)
    x.reshape(2, 1).sum().backward()
    assert x.grad is not None
    x.grad *= 2  # as an optimiser does: must be writable
    np.testing.assert_array_equal(x.grad, [2, 2])
