"""How this process was started: alone, or by `mpiexec` (or Slurm) as one of several."""

from __future__ import annotations

import os

from minirnn.distributed.alone import Alone
from minirnn.distributed.communicator import Communicator
from minirnn.errors import InputError

#: What launchers leave in the environment: the variable with the rank, and that with the number of ranks.
#: Hydra (MPICH, Intel) and Slurm's PMI-2; Open MPI; Slurm's PMIx. Slurm's own variables do not count
#: without a PMI: a job's script has them, too, and is one process.
LAUNCHERS = (
    ("PMI_RANK", "PMI_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMIX_RANK", "SLURM_STEP_NUM_TASKS"),
)


def launched() -> tuple[int, int]:
    """This process's rank and the number of ranks, as its launcher says; (0, 1) without one."""
    for rank, size in LAUNCHERS:
        try:
            return int(os.environ[rank]), int(os.environ[size])
        except (KeyError, ValueError):
            continue
    return 0, 1


def communicator() -> Communicator:
    """Those that this process was started with, under `mpiexec -n 4 …`; itself alone otherwise.

    Raises:
        InputError: there are several, and mpi4py is missing or belongs to another MPI than the launcher.
    """
    _, size = launched()
    if size == 1:
        return Alone()
    try:
        from minirnn.distributed.mpi import Mpi

        found = Mpi()
    except (
        ImportError,
        RuntimeError,
    ) as error:  # without a library of MPI, mpi4py raises RuntimeError
        raise InputError(
            f"this was started as one of {size} processes, and mpi4py, by which they speak, cannot be used "
            f"({error}): pip install '.[mpi]' in the folder of minirnn, on each machine"
        ) from error
    if found.size != size:
        raise InputError(
            f"this was started as one of {size} processes, but the MPI of mpi4py sees {found.size}: the "
            "mpiexec is another MPI's. The one that belongs to it lies beside this Python "
            "(python -m pip install '.[mpi]' brings both)"
        )
    return found
