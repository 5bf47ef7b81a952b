"""Operations that do in one walk what are several: they equal the several, forward and back."""

import numpy as np
import pytest

from minirnn.autograd.tensor import Tensor
from minirnn.backend import to_host, xp_of
from minirnn.nn import Conv2d, FrozenBatchNorm2d, GroupNorm
from minirnn.nn.layers import convolve_and_normalise
from minirnn.ops.activation import relu
from minirnn.ops.convolution import conv2d, conv_transpose2d, linear
from minirnn.ops.normalisation import group_norm

# (operation, shapes of its inputs, shape of the residual or None, settings)
CASES = {
    "3x3": (conv2d, [(2, 3, 5, 6), (4, 3, 3, 3), (4,)], (2, 4, 5, 6), {"padding": 1}),
    "stride": (
        conv2d,
        [(2, 3, 5, 6), (4, 3, 3, 3), (4,)],
        (2, 4, 3, 3),
        {"stride": 2, "padding": 1},
    ),
    "1x1": (conv2d, [(2, 3, 5, 6), (4, 3, 1, 1), (4,)], (2, 4, 5, 6), {}),
    "1x1, stride": (conv2d, [(2, 3, 5, 6), (4, 3, 1, 1), (4,)], (2, 4, 3, 3), {"stride": 2}),
    "groups": (
        conv2d,
        [(2, 4, 5, 6), (4, 2, 3, 3), (4,)],
        (2, 4, 5, 6),
        {"padding": 1, "groups": 2},
    ),
    "transposed": (conv_transpose2d, [(2, 3, 3, 4), (3, 2, 2, 2), (2,)], None, {"stride": 2}),
    "gaps": (conv_transpose2d, [(2, 3, 3, 4), (3, 2, 2, 2), (2,)], None, {"stride": 3}),
    "overlapping": (conv_transpose2d, [(2, 3, 3, 4), (3, 2, 3, 3), (2,)], None, {"stride": 2}),
    "linear": (linear, [(3, 4), (5, 4), (5,)], None, {}),
    "group_norm": (group_norm, [(2, 6, 3, 4), (6,), (6,)], (2, 6, 3, 4), {"groups": 3}),
}


def _tensors(shapes, dtype=np.float64, xp=np):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s).astype(dtype) for s in shapes]
    return [Tensor(xp.asarray(array), requires_grad=True) for array in arrays]


def _gradients(y, tensors):
    rng = np.random.default_rng(1)
    gradient = rng.standard_normal(y.shape).astype(y.data.dtype)
    y.backward(xp_of(y.data).asarray(gradient))
    return [to_host(tensor.grad) for tensor in tensors]


@pytest.mark.parametrize("with_residual", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_equals_one_after_the_other(name, with_residual, xp):
    operation, shapes, residual, settings = CASES[name]
    if with_residual and residual is None:
        pytest.skip("takes no residual")
    shapes = [*shapes, residual] if with_residual else shapes
    apart, fused = _tensors(shapes, xp=xp), _tensors(shapes, xp=xp)
    expected = operation(*apart[:3], **settings)
    if with_residual:
        expected = expected + apart[3]
    expected = relu(expected)
    found = operation(*fused, relu=True, **settings)
    assert 0 < float((found.data > 0).mean()) < 1
    np.testing.assert_allclose(to_host(found.data), to_host(expected.data), atol=1e-13)
    for a, b in zip(_gradients(found, fused), _gradients(expected, apart), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_winograd_with_residual_and_relu():
    shapes = [(2, 32, 9, 10), (40, 32, 3, 3), (40,), (2, 40, 9, 10)]
    apart, fused = _tensors(shapes, np.float32), _tensors(shapes, np.float32)
    expected = relu(conv2d(*apart[:3], padding=1) + apart[3])
    found = conv2d(*fused, padding=1, relu=True)
    np.testing.assert_array_equal(found.data, expected.data)
    for a, b in zip(_gradients(found, fused), _gradients(expected, apart), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("operation", [conv2d, group_norm])
def test_a_residual_of_another_shape_is_refused(operation):
    x, w, b = np.ones((1, 4, 3, 3)), np.ones((4, 4, 1, 1)), np.ones(4)
    settings = {"groups": 2} if operation is group_norm else {}
    inputs = (x, b, b) if operation is group_norm else (x, w, b)
    with pytest.raises(ValueError, match=r"add has shape \(1, 4, 1, 1\)"):
        operation(*inputs, np.ones((1, 4, 1, 1)), **settings)


@pytest.mark.parametrize("kind", ["frozen", "group"])
def test_convolution_and_normalisation_equal_one_after_the_other(kind, xp):
    rng = np.random.default_rng(0)
    convolution = Conv2d(3, 8, 3, bias=False, rng=rng)
    norm = FrozenBatchNorm2d(8) if kind == "frozen" else GroupNorm(8, 4)
    if kind == "frozen":
        for name in ("weight", "bias", "running_mean", "running_var"):
            setattr(norm, name, rng.uniform(0.5, 2, 8).astype(np.float32))
    x, residual = (xp.asarray(rng.standard_normal((2, c, 6, 7)).astype(np.float32)) for c in (3, 8))
    for layer in (convolution, norm):
        layer.to_library(xp)
    expected = relu(norm(convolution(Tensor(x))) + residual)
    expected.sum().backward()
    wanted, convolution.weight.grad = convolution.weight.grad, None
    found = convolve_and_normalise(convolution, norm, Tensor(x), Tensor(residual), relu=True)
    found.sum().backward()
    np.testing.assert_allclose(to_host(found.data), to_host(expected.data), atol=1e-5)
    np.testing.assert_allclose(to_host(convolution.weight.grad), to_host(wanted), atol=2e-4)
