"""The walk in blocks: every index once, in threads, errors come through, BLAS is left as it was."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirnn.kernels import limited_to, thread_count, threads
from minirnn.kernels.cpu import walk as walk_module
from minirnn.kernels.cpu.matmul import matmul, multiply
from minirnn.kernels.cpu.walk import BLOCK, blocks, steps_of, walk


@pytest.fixture
def four_threads(monkeypatch):
    """As on a machine with four cores, whatever this one has."""
    monkeypatch.setenv("MINIRNN_THREADS", "4")


@pytest.mark.parametrize("value", ["", "0", "-2", "two", "1.5", "\N{SUPERSCRIPT TWO}"])
def test_a_number_of_threads_that_is_none_means_all_cores(value, monkeypatch):
    monkeypatch.delenv("MINIRNN_THREADS", raising=False)
    cores = thread_count()
    monkeypatch.setenv("MINIRNN_THREADS", value)
    assert thread_count() == cores


def ranges_of(*axes: int, **settings) -> list[tuple[tuple[int, int], ...]]:
    """The blocks of a walk, as pairs of numbers, in order."""
    found = []
    walk(lambda *place: found.append(tuple((p.start, p.stop) for p in place)), *axes, **settings)
    return sorted(found)


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=3),
    st.integers(0, 5000),
    st.one_of(st.none(), st.integers(1, 100_000)),
    st.integers(1, 50_000),
    st.integers(1, 5),
)
def test_every_index_is_met_once(axes, numbers, most, least, cores):
    visited = np.zeros(axes, int)
    sizes = []

    def work(*place: slice) -> None:
        visited[place] += 1
        sizes.append(visited[place].size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIRNN_THREADS", str(cores))
        walk(work, *axes, numbers=numbers, most=most, least=least)
    assert (visited == 1).all()
    if most is not None:
        assert max(sizes, default=0) * numbers <= max(most, numbers)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=3), st.integers(1, 500))
def test_blocks_are_parts_of_the_last_axis_or_whole_inner_axes(axes, size):
    for place in blocks(axes, steps_of(axes, size)):
        lengths = [part.stop - part.start for part in place]
        assert np.prod(lengths) <= size
        cut = [k for k, n in enumerate(lengths) if n < axes[k]]
        assert all(lengths[k] == 1 for k in range(max(cut, default=0)))


@pytest.mark.usefixtures("four_threads")
def test_as_many_blocks_for_every_thread():
    assert ranges_of(10, least=1) == [((0, 2),), ((2, 5),), ((5, 7),), ((7, 10),)]
    assert ranges_of(10, least=5) == [((0, 5),), ((5, 10),)]
    assert ranges_of(3, least=5) == [((0, 3),)]
    assert ranges_of(16, most=3, least=1) == [((i, i + 2),) for i in range(0, 16, 2)]
    assert len(ranges_of(10 * BLOCK)) == 12  # ten blocks would be three for some and two for others
    assert ranges_of(8, 100, most=200, least=1) == [((i, i + 2), (0, 100)) for i in range(0, 8, 2)]


@pytest.mark.usefixtures("four_threads")
def test_blocks_are_worked_on_at_the_same_time():
    everyone = threading.Barrier(4, timeout=30)  # passes only when all four are inside
    walk(lambda part: everyone.wait(), 4, least=1)


@pytest.mark.usefixtures("four_threads")
def test_a_walk_inside_a_walk_stays_in_its_thread():
    names: dict[int, set[str]] = {}

    def outer(part: slice) -> None:
        inner = names.setdefault(part.start, set())
        walk(lambda _: inner.add(threading.current_thread().name), 8, most=2, least=1)

    walk(outer, 4, least=1)
    assert [len(inner) for inner in names.values()] == [1] * 4
    assert len(set().union(*names.values())) > 1


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("bad", [0, 3])
def test_an_error_in_any_block_is_raised_and_the_next_walk_works(bad):
    def work(part: slice) -> None:
        if part.start == bad:
            raise RuntimeError(f"block {part.start}")

    with pytest.raises(RuntimeError, match=f"block {bad}"):
        walk(work, 4, least=1)
    assert len(ranges_of(4, least=1)) == 4


@pytest.mark.usefixtures("four_threads")
def test_what_numpy_was_told_of_overflow_holds_in_the_threads():
    large, result = np.full(4, 1e300), np.zeros(4)

    def square(part):
        result[part] = large[part] * large[part]

    with np.errstate(over="ignore"):
        walk(square, 4, least=1)  # a warning would be an error here
    assert np.isinf(result).all()
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        walk(square, 4, least=1)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("least", [1, 100])  # four threads, and one
def test_blas_is_held_to_one_thread_inside_and_given_back(least):
    libraries = threads._blas_libraries()
    assert libraries, "no BLAS library found"
    before = [library.get_num_threads() for library in libraries]
    inside = []
    try:
        for library in libraries:
            library.set_num_threads(2)
        walk(lambda part: inside.extend(x.get_num_threads() for x in libraries), 4, least=least)
        after = [library.get_num_threads() for library in libraries]
    finally:
        for library, count in zip(libraries, before, strict=True):
            library.set_num_threads(count)
    assert set(inside) == {1}
    assert after == [2] * len(libraries)


@pytest.mark.usefixtures("four_threads")
def test_a_limit_holds_inside():
    assert thread_count() == 4
    with limited_to(2):
        assert thread_count() == 2
        with limited_to(9):
            assert thread_count() == 4
        assert thread_count() == 2
        assert len(ranges_of(8, least=1)) == 2
    assert thread_count() == 4


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("shape", [(64, 5, 7), (7, 5, 64), (1, 3, 1), (0, 3, 4), (4, 0, 4)])
def test_matmul_is_the_matrix_product(shape):
    m, k, n = shape
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(m, k)), rng.normal(size=(k, n))
    np.testing.assert_allclose(matmul(a, b), a @ b, rtol=1e-13)
    assert matmul(a.astype(np.float32), b.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    "shape",
    [
        *((8, 8, 40_000), (4, 9, 27_778), (50_000, 16, 32), (70_000, 3, 5), (1, 1, 2_000_001)),
        *((300, 200, 300), (64, 65, 900), (8, 0, 5), (0, 8, 4), (4, 8, 0), (3, 4, 5)),
    ],
)
def test_multiply_is_the_matrix_product_in_small_pieces(shape, monkeypatch):
    m, k, n = shape
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(m, k + 3))[:, :k], rng.normal(size=(k, n + 2))[:, 1:-1]
    out = np.full((m, n + 5), 7.0)
    really, taken = np.matmul, []

    def matmul_noted(left, right, *, out):
        taken.append(left.size * right.shape[1])
        return really(left, right, out=out)

    expected = a @ b
    monkeypatch.setattr(np, "matmul", matmul_noted)
    multiply(a, b, out=out[:, :n])
    np.testing.assert_allclose(out[:, :n], expected, rtol=1e-12, atol=1e-12)
    assert (out[:, n:] == 7).all()
    if min(a.size, b.size) <= 4096:
        assert max(taken, default=0) <= 1_000_000
    else:
        assert len(taken) == 1


@pytest.mark.usefixtures("four_threads")
def test_results_repeat_bit_for_bit():
    a = np.random.default_rng(0).normal(size=(200, 50)).astype(np.float32)
    first = matmul(a, a.T)
    assert all(np.array_equal(first, matmul(a, a.T)) for _ in range(3))


@pytest.mark.parametrize(
    ("value", "count"), [("3", 3), ("1", 1), ("0", None), ("x", None), ("", None)]
)
def test_the_environment_sets_the_thread_count(value, count):
    code = "from minirnn.kernels import thread_count; print(thread_count())"
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
        from minirnn.kernels.cpu.matmul import matmul
        a = np.ones((64, 64))
        matmul(a, a)       # the parent now has threads
        child = os.fork()
        if child == 0:
            done = float(matmul(a, a).sum())
            os._exit(0 if done == 64.0**3 else 1)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        env={**os.environ, "MINIRNN_THREADS": "2"},
        timeout=60,
    )
    assert done.returncode == 0


# ------------------------------------------------------------------- interruptions


def threads_of(count=4):
    """The threads in which a walk of so many blocks is done."""
    seen = set()
    barrier = threading.Barrier(2)

    def work(part):
        seen.add(threading.get_ident())
        if len(seen) < 2:
            with contextlib.suppress(threading.BrokenBarrierError):
                barrier.wait(0.5)

    walk(work, count, most=1, least=1)
    return seen


def test_what_an_interrupt_leaves_does_not_keep_this_thread_from_walking(four_threads, monkeypatch):
    """Ctrl-C after the right to walk was taken and before anything could give it back."""
    monkeypatch.setitem(walk_module._walker, "thread", threading.get_ident())
    assert len(threads_of()) > 1
    assert not walk_module._walker
    monkeypatch.setitem(walk_module._walker, "thread", -1)  # of another thread, which is walking
    assert len(threads_of()) == 1


@pytest.mark.parametrize("counts", [(1, 1), (1, 2), (2, 1), (1, 2, 1)])
@pytest.mark.parametrize("backwards", [False, True])
def test_limits_that_overlap_leave_nothing_behind(monkeypatch, counts, backwards):
    """Two trainings in threads of one program: who came first may leave first."""

    class Library:
        count = 4

        def get_num_threads(self):
            return self.count

        def set_num_threads(self, count):
            self.count = count

    library = Library()
    monkeypatch.setattr(threads, "_blas_libraries", lambda: (library,))
    monkeypatch.setenv("MINIRNN_THREADS", "3")
    limits = [threads.limited_to(count) for count in counts]
    for limit in limits:
        limit.__enter__()
    assert threads.thread_count() == counts[-1]
    assert library.count == counts[-1]
    for limit in limits[::-1] if backwards else limits:
        limit.__exit__(None, None, None)
    assert threads.thread_count() == 3
    assert library.count == 4


def test_an_interrupt_while_blas_is_given_its_threads_back(monkeypatch):
    class Library:
        def __init__(self):
            self.count, self.interrupts = 4, 1

        def get_num_threads(self):
            return self.count

        def set_num_threads(self, count):
            if count == 4 and self.interrupts:
                self.interrupts -= 1
                raise KeyboardInterrupt
            self.count = count

    libraries = (Library(), Library())
    monkeypatch.setattr(threads, "_blas_libraries", lambda: libraries)
    with pytest.raises(KeyboardInterrupt), threads.blas_on(1):
        assert [library.count for library in libraries] == [1, 1]
    assert [library.count for library in libraries] == [4, 4]
    with threads.blas_on(1):  # and it knows that it has to be done again
        assert [library.count for library in libraries] == [1, 1]
