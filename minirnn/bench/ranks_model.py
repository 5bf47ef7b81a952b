"""What a step of training should take on n ranks, from a step of one: arithmetic, no measurement.

Every rank keeps its own number of images ("weak scaling"), so that what it computes stays the same, and
n ranks do n times the images in

    T(n) = computing, of the slowest rank + what of the exchange is not hidden behind the way back.

The exchange adds up the gradients of all ranks. They come in *buckets*: as soon as the way back has filled
one it travels, while the next is computed. So only what is still on its way when the way back is done
costs time: the last bucket always, and more where the link is slower than the way back.

In a *ring* of n ranks each sends 2(n − 1) messages of 1/n of the bucket, half of them to add up and half
to hand on the sum: 2(n − 1)/n · bytes / bandwidth + 2(n − 1) · latency. No way of adding up sends fewer
bytes, and they hardly grow with n (Patarasuk & Yuan, 2009); the messages do. *By halves* (each adds up half
of what it has with a partner, then a quarter with another, …, and all the way back) it is as many bytes
in 2 log₂ n messages (Thakur, Rabenseifner & Gropp, 2005). MPICH adds up large arrays so, and so does the
model. Each rank has a link of its own in it: ranks that share a machine's have to share its bandwidth, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.special import ndtri

from minirnn.training.buckets import SIZE

#: Seconds that a message takes on Ethernet by TCP however short it is; assumed.
ETHERNET_LATENCY = 30e-6
#: The way back's share of a step: it has two products for each one of the way there.
BACKWARD = 2 / 3

#: By what share of itself a step of two images varies from rank to rank. At 800 pixels the area of two
#: images of COCO, padded to one size, varies by 0.18 (75 images), and time grows as area^0.75.
SPREAD = 0.15

#: The paper's schedule (He et al., 2017, section 3.1): images of a rank, of a batch, its rate, its steps.
IMAGES, BATCH, RATE, STEPS = 2, 16, 0.02, 160_000


@dataclass(frozen=True)
class Link:
    """What connects two ranks.

    Attributes:
        bandwidth: bytes a second, in each direction.
        latency: seconds that a message takes however short it is.
    """

    bandwidth: float
    latency: float = ETHERNET_LATENCY

    @classmethod
    def ethernet(cls, gigabits: float) -> Link:
        """A link of so many Gbit/s."""
        return cls(gigabits * 1e9 / 8)


@dataclass(frozen=True)
class Step:
    """A step of training without exchange.

    Attributes:
        seconds: that it takes, forward, backward and update.
        sizes: bytes of each bucket, in the order in which they are filled.
        backward: the way back's share of the seconds; the buckets are filled at equal distances in it, the
            last one with its end.
        spread: by what share of itself the time of a step varies from rank to rank (standard deviation),
            because no two have the same images.
        ranks: on how many it was measured, of which the slowest made it last so long.
    """

    seconds: float
    sizes: tuple[int, ...]
    backward: float = BACKWARD
    spread: float = 0.0
    ranks: int = 1

    @property
    def size(self) -> int:
        """Bytes of all gradients."""
        return sum(self.sizes)


def buckets(size: int, most: int = SIZE) -> tuple[int, ...]:
    """Gradients of so many bytes in as few equal buckets as hold at most `most` bytes each."""
    count = max(math.ceil(size / most), 1)
    return tuple(size // count + (k < size % count) for k in range(count))


def messages(ranks: int) -> int:
    """That each rank sends, one after the other, to add up by halves."""
    return 2 * math.ceil(math.log2(ranks))


def sum_seconds(size: int, ranks: int, link: Link) -> float:
    """What it takes to add up so many bytes among so many ranks, by halves."""
    return sent(size, ranks) / link.bandwidth + messages(ranks) * link.latency


def ring_seconds(size: int, ranks: int, link: Link) -> float:
    """What it takes in a ring."""
    return sent(size, ranks) / link.bandwidth + 2 * (ranks - 1) * link.latency


def sent(size: int, ranks: int) -> float:
    """Bytes that each rank sends, and receives, to add up so many among so many ranks."""
    return 2 * (ranks - 1) / ranks * size


def exchange_seconds(step: Step, ranks: int, link: Link) -> float:
    """All of the exchange, hidden or not."""
    return sum(sum_seconds(size, ranks, link) for size in step.sizes)


def not_hidden(step: Step, ranks: int, link: Link) -> float:
    """Seconds from the end of the way back to the end of the exchange."""
    backward = step.backward * alone(step)
    free = 0.0  # when the link has done all buckets so far, from the beginning of the way back
    for number, size in enumerate(step.sizes, start=1):
        filled = backward * number / len(step.sizes)
        free = max(free, filled) + sum_seconds(size, ranks, link)
    return max(free - backward, 0.0)


def slowest(ranks: int) -> float:
    """The largest of n numbers drawn from a normal distribution, on average, in standard deviations.

    Source: Blom's approximation (1958), within 0.03 of the true mean for up to 512.
    """
    return float(ndtri((ranks - 0.375) / (ranks + 0.25))) if ranks > 1 else 0.0


def alone(step: Step) -> float:
    """What the step takes on average on one rank that waits for nobody."""
    return step.seconds / (1 + step.spread * slowest(step.ranks))


def step_seconds(step: Step, ranks: int, link: Link) -> float:
    """What a step takes on so many ranks, each with as many images as one has alone."""
    computing = alone(step) * (1 + step.spread * slowest(ranks))
    return computing + not_hidden(step, ranks, link)


def efficiency(step: Step, ranks: int, link: Link) -> float:
    """T(1) / T(n): 1 if n ranks do n times the images in the time of one."""
    return alone(step) / step_seconds(step, ranks, link)


@dataclass(frozen=True)
class Schedule:
    """The paper's training on so many ranks of two images each: as many images, fewer steps.

    Attributes:
        batch: images of a step.
        rate: learning rate, by the linear rule: twice the batch, twice the rate (Goyal et al., 2017).
        steps: of the whole training.
        hours: of the whole training.
    """

    batch: int
    rate: float
    steps: int
    hours: float


def schedule(step: Step, ranks: int, link: Link) -> Schedule:
    """What the paper's training would be on so many ranks.

    Args:
        step: of one rank with two images.
        ranks: how many.
        link: between them.
    """
    batch = IMAGES * ranks
    steps = math.ceil(STEPS * BATCH / batch)
    hours = steps * step_seconds(step, ranks, link) / 3600
    return Schedule(batch, RATE * batch / BATCH, steps, hours)


def link_of(sizes: Sequence[int], seconds: Sequence[float], ranks: int) -> Link:
    """The link that explains best what additions of several sizes took.

    Args:
        sizes: bytes that were added up, at least two that differ.
        seconds: that each took.
        ranks: that took part, at least 2.
    """
    # took = messages · latency + sent / bandwidth, divided by what it took: so that relative errors are
    # made small, and a short message counts as much as a long one.
    took = np.asarray(seconds)
    columns = [np.full(len(took), float(messages(ranks))), sent(1, ranks) * np.asarray(sizes)]
    (latency, inverse), _ = nnls(np.stack(columns, axis=1) / took[:, None], np.ones(len(took)))
    return Link(1 / float(inverse) if inverse else math.inf, float(latency))
