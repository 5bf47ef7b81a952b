"""Batches for training, made ahead of time by other processes.

What batch k is, is said in `minirnn.data.batches`: it depends on nothing but the data set, the seed and k.
So it does not matter how many processes there are, or whether one dies and its batch is made again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np

from minirnn.data.augmentation import Augmentation
from minirnn.data.batches import Batch, BatchMaker, Dataset
from minirnn.data.workers import WorkerPool
from minirnn.errors import InputError, WorkerLost
from minirnn.progress import tell
from minirnn.structures import Sample

# How many batches each process may be ahead of the training.
AHEAD = 2
# How often processes that were lost are replaced before the loader gives up.
REPLACED = 20


class Loader:
    """Iterates over batches `start_step` … `steps - 1`, each a list of samples of any sizes.

        for batch in Loader(dataset, 8, steps=1000, seed=0, workers=2): ...

    The processes start when the iteration does, and end with it: at its end, at an error, at a
    `break` (once the iterator is let go of), on Ctrl-C, and on `close`.

    Args:
        dataset: see `minirnn.data.batches.Dataset`; with workers, it must be picklable, and each has its
            own copy.
        batch_size: samples in a batch; may be more than the data set has.
        steps: number of batches of the whole training.
        start_step: the first to make; more than 0 goes on with a training that was stopped.
        seed: decides order, flips, crops and augmentation; 0 or more.
        workers: number of processes; 0 makes each batch in this process when it is asked for.
        timeout: the longest to wait for one batch from a worker, in seconds.
        augment: a further change to each sample, `augment(sample, rng)`; with workers, picklable.
        unreadable: share of the images that may turn out to be unreadable (one at least); others take
            their places, and each is named once. At 0, the first ends the iteration.
        rank: which part of each batch to make, from 0, where `ranks` share it out.
        ranks: how many those are; each may find its share of `unreadable`.
        changes: how pictures are changed: `flip`, `crop`, …, see `minirnn.data.augmentation.Augmentation`.

    A process that dies, or takes too long, is replaced with all others, once for a batch: the batch is
    made again, with the same samples.

    Raises:
        InputError: the data set is empty or an argument is out of range. While iterating: more images
            than `unreadable` allows raised it; names them.
        WorkerError: while iterating, a process died, or a batch took longer than `timeout`, twice for
            the same batch; or the data set raised something that is no InputError.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        *,
        steps: int,
        start_step: int = 0,
        seed: int,
        workers: int = 0,
        timeout: float = 120.0,
        augment: Callable[[Sample, np.random.Generator], Sample] | None = None,
        unreadable: float = 0.0,
        rank: int = 0,
        ranks: int = 1,
        **changes: Any,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("steps", steps, 0),
            ("start_step", start_step, 0),
            ("seed", seed, 0),
            ("workers", workers, 0),
        ):
            if value < least:
                raise InputError(f"{name} is {value}; it should be at least {least}")
        if start_step > steps:
            raise InputError(f"start_step is {start_step}; it should be at most steps, {steps}")
        if not 0 <= unreadable <= 1:
            raise InputError(f"unreadable is {unreadable}; it should be a share, from 0 to 1")
        if not timeout > 0:
            raise InputError(f"timeout is {timeout}; it should be above 0 seconds")
        if len(dataset) == 0:
            raise InputError("the data set is empty; there is nothing to make batches of")
        if not 0 <= rank < ranks <= batch_size:
            raise InputError(
                f"rank is {rank} of {ranks}, and batch_size {batch_size}; rank should be less than ranks, "
                "and these at most batch_size"
            )
        augmentation = Augmentation(further=augment, **changes)
        self.make = BatchMaker(dataset, batch_size, seed, augmentation, rank, ranks)
        self.steps = steps
        self.start_step = start_step
        self.workers = workers
        self.timeout = timeout
        self._pools: list[WorkerPool] = []
        self._most_left_out = math.ceil(unreadable * len(dataset) / ranks)
        self._left_out: dict[str, str] = {}

    def __len__(self) -> int:
        return self.steps - self.start_step

    def __iter__(self) -> Iterator[list[Sample]]:
        steps = range(self.start_step, self.steps)
        count = min(self.workers, len(steps))
        if count:
            yield from self._by_workers(steps, count)
        for k in steps if count == 0 else ():
            yield self._looked_at(self.make(k))

    def _by_workers(self, steps: range, count: int) -> Iterator[Batch]:
        """The batches, made ahead of time by so many processes; those that are lost are replaced."""
        start, replaced = steps.start, 0
        while True:
            pool = WorkerPool(self.make, count)
            self._pools.append(pool)
            waiting: deque[Future] = deque()
            k = start
            try:
                for k in range(start, steps.stop):
                    for further in range(k + len(waiting), min(k + AHEAD * count, steps.stop)):
                        waiting.append(pool.submit(further))
                    made = waiting.popleft()
                    yield self._looked_at(
                        pool.result(made, timeout=self.timeout, what=f"batch {k}")
                    )
                return
            except WorkerLost as error:
                closed = pool not in self._pools
                if closed or (replaced and k == start) or replaced == REPLACED:
                    raise
                tell(f"{error}. New processes make batch {k} again; nothing is lost.")
                start, replaced = k, replaced + 1
            finally:
                pool.close()
                if pool in self._pools:
                    self._pools.remove(pool)

    def _looked_at(self, batch: Batch) -> Batch:
        """The batch, after its images that were left out are named, once, and if they are not too many."""
        new = {name: why for name, why in batch.left_out.items() if name not in self._left_out}
        self._left_out |= new
        count, most = len(self._left_out), self._most_left_out
        if count <= most:
            for why in new.values():
                tell(
                    f"{why}. It is left out, and another image takes its place ({count} of {most})"
                )
            return batch
        reasons = list(self._left_out.values())
        if most == 0:
            raise InputError(reasons[0])
        shown = reasons[-5:] + [f"and {count - 5} named above"] * (count > 5)
        raise InputError(
            f"{count} of {len(self.make.dataset)} images cannot be read; at most {most} may be so "
            "(the setting `unreadable`):\n  " + "\n  ".join(shown)
        )

    def close(self) -> None:
        """End the processes of every iteration that is still open."""
        while self._pools:
            self._pools.pop().close()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
