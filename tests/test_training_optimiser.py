"""Gradient descent: the formula, the limits on the gradient, and what must not move."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minirnn.autograd import Tensor
from minirnn.backend import to_host
from minirnn.errors import InputError
from minirnn.nn import Module, parameter
from minirnn.textbook import training as textbook
from minirnn.training.optimiser import (
    SGD,
    AdamW,
    adamw_step,
    clip_gradients,
    gradient_norm,
    optimiser_of,
    sgd_step,
)
from minirnn.training.settings import TrainingSettings

shapes = st.sampled_from([(), (0, 3), (1,), (7,), (2, 3), (2, 3, 1, 2)])
dtypes = st.sampled_from([np.float32, np.float64])
fixed_xp = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Norm(Module):
    is_normalisation = True

    def __init__(self):
        self.weight = parameter(np.ones(3, np.float32))
        self.inner = Inner()


class Inner(Module):
    def __init__(self):
        self.bias = parameter(np.ones(3, np.float32))


class Net(Module):
    """A frozen layer, a trained one, and a normalisation that has a part of its own."""

    def __init__(self, xp=np):
        self.stem = Inner()
        self.stem.freeze()
        self.layer = Inner()
        self.norm = Norm()
        self._convert(xp.asarray)

    def give_gradients(self, value=0.5):
        for tensor in self.parameters():
            tensor.grad = tensor.data * 0 + value


def host(model):
    return {name: to_host(array).copy() for name, array in model.state_dict().items()}


def tensor_with(gradient):
    tensor = Tensor(gradient, requires_grad=True)  # its value is not looked at
    tensor.grad = gradient
    return tensor


# ------------------------------------------------------------------- sgd_step


@given(shape=shapes, dtype=dtypes, seed=st.integers(0, 99), momentum=st.sampled_from([0.0, 0.9]))
@fixed_xp
def test_sgd_step_equals_the_textbook(xp, shape, dtype, seed, momentum):
    rng = np.random.default_rng(seed)
    start = rng.normal(size=shape).astype(dtype)
    slow, fast = start.copy(), xp.asarray(start.copy())
    slow_velocity, fast_velocity = np.zeros_like(start), xp.zeros_like(fast)
    for _ in range(4):
        gradient = np.asarray(rng.normal(size=shape), dtype)
        formula = {"learning_rate": 0.1, "momentum": momentum, "weight_decay": 0.01}
        textbook.sgd_step(slow, gradient, slow_velocity, **formula)
        sgd_step(fast, xp.asarray(gradient), fast_velocity, **formula)
    assert fast.dtype == dtype
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(to_host(fast), slow, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(
        to_host(fast_velocity), slow_velocity, rtol=tolerance, atol=tolerance
    )


def test_sgd_step_known_answer():
    w, v = np.array([2.0]), np.array([1.0])
    sgd_step(w, np.array([3.0]), v, learning_rate=0.5, momentum=0.5, weight_decay=0.25)
    assert v.tolist() == [0.5 * 1 + 3 + 0.25 * 2]
    assert w.tolist() == [2 - 0.5 * 4]


def test_sgd_step_only_reads_the_gradient_and_works_in_place():
    w, g, v = np.ones((2, 2)), np.full((2, 2), 3.0), np.zeros((2, 2))
    g.flags.writeable = False
    view = w.T
    sgd_step(w, g, v, learning_rate=0.1, momentum=0.9, weight_decay=0.1)
    assert (view == w[0, 0]).all()
    assert (g == 3).all()


@pytest.mark.parametrize("wrong", ["gradient", "velocity"])
def test_sgd_step_refuses_other_shapes(wrong):
    arrays = {"gradient": np.zeros((2, 3)), "velocity": np.zeros((2, 3)), wrong: np.zeros(3)}
    with pytest.raises(ValueError, match=rf"{wrong} has shape \(3,\); it should be \(2, 3\)"):
        sgd_step(np.zeros((2, 3)), **arrays, learning_rate=1, momentum=0, weight_decay=0)


# ----------------------------------------------------------------- adamw_step

ADAMW = {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1, "eps": 1e-8}


@given(shape=shapes, dtype=dtypes, seed=st.integers(0, 99))
@fixed_xp
def test_adamw_step_equals_the_textbook(xp, shape, dtype, seed):
    rng = np.random.default_rng(seed)
    start = rng.normal(size=shape).astype(dtype)
    slow = [start.copy(), np.zeros_like(start), np.zeros_like(start)]
    fast = [xp.asarray(array.copy()) for array in slow]
    for step in range(1, 5):
        gradient = np.asarray(rng.normal(size=shape), dtype)
        textbook.adamw_step(slow[0], gradient, *slow[1:], step=step, **ADAMW)
        adamw_step(fast[0], xp.asarray(gradient), *fast[1:], step=step, **ADAMW)
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    for ours, theirs in zip(fast, slow, strict=True):
        assert ours.dtype == dtype
        np.testing.assert_allclose(to_host(ours), theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_the_first_step_of_adamw_is_as_long_as_the_rate_whatever_the_gradient(size):
    w, mean, square = np.array([2.0]), np.zeros(1), np.zeros(1)
    settings = ADAMW | {"weight_decay": 0.0, "eps": 0.0}
    adamw_step(w, np.array([-size]), mean, square, step=1, **settings)
    assert w == pytest.approx(2.1)


def test_adamw_decays_the_parameter_and_not_the_gradient():
    """Without a gradient, decay is rate · decay of the parameter; through Adam's root it would be 0.1."""
    w, mean, square = np.array([2.0]), np.zeros(1), np.zeros(1)
    adamw_step(w, np.zeros(1), mean, square, step=1, **ADAMW)
    assert w == pytest.approx(2 * (1 - 0.1 * 0.1))


