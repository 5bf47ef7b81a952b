"""Processes that work together: what each gets of an exchange, and what becomes of them when one fails.

The same cases (`distributed_cases`) in all forms: alone, processes of one machine, MPI, and NCCL with a
stand-in for it.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time

import numpy as np
import pytest
from distributed_cases import (
    SIZES,
    addend,
    bits,
    by_processes,
    take_part,
    take_part_by_nccl,
)
from mpi_cases import ROOT, environment, mpiexec, run

from minirnn.distributed import Alone, communicator, find, launched
from minirnn.distributed.failure import Failure
from minirnn.distributed.processes import Processes
from minirnn.errors import InputError, WorkerError, WorkerLost

PROGRAM = ROOT / "tests" / "distributed_cases.py"


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for names in find.LAUNCHERS:
        for name in names:
            monkeypatch.delenv(name, raising=False)


def told_of(form, size, case, folder):
    """What each rank was told in a case."""
    if form == "alone":
        take_part(case, folder, Alone())
    elif form == "processes":
        by_processes(case, folder, size)
    elif form == "nccl":
        by_processes(case, folder, size, take_part_by_nccl)
    else:
        done = run(size, PROGRAM, case, folder, timeout=120)
        assert done.returncode == 0, done.stderr
    assert not multiprocessing.active_children()
    found = {int(path.stem): json.loads(path.read_text()) for path in folder.glob("*.json")}
    return [found.get(rank) for rank in range(size)]


FORMS = [("alone", 1), ("processes", 2), ("processes", 3), ("mpi", 2), ("mpi", 3), ("nccl", 2)]
#: Those in which others can be told of an error.
SEVERAL = [("processes", 3), ("mpi", 3), ("nccl", 3)]


@pytest.mark.parametrize(("form", "size"), FORMS)
def test_what_each_rank_gets(form, size, tmp_path):
    for rank, told in enumerate(told_of(form, size, "exchanges", tmp_path)):
        assert told == [
            [rank, size, rank, size, form != "alone"],
            None if rank else [10 * k for k in range(size)],
            {"from": 0},
            list("abc"[:size]),
            f"for {rank}",
        ]


@pytest.mark.parametrize(("form", "size"), FORMS)
def test_the_sum_has_the_same_bits_in_all_ranks_and_every_time(form, size, tmp_path):
    first, *others = told_of(form, size, "sums", tmp_path)
    pairs, beginnings = first[::2], first[1::2]
    assert all(told == pairs for told in others)
    for place, (length, kind) in enumerate(SIZES):
        turns = pairs[3 * place : 3 * place + 3]
        assert turns == [turns[0]] * 3
        total = addend(0, length, kind)
        for rank in range(1, size):
            total = total + addend(rank, length, kind)
        np.testing.assert_allclose(beginnings[3 * place], total[:5], rtol=1e-5, atol=1e-4)
        if form != "mpi":  # whose order of addition is its own; here it is that of the ranks
            assert turns[0] == [bits(total), bits(total * 2)]


def test_another_order_of_addition_would_have_other_bits():
    a, b, c = (addend(rank, 1000, "float32") for rank in range(3))
    assert bits((a + b) + c) != bits(a + (b + c))


@pytest.mark.parametrize(("form", "size"), SEVERAL)
@pytest.mark.parametrize(
    ("where", "culprit"),
    [
        ("gather", 1),
        ("broadcast", 1),
        ("scatter", 0),
        ("share", 1),
        ("the end", 1),
        ("gather", None),
    ],
)
def test_an_error_of_one_rank_reaches_all(form, size, where, culprit, tmp_path):
    """Wherever they wait for it; the rank itself keeps its own."""
    found = told_of(form, size, f"{where} {culprit} InputError", tmp_path)
    for rank, (told,) in enumerate(found):
        own = culprit in (rank, None)
        kind, message = told
        assert kind == "InputError"
        assert message.endswith(f"image 7 is torn {rank if own else culprit}")
        assert message.startswith("image 7" if own else f"rank {culprit} of 3, on ")


@pytest.mark.parametrize(("form", "size"), SEVERAL)
def test_a_bug_in_one_rank_reaches_all_with_its_place(form, size, tmp_path):
    first, *_ = told_of(form, size, "share 1 KeyError", tmp_path)
    ((kind, message),) = first
    assert kind == "WorkerError"
    assert "rank 1 of 3, on " in message
    assert "KeyError: 'image 7 is torn 1'" in message
    assert "distributed_cases.py" in message


def test_a_process_that_is_killed_is_told_by_its_number_and_not_waited_for(tmp_path):
    begun = time.monotonic()
    first, second, third = told_of("processes", 3, "killed", tmp_path)
    assert time.monotonic() - begun < 55  # the time limit is 60
    assert second is None
    for ((kind, message),) in (first, third):
        assert kind == "WorkerLost"
        assert message.startswith("rank 1 of 3, on ")
        assert "died (signal 9, SIGKILL" in message


def test_a_process_that_is_stopped_is_waited_for_no_longer_than_the_limit(tmp_path):
    first, second, third = told_of("processes", 3, "stopped", tmp_path)
    assert second is None
    for ((kind, message),) in (first, third):
        assert kind == "WorkerLost"
        assert message.startswith("rank 1 of 3, on ")
        assert "took longer than 1 s" in message


def test_what_cannot_be_pickled_is_told_where_processes_exchange(tmp_path):
    first, *others = told_of("processes", 2, "not_picklable", tmp_path)
    ((kind, message),) = first
    assert kind == "WorkerError"
    assert message.startswith("rank 1 of 2, on ")
    assert others


def test_what_cannot_be_pickled_ends_all_ranks_of_mpi(tmp_path):
    """Nobody can meet that rank any more: MPI ends them."""
    done = run(2, PROGRAM, "not_picklable", tmp_path, timeout=60)
    assert done.returncode != 0
    assert "of 2, on " in done.stderr


def test_a_stopped_process_does_not_stop_the_sending_of_much():
    """More than a pipe holds: without a limit the first would wait for it to be read, for ever."""
    ranks = Processes(_stop_and_listen, 2, timeout=60)
    with pytest.raises(WorkerLost, match=r"rank 1 of 2.*took longer than 1 s"), ranks:
        _send_much(ranks)


def _send_much(ranks):
    ranks.gather(None)
    ranks.timeout = 1
    ranks.broadcast(np.zeros(10**7))
    ranks.gather(None)


def _stop_and_listen(ranks):
    """Stopped after its envelope has left: the first believes it there."""
    import os
    import signal
    import threading

    ranks.gather(None)
    threading.Timer(0.0, os.kill, (os.getpid(), signal.SIGSTOP)).start()
    ranks.broadcast(None)
    ranks.gather(None)


def test_a_program_that_no_process_can_find(tmp_path):
    with pytest.raises(InputError, match="cannot be pickled"):
        Processes(lambda ranks: None, 2)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("form", ["processes", "mpi"])
def test_gpu_arrays_are_refused_by_those_that_add_up_on_the_host(form, tmp_path):
    """MPICH's wheels would take the address for one of the host, and crash."""
    for ((kind, message),) in told_of(form, 2, "of_a_gpu", tmp_path):
        assert kind == "InputError"
        assert "add" in message
        assert "arrays of the host; copy a GPU's to there first" in message


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
        [sys.executable, str(PROGRAM), "exchanges", str(tmp_path)],
        env=environment(OMPI_COMM_WORLD_RANK="0", OMPI_COMM_WORLD_SIZE="3"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "started as one of 3 processes, but the MPI of mpi4py sees 1" in done.stderr


def test_other_errors_travel_with_where_they_came_from():
    try:
        raise KeyError("lost")
    except KeyError as error:
        failure = Failure.of(error, 2, 4, "node7")
    told = failure.as_error()
    assert isinstance(told, WorkerError)
    assert str(told).startswith("rank 2 of 4, on node7: KeyError: 'lost'\n\nThere:\nTraceback")
    assert "test_distributed.py" in str(told)
