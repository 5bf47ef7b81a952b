"""TF32: what rounding does, that cuBLAS is told in both ways that CuPy needs, and what `--tf32` prints."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cli_cases import fail, succeed
from hypothesis import given
from hypothesis import strategies as st
from standin import standin

from minirnn import kernels, nn
from minirnn.autograd import Tensor
from minirnn.errors import InputError
from minirnn.kernels.cuda import precision
from minirnn.kernels.table import OPERATIONS
from minirnn.kernels.tf32 import TF32, goes_by_winograd, imitated, rounded
from minirnn.ops.convolution import conv2d, conv_transpose2d, linear
from minirnn.weights.shipped import shipped

# ------------------------------------------------------------------ rounding


@given(st.floats(width=32, allow_nan=False))
def test_the_nearest_number_of_ten_bits(x):
    found = float(rounded(np.array([x], np.float32))[0])
    if not np.isfinite(x) or abs(x) > 3.4e38:
        assert found == x or np.isinf(found)
        return
    _, exponent = np.frexp(np.float64(x))
    step = 2.0 ** (max(int(exponent), -125) - 11)  # between neighbours with 1 + 10 bits
    assert abs(found - x) <= step / 2
    assert found / step == round(found / step)


def test_what_is_not_finite_stays():
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], np.float32)
    np.testing.assert_array_equal(rounded(odd), odd)
    assert rounded(np.array([1 + 2**-11, 1 + 2**-12], np.float32)).tolist() == [1 + 2**-10, 1]


# ------------------------------------------------------------------ imitated on a processor

RNG = np.random.default_rng(0)


def drawn(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


CALLS = {
    "conv2d": (conv2d, (drawn(2, 8, 9, 7), drawn(5, 8, 3, 3), drawn(5)), {"padding": 1, "stride": 2}),
    "conv2d 1x1": (conv2d, (drawn(1, 8, 5, 5), drawn(5, 8, 1, 1), None), {}),
    "conv2d in groups": (conv2d, (drawn(1, 8, 6, 6), drawn(4, 4, 3, 3), drawn(4)), {"groups": 2}),
    "conv_transpose2d": (conv_transpose2d, (drawn(2, 6, 4, 5), drawn(6, 3, 2, 2), drawn(3)), {"stride": 2}),
    "linear": (linear, (drawn(4, 9), drawn(5, 9), drawn(5)), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_both_factors_are_rounded_and_nothing_else(name):
    operation, (x, weight, *rest), settings = CALLS[name]
    with imitated():
        found = operation(x, weight, *rest, **settings)
    wide = [
        None if each is None else each.astype(np.float64)
        for each in (rounded(x), rounded(weight), *rest)
    ]
    np.testing.assert_allclose(found, operation(*wide, **settings), rtol=0, atol=2e-5)
    assert np.abs(found - operation(x, weight, *rest, **settings)).max() > 1e-4


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("size", [(8, 8), (9, 14), (3, 6)])
def test_winograds_products_are_rounded_as_a_gpu_would(padding, size, gpu):
    """The same numbers as the CUDA kernels give where cuBLAS is in its TF32 mode."""
    x, weight, bias = drawn(2, 16, *size), drawn(20, 16, 3, 3), drawn(20)
    add = drawn(2, 20, *(n + 2 * padding - 2 for n in size))
    settings = {"padding": padding, "relu": True}
    assert goes_by_winograd(x, weight, **settings)
    with imitated():
        found = conv2d(x, weight, bias, add, **settings)
    with precision.tf32(standin):
        there = conv2d(*map(standin.asarray, (x, weight, bias, add)), **settings).get()
    exact = conv2d(x, weight, bias, add, **settings)
    assert (
        np.abs(found - there).max() < 1e-3 * np.abs(exact).max()
    )  # u and v to the last bit or two
    assert 1e-4 < np.abs(there - exact).max() / np.abs(exact).max() < 2e-2
    assert np.abs(found - there).max() < 0.3 * np.abs(there - exact).max()


def test_a_depthwise_convolution_is_no_product_of_cublas():
    x, weight = drawn(1, 6, 7, 7), drawn(6, 1, 3, 3)
    with imitated():
        found = conv2d(x, weight, None, groups=6)
    np.testing.assert_array_equal(found, conv2d(x, weight, None, groups=6))


def test_float64_is_left_alone_and_the_table_as_it_was():
    before = {name: list(entry.kernels) for name, entry in OPERATIONS.items()}
    x, weight = drawn(2, 3).astype(np.float64), drawn(4, 3).astype(np.float64)
    with imitated():
        np.testing.assert_array_equal(linear(x, weight, None), x @ weight.T)
    assert before == {name: entry.kernels for name, entry in OPERATIONS.items()}


def test_a_gradient_is_refused_and_not_wrong():
    layer = nn.Linear(3, 2, rng=np.random.default_rng(0))
    with imitated():
        y = layer(Tensor(drawn(2, 3)))
    with pytest.raises(InputError, match="forward only"):
        y.sum().backward()


def test_plain_forms_have_no_place_for_it():
    with kernels.plain(), pytest.raises(InputError, match="MINIRNN_KERNELS=plain"), imitated():
        pass


# ------------------------------------------------------------------ on a GPU


def test_cublas_is_told_in_both_ways(gpu):
    """CuPy's own switch reaches products of two matrices only; with it alone, most stay in float32."""
    exact = dict.fromkeys(precision.digits_of_products(standin), "float32")
    assert precision.digits_of_products(standin) == exact
    with precision.tf32(standin):
        assert set(precision.digits_of_products(standin).values()) == {"TF32"}
        gpu.math_mode = 0
        assert list(precision.digits_of_products(standin).values()) == [
            "TF32",
            "float32",
            "float32",
        ]
    assert (gpu.compute_type, gpu.math_mode) == (1, 0)