@pytest.mark.parametrize("wrong", ["gradient", "mean", "square"])
def test_adamw_step_refuses_other_shapes(wrong):
    arrays = {name: np.zeros((2, 3)) for name in ("gradient", "mean", "square")}
    with pytest.raises(InputError, match=rf"{wrong} has shape \(3,\); it should be \(2, 3\)"):
        adamw_step(np.zeros((2, 3)), **arrays | {wrong: np.zeros(3)}, step=1, **ADAMW)


# ------------------------------------------------------- norm and its limit


@given(
    sizes=st.lists(shapes, max_size=4),
    dtype=dtypes,
    seed=st.integers(0, 99),
    max_norm=st.floats(0.01, 10),
)
@fixed_xp
def test_norm_and_clip_equal_the_textbook(xp, sizes, dtype, seed, max_norm):
    rng = np.random.default_rng(seed)
    gradients = [np.asarray(rng.normal(size=shape), dtype) for shape in sizes]
    slow = [tensor_with(g.copy()) for g in gradients]
    fast = [tensor_with(xp.asarray(g)) for g in gradients]
    assert gradient_norm(fast) == pytest.approx(textbook.gradient_norm(slow), rel=1e-5)
    before = textbook.clip_gradients(slow, max_norm)
    assert clip_gradients(fast, max_norm) == pytest.approx(before, rel=1e-5)
    for a, b in zip(fast, slow, strict=True):
        assert a.grad.dtype == dtype
        grad = np.asarray(a.grad) if xp is np else to_host(a.grad)  # NumPy's () becomes a scalar
        np.testing.assert_allclose(grad, b.grad, rtol=1e-5)
    assert gradient_norm(fast) <= max_norm * (1 + 1e-5)


def test_a_short_gradient_is_left_alone():
    tensor = tensor_with(np.array([3.0, 4.0]))
    gradient = tensor.grad
    assert clip_gradients([tensor], 5.0) == 5.0
    assert tensor.grad is gradient


def test_a_shared_gradient_is_clipped_once():
    """x + y hands one array to both: scaled in place, it would be scaled twice."""
    shared = np.array([3.0, 4.0])
    a, b = tensor_with(shared), tensor_with(shared)
    clip_gradients([a, b], 1.0)
    assert gradient_norm([a, b]) == pytest.approx(1.0)
    assert a.grad == pytest.approx(shared / math.sqrt(50))


def test_parameters_without_gradient_count_nothing():
    assert gradient_norm([]) == 0.0
    assert gradient_norm([Tensor(np.ones(3), requires_grad=True)]) == 0.0
    assert clip_gradients([Tensor(np.ones(3), requires_grad=True)], 1.0) == 0.0


