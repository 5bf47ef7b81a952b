"""Batches for training, made ahead of time by other processes.

Batch k depends on nothing but the data set, the seed and k. So it does not matter how many
processes there are, and a run that goes on at step k gets the batches that it would have had.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from minirnn.data.people import KEYPOINTS
from minirnn.data.transforms import horizontal_flip, random_crop
from minirnn.data.workers import WorkerPool
from minirnn.errors import InputError, WorkerError
from minirnn.structures import Sample

# How many batches each process may be ahead of the training.
AHEAD = 2


class Dataset(Protocol):
    """What the loader needs of a data set.

    If it has `describe(index) -> str`, messages call an item by that; if it has `keypoint_names`,
    flips exchange left and right by them; if it has `fingerprint`, a text that differs where the
    data differ, a training is resumed with the same data only.
    """

    def __len__(self) -> int:
        """Number of samples."""

    def __getitem__(self, index: int) -> Sample:
        """Sample `index`, from 0."""


@dataclass(frozen=True)
class BatchMaker:
    """The function from k to batch k.

    Each epoch is a random order of all images, and the epochs stand in a row: batch k is places
    k B to (k + 1) B - 1 of that row, where B is the batch size. Nothing is dropped at an
    epoch's end; the batch goes on into the next one.
    """

    dataset: Dataset
    batch_size: int
    seed: int
    flip: float
    augment: Callable[[Sample, np.random.Generator], Sample] | None
    crop: float = 1.0

    def indices(self, k: int) -> list[int]:
        """Which images batch k is made of."""
        count = len(self.dataset)
        places = range(k * self.batch_size, (k + 1) * self.batch_size)
        orders = {
            epoch: np.random.default_rng([self.seed, 0, epoch]).permutation(count)
            for epoch in {place // count for place in places}
        }
        return [int(orders[place // count][place % count]) for place in places]

    def __call__(self, k: int) -> list[Sample]:
        """Batch k.

        Raises:
            InputError: the data set raised it for one of the images.
            WorkerError: the data set raised something else; names the image.
        """
        rng = np.random.default_rng([self.seed, 1, k])
        names = getattr(self.dataset, "keypoint_names", None) or KEYPOINTS
        batch = []
        for index in self.indices(k):
            try:
                sample = self.dataset[index]
                if rng.random() < self.flip:
                    sample = horizontal_flip(sample, names)
                if self.crop < 1:
                    sample = random_crop(sample, rng, self.crop)
                if self.augment is not None:
                    sample = self.augment(sample, rng)
            except (InputError, MemoryError):
                raise
            except Exception as error:
                describe = getattr(self.dataset, "describe", "item {}".format)
                raise WorkerError(f"{describe(index)}: {type(error).__name__}: {error}") from error
            batch.append(sample)
        return batch


class Loader:
    """Iterates over batches `start_step` … `steps - 1`, each a list of samples of any sizes.

        for batch in Loader(dataset, 8, steps=1000, seed=0, workers=2): ...

    The processes start when the iteration does, and end with it: at its end, at an error, at a
    `break` (once the iterator is let go of), on Ctrl-C, and on `close`.

    Args:
        dataset: see `Dataset`; with workers, it must be picklable, and each has its own copy.
        batch_size: samples in a batch; may be more than the data set has.
        steps: number of batches of the whole training.
        start_step: the first to make; more than 0 goes on with a training that was stopped.
        seed: decides order, flips, crops and augmentation; 0 or more.
        flip: probability of a horizontal flip.
        workers: number of processes; 0 makes each batch in this process when it is asked for.
        timeout: the longest to wait for one batch from a worker, in seconds.
        augment: a further change to each sample, `augment(sample, rng)`; with workers, picklable.
        crop: each picture is cropped to a random window with at least this share of its sides, see
            `random_crop`; 1 leaves it whole.

    Raises:
        InputError: the data set is empty or an argument is out of range. While iterating: what the
            data set raised, with its message.
        WorkerError: while iterating, a process died, or a batch took longer than `timeout`.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        *,
        steps: int,
        start_step: int = 0,
        seed: int,
        flip: float = 0.5,
        workers: int = 0,
        timeout: float = 120.0,
        augment: Callable[[Sample, np.random.Generator], Sample] | None = None,
        crop: float = 1.0,
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
        if not 0 <= flip <= 1:
            raise InputError(f"flip is {flip}; it should be a probability, from 0 to 1")
        if not 0 < crop <= 1:
            raise InputError(f"crop is {crop}; it should be more than 0 and at most 1")
        if not timeout > 0:
            raise InputError(f"timeout is {timeout}; it should be above 0 seconds")
        if len(dataset) == 0:
            raise InputError("the data set is empty; there is nothing to make batches of")
        self.make = BatchMaker(dataset, batch_size, seed, flip, augment, crop)
        self.steps = steps
        self.start_step = start_step
        self.workers = workers
        self.timeout = timeout
        self._pools: list[WorkerPool] = []

    def __len__(self) -> int:
        return self.steps - self.start_step

    def __iter__(self) -> Iterator[list[Sample]]:
        steps = range(self.start_step, self.steps)
        count = min(self.workers, len(steps))
        if count == 0:
            yield from map(self.make, steps)
            return
        pool = WorkerPool(self.make, count)
        self._pools.append(pool)
        try:
            waiting: deque[Future] = deque()
            for k in steps:
                for further in range(k + len(waiting), min(k + AHEAD * count, self.steps)):
                    waiting.append(pool.submit(further))
                yield pool.result(waiting.popleft(), timeout=self.timeout, what=f"batch {k}")
        finally:
            pool.close()
            self._pools.remove(pool)

    def close(self) -> None:
        """End the processes of every iteration that is still open."""
        for pool in self._pools:
            pool.close()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
