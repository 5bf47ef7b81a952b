"""Processes that work together: what each gets of an exchange, and what becomes of them when one fails."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from mpi_cases import environment, mpiexec, run

from minirnn.distributed import Alone, communicator, find, launched
from minirnn.distributed.failure import Failure
from minirnn.errors import InputError, WorkerError


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for names in find.LAUNCHERS:
        for name in names:
            monkeypatch.delenv(name, raising=False)


def script(tmp_path, body):
    """A program whose `ranks` is its communicator; `told` prints a line that is not torn by others'."""
    path = tmp_path / "program.py"
    path.write_text(
        "import os, signal, sys, time\n"
        "import numpy as np\n"
        "from minirnn.distributed import communicator\n"
        "from minirnn.errors import InputError\n"
        "def told(*words): os.write(1, (' '.join(map(str, words)) + '\\n').encode())\n" + body
    )
    return path


def lines(done):
    return sorted(done.stdout.splitlines())


def test_alone():
    with communicator() as ranks:
        assert isinstance(ranks, Alone)
        assert (ranks.rank, ranks.size) == (0, 1)
        assert ranks.gather("a") == ["a"]
        assert ranks.broadcast("a") == "a"
        assert ranks.share("a") == ["a"]
        buffer = np.arange(3.0)
        ranks.all_reduce(buffer)
        np.testing.assert_array_equal(buffer, [0, 1, 2])


@pytest.mark.parametrize("names", find.LAUNCHERS)
def test_how_it_was_launched(names, monkeypatch):
    assert launched() == (0, 1)
    monkeypatch.setenv(names[0], "2")
    assert launched() == (0, 1)  # half of it is no launcher
    monkeypatch.setenv(names[1], "4")
    assert launched() == (2, 4)
    monkeypatch.setitem(sys.modules, "minirnn.distributed.mpi", None)
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(InputError, match=r"one of 4 processes.*pip install '\.\[mpi\]'"):
        communicator()


def test_one_rank_needs_no_mpi(monkeypatch):
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("PMI_SIZE", "1")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert isinstance(communicator(), Alone)