def test_the_norm_of_large_float32_is_not_infinite(xp):
    tensor = tensor_with(xp.asarray(np.array([3e30, 4e30], np.float32)))
    assert gradient_norm([tensor]) == pytest.approx(5e30, rel=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_is_reported_and_left(xp, bad):
    tensors = [tensor_with(xp.asarray(np.array([1.0, x]))) for x in (1.0, bad)]
    norm = clip_gradients(tensors, 0.1)
    assert not math.isfinite(norm)
    assert to_host(tensors[0].grad).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("max_norm", [0.0, -1.0, math.nan])
def test_clip_refuses_a_norm_that_is_not_positive(max_norm):
    with pytest.raises(ValueError, match="max_norm is"):
        clip_gradients([], max_norm)


# ------------------------------------------------------------------------ SGD


def test_trap_35_weight_decay_moves_frozen_layers(xp):
    """Frozen parameters keep every bit: no decay, no momentum, no gradient."""
    model = Net(xp)
    optimiser = SGD(model, momentum=0.9, weight_decay=0.1)
    before = host(model)
    for _ in range(3):
        model.give_gradients()
        optimiser.step(0.1)
    after = host(model)
    assert after["stem.bias"].tobytes() == before["stem.bias"].tobytes()
    assert (after["layer.bias"] != before["layer.bias"]).all()
    assert (after["norm.weight"] != before["norm.weight"]).all()


@pytest.mark.parametrize("make", [SGD, AdamW])
def test_a_layer_frozen_later_stops_at_once(make):
    """Momentum that was gathered before must not carry a frozen parameter on."""
    model = Net()
    optimiser = make(model, momentum=0.9, weight_decay=0.1)
    model.give_gradients()
    optimiser.step(0.1)
    model.layer.freeze()
    before = host(model)["layer.bias"]
    model.give_gradients()
    optimiser.step(0.1)
    assert host(model)["layer.bias"].tobytes() == before.tobytes()


def test_weight_decay_is_not_for_normalisation():
    """With gradients of 0, what moves is moved by weight decay alone."""
    model = Net()
    model.give_gradients(0.0)
    SGD(model, momentum=0.0, weight_decay=0.1).step(1.0)
    after = host(model)
    assert after["layer.bias"] == pytest.approx(0.9)
    assert (after["norm.weight"] == 1).all()
    assert (after["norm.inner.bias"] == 1).all()  # a part of a normalisation is one, too


def test_a_name_that_only_starts_like_a_normalisation_is_decayed():
    model = Net()
    model.normal = Inner()
    model.give_gradients(0.0)
    SGD(model, momentum=0.0, weight_decay=0.1).step(1.0)
    assert host(model)["normal.bias"] == pytest.approx(0.9)


def test_a_parameter_that_no_gradient_reached_is_not_touched():
    model = Net()
    SGD(model, weight_decay=0.1).step(1.0)
    assert all((array == 1).all() for array in host(model).values())


def test_a_shared_parameter_takes_one_step():
    model = Net()
    model.twin = Inner()
    model.twin.bias = model.layer.bias
    model.give_gradients(1.0)
    SGD(model, momentum=0.0, weight_decay=0.0).step(0.25)
    assert (host(model)["layer.bias"] == 0.75).all()


@pytest.mark.parametrize("make", [SGD, AdamW])
def test_state_goes_on_where_it_was(xp, make):
    model = Net(xp)
    optimiser = make(model)
    model.give_gradients()
    optimiser.step(0.1)
    state = {name: to_host(array).copy() for name, array in optimiser.state_dict().items()}
    names = {"layer.bias", "norm.weight", "norm.inner.bias"}
    assert (
        set(state)
        == {
            SGD: names,
            AdamW: {f"{kept}.{name}" for kept in ("mean", "square") for name in names} | {"steps"},
        }[make]
    )

    other = Net(xp)
    other.load_state_dict(copy.deepcopy(host(model)))
    continued = make(other)
    continued.load_state_dict(state)
    for net, sgd in ((model, optimiser), (other, continued)):
        net.give_gradients()
        sgd.step(0.1)
    for name, array in host(model).items():
        assert host(other)[name].tobytes() == array.tobytes()


def test_loaded_velocities_are_copies():
    model = Net()
    optimiser = SGD(model)
    state = {name: np.zeros(3, np.float32) for name in optimiser.state_dict()}
    optimiser.load_state_dict(state)
    model.give_gradients()
    optimiser.step(0.1)
    assert all((array == 0).all() for array in state.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer.bias"), "missing: layer.bias"),
        (lambda s: s.update({"stem.bias": np.zeros(3)}), "unexpected: stem.bias"),
        (lambda s: s.update({"layer.bias": np.zeros(4)}), r"shape: layer.bias is \(4,\)"),
    ],
)
def test_a_state_of_another_model_is_refused(change, message):
    model = Net()
    optimiser = SGD(model)
    model.give_gradients()
    optimiser.step(0.1)
    before = {name: array.copy() for name, array in optimiser.state_dict().items()}
    state = {name: np.zeros(3, np.float32) for name in before}
    change(state)
    with pytest.raises(InputError, match=message):
        optimiser.load_state_dict(state)
    for name, array in optimiser.state_dict().items():
        assert array.tobytes() == before[name].tobytes()


