"""A batch shared out among ranks, each of which has images of its own.

Each rank computes the losses and gradients of its images. What they exchange in a step is the losses
(with the number of things that each is a mean over, see `minirnn.training.part`) and the sums of the
gradients (`minirnn.training.buckets`). The sums are the same bits in all ranks.

Under MPI all run the same `train`: each loads its own images and changes its own copy of the weights, which
stay the same bits, from the first's at the beginning on. (`minirnn.training.team` does it otherwise.)

A rank that fails takes part in the next exchange all the same, see `minirnn.distributed`. Only in the
middle of the gradients nobody can be told: there it hands in the rest as zeros, marked as not whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minirnn.autograd.final import when_final
from minirnn.backend import Array, to_host
from minirnn.distributed import Communicator, communicator
from minirnn.distributed.cores import own_cores
from minirnn.errors import InputError, WorkerError
from minirnn.structures import Target
from minirnn.training.buckets import Buckets
from minirnn.training.part import Part, together, trained
from minirnn.training.passes import Passes
from minirnn.training.shares import added


class Ranks(Passes):
    """This process as one of several that share out batches; all of them call the same.

    Args:
        model: the same in all ranks.
        ranks: who takes part.
        batch_size: images of the whole batch, of which the loader gives rank r number r, r + size, …; 0
            where nobody asks for `streams`.

    Attributes:
        buckets: what gradients travel in; knows bytes and seconds.
    """

    def __init__(self, model: Any, ranks: Communicator, batch_size: int = 0) -> None:
        super().__init__()
        self._ranks, self._batch_size = ranks, batch_size
        self._own = Part(model)
        self.buckets = Buckets(trained(model), ranks)
        self._factors: dict[str, float] = {}

    def streams(self, rng: np.random.Generator, images: int) -> list[np.random.Generator]:
        """See `Passes`: of the whole batch's streams, those of the images of this rank."""
        return rng.spawn(self._batch_size)[self._ranks.rank :: self._ranks.size]

    def losses(
        self,
        images: Sequence[np.ndarray],
        targets: Sequence[Target],
        rngs: Sequence[np.random.Generator],
        counted: bool = False,
    ) -> dict[str, float]:
        """See `Passes`."""
        answers = self._ranks.share(self._own.losses(counted, images, targets, rngs))
        self.counts = added(counts for _, counts in answers)
        means, factors = together([losses for losses, _ in answers])
        self._factors = factors[self._ranks.rank]
        return means

    def backward(self) -> None:
        """See `Passes`."""
        self.buckets.begin()
        try:
            self._own.backward(self._factors, lambda loss: when_final(loss, self.buckets.put))
        except BaseException:
            self.buckets.finish(whole=False)
            raise
        if not self.buckets.finish():
            self._ranks.gather(None)  # where the one that failed says why
            raise WorkerError("another rank has failed, and did not say why")


@contextmanager
def joined(ranks: Communicator | None) -> Iterator[Communicator]:
    """The ranks that were given, or those that this process was started with, until the end of a block."""
    if ranks is not None:
        yield ranks
        return
    with communicator() as found, own_cores(found):
        yield found


def begin_alike(
    ranks: Communicator, model: Any, optimiser: Any, dataset: Any, settings: Any, done: int
) -> int:
    """Have all ranks begin with the first's weights and memory of the steps before.

    Args:
        ranks: who takes part.
        model: with the first's weights afterwards.
        optimiser: the same.
        dataset: must be the first's.
        settings: must be the first's.
        done: steps that were taken.

    Returns:
        Steps that the first has taken.

    Raises:
        InputError: settings or data are not the first's; or there are more ranks than images in a batch.
    """
    if ranks.size == 1:
        return done
    if settings.batch_size < ranks.size:
        raise InputError(
            f"batch_size (--batch-size) is {settings.batch_size}, the images of the whole batch, and "
            f"{ranks.size} ranks share it out; it should be at least {ranks.size}"
        )
    images, data = len(dataset), getattr(dataset, "fingerprint", None)
    of_first: tuple[Any, ...] = ranks.broadcast((settings, images, data))
    if of_first != (settings, images, data):
        what = "settings" if of_first[0] != settings else "data set"
        raise InputError(
            f"the {what} of this rank, with {images} images, differ from those of rank 0, with "
            f"{of_first[1]}; all ranks need the same command and the same files"
        )
    first = ranks.rank == 0
    weights, memory = (
        _on_host(each.state_dict()) if first else None for each in (model, optimiser)
    )
    weights, memory, done = ranks.broadcast((weights, memory, done))
    if not first:
        model.load_state_dict(weights)
        optimiser.load_state_dict(memory)
    return done


def _on_host(state: Mapping[str, Array]) -> dict[str, np.ndarray]:
    return {name: to_host(array) for name, array in state.items()}
