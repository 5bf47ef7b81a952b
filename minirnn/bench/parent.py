"""Asking a process of its own, see `minirnn.bench.child`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from minirnn.bench.machine import environment
from minirnn.distributed.find import LAUNCHERS
from minirnn.errors import InputError


def in_child(request: dict[str, Any], threads: int) -> dict[str, Any]:
    """Run a request in a child process and wait for its answer.

    Raises:
        RuntimeError: the child failed; with the end of what it wrote.
    """
    done = subprocess.run(
        [sys.executable, "-m", "minirnn.bench.child", json.dumps(request, default=str)],
        env=environment(threads),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(
            f"{request['do']} in a child process ended with {done.returncode}: {done.stderr[-2000:]}"
        )
    return json.loads(done.stdout.splitlines()[-1])


def in_ranks(request: dict[str, Any], count: int, threads: int) -> dict[str, Any]:
    """Have so many ranks of this machine answer a request (`minirnn.bench.rank`), and wait for the answer.

    Raises:
        InputError: there is no mpiexec.
        RuntimeError: a rank failed; with the end of what all wrote.
    """
    own = {name for pair in LAUNCHERS for name in pair}
    done = subprocess.run(
        [_mpiexec(), "-n", str(count), sys.executable, "-m", "minirnn.bench.rank",
         json.dumps(request, default=str)],
        env={name: value for name, value in environment(threads).items() if name not in own},
        capture_output=True,
        text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{count} ranks ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _mpiexec() -> str:
    """That of the mpich wheel, beside this Python, or else the one in the PATH.

    Raises:
        InputError: there is none.
    """
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("mpiexec")
    if found is None:
        raise InputError(
            "ranks need mpiexec: pip install '.[mpi]' in the folder of minirnn, which puts it beside Python"
        )
    return found
