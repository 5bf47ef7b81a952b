"""What a step computes: the losses of a batch, and their gradients, both of which have to be finite."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minirnn.distributed import Communicator
from minirnn.errors import WorkerLost
from minirnn.structures import Sample
from minirnn.training.divergence import refuse_gradients, refuse_losses
from minirnn.training.optimiser import Optimiser, clip_gradients, gradient_norm
from minirnn.training.passes import Passes
from minirnn.training.settings import TrainingSettings
from minirnn.training.shares import Counts


def step_rng(seed: int, step: int) -> np.random.Generator:
    """The generator of one training step, made from nothing but the seed and the step's number.

    The loader's streams are [seed, 0, …], [seed, 1, …] and [seed, 3, …]; the 2 keeps this one apart.
    """
    return np.random.default_rng([seed, 2, step])


def gradients_of(
    batch: Sequence[Sample],
    step: int,
    passes: Passes,
    optimiser: Optimiser,
    settings: TrainingSettings,
    ranks: Communicator,
    *,
    counted: bool,
) -> tuple[dict[str, float], float, Counts]:
    """Losses of a batch, and their gradients in the parameters, both known to be finite; and the counts.

    If processes are lost meanwhile that can be replaced, all is computed once more with new ones.

    Args:
        batch: this rank's part of it.
        step: the number of steps before this one.
        passes: compute them, and leave the gradients in the parameters.
        optimiser: knows the parameters.
        settings: of the run.
        ranks: this process's place among others.
        counted: count what the stages say of themselves, see `minirnn.training.shares`.

    Returns:
        The losses; the length of the gradient, before it is clipped; the counts, where they are asked for.

    Raises:
        DivergenceError: a loss or a gradient is not finite.
    """

    def compute() -> tuple[dict[str, float], float, Counts]:
        optimiser.zero_grad()
        images, targets = [sample.image for sample in batch], [sample.target for sample in batch]
        rngs = passes.streams(step_rng(settings.seed, step), len(images))
        losses = passes.losses(images, targets, rngs, counted)
        refuse_losses(losses, step, batch, ranks)
        passes.backward()
        if settings.clip_norm:
            norm = clip_gradients(optimiser.parameters(), settings.clip_norm)
        else:
            norm = gradient_norm(optimiser.parameters())
        refuse_gradients(norm, optimiser, step, batch, ranks)
        return losses, norm, passes.counts

    try:
        return compute()
    except WorkerLost as error:
        passes.renew(error)
    return compute()
