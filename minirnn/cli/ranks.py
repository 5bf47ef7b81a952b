"""A command that several processes run together: `mpiexec -n 4 minirnn evaluate …`."""

from __future__ import annotations

import functools
import sys
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minirnn.distributed.communicator import Communicator
    from minirnn.models import RCNN


def shared_out(command: Callable[..., None]) -> Callable[..., None]:
    """Call a command with the processes that it was started with, as its argument `ranks`.

    All of them end together: an error of one is the error of all, and the first says which it was. The
    others then end in silence, or a missing file would be complained of once by each.
    """

    @functools.wraps(command)
    def run(**options: Any) -> None:
        from minirnn.distributed import communicator
        from minirnn.distributed.cores import own_cores

        ranks = communicator()
        try:
            with ranks, own_cores(ranks):
                command(ranks=ranks, **options)
        except Exception:
            if ranks.rank:
                sys.exit(1)
            raise

    run.shared_out = True  # type: ignore[attr-defined]
    return run


def alike(ranks: Communicator, model: RCNN | None) -> RCNN:
    """The first rank's network, and one of the same configuration in each other.

    Only the first reads files of weights: the others get them with the first step.

    Args:
        ranks: all of them call this.
        model: the first's; None elsewhere.
    """
    config = ranks.broadcast(model and model.config)
    if model is not None:
        return model
    import numpy as np

    from minirnn.models import detector

    return detector(config, np.random.default_rng(0))


def on_devices(ranks: Communicator, device: str) -> tuple[Communicator, str]:
    """The ranks on their devices, each on a GPU of its own where they compute there.

    Returns:
        The ranks, which add up on GPUs or on the host; and lines for a person that say so, and how many
        there are on which machine. None where there is one rank.
    """
    if ranks.size == 1:
        return ranks, ""
    hosts = Counter(ranks.share(ranks.host))
    where = ", ".join(f"{count} on {host}" for host, count in hosts.items())
    text = f"{ranks.size} ranks share out each batch: {where}\n"
    if device == "cuda":
        from minirnn.backend import library_of
        from minirnn.distributed.nccl import with_gpus

        ranks, how = with_gpus(ranks, library_of(device))
        text += f"{how}\n"
    return ranks, text
