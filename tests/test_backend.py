"""backend.py: finding the library of an array, and moving arrays."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from standin import standin

from minirnn.backend import library_of, positive_part, scatter_add, sparse_of, to_host, xp_of
from minirnn.errors import InputError


def test_the_first_sparse_matrix_leaves_warnings_as_they_were():
    code = """if True:
        import sys, warnings
        import numpy as np
        from minirnn.backend import sparse_of
        assert "scipy.sparse" not in sys.modules
        before = list(warnings.filters)
        sparse_of(np.ones(1)).csr_matrix(np.eye(2))
        assert warnings.filters == before, [f for f in warnings.filters if f not in before]
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_xp_of_finds_the_library_of_the_arrays(xp):
    array = xp.asarray(np.zeros(3))
    assert xp_of(array) is xp
    assert xp_of(array, 1, 2.0, True, None, np.float32(3)) is xp
    assert xp_of(None, array, array) is xp


def test_xp_of_nothing_but_scalars_is_numpy():
    assert xp_of() is np
    assert xp_of(1, None, 2.5, np.int64(3)) is np


def test_xp_of_refuses_what_is_no_array():
    with pytest.raises(TypeError, match="got list"):
        xp_of([1, 2])
    with pytest.raises(TypeError, match="got str"):
        xp_of(np.zeros(2), "cpu")


def test_xp_of_names_both_libraries_that_are_mixed():
    with pytest.raises(TypeError, match="numpy and of standin"):
        xp_of(np.zeros(2), standin.zeros(2))


def test_xp_of_finds_cupy_by_the_module_of_the_type(monkeypatch):
    library = ModuleType("cupy")
    monkeypatch.setitem(sys.modules, "cupy", library)
    array = type("ndarray", (), {"__module__": "cupy"})()
    assert xp_of(array) is library


def test_to_host_moves_and_passes_host_arrays_through(xp):
    host = np.arange(4.0)
    moved = to_host(xp.asarray(host))
    assert isinstance(moved, np.ndarray)
    np.testing.assert_array_equal(moved, host)
    assert to_host(host) is host


def test_scatter_add_counts_repeated_indices(xp):
    target = xp.zeros((3, 2), dtype=xp.float32)
    scatter_add(target, xp.asarray(np.array([2, 0, 2])), xp.ones((3, 2), dtype=xp.float32))
    np.testing.assert_array_equal(to_host(target), [[1, 1], [0, 0], [2, 2]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_positive_part_is_the_maximum_with_zero(xp, dtype):
    values = xp.asarray([[-1, -0.0, 0, 2.5], [np.nan, np.inf, -np.inf, 1e-45]], dtype)
    expected = np.maximum(to_host(values), 0)
    found = positive_part(values)
    assert found.dtype == dtype
    np.testing.assert_array_equal(to_host(found), expected)
    positive_part(values.T, out=values.T)  # in place, in any order
    np.testing.assert_array_equal(to_host(values), expected)


def test_sparse_of_multiplies_arrays_of_the_same_library(xp):
    array = xp.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    index = xp.asarray(np.array([0, 1], np.int32))
    values = xp.asarray(np.array([2, 3], np.float32))
    matrix = sparse_of(array).csr_matrix((values, (index, index)), shape=(2, 2))
    np.testing.assert_array_equal(to_host(matrix @ array), [[0, 2, 4], [9, 12, 15]])


def test_library_of_the_cpu_is_numpy():
    assert library_of("cpu") is np


@pytest.mark.parametrize("device", ["gpu", "CPU", ""])
def test_library_of_an_unknown_device_names_it(device):
    with pytest.raises(InputError, match=f"device is '{device}'; it should be 'cpu' or 'cuda'"):
        library_of(device)


def test_library_of_cuda_without_cupy_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # makes `import cupy` raise ImportError
    with pytest.raises(InputError, match="cuda12"):
        library_of("cuda")


def test_library_of_cuda_without_a_gpu_says_so(monkeypatch):
    cupy = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with pytest.raises(InputError, match="no NVIDIA GPU"):
        library_of("cuda")
    cupy.cuda.is_available = lambda: True
    assert library_of("cuda") is cupy


def test_importing_the_backend_loads_neither_cupy_nor_scipy():
    code = "import sys, minirnn.backend; print(*sorted({'cupy', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