def test_the_state_of_one_optimiser_is_not_that_of_the_other():
    model = Net()
    for one, other, message in (
        (SGD, AdamW, "none of AdamW"),
        (AdamW, SGD, "unexpected: mean.layer.bias"),
    ):
        with pytest.raises(InputError, match=message):
            other(model).load_state_dict(one(model).state_dict())


@pytest.mark.parametrize(("name", "kind"), [("sgd", SGD), ("adamw", AdamW)])
def test_the_settings_name_the_optimiser(name, kind):
    settings = TrainingSettings(
        steps=1, optimiser=name, momentum=0.5, beta2=0.75, weight_decay=0.25
    )
    optimiser = optimiser_of(Net(), settings)
    assert type(optimiser) is kind
    assert (optimiser.momentum, optimiser.weight_decay) == (0.5, 0.25)
    assert getattr(optimiser, "beta2", 0.75) == 0.75


# ------------------------------------------------------------------ averaging


@pytest.mark.parametrize("make", [SGD, AdamW])
def test_the_average_follows_the_weights(xp, make):
    model = Net(xp)
    optimiser = make(model, averaging=0.75)
    expected = host(model)
    for _ in range(5):
        model.give_gradients()
        optimiser.step(0.1)
        for name, value in host(model).items():
            expected[name] = 0.75 * expected[name] + 0.25 * value
    own = {name: tensor.data for name, tensor in model.named_parameters()}
    with optimiser.averaged():
        for name, value in host(model).items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-6, err_msg=name)
    for name, tensor in model.named_parameters():
        assert tensor.data is own[name]


def test_the_weights_come_back_when_an_evaluation_fails():
    model = Net()
    optimiser = SGD(model, averaging=0.5)
    model.give_gradients()
    optimiser.step(0.1)
    before = host(model)
    with pytest.raises(RuntimeError), optimiser.averaged():
        raise RuntimeError
    for name, array in host(model).items():
        assert array.tobytes() == before[name].tobytes()


def test_averages_do_not_change_the_training():
    runs = [Net(), Net()]
    for model, averaging in zip(runs, (0.0, 0.9), strict=True):
        optimiser = SGD(model, averaging=averaging)
        for _ in range(3):
            model.give_gradients()
            optimiser.step(0.1)
    for name, array in host(runs[0]).items():
        assert host(runs[1])[name].tobytes() == array.tobytes()


def test_averages_are_kept_with_the_rest():
    model, other = Net(), Net()
    optimiser = SGD(model, averaging=0.5)
    optimiser.state_dict()  # of a checkpoint before the first step
    model.give_gradients()
    optimiser.step(0.1)
    continued = SGD(other, averaging=0.5)
    continued.load_state_dict(optimiser.state_dict())
    assert "average.layer.bias" in continued.state_dict()
    with optimiser.averaged(), continued.averaged():
        assert host(other)["layer.bias"].tobytes() == host(model)["layer.bias"].tobytes()
    with pytest.raises(InputError, match="unexpected: average"):
        SGD(Net()).load_state_dict(optimiser.state_dict())
