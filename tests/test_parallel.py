"""parallel.py: pieces cover the range once, errors come through, BLAS is left as it was."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standin import DeviceArray, standin

from minirnn.kernels.cpu import parallel


@pytest.fixture
def four_threads(monkeypatch):
    """As on a machine with four cores, whatever this one has."""
    monkeypatch.setattr(parallel, "thread_count", lambda: 4)
    parallel._pool.cache_clear()
    yield
    parallel._pool().shutdown()
    parallel._pool.cache_clear()


def pieces_of(n: int, **settings: int) -> list[tuple[int, int]]:
    pieces = []
    parallel.for_chunks(lambda start, stop: pieces.append((start, stop)), n, **settings)
    return sorted(pieces)


@given(n=st.integers(1, 50), at_least=st.integers(1, 20))
def test_pieces_cover_the_range_once(n, at_least):
    before = parallel.thread_count
    parallel.thread_count = lambda: 3
    try:
        pieces = pieces_of(n, at_least=at_least)
    finally:
        parallel.thread_count = before
    assert [i for start, stop in pieces for i in range(start, stop)] == list(range(n))
    assert len(pieces) <= 3
    if len(pieces) > 1:
        assert min(stop - start for start, stop in pieces) >= at_least


@pytest.mark.usefixtures("four_threads")
def test_pieces_depend_on_nothing_but_the_thread_count():
    assert pieces_of(10) == [(0, 2), (2, 5), (5, 7), (7, 10)]
    assert pieces_of(10, at_least=5) == [(0, 5), (5, 10)]
    assert pieces_of(3, at_least=5) == [(0, 3)]


@pytest.mark.usefixtures("four_threads")
def test_pieces_run_at_the_same_time():
    everyone = threading.Barrier(4, timeout=30)  # passes only when all four are inside
    parallel.for_chunks(lambda start, stop: everyone.wait(), 4)


@pytest.mark.usefixtures("four_threads")
def test_a_chunk_inside_a_chunk_is_not_cut_again():
    inner = []

    def outer(start: int, stop: int) -> None:
        parallel.for_chunks(lambda i, j: inner.append((i, j)), 8)

    parallel.for_chunks(outer, 4)
    assert inner == [(0, 8)] * 4


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("bad", [0, 3])
def test_an_error_in_any_piece_is_raised_and_the_next_call_works(bad):
    def work(start: int, stop: int) -> None:
        if start == bad:
            raise RuntimeError(f"piece {start}")

    with pytest.raises(RuntimeError, match=f"piece {bad}"):
        parallel.for_chunks(work, 4)
    assert len(pieces_of(4)) == 4


@pytest.mark.usefixtures("four_threads")
def test_what_numpy_was_told_of_overflow_holds_in_the_threads():
    large, result = np.full(4, 1e300), np.zeros(4)

    def square(start, stop):
        result[start:stop] = large[start:stop] * large[start:stop]

    with np.errstate(over="ignore"):
        parallel.for_chunks(square, 4)  # a warning would be an error here
    assert np.isinf(result).all()
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        parallel.for_chunks(square, 4)


@pytest.mark.usefixtures("four_threads")
def test_blas_is_held_to_one_thread_inside_and_given_back():
    libraries = parallel._blas_libraries()
    assert libraries, "no BLAS library found"
    before = [library.get_num_threads() for library in libraries]
    inside = []
    try:
        for library in libraries:
            library.set_num_threads(2)
        parallel.for_chunks(
            lambda start, stop: inside.extend(library.get_num_threads() for library in libraries), 4
        )
        after = [library.get_num_threads() for library in libraries]
    finally:
        for library, count in zip(libraries, before, strict=True):
            library.set_num_threads(count)
    assert set(inside) == {1}
    assert after == [2] * len(libraries)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("shape", [(64, 5, 7), (7, 5, 64), (1, 3, 1), (0, 3, 4), (4, 0, 4)])
def test_matmul_is_the_matrix_product(shape):
    m, k, n = shape
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(m, k)), rng.normal(size=(k, n))
    np.testing.assert_allclose(parallel.matmul(a, b), a @ b, rtol=1e-13)
    assert parallel.matmul(a.astype(np.float32), b.astype(np.float32)).dtype == np.float32


@pytest.mark.usefixtures("four_threads")
def test_matmul_on_the_device_stays_there():
    a = standin.asarray(np.eye(3))
    assert isinstance(parallel.matmul(a, a), DeviceArray)


@pytest.mark.usefixtures("four_threads")
def test_results_repeat_bit_for_bit():
    a = np.random.default_rng(0).normal(size=(200, 50)).astype(np.float32)
    first = parallel.matmul(a, a.T)
    assert all(np.array_equal(first, parallel.matmul(a, a.T)) for _ in range(3))


@pytest.mark.parametrize(
    ("value", "count"), [("3", 3), ("1", 1), ("0", None), ("x", None), ("", None)]
)
def test_the_environment_sets_the_thread_count(value, count):
    code = "from minirnn.kernels.cpu.parallel import thread_count; print(thread_count())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MINIRNN_THREADS": value},
        capture_output=True,
        text=True,
        check=True,
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert int(done.stdout) == (count or cores)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_starts_its_own_threads():
    code = """if True:
        import os, sys
        import numpy as np
        from minirnn.kernels.cpu import parallel
        a = np.ones((64, 64))
        parallel.matmul(a, a)       # the parent now has threads
        child = os.fork()
        if child == 0:
            done = float(parallel.matmul(a, a).sum())
            os._exit(0 if done == 64.0**3 else 1)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        env={**os.environ, "MINIRNN_THREADS": "2"},
        timeout=60,
    )
    assert done.returncode == 0
