"""Which images batch k is made of, and how they are changed: a function of the data set, the seed and k.

So it does not matter which process makes it, and a run that goes on at step k gets the batches that it
would have had.

That holds for an image that cannot be read (any longer), too: the next of its epoch's order that can be
stands in for it, whoever makes the batch and whenever. So as long as the same files can be read, a run
that was stopped and one that was not see the same images.

Where several machines share out a batch, each makes its own part only (`rank`, `ranks`): what is drawn for
an image depends on its place, not on the images before it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from minirnn.data.augmentation import Augmentation
from minirnn.data.copy_paste import to_paste
from minirnn.errors import InputError, WorkerError
from minirnn.structures import Sample

#: How many images are drawn, at most, to find one with objects to paste.
DRAWS = 4


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
    epoch's end; the batch goes on into the next one. Rank r of n takes places r, r + n, r + 2n, … of it.
    """

    dataset: Dataset
    batch_size: int
    seed: int
    augmentation: Augmentation
    rank: int = 0
    ranks: int = 1

    def indices(self, k: int) -> list[int]:
        """Which images (this rank's part of) batch k is made of, if all can be read."""
        places = self._places(k)
        return [next(candidates) for candidates in self._candidates(places)]

    def _places(self, k: int) -> range:
        """Where the part of batch k lies in the row of epochs."""
        return range(k * self.batch_size, (k + 1) * self.batch_size)[self.rank :: self.ranks]

    def _candidates(self, places: range) -> Iterator[Iterator[int]]:
        """For each place: its image, and those that stand in for it, in turn."""
        count = len(self.dataset)
        orders = {
            epoch: np.random.default_rng([self.seed, 0, epoch]).permutation(count)
            for epoch in {place // count for place in places}
        }
        for place in places:
            order, start = orders[place // count], place % count
            yield (int(order[(start + further) % count]) for further in range(count))

    def __call__(self, k: int) -> Batch:
        """Batch k, or this rank's part of it.

        Raises:
            InputError: no image can be read at all.
            WorkerError: the data set raised something else than an InputError; names the image.
        """
        draws = np.random.default_rng([self.seed, 1, k]).random(self.batch_size)
        own, places = draws[self.rank :: self.ranks].tolist(), self._places(k)
        batch = Batch()
        for place, draw, candidates in zip(places, own, self._candidates(places), strict=True):
            index = next(candidates)
            try:
                try:
                    sample = self.dataset[index]
                except InputError as error:
                    batch.left_out[self._called(index)] = str(error)
                    index, sample = self._stand_in(candidates, batch.left_out, error)
                rng = np.random.default_rng([self.seed, 3, place])
                batch.append(self._changed(sample, index, rng, draw, batch.left_out))
            except (InputError, WorkerError, MemoryError):
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

    def _changed(
        self,
        sample: Sample,
        index: int,
        rng: np.random.Generator,
        draw: float,
        left_out: dict[str, str],
    ) -> Sample:
        names = getattr(self.dataset, "keypoint_names", None)
        another = functools.partial(self._another, index, left_out)
        return self.augmentation(sample, rng, names, another, draw)

    def _another(
        self, index: int, left_out: dict[str, str], rng: np.random.Generator
    ) -> Sample | None:
        """Another image than `index`, with objects that can be pasted; None if some draws gave none.

        As many numbers are drawn, whether an image can be read or not.
        """
        count = len(self.dataset)
        for step in rng.integers(1, max(count, 2), DRAWS):
            number = int((index + step) % count)
            try:
                sample = self.dataset[number]
            except InputError as error:
                left_out[self._called(number)] = str(error)
                continue
            except Exception as error:
                message = f"{self._called(number)}: {type(error).__name__}: {error}"
                raise WorkerError(message) from error
            if len(to_paste(sample)):
                return sample
        return None

    def _called(self, index: int) -> str:
        describe = getattr(self.dataset, "describe", "item {}".format)
        return describe(index)
