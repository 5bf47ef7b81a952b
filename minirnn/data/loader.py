"""Batches for training, made ahead of time by other processes.

Batch k depends on nothing but the data set, the seed and k. So it does not matter how many
processes there are, and a run that goes on at step k gets the batches that it would have had.

That holds for an image that cannot be read (any longer), too: the next of its epoch's order that can be
stands in for it, whoever makes the batch and whenever. So as long as the same files can be read, a run
that was stopped and one that was not see the same images.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from minirnn.data.people import KEYPOINTS
from minirnn.data.transforms import horizontal_flip, random_crop
from minirnn.data.workers import WorkerPool
from minirnn.errors import InputError, WorkerError, WorkerLost
from minirnn.progress import tell
from minirnn.structures import Sample

# How many batches each process may be ahead of the training.
AHEAD = 2
# How often processes that were lost are replaced before the loader gives up.
REPLACED = 20


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


class Batch(list[Sample]):
    """The samples of one batch.

    Attributes:
        left_out: images that could not be read and have a stand-in here: why, by what they are called.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left_out: dict[str, str] = {}


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
        """Which images batch k is made of, if all can be read."""
        return [next(candidates) for candidates in self._candidates(k)]

    def _candidates(self, k: int) -> Iterator[Iterator[int]]:
        """For each place in batch k: its image, and those that stand in for it, in turn."""
        count = len(self.dataset)
        places = range(k * self.batch_size, (k + 1) * self.batch_size)
        orders = {
            epoch: np.random.default_rng([self.seed, 0, epoch]).permutation(count)
            for epoch in {place // count for place in places}
        }
        for place in places:
            order, start = orders[place // count], place % count
            yield (int(order[(start + further) % count]) for further in range(count))

    def __call__(self, k: int) -> Batch:
        """Batch k.

        Raises:
            InputError: no image can be read at all.
            WorkerError: the data set raised something else than an InputError; names the image.
        """
        rng = np.random.default_rng([self.seed, 1, k])
        batch = Batch()
        for candidates in self._candidates(k):
            index = next(candidates)
            try:
                try:
                    sample = self.dataset[index]
                except InputError as error:
                    batch.left_out[self._called(index)] = str(error)
                    index, sample = self._stand_in(candidates, batch.left_out, error)
                batch.append(self._changed(sample, rng))
            except (InputError, MemoryError):
                raise
            except Exception as error:
                message = f"{self._called(index)}: {type(error).__name__}: {error}"
                raise WorkerError(message) from error
        return batch

    def _stand_in(
        self, candidates: Iterator[int], left_out: dict[str, str], first: InputError
    ) -> tuple[int, Sample]:
        """The first of these images that can be read, and its number."""
        for index in candidates:
            try:
                return index, self.dataset[index]
            except InputError as error:
                left_out[self._called(index)] = str(error)
        raise InputError(f"none of the {len(self.dataset)} images can be read. {first}")

    def _changed(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() < self.flip:
            names = getattr(self.dataset, "keypoint_names", None) or KEYPOINTS
            sample = horizontal_flip(sample, names)
        if self.crop < 1:
            sample = random_crop(sample, rng, self.crop)
        return sample if self.augment is None else self.augment(sample, rng)

    def _called(self, index: int) -> str:
        describe = getattr(self.dataset, "describe", "item {}".format)
        return describe(index)


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
        unreadable: share of the images that may turn out to be unreadable (one at least); others take
            their places, and each is named once. At 0, the first ends the iteration.

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
        flip: float = 0.5,
        workers: int = 0,
        timeout: float = 120.0,
        augment: Callable[[Sample, np.random.Generator], Sample] | None = None,
        crop: float = 1.0,
        unreadable: float = 0.0,
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
        if not 0 <= unreadable <= 1:
            raise InputError(f"unreadable is {unreadable}; it should be a share, from 0 to 1")
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
        self._most_left_out = math.ceil(unreadable * len(dataset))
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
