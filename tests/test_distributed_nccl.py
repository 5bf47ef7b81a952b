"""What is asked of NCCL, with a stand-in for `cupy.cuda` that adds up at once. No GPU has run it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minirnn.cli import networks
from minirnn.distributed import Alone
from minirnn.distributed.communicator import Communicator
from minirnn.distributed.nccl import Nccl, with_gpus
from minirnn.errors import InputError, WorkerError


class Ranks(Communicator):
    """Two ranks of one machine, as this one sees them; what the other says is given."""

    def __init__(self, rank=0, others=("node", "0000:01", True), size=2):
        self.rank, self.size, self.others = rank, size, others
        self.local_rank, self.host = rank, "node"
        self.told = []

    def gather(self, obj):
        return [obj, self.others]

    def share(self, obj):
        return [obj, self.others]

    def broadcast(self, obj):
        return obj if self.rank == 0 else "the id of the first"

    def begin_all_reduce(self, buffer):
        raise AssertionError("not by MPI")

    def close(self):
        self.told.append("closed")

    def fail(self, error):
        self.told.append(error)


class Cuda:
    """`cupy`, as far as it is used, which notes what it is asked in order."""

    def __init__(self, gpus=4, available=True, gpus_are_called=None):
        asked = self.asked = []

        class Stream:
            def __init__(self, non_blocking=False, name="own"):
                self.name, self.ptr = name, 7

            def record(self):
                asked.append(("record", self.name))
                return f"event of {self.name}"

            def wait_event(self, event):
                asked.append(("wait", self.name, event))

            def synchronize(self):
                asked.append(("synchronize", self.name))

        class Device:
            def __init__(self, number):
                self.number = number
                self.pci_bus_id = gpus_are_called or f"0000:0{number}"

            def use(self):
                asked.append(("use", self.number))

        class Everyone:
            def __init__(self, size, name, rank):
                asked.append(("begin", size, name, rank))

            def allReduce(self, source, target, count, kind, operation, stream):
                assert source is target
                assert stream == 7
                assert operation == "sum"
                source *= 3  # as if the other ranks had twice as much
                asked.append(("all reduce", count, kind))

            def destroy(self):
                asked.append(("destroy",))

        computing = Stream(name="computing")
        nccl = SimpleNamespace(
            available=available,
            NcclCommunicator=Everyone,
            get_unique_id=lambda: "the id of the first",
            NCCL_FLOAT32="f32",
            NCCL_FLOAT64="f64",
            NCCL_SUM="sum",
        )
        self.cuda = SimpleNamespace(
            nccl=nccl,
            Stream=Stream,
            Device=Device,
            get_current_stream=lambda: computing,
            runtime=SimpleNamespace(getDeviceCount=lambda: gpus),
        )


def on_gpu(array):
    """An array that has its address where CuPy has it (here the array itself is the address)."""
    return SimpleNamespace(data=SimpleNamespace(ptr=array), size=array.size, dtype=array.dtype)


@pytest.mark.parametrize("rank", [0, 1])
def test_ranks_find_each_other_by_the_id_of_the_first(rank):
    cupy = Cuda()
    Nccl(Ranks(rank), cupy)
    assert ("begin", 2, "the id of the first", rank) in cupy.asked


@pytest.mark.parametrize(("kind", "called"), [("float32", "f32"), ("float64", "f64")])
def test_a_sum_waits_for_what_is_computed_and_is_waited_for(kind, called):
    cupy = Cuda()
    ranks = Nccl(Ranks(), cupy)
    del cupy.asked[:]
    values = np.arange(5, dtype=kind)
    wait = ranks.begin_all_reduce(on_gpu(values))
    before = list(cupy.asked)
    assert before == [
        ("record", "computing"),
        ("wait", "own", "event of computing"),  # not before the buffer is written
        ("all reduce", 5, called),
        ("record", "own"),
    ]
    wait()
    assert cupy.asked[len(before) :] == [("wait", "computing", "event of own")]
    np.testing.assert_array_equal(values, 3 * np.arange(5))


def test_other_kinds_are_refused():
    with pytest.raises(InputError, match="buffer is int64; NCCL adds up float32 and float64"):
        Nccl(Ranks(), Cuda()).begin_all_reduce(on_gpu(np.arange(3)))


def test_objects_and_errors_go_by_mpi():
    mpi = Ranks()
    ranks = Nccl(mpi, Cuda())
    assert ranks.share("a") == ["a", mpi.others]
    assert ranks.gather("a") == ["a", mpi.others]
    error = WorkerError("lost")
    ranks.fail(error)
    ranks.close()
    assert mpi.told == [error, "closed"]


def test_each_rank_takes_a_gpu_of_its_own():
    cupy = Cuda()
    ranks, told = with_gpus(Ranks(1, others=("node", "0000:00", True)), cupy)
    assert ("use", 1) in cupy.asked
    assert isinstance(ranks, Nccl)
    assert told == "Gradients go by NCCL between 2 GPUs."
    # Two GPUs that are called 0 by their ranks are two.
    ranks, _ = with_gpus(Ranks(1, others=("node", "0000:00", True)), Cuda(1, True, "0000:05"))
    assert isinstance(ranks, Nccl)


@pytest.mark.parametrize(
    ("other", "available", "why"),
    [
        (("node", "0000:00", True), True, "some ranks share a GPU"),
        (("node", "0000:01", False), True, "this CuPy has no NCCL"),
        (("node", "0000:01", True), False, "this CuPy has no NCCL"),
    ],
)
def test_where_nccl_cannot_be_used_it_is_said_and_the_host_adds_up(other, available, why):
    mpi = Ranks(others=other)
    ranks, told = with_gpus(mpi, Cuda(available=available))
    assert ranks is mpi
    assert not ranks.on_device
    assert told.startswith("Gradients go by MPI through the host's memory: ")
    assert why in told


def test_alone_gradients_stay_where_they_are():
    assert Alone().on_device


@pytest.mark.parametrize("rank", [0, 1, 5])
def test_to_find_things_each_rank_takes_a_gpu_of_its_own(rank, monkeypatch):
    cupy = Cuda(gpus=4)
    monkeypatch.setattr("minirnn.weights.model_from", lambda weights, **_: "a network")
    monkeypatch.setattr("minirnn.backend.library_of", lambda device: cupy)
    monkeypatch.setattr(networks, "make_ready", lambda *_: cupy.asked.append("moved"))
    networks.load_network(Path("w"), {}, "cuda", Ranks(rank))
    assert cupy.asked == [("use", rank % 4), "moved"]
    networks.load_network(Path("w"), {}, "cpu", Ranks(rank))
    networks.load_network(Path("w"), {}, "cuda", Alone())
    assert cupy.asked[2:] == ["moved", "moved"]  # nothing chosen
