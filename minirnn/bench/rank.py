"""One rank of `minirnn bench scale --ranks`: some steps of training with the others.

    mpiexec -n 2 python -m minirnn.bench.rank '{"folder": "…", "steps": 2}'

The first rank prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.bench.machine import threads_limited_to
from minirnn.bench.ranks_watch import Watched
from minirnn.distributed import communicator

#: Bytes that are added up alone: a message that is all latency, a bucket, and many of R-50-FPN's gradients.
ALONE = (4, 25 * 2**20, 100 * 2**20)


def measure(folder: Path, steps: int, ranks: Watched) -> dict[str, Any]:
    """Time steps, and sums while nothing else is done.

    Args:
        folder: from `networks.Setup.write`.
        steps: that are timed, after one that is not.
        ranks: all of them call this.
    """
    from minirnn.bench.networks import Setup, our_network, our_step

    setup = Setup.read(folder)
    with threads_limited_to(setup.threads):
        step = our_step(our_network(folder), setup.samples, setup.threads, ranks)
        step()
        found: dict[str, Any] = {"seconds": [], "cpu": [], "adding": [], "talking": []}
        for _ in range(steps):
            ranks.gather(None)  # all begin together
            ranks.forget()
            begun, worked = time.perf_counter(), time.process_time()
            step()
            found["seconds"].append(time.perf_counter() - begun)
            found["cpu"].append(time.process_time() - worked)
            found["adding"].append(ranks.adding)
            found["talking"].append(ranks.talking)
        return {**found, "size": ranks.added, "alone": _alone(ranks)}


def _alone(ranks: Watched) -> dict[int, list[float]]:
    """Seconds that sums of so many bytes take, three times each."""
    found: dict[int, list[float]] = {}
    for size in ALONE if ranks.size > 1 else ():
        buffer = np.zeros(size // 4, np.float32)
        for turn in range(4):
            ranks.gather(None)
            begun = time.perf_counter()
            ranks.all_reduce(buffer)
            if turn:  # the first touches the memory
                found.setdefault(size, []).append(time.perf_counter() - begun)
    return found


def main() -> None:
    """Answer the request on the command line."""
    request = json.loads(sys.argv[1])
    with communicator() as ranks:
        answer = measure(Path(request["folder"]), request["steps"], Watched(ranks))
        if ranks.rank == 0:
            print(json.dumps(answer))


if __name__ == "__main__":
    main()
