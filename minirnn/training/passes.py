"""The two passes of a step, forward and backward, whoever computes them.

| | |
|---|---|
| `whole.Whole` | this process, the whole batch at once |
| `turns.Turns` | this process, some of the images at a time |
| `ranks.Ranks` | one of several processes, each of which has images of its own |
| `team.Team` | this process, and others that it starts and gives some of the images |

    losses = passes.losses(images, targets, passes.streams(rng, len(images)))
    passes.backward()  # the gradients are in the model's parameters

All find the losses and gradient of the whole batch but for rounding (`turns` says what else it changes).
"""

from __future__ import annotations

import abc
from collections.abc import Sequence

import numpy as np

from minirnn.errors import WorkerLost
from minirnn.structures import Target
from minirnn.training.shares import Counts


class Passes(abc.ABC):
    """Computes batches of one model.

    Attributes:
        counts: of the last batch, see `minirnn.training.shares.counts_of`; where they were asked for.
    """

    def __init__(self) -> None:
        self.counts: Counts = {}

    def streams(self, rng: np.random.Generator, images: int) -> list[np.random.Generator]:
        """A generator for each image that `losses` is given, so that nothing depends on who computes it."""
        return rng.spawn(images)

    @abc.abstractmethod
    def losses(
        self,
        images: Sequence[np.ndarray],
        targets: Sequence[Target],
        rngs: Sequence[np.random.Generator],
        counted: bool = False,
    ) -> dict[str, float]:
        """The losses of a batch. What `backward` needs is kept.

        Args:
            images: as for `RCNN.losses`; of ranks, each hands in its own. Enough for all to have one.
            targets: ground truth of each image.
            rngs: of each image, see `streams`.
            counted: leave in `counts` what the stages say of themselves, of all who take part.

        Raises:
            InputError: too few images; or as `RCNN.losses`, in whatever process.
            WorkerError: another process died, takes too long, or met an error that is not the input's
                fault.
        """

    @abc.abstractmethod
    def backward(self) -> None:
        """Add the gradients of the last `losses` to those of the model's parameters.

        They may lie in memory that the next step writes to.

        Raises:
            WorkerError: as `losses`.
        """

    def renew(self, error: WorkerLost) -> None:
        """Replace processes that were lost, so that the step can be taken again.

        Raises:
            WorkerLost: the same error: they cannot be replaced.
        """
        raise error

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Let go of what is held, other processes for one."""

    def __enter__(self) -> Passes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