def test_a_chip_without_tf32_is_told_of(gpu):
    gpu.has_tf32 = False
    with (
        pytest.raises(InputError, match="no effect on products of two matrices and"),
        precision.tf32(standin),
    ):
        pass
    assert (gpu.compute_type, gpu.math_mode) == (1, 0)


def test_names_that_cupy_has():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    from cupy._core import _routines_linalg as of_two

    for name in ("COMPUTE_TYPE_TF32", "COMPUTE_TYPE_DEFAULT", "set_compute_type"):
        assert hasattr(of_two, name)
    for name in ("Event", "get_elapsed_time", "get_cublas_handle", "Device", "runtime"):
        assert hasattr(cupy.cuda, name)
    pool = cupy.get_default_memory_pool()
    assert all(hasattr(pool, name) for name in ("free_all_blocks", "used_bytes", "total_bytes"))


@pytest.mark.gpu
def test_a_real_gpu_multiplies_as_it_is_told():
    from conftest import why_no_gpu

    if why_no_gpu():
        pytest.skip(why_no_gpu())
    import cupy

    assert set(precision.digits_of_products(cupy).values()) == {"float32"}
    if int(cupy.cuda.Device().compute_capability) < 80:
        pytest.skip("the chip has no TF32")
    with precision.tf32(cupy):
        assert set(precision.digits_of_products(cupy).values()) == {"TF32"}
    assert set(precision.digits_of_products(cupy).values()) == {"float32"}


# ------------------------------------------------------------------ minirnn evaluate --tf32


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tf32")
    succeed("data", "shapes", "--out", folder, "--train", 1, "--val", 4)
    return folder


def evaluated(shapes, *options):
    words = ["evaluate", "--weights", shipped(), "--data", shapes, "--out", shapes / "found.json"]
    done = succeed(*words, *options, "--json")
    report = json.loads(done.out)
    return report, json.loads((shapes / "found.json").read_text("utf-8")), done.err


def test_evaluate_says_what_it_costs_without_a_gpu(shapes):
    without, exact, _ = evaluated(shapes)
    report, rounded_ones, _ = evaluated(shapes, "--tf32")
    assert without["products"] == "float32"
    assert report["products"] == "TF32, imitated on the processor"
    assert [r["score"] for r in exact] != [r["score"] for r in rounded_ones]
    assert report["segm"]["AP"] == pytest.approx(without["segm"]["AP"], abs=0.03)


def test_evaluate_on_a_gpu(shapes, gpu):
    without, exact, _ = evaluated(shapes, "--device", "cuda")
    report, rounded_ones, said = evaluated(shapes, "--device", "cuda", "--tf32")
    assert (without["products"], report["products"]) == ("float32", "TF32")
    assert "made with TF32: 10 bits of mantissa" in said
    assert [r["score"] for r in exact] != [r["score"] for r in rounded_ones]
    assert report["segm"]["AP"] == pytest.approx(without["segm"]["AP"], abs=0.03)
    assert gpu.math_mode == 0


def test_the_environment_switches_it_on_for_every_command(shapes, gpu, monkeypatch):
    monkeypatch.setenv(TF32, "1")
    report, _, said = evaluated(shapes, "--device", "cuda")
    assert report["products"] == "TF32"
    assert "made with TF32" in said
    assert (gpu.compute_type, gpu.math_mode) == (7, 3)


def test_a_chip_without_it_ends_in_one_line(shapes, gpu):
    gpu.has_tf32 = False
    words = ["evaluate", "--weights", shipped(), "--data", shapes, "--device", "cuda", "--tf32"]
    fail(1, "TF32 has no effect on", *words)
