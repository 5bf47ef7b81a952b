"""What every communicator has to do: `python distributed_cases.py CASE FOLDER` is one rank of MPI's.

A case is called in all ranks. What each is told there lies in FOLDER afterwards.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from minirnn.distributed import communicator
from minirnn.distributed.nccl import Nccl
from minirnn.distributed.processes import Processes
from minirnn.errors import InputError, WorkerError

#: (elements, kind) of arrays that are added up: MPI adds small ones in another order than large ones.
SIZES = ((1, "float64"), (1000, "float32"), (300_001, "float32"))


def addend(rank, size, kind):
    """What a rank adds to a sum: numbers so different that the order of addition shows in the bits."""
    rng = np.random.default_rng([rank, size])
    return (rng.standard_normal(size) * 10 ** rng.uniform(-3, 3, size)).astype(kind)


def bits(array):
    return hashlib.sha256(np.asarray(array).tobytes()).hexdigest()[:16]


def exchanges(ranks, told, on_device):
    told([ranks.rank, ranks.size, ranks.local_rank, ranks.local_size, bool(ranks.host)])
    told(ranks.gather(ranks.rank * 10))
    told(ranks.broadcast({"from": ranks.rank}))
    told(ranks.share("abc"[ranks.rank]))
    told(ranks.scatter([f"for {k}" for k in range(ranks.size)] if ranks.rank == 0 else None))


def sums(ranks, told, on_device):
    """Two at once, in room that is made for it and in any other, each three times."""
    for size, kind in SIZES:
        values = addend(ranks.rank, size, kind)
        room = on_device(ranks.buffer(size, kind))
        for again in range(3):
            room[...] = values
            other = on_device(values * 2)
            waits = [ranks.begin_all_reduce(room), ranks.begin_all_reduce(other)]
            time.sleep(0.02 * ((ranks.rank + again) % 3))
            ranks.progress()
            for wait in waits[:: 1 if again else -1]:
                wait()
            told([bits(room), bits(other)])
            if ranks.rank == 0:
                told(np.asarray(room)[:5].tolist())


def error(where, culprit, kind, ranks, told, on_device):
    """Wherever the others wait for it; None is all ranks at once."""
    ranks.gather(0)
    if culprit in (ranks.rank, None):
        raise kind(f"image 7 is torn {ranks.rank}")
    if where == "the end":
        return
    getattr(ranks, where)(*([range(ranks.size)] if where == "scatter" else [1]))
    told("not reached")


def killed(ranks, told, on_device):
    ranks.gather(0)
    if ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    ranks.all_reduce(np.ones(5))
    told("not reached")


def stopped(ranks, told, on_device):
    ranks.gather(0)
    if ranks.rank == 0:
        ranks.timeout = 1
    if ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    ranks.gather(1)
    told("not reached")


def not_picklable(ranks, told, on_device):
    ranks.gather((lambda: 0) if ranks.rank else 0)
    told("not reached")


def of_a_gpu(ranks, told, on_device):
    from standin import standin

    ranks.all_reduce(standin.zeros(3))


ERRORS = {
    f"{where} {culprit} {kind.__name__}": functools.partial(error, where, culprit, kind)
    for where in ("gather", "broadcast", "scatter", "share", "the end")
    for culprit in (0, 1, None)
    for kind in (InputError, KeyError)
}
CASES = {
    **{f.__name__: f for f in (exchanges, sums, killed, stopped, not_picklable, of_a_gpu)},
    **ERRORS,
}


def take_part(name, folder, ranks, on_device=np.asarray):
    """One rank, from its beginning to its end."""
    told = []
    try:
        with ranks:
            CASES[name](ranks, told.append, on_device)
    except (InputError, WorkerError, KeyError) as error:
        told.append([type(error).__name__, str(error)])
    (Path(folder) / f"{ranks.rank}.json").write_text(json.dumps(told))


class OnGpu(np.ndarray):
    """An array that has its address where CuPy has it; it is its own address."""

    @property
    def data(self):
        return SimpleNamespace(ptr=self)


class Stream:
    """Whatever is begun is done at once."""

    ptr = 7

    def __init__(self, **_):
        pass

    def record(self):
        return None

    def wait_event(self, event):
        pass

    def synchronize(self):
        pass


def nccl_over(ranks):
    """NCCL between ranks that have no GPU: what it is asked to add up, they add up."""

    class Everyone:
        def __init__(self, size, name, rank):
            assert (size, name, rank) == (ranks.size, "the id of the first", ranks.rank)

        def allReduce(self, source, target, count, kind, operation, stream):
            assert source is target
            assert (count, kind, operation, stream) == (source.size, str(source.dtype), "sum", 7)
            ranks.all_reduce(source.view(np.ndarray))

        def destroy(self):
            pass

    nccl = SimpleNamespace(
        NcclCommunicator=Everyone,
        get_unique_id=lambda: "the id of the first",
        NCCL_FLOAT32="float32",
        NCCL_FLOAT64="float64",
        NCCL_SUM="sum",
    )
    cuda = SimpleNamespace(nccl=nccl, Stream=Stream, get_current_stream=Stream)
    return Nccl(ranks, SimpleNamespace(cuda=cuda))


def as_gpu(array):
    return np.asarray(array).view(OnGpu)


def take_part_by_nccl(name, folder, ranks):
    take_part(name, folder, nccl_over(ranks), as_gpu)


def by_processes(name, folder, size, part=take_part):
    """All ranks, of which this process is the first."""
    ranks = Processes(functools.partial(part, name, folder), size, timeout=60)
    part(name, folder, ranks)


def main():
    take_part(sys.argv[1], sys.argv[2], communicator())


if __name__ == "__main__":
    main()
