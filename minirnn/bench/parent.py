"""Asking a process of its own, see `minirnn.bench.child`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from minirnn.bench.machine import environment


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
