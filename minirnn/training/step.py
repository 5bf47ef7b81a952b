"""What a step computes: the losses of a batch, and their gradients, alone or with others."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minirnn.backend import to_host, xp_of
from minirnn.distributed import Communicator
from minirnn.errors import WorkerLost
from minirnn.ops.arithmetic import add
from minirnn.structures import Sample, Target
from minirnn.training.divergence import refuse_gradients, refuse_losses
from minirnn.training.optimiser import Optimiser, clip_gradients, gradient_norm
from minirnn.training.part import with_counts
from minirnn.training.ranks import Ranks
from minirnn.training.settings import TrainingSettings
from minirnn.training.shares import Counts
from minirnn.training.team import Team
from minirnn.training.turns import Turns


def step_rng(seed: int, step: int) -> np.random.Generator:
    """The generator of one training step, made from nothing but the seed and the step's number.

    The loader's streams are [seed, 0, …], [seed, 1, …] and [seed, 3, …]; the 2 keeps this one apart.
    """
    return np.random.default_rng([seed, 2, step])


def gradients_of(
    batch: Sequence[Sample],
    step: int,
    model: Any,
    team: Team | Ranks | Turns | None,
    optimiser: Optimiser,
    settings: TrainingSettings,
    ranks: Communicator,
    *,
    counted: bool,
) -> tuple[dict[str, float], float, Counts]:
    """Losses of a batch, and their gradients in the parameters, both known to be finite; and the counts.

    If processes of a team are lost meanwhile, all is computed once more with new ones.

    Args:
        batch: this rank's part of it.
        step: the number of steps before this one.
        model: gets the gradients.
        team: with whom the batch is shared out, or in which turns it is computed; None for neither.
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
        rng = step_rng(settings.seed, step)
        losses, backward, counts = losses_of(model, team, images, targets, rng, counted=counted)
        refuse_losses(losses, step, batch, ranks)
        backward()
        if settings.clip_norm:
            norm = clip_gradients(optimiser.parameters(), settings.clip_norm)
        else:
            norm = gradient_norm(optimiser.parameters())
        refuse_gradients(norm, optimiser, step, batch, ranks)
        return losses, norm, counts

    try:
        return compute()
    except WorkerLost as error:
        if not isinstance(team, Team):
            raise
        team.renew(error)
    return compute()


def losses_of(
    model: Any,
    team: Team | Ranks | Turns | None,
    images: Sequence[np.ndarray],
    targets: Sequence[Target],
    rng: np.random.Generator,
    *,
    counted: bool = False,
) -> tuple[dict[str, float], Callable[[], None], Counts]:
    """The losses of a batch, by this process alone or with others, and what computes their gradients.

    The third are the counts of `minirnn.training.shares`, where they are asked for.
    """
    if team:
        losses = team.losses(images, targets, team.streams(rng, len(images)), counted)
        return losses, team.backward, team.counts
    terms, counts = with_counts(counted, model.losses, images, targets, rng)
    means = [term.data for term in terms.values()]
    together = to_host(xp_of(*means).stack(means))  # one copy, so that a GPU is waited for once
    losses = dict(zip(terms, together.tolist(), strict=True))
    return losses, functools.reduce(add, terms.values()).backward, counts
