"""Running programs under the `mpiexec` of the mpich wheel, which lies beside this Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MPIEXEC = Path(sys.executable).with_name("mpiexec")
#: What a launcher leaves in the environment; a test is started by none.
LAUNCHED = ("PMI_", "PMIX_", "OMPI_", "MPI_", "SLURM_")


def mpiexec() -> Path:
    """The program; skips the test where there is none."""
    pytest.importorskip(
        "mpi4py", reason="needs mpi4py and mpich (extra [mpi])", exc_type=ImportError
    )
    if not MPIEXEC.exists():
        pytest.skip("there is no mpiexec beside this Python (extra [mpi])")
    return MPIEXEC


def environment(**more: str) -> dict[str, str]:
    """That of a program which finds minirnn and the tests, and takes one thread a rank."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHED)}
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return {
        **own,
        "PYTHONPATH": paths,
        "MINIRNN_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        **more,
    }


def command(ranks: int, *words: object) -> list[str]:
    """`mpiexec -n ranks python words`."""
    return [str(mpiexec()), "-n", str(ranks), sys.executable, *map(str, words)]


def run(
    ranks: int, *words: object, timeout: float = 120, **more: str
) -> subprocess.CompletedProcess:
    """Run Python with these words on so many ranks, and wait for its end."""
    return subprocess.run(
        command(ranks, *words),
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
