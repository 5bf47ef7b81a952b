"""Sums between GPUs by NCCL, which sends from one GPU's memory to another's; all else goes by MPI.

One rank a GPU. NCCL knows no processes: an id that the first makes, and that MPI brings to the others, is
how they find each other. Buffers must be flat, contiguous and on this rank's GPU, which buckets are.

This has never run: it needs two GPUs. What it asks of `cupy.cuda.nccl` is tested with a stand-in
(`tests/test_distributed_nccl.py`); whether NCCL answers as its manual says is not.

Source: NVIDIA, "NCCL Developer Guide", ncclAllReduce.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minirnn.backend import Array
from minirnn.distributed.communicator import Communicator
from minirnn.errors import InputError


class Nccl(Communicator):
    """Ranks that have a GPU each.

    Args:
        ranks: carries objects.
        cupy: the library, whose current device is this rank's GPU.
    """

    on_device = True

    def __init__(self, ranks: Communicator, cupy: Any) -> None:
        self._ranks, self._cupy, self._nccl = ranks, cupy, cupy.cuda.nccl
        self.rank, self.size, self.host = ranks.rank, ranks.size, ranks.host
        self.local_rank, self.local_size = ranks.local_rank, ranks.local_size
        name = ranks.broadcast(self._nccl.get_unique_id() if self.rank == 0 else None)
        self._all = self._nccl.NcclCommunicator(self.size, name, self.rank)
        self._stream = cupy.cuda.Stream(non_blocking=True)  # beside the one that computes
        self._kinds = {"float32": self._nccl.NCCL_FLOAT32, "float64": self._nccl.NCCL_FLOAT64}

    def gather(self, obj: Any) -> list[Any] | None:
        """See `Communicator`; by MPI."""
        return self._ranks.gather(obj)

    def broadcast(self, obj: Any) -> Any:
        """See `Communicator`; by MPI."""
        return self._ranks.broadcast(obj)

    def share(self, obj: Any) -> list[Any]:
        """See `Communicator`; by MPI."""
        return self._ranks.share(obj)

    def scatter(self, objs: Sequence[Any] | None) -> Any:
        """See `Communicator`; by MPI."""
        return self._ranks.scatter(objs)

    def begin_all_reduce(self, buffer: Array) -> Callable[[], None]:
        """See `Communicator`; the buffer lies on this rank's GPU.

        The sum waits on the GPU for what the current stream is still writing into the buffer, and what the
        current stream does after `wait` waits for the sum; the host waits for neither.

        Raises:
            InputError: the buffer is of a kind that is not added up here.
        """
        if str(buffer.dtype) not in self._kinds:
            raise InputError(f"buffer is {buffer.dtype}; NCCL adds up float32 and float64 here")
        computing = self._cupy.cuda.get_current_stream()
        self._stream.wait_event(computing.record())
        self._all.allReduce(
            *(buffer.data.ptr, buffer.data.ptr, buffer.size),
            *(self._kinds[str(buffer.dtype)], self._nccl.NCCL_SUM, self._stream.ptr),
        )
        done = self._stream.record()
        return lambda: self._cupy.cuda.get_current_stream().wait_event(done)

    def close(self) -> None:
        """See `Communicator`."""
        self._stream.synchronize()
        self._all.destroy()
        self._ranks.close()

    def fail(self, error: BaseException) -> None:
        """See `Communicator`."""
        self._ranks.fail(error)


def own_gpu(ranks: Communicator, cupy: Any) -> Any:
    """Have this rank compute on a GPU of its machine, the next on the next; which, as CuPy's Device."""
    gpu = cupy.cuda.Device(ranks.local_rank % cupy.cuda.runtime.getDeviceCount())
    gpu.use()
    return gpu


def with_gpus(ranks: Communicator, cupy: Any) -> tuple[Communicator, str]:
    """Give each rank a GPU of its machine, and have the GPUs send to each other where they can.

    Args:
        ranks: all of them call this, before anything is on a GPU.
        cupy: the library.

    Returns:
        The ranks, which add up on the GPUs or on the host; and which of the two, in a line.
    """
    gpu = own_gpu(ranks, cupy)
    # Its number does not say which it is: CUDA_VISIBLE_DEVICES may call each rank's 0.
    places = ranks.share((ranks.host, gpu.pci_bus_id, bool(cupy.cuda.nccl.available)))
    if not all(able for _, _, able in places):
        return ranks, "Gradients go by MPI through the host's memory: this CuPy has no NCCL."
    if len(set(places)) < ranks.size:
        return ranks, "Gradients go by MPI through the host's memory: some ranks share a GPU."
    return Nccl(ranks, cupy), f"Gradients go by NCCL between {ranks.size} GPUs."
