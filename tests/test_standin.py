"""The stand-in refuses what CuPy refuses, and computes what NumPy computes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import scipy.sparse
import standin as standin_module
from standin import DeviceArray, SparseMatrix, standin

from minirnn.backend import scatter_add, sparse_of, to_host, xp_of

HOST = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def a() -> DeviceArray:
    return standin.asarray(HOST)


# Each mixes host and device, or uses what CuPy does not have. `h` is a host array.
REFUSED = {
    "asarray": lambda a, h: np.asarray(a),
    "array": lambda a, h: np.array([a, a]),
    "copy into host": lambda a, h: h.__setitem__(..., a),
    "buffer": lambda a, h: memoryview(a),
    "add host": lambda a, h: a + h,
    "host add": lambda a, h: h + a,
    "in place host": lambda a, h: a.__iadd__(h),
    "host in place": lambda a, h: h.__iadd__(a),
    "matmul host": lambda a, h: a @ h.T,
    "host matmul": lambda a, h: h.T @ a,
    "compare host": lambda a, h: a > h,
    "0-d host": lambda a, h: a + np.array(1.0),
    "ufunc": lambda a, h: standin.maximum(a, h),
    "numpy's ufunc": lambda a, h: np.maximum(h, a),
    "ufunc of list": lambda a, h: standin.maximum(a, [0, 1, 2]),
    "function": lambda a, h: standin.where(a > 0, h, 0),
    "numpy's function": lambda a, h: np.concatenate([h, a]),
    "concatenate": lambda a, h: standin.concatenate([a, h]),
    "function of host": lambda a, h: standin.sum(h),
    "function of numbers": lambda a, h: standin.prod((2, 3)),
    "out": lambda a, h: standin.matmul(a, a.T, out=np.zeros((2, 2), np.float32)),
    "out of ufunc": lambda a, h: standin.exp(a, out=h),
    "index": lambda a, h: a[np.array([0])],
    "index in tuple": lambda a, h: a[:, np.array([0, 1])],
    "mask": lambda a, h: a[h > 0],
    "set host": lambda a, h: a.__setitem__(0, h[0]),
    "set list": lambda a, h: a.__setitem__(0, [1, 2, 3]),
    "host by device": lambda a, h: h[a > 0],
    "slice bound": lambda a, h: a[: a.argmax()],
    "range": lambda a, h: range(a.argmax()),
    "shape": lambda a, h: standin.zeros(a.argmax()),
    "shape in tuple": lambda a, h: standin.zeros((a.argmax(), 2)),
    "reshape": lambda a, h: a.reshape(a.argmax() + 1, 1),
    "axis": lambda a, h: standin.sum(a, axis=standin.asarray(0)),
    "method": lambda a, h: a.take(np.array([0])),
    "initial": lambda a, h: a.max(initial=0),
    "where keyword": lambda a, h: standin.sum(a, where=a > 0),
    "where of ufunc": lambda a, h: standin.exp(a, where=a > 0),
    "clip by name": lambda a, h: standin.clip(a, min=0),
    "sort kind": lambda a, h: standin.argsort(a, kind="mergesort"),
    "scatter": lambda a, h: standin.add.at(a, np.array([0]), 1),
    "scatter host": lambda a, h: np.add.at(h, standin.asarray([0]), 1),
    "sparse of host": lambda a, h: standin.sparse.csr_matrix(h),
    "sparse with host": lambda a, h: standin.sparse.csr_matrix(a) @ h.T,
    "scipy with device": lambda a, h: scipy.sparse.csr_matrix(h) @ a.T,
    "hash": lambda a, h: {a},
    "truth of many": lambda a, h: bool(a),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(a, case):
    with pytest.raises((TypeError, ValueError)):
        REFUSED[case](a, HOST.copy())


def test_multiply_at_has_no_atomic_operation(a):
    with pytest.raises(NotImplementedError, match=r"multiply\.at"):
        standin.multiply.at(a, 0, 2)


@pytest.mark.parametrize(
    "name", ["errstate", "ndenumerate", "insert", "block", "random", "float128"]
)
def test_lacks_the_names_that_cupy_lacks(name):
    assert not hasattr(standin, name)


@pytest.mark.parametrize(
    "name",
    ["__array_interface__", "__array_struct__", "__buffer__", "__index__", "setflags", "resize"],
)
def test_dunder_names_do_not_leak(a, name):
    assert not hasattr(a, name)


def test_matmul_in_place_is_lacking(a):
    assert not hasattr(DeviceArray, "__imatmul__")
    assert hasattr(DeviceArray, "__iadd__")


ACCEPTED = {
    "scalars": lambda xp, a: 2 * a - 1 + np.float32(3) / (a + 1),
    "powers": lambda xp, a: 2**a + a**2 + a // 2 + a % 2,
    "logic": lambda xp, a: ~(a > 2) | ((a < 1) & (a != 0)) ^ (a >= 5),
    "unary": lambda xp, a: abs(-a) + +a,
    "sum": lambda xp, a: a.sum(axis=0, keepdims=True),
    "max": lambda xp, a: xp.max(a, axis=1),
    "norm": lambda xp, a: xp.linalg.norm(a),
    "concatenate": lambda xp, a: xp.concatenate([a, a], axis=1),
    "stack": lambda xp, a: xp.stack((a, a), axis=-1),
    "where": lambda xp, a: xp.where(a > 2, a, 0),
    "clip": lambda xp, a: xp.clip(a, 1, 3),
    "einsum": lambda xp, a: xp.einsum("ij,kj->ik", a, a),
    "matmul": lambda xp, a: xp.matmul(a, a.T),
    "out": lambda xp, a: xp.matmul(a, a.T, out=xp.empty((2, 2), xp.float32)),
    "mask": lambda xp, a: a[a > 2],
    "index by array": lambda xp, a: a[:, xp.asarray([2, 0])],
    "newaxis": lambda xp, a: a[:, xp.newaxis, ..., 1:],
    "argpartition": lambda xp, a: xp.sort(xp.argpartition(-a, 1, axis=1)[:, :2], axis=1),
    "take_along_axis": lambda xp, a: xp.take_along_axis(a, xp.argsort(-a, axis=1), axis=1),
    "as_strided": lambda xp, a: xp.lib.stride_tricks.as_strided(a, (2, 2, 2), (12, 4, 4)),
    "windows": lambda xp, a: xp.lib.stride_tricks.sliding_window_view(a, (2, 2)),
    "arange": lambda xp, a: xp.arange(1, 7, 2, dtype=xp.int64),
    "full": lambda xp, a: xp.full((2, 3), xp.inf),
    "like": lambda xp, a: xp.ones_like(a),
    "meshgrid": lambda xp, a: xp.meshgrid(xp.arange(2), xp.arange(3), indexing="ij")[1],
    "mgrid": lambda xp, a: xp.mgrid[0:2, 0:3],
    "nonzero": lambda xp, a: xp.nonzero(a > 2)[1],
    "cumsum": lambda xp, a: xp.cumsum(a, axis=1),
    "outer": lambda xp, a: xp.add.outer(a[0], a[1]),
    "reduce": lambda xp, a: xp.maximum.reduce(a, axis=1),
    "accumulate": lambda xp, a: xp.maximum.accumulate(a, axis=1),
    "reduceat": lambda xp, a: xp.add.reduceat(a, xp.asarray([0, 2]), axis=1),
    "transpose": lambda xp, a: a.transpose(1, 0).reshape(-1, 2).astype(xp.float64).ravel(),
    "pad": lambda xp, a: xp.pad(a, ((1, 0), (0, 2))),
    "unique": lambda xp, a: xp.unique(a // 2, return_inverse=True)[1],
    "equal": lambda xp, a: xp.array_equal(a, a),
    "count": lambda xp, a: xp.count_nonzero(a),
    "solve": lambda xp, a: xp.linalg.solve(a @ a.T, a),
    "lexsort": lambda xp, a: xp.lexsort(a),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_computes_what_numpy_computes(a, case):
    expected = ACCEPTED[case](np, HOST.copy())
    got = ACCEPTED[case](standin, a)
    assert isinstance(got, DeviceArray)
    assert got.dtype == np.asarray(expected).dtype
    assert got.shape == np.shape(expected)
    np.testing.assert_array_equal(got.get(), expected)


def test_numpy_functions_and_ufuncs_stay_on_the_device(a):
    assert isinstance(np.add(a, 1), DeviceArray)
    assert isinstance(np.sum(a), DeviceArray)
    assert isinstance(np.linalg.norm(a), DeviceArray)
    assert isinstance(np.float32(2) * a, DeviceArray)


def test_reductions_and_single_elements_are_0d_arrays_and_turn_into_numbers(a):
    total = a.sum()
    assert isinstance(total, DeviceArray)
    assert total.shape == ()
    assert isinstance(a[1, 2], DeviceArray)
    assert (int(total), float(total), total.item(), bool(total)) == (15, 15.0, 15.0, True)
    assert f"{total:.1f}" == "15.0"
    assert [float(x) for x in a[0]] == [0.0, 1.0, 2.0]
    assert a.tolist() == HOST.tolist()


def test_attributes_are_those_of_the_array(a):
    assert (a.shape, a.ndim, a.size, a.nbytes, len(a)) == ((2, 3), 2, 6, 24, 2)
    assert a.strides == HOST.strides
    assert a.flags.c_contiguous
    assert a.T.shape == (3, 2)
    with pytest.raises(TypeError):
        len(a.sum())


def test_views_share_memory_and_in_place_operations_reach_the_owner(a):
    row = a.reshape(3, 2)[0]
    row += 10
    row[1] = 7
    np.testing.assert_array_equal(a.get()[0, :2], [10, 7])
    same = a
    same *= 2
    assert same is a


def test_get_copies_and_the_source_is_not_changed(a):
    a.get()[:] = 9
    assert float(a.max()) == 5
    assert float(copy.deepcopy(a).sum()) == 15


def test_moving_to_the_device_copies():
    host = HOST.copy()
    a = standin.asarray(host)
    a += 1
    np.testing.assert_array_equal(host, HOST)
    assert standin.asarray(a) is not a
    standin.asarray(a)[0, 0] = 50  # on the device, asarray does not copy
    assert float(a[0, 0]) == 50


def test_backend_finds_the_library(a):
    assert xp_of(a, 1.0, None) is standin
    assert sparse_of(a) is standin.sparse
    np.testing.assert_array_equal(to_host(a), HOST)
    with pytest.raises(TypeError, match="mixed"):
        xp_of(a, HOST)
    scatter_add(a, standin.asarray([0, 0]), standin.ones((2, 3), standin.float32))
    np.testing.assert_array_equal(to_host(a)[0], HOST[0] + 2)


@pytest.mark.parametrize("maker", ["csr_matrix", "csr_array", "coo_matrix"])
def test_sparse_matrices_take_and_give_device_arrays(a, maker):
    values = standin.asarray(np.array([2.0, 3.0, 4.0], np.float32))
    rows, columns = standin.asarray([0, 1, 1]), standin.asarray([1, 0, 0])
    matrix = getattr(standin.sparse, maker)((values, (rows, columns)), shape=(2, 2)).tocsr()
    dense = np.array([[0, 2], [7, 0]], np.float32)
    assert isinstance(matrix, SparseMatrix)
    assert xp_of(matrix) is standin
    for got, expected in [
        (matrix @ a, dense @ HOST),
        (matrix.T @ a, dense.T @ HOST),
        (matrix[1:] @ a, dense[1:] @ HOST),
        (matrix.astype(standin.float64) @ a, dense.astype(np.float64) @ HOST),
        (matrix.toarray(), dense),
    ]:
        assert isinstance(got, DeviceArray)
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got.get(), expected)
    np.testing.assert_array_equal(matrix.get().toarray(), dense)
    with pytest.raises(ValueError, match="float32"):
        matrix.astype(np.int32)


def test_lists_agree_with_the_installed_cupy():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    for name in standin_module.LACKING:
        assert not hasattr(cupy, name), name
    for name in dir(np):
        if name.startswith("__"):
            continue
        value = getattr(np, name)
        if callable(value) and not isinstance(value, type) and not hasattr(cupy, name):
            assert not hasattr(standin, name), name
    assert not [n for n in standin_module.LACKING_LINALG if hasattr(cupy.linalg, n)]
    assert not [n for n in standin_module.METHODS if not hasattr(cupy.ndarray, n)]
    scatters = {n for n in dir(cupy) if getattr(getattr(cupy, n), "_scatter_op", None)}
    assert scatters >= standin_module.SCATTERS
