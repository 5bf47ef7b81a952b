"""Depthwise convolution: sums without a border against the plain form, and Winograd's algorithm along y."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirnn import kernels
from minirnn.kernels.cpu import depthwise_sums, depthwise_winograd
from minirnn.kernels.cpu.winograd import exact
from minirnn.ops.convolution import conv2d


def _case(kernel, n, channels, height, width, padding, dilation=1, seed=0):
    rng = np.random.default_rng(seed)
    arrays = (
        rng.standard_normal((n, channels, height, width)),
        rng.standard_normal((channels, 1, *kernel)),
        rng.standard_normal(channels),
    )
    return arrays, {"padding": padding, "dilation": (1, dilation), "groups": channels}


def _run(arrays, settings, dtype, **more):
    y, vjps = conv2d.raw(*(each.astype(dtype) for each in arrays), **settings, **more)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    return y, *(vjp(dy) for vjp in vjps)


def _error(a, b):
    return float(np.abs(a - b).max() / np.abs(b).max())


axis = st.tuples(  # length, kernel, stride, dilation, zeros before and after
    *(st.integers(1, 14), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3)),
    *(st.integers(0, 7), st.integers(0, 7)),
)


@given(axis)
@settings(deadline=None)
def test_spans_hold_each_result_once_with_what_it_sees_inside(axis):
    length, kernel, stride, dilation, before, after = axis
    results = (length + before + after - dilation * (kernel - 1) - 1) // stride + 1
    found = {}
    for span in depthwise_sums.spans(max(results, 0), length, kernel, stride, dilation, before):
        for i in range(span.results.start, span.results.stop):
            assert i not in found
            found[i] = list(range(span.taps.start, span.taps.stop))
    for i in range(results):
        places = [i * stride - before + u * dilation for u in range(kernel)]
        assert found.pop(i) == [u for u, place in enumerate(places) if 0 <= place < length]
    assert not found


@given(axis, axis, st.integers(0, 2), st.sampled_from([2, 5]), st.sampled_from([1, 8, 64]))
@settings(max_examples=60, deadline=None)
def test_sums_equal_the_plain_form_on_any_geometry(of_y, of_x, n, channels, run):
    axes = [
        (max(length, d * (k - 1) + 1 - p - q), k, s, d, (p, q))
        for length, k, s, d, p, q in (of_y, of_x)
    ]
    size, kernel, stride, dilation, padding = zip(*axes, strict=True)
    rng = np.random.default_rng(0)
    arrays = (
        rng.standard_normal((n, channels, *size)),
        rng.standard_normal((channels, 1, *kernel)),
        rng.standard_normal(channels),
    )
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": channels}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(depthwise_sums, "_RUN", run)
        patch.setattr(depthwise_sums, "_BLOCK", 4 * run)
        own = _run(arrays, settings, np.float64, relu6=True)
    with kernels.plain():
        true = _run(arrays, settings, np.float64, relu6=True)
    for a, b in zip(own, true, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kernel", "stride"), [((5, 5), 2), ((3, 3), 1), ((2, 3), 3)])
def test_sums_do_not_depend_on_the_blocks_that_they_are_made_in(kernel, stride, monkeypatch):
    arrays, settings = _case(kernel, 2, 7, 23, 30, 1)
    results = []
    for block in (1, 1000, depthwise_sums._BLOCK):
        monkeypatch.setattr(depthwise_sums, "_BLOCK", block)
        with exact():
            results.append(_run(arrays, settings | {"stride": stride}, np.float32)[0])
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@pytest.fixture
def called(monkeypatch):
    """How often the algorithm is used."""
    calls, correlate = [], depthwise_winograd.correlate

    def counted(*arguments):
        calls.append(arguments)
        return correlate(*arguments)

    monkeypatch.setattr(depthwise_winograd, "correlate", counted)
    return calls


@pytest.mark.parametrize(("m", "k"), [(m, k) for k in range(1, 6) for m in range(1, 10 - k)])
def test_the_matrices_give_the_sum_that_they_stand_for(m, k):
    a_t, g, b_t = depthwise_winograd.matrices(m, k)
    rng = np.random.default_rng(k)
    d, w = rng.standard_normal(m + k - 1), rng.standard_normal(k)
    np.testing.assert_allclose(a_t @ ((g @ w) * (b_t @ d)), np.correlate(d, w), rtol=0, atol=1e-13)


@given(
    kernel=st.tuples(st.integers(3, 5), st.integers(1, 5)),
    n=st.integers(0, 2),
    size=st.tuples(st.integers(8, 23), st.integers(9, 60)),
    padding=st.tuples(
        st.tuples(st.integers(0, 3), st.integers(0, 2)),
        st.tuples(st.integers(0, 2), st.integers(0, 9)),
    ),
    dilation=st.integers(1, 2),
    channels=st.sampled_from([64, 250, 700]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_equals_float64_on_any_size(kernel, n, size, padding, dilation, channels, seed):
    size = max(size[0], kernel[0]), max(size[1], dilation * (kernel[1] - 1) + 1)
    case = _case(kernel, n, channels, *size, padding, dilation, seed)
    for a, b in zip(_run(*case, np.float32), _run(*case, np.float64), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=5e-6 * np.abs(b).max(initial=1))


@pytest.mark.parametrize("k", [3, 5])
def test_costs_what_the_table_says(k, called):
    arrays, settings = _case((k, k), 1, 480, 40, 40, k // 2)
    true = _run(arrays, settings, np.float64)
    with exact():
        plain = _run(arrays, settings, np.float32)
    assert not called
    fast = _run(arrays, settings, np.float32)
    assert len(called) == 2  # forward, and the gradient of x
    assert _error(plain[0], true[0]) < 4e-7 < _error(fast[0], true[0]) < 2e-6
    assert _error(fast[1], true[1]) < 2e-6
    assert _error(plain[2], true[2]) != _error(fast[2], true[2]) < 2e-6


def test_what_follows_is_done_to_each_part(called):
    """Bias, shortcut and ReLU6 on several tiles and runs of a row, the last of each smaller."""
    arrays, settings = _case((3, 3), 2, 200, 18, 203, 1)
    add = np.random.default_rng(2).standard_normal(arrays[0].shape)
    for after in ({"relu6": True}, {"relu": True}, {}):
        for bias in (arrays[2], None):
            case = [*arrays[:2], bias, add]
            fast, true = (
                conv2d.raw(*(a if a is None else a.astype(t) for a in case), **settings, **after)[0]
                for t in (np.float32, np.float64)
            )
            assert _error(fast, true) < 5e-6  # ReLU6 cuts the largest result, not the error
    assert len(called) == 6


def test_is_not_used_for_other_steps_or_little_maps(called):
    for change in ({"stride": 2}, {"dilation": (2, 1)}):
        arrays, settings = _case((3, 3), 1, 480, 20, 20, 1)
        _run(arrays, settings | change, np.float32)
    _run(*_case((3, 3), 1, 480, 7, 20, 1), np.float32)
    _run(*_case((3, 3), 1, 20, 40, 40, 1), np.float32)
    assert not called


def test_repeats_bit_for_bit():
    case = _case((5, 5), 2, 96, 20, 60, 2)
    for a, b in zip(_run(*case, np.float32), _run(*case, np.float32), strict=True):
        np.testing.assert_array_equal(a, b)
