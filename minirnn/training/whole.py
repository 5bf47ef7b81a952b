"""A batch computed at once, by this process alone."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from minirnn.autograd import Tensor
from minirnn.backend import to_host, xp_of
from minirnn.ops.arithmetic import add
from minirnn.structures import Target
from minirnn.training.part import with_counts
from minirnn.training.passes import Passes


class Whole(Passes):
    """This process, the whole batch at once.

    Args:
        model: a `minirnn.models.RCNN`, or what has `losses` like it.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model
        self._terms: list[Tensor] = []

    def losses(
        self,
        images: Sequence[np.ndarray],
        targets: Sequence[Target],
        rngs: Sequence[np.random.Generator],
        counted: bool = False,
    ) -> dict[str, float]:
        """See `Passes`."""
        self._terms = []
        terms, self.counts = with_counts(counted, self._model.losses, images, targets, rngs)
        self._terms = list(terms.values())
        means = [term.data for term in self._terms]
        together = to_host(xp_of(*means).stack(means))  # one copy: a GPU is waited for once
        return dict(zip(terms, together.tolist(), strict=True))

    def backward(self) -> None:
        """See `Passes`."""
        loss = functools.reduce(add, self._terms)
        self._terms = []
        loss.backward()