def test_a_launcher_of_another_mpi_is_told(tmp_path):
    """mpi4py of one MPI under the mpiexec of another: each process thinks that it is alone."""
    mpiexec()
    done = subprocess.run(
        [sys.executable, str(script(tmp_path, "communicator()\n"))],
        env=environment(OMPI_COMM_WORLD_RANK="0", OMPI_COMM_WORLD_SIZE="3"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "started as one of 3 processes, but the MPI of mpi4py sees 1" in done.stderr


@pytest.mark.parametrize("ranks", [2, 3])
def test_what_each_rank_gets(ranks, tmp_path):
    program = script(
        tmp_path,
        "with communicator() as ranks:\n"
        "    told('gather', ranks.rank, ranks.gather(ranks.rank * 10))\n"
        "    told('broadcast', ranks.rank, ranks.broadcast({'from': ranks.rank}))\n"
        "    told('share', ranks.rank, ranks.share('abc'[ranks.rank]))\n"
        "    a, b = np.full(5, 10.0**ranks.rank), np.full(70_000, ranks.rank + 1, np.float32)\n"
        "    first, second = ranks.begin_all_reduce(a), ranks.begin_all_reduce(b)\n"
        "    ranks.progress(); second(); first(); ranks.progress()\n"
        "    told('sum', ranks.rank, a[0], a[4], b[0], b[-1], ranks.local_rank, ranks.local_size)\n",
    )
    done = run(ranks, program)
    assert done.returncode == 0, done.stderr
    everyone = [10 * rank for rank in range(ranks)]
    expected = [f"gather {rank} {None if rank else everyone}" for rank in range(ranks)]
    expected += [f"broadcast {rank} {{'from': 0}}" for rank in range(ranks)]
    expected += [f"share {rank} {list('abc'[:ranks])}" for rank in range(ranks)]
    a, b = sum(10.0**rank for rank in range(ranks)), float(sum(range(1, ranks + 1)))
    expected += [f"sum {rank} {a} {a} {b} {b} {rank} {ranks}" for rank in range(ranks)]
    assert lines(done) == sorted(expected)


def test_the_sum_has_the_same_bits_in_all_ranks_and_every_time(tmp_path):
    """Of small buffers and large ones, for which MPI adds in other orders."""
    program = script(
        tmp_path,
        "import hashlib\n"
        "with communicator() as ranks:\n"
        "    found = []\n"
        "    for size in (1, 1000, 300_001):\n"
        "        rng = np.random.default_rng([ranks.rank, size])\n"
        "        buffer = rng.standard_normal(size).astype(np.float32) * 10 ** rng.uniform(-9, 9)\n"
        "        for again in range(3):\n"
        "            copy = buffer.copy()\n"
        "            time.sleep(0.02 * ((ranks.rank + again) % 3))\n"
        "            ranks.all_reduce(copy)\n"
        "            found.append(hashlib.sha256(copy).hexdigest()[:8])\n"
        "    told(*found)\n",
    )
    done = run(3, program)
    assert done.returncode == 0, done.stderr
    (of_all,) = set(lines(done))
    assert len(lines(done)) == 3
    hashes = of_all.split()
    assert all(len(set(hashes[i : i + 3])) == 1 for i in (0, 3, 6))


@pytest.mark.parametrize("where", ["gather", "broadcast", "the end", "all at once"])
def test_an_error_of_one_rank_reaches_all(where, tmp_path):
    """Wherever they wait for it; the rank itself keeps its own."""
    program = script(
        tmp_path,
        f"where = {where!r}\n"
        "try:\n"
        "    with communicator() as ranks:\n"
        "        ranks.gather(0)\n"
        "        if ranks.rank == 1 or where == 'all at once':\n"
        "            raise InputError(f'image 7 is torn {ranks.rank}')\n"
        "        if where != 'the end':\n"
        "            getattr(ranks, where)(1)\n"
        "            told('not reached')\n"
        "except InputError as error:\n"
        "    told(ranks.rank, error)\n",
    )
    done = run(3, program, timeout=60)
    assert done.returncode == 0, done.stderr
    found = lines(done)
    if where == "all at once":
        assert found == [f"{rank} image 7 is torn {rank}" for rank in range(3)]
        return
    assert found[1] == "1 image 7 is torn 1"
    for rank in (0, 2):
        assert found[rank].startswith(f"{rank} rank 1 of 3, on ")
        assert found[rank].endswith(": image 7 is torn 1")


def test_an_error_in_the_middle_of_an_exchange_ends_all(tmp_path):
    """Nobody can meet that rank any more: MPI ends them."""
    program = script(
        tmp_path,
        "with communicator() as ranks:\n"
        "    ranks.gather(lambda: 0)  # cannot be pickled\n"
        "    told('not reached')\n",
    )
    done = run(2, program, timeout=60)
    assert done.returncode != 0
    assert "not reached" not in done.stdout
    assert "of 2, on " in done.stderr


def test_other_errors_travel_with_where_they_came_from():
    try:
        raise KeyError("lost")
    except KeyError as error:
        failure = Failure.of(error, 2, 4, "node7")
    told = failure.as_error()
    assert isinstance(told, WorkerError)
    assert str(told).startswith("rank 2 of 4, on node7: KeyError: 'lost'\n\nThere:\nTraceback")
    assert "test_distributed.py" in str(told)


def test_gpu_arrays_are_refused_by_mpi(tmp_path):
    """MPICH's wheels would take the address for one of the host, and crash."""
    program = script(
        tmp_path,
        "from standin import standin\n"
        "with communicator() as ranks:\n"
        "    try:\n"
        "        ranks.all_reduce(standin.zeros(3))\n"
        "    except InputError as error:\n"
        "        told(error)\n",
    )
    done = run(2, program)
    assert lines(done) == ["MPI adds up arrays of the host; copy a GPU's to there first"] * 2
