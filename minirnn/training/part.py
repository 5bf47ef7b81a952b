"""What each of several processes does with its images of a batch, and what the parts are together.

    1. process i computes its losses Lᵢ, each a mean over nᵢ things (anchors, regions, masks);
    2. the loss of the batch is L = Σ nᵢ Lᵢ / Σ nᵢ, so each multiplies its own by nᵢ / Σ nᵢ
    3. and computes its gradients, whose sum is the batch's.

That is the gradient that one process would find, but for rounding; the mean of the processes' gradients,
which is common elsewhere, is not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minirnn.autograd import Tensor
from minirnn.ops.arithmetic import add
from minirnn.record import recording
from minirnn.training.shares import HEARD, Counts, counts_of

#: Each loss by name: its mean, and over how many things it is one.
Losses = dict[str, tuple[float, int]]


class Part:
    """A process's images: their losses, and then their gradients."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._terms: dict[str, Any] = {}

    def losses(self, counted: bool, *batch: Any) -> tuple[Losses, Counts]:
        """Each loss, and over how many things it is a mean; and the counts, if they are wanted."""
        self._terms, counts = with_counts(counted, self._model.loss_terms, *batch)
        means = {name: (float(term.mean), term.count) for name, term in self._terms.items()}
        return means, counts

    def backward(
        self, factors: Mapping[str, float], before: Callable[[Tensor], None] = lambda loss: None
    ) -> None:
        """The gradients of the losses, each times its factor.

        Args:
            factors: by the losses' names.
            before: told the sum just before its gradients are computed.
        """
        weighted = [term.mean * factors[name] for name, term in self._terms.items()]
        self._terms = {}
        loss = functools.reduce(add, weighted)
        before(loss)
        loss.backward()


def together(parts: Sequence[Losses]) -> tuple[dict[str, float], list[dict[str, float]]]:
    """The losses of the batch, and for each part the factor nᵢ / Σ nᵢ of each of its losses."""
    means = dict.fromkeys(parts[0], 0.0)
    all_factors: list[dict[str, float]] = [{} for _ in parts]
    for name in means:
        total = max(sum(losses[name][1] for losses in parts), 1)
        for losses, factors in zip(parts, all_factors, strict=True):
            factors[name] = losses[name][1] / total
            means[name] += losses[name][0] * factors[name]
    return means, all_factors


def with_counts(counted: bool, losses: Callable[..., Any], *batch: Any) -> tuple[Any, Counts]:
    """The losses of a batch, and what the stages on the way say of themselves."""
    if not counted:
        return losses(*batch), {}
    with recording(*HEARD) as seen:
        found = losses(*batch)
    return found, counts_of(seen)


def trained(model: Any) -> list[Tensor]:
    """The parameters that training changes, each once, in the same order in every process."""
    found = {id(t): t for t in model.parameters() if t.requires_grad}
    return list(found.values())
