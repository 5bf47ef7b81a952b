"""A process of its own, for one contestant: how much memory does it take, all in all?

    python -m minirnn.bench.child '{"do": "peak", "folder": "…", "name": "ours"}'

prints one line of JSON. Nothing else may have been in the process before: memory that was taken and
given back would hide what the measured work takes.
"""

from __future__ import annotations

import contextlib
import gc
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from minirnn.bench.clock import take_turns
from minirnn.bench.machine import memory_now, memory_peak, threads_limited_to
from minirnn.kernels.cpu.memory import give_back


def peak(folder: Path, name: str) -> dict[str, Any]:
    """Memory of one contestant of a folder, before its work and at most during it."""
    from minirnn.bench.networks import Setup, contestant
    from minirnn.bench.peers import torchvision_is_compiled
    from minirnn.bench.stand_ins import our_roi_align_instead

    setup = Setup.read(folder)
    threads, steps = setup.threads, 2 if setup.training else 1
    del setup
    with ExitStack() as stack:
        stack.enter_context(threads_limited_to(threads))
        if name == "torchvision" and not torchvision_is_compiled():
            stack.enter_context(our_roi_align_instead())
        run = contestant(name, folder)
        _forget_peak()
        base = memory_now()
        for _ in range(steps):  # the second step of training has its velocities, too
            run()
        return {"base": base, "peak": memory_peak()}


def scale(folder: Path, overrides: dict[str, Any], batch: int, repeat: int) -> dict[str, Any]:
    """Our time and memory for a batch of copies of the folder's picture."""
    from minirnn.bench.networks import Setup, our_answer, our_network
    from minirnn.bench.side_by_side import count_regions

    model = our_network(folder, **overrides)
    samples = list(Setup.read(folder).samples[:1]) * batch
    _forget_peak()
    base = memory_now()
    seconds = take_turns({"ours": our_answer(model, samples)}, repeat).seconds["ours"]
    used = memory_peak()
    regions = count_regions(model, samples)
    counts = {"proposals": regions["box"], "instances": regions["mask"]}
    return {"seconds": seconds, "base": base, "peak": used, **counts}


def _forget_peak() -> None:
    """Start the peak again from what is held now, where the system allows it (Linux)."""
    gc.collect()
    give_back()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def main() -> None:
    """Answer the request on the command line."""
    request = json.loads(sys.argv[1])
    work: dict[str, Callable[..., dict[str, Any]]] = {"peak": peak, "scale": scale}
    do = request.pop("do")
    request["folder"] = Path(request["folder"])
    print(json.dumps(work[do](**request)))


if __name__ == "__main__":
    main()
