"""Knowing a parameter's gradient before the backward pass is over.

`Tensor.backward` leaves gradients in the parameters at its very end: they are older than all operations,
and it walks from the youngest node to the oldest. But the last layer's gradients are complete near the
beginning, and could be on their way to other machines while the pass is still at work on the first layers.

A parameter's gradient is the sum of what all its uses contribute. So the uses are counted beforehand, in
the graph; the one that contributes last completes the sum.

Source: Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", 2020, section
3.2.3, which does the same with hooks on its accumulators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from minirnn.autograd.tensor import Node, Tensor
from minirnn.backend import Array

Vjp = Callable[[Array], Array]


def when_final(loss: Tensor, tell: Callable[[Tensor, Array], None]) -> None:
    """Have `loss.backward()` tell of each parameter's gradient as soon as it is complete.

    Args:
        loss: what `backward` is going to be called of, once.
        tell: called in the middle of it with each tensor that has `requires_grad` and was made by no
            operation, and dL/d(tensor), which is what `backward` will add to its `grad`. Not called for
            those that the loss does not depend on.
    """
    sums: dict[int, _Sum] = {}
    for node in _nodes(loss._node):
        parents = node.parents or ()
        vjps = list(node.vjps)
        for place, parent in enumerate(parents):
            tensor = parent.tensor()
            if parent.parents == () and tensor is not None and tensor.requires_grad:
                total = sums.setdefault(parent.number, _Sum(tensor, tell))
                vjps[place] = total.through(vjps[place])
        node.vjps = tuple(vjps)


class _Sum:
    """The gradient of one parameter while it is being added up, in the order of `Tensor.backward`."""

    def __init__(self, tensor: Tensor, tell: Callable[[Tensor, Array], None]) -> None:
        self._tensor, self._tell = tensor, tell
        self._total: Array | None = None
        self._missing = 0

    def through(self, vjp: Vjp) -> Vjp:
        """The same vjp, which also adds what it gives."""
        self._missing += 1

        def counted(dy: Array) -> Array:
            dx = vjp(dy)
            self._total = dx if self._total is None else self._total + dx
            self._missing -= 1
            if self._missing == 0:
                self._tell(self._tensor, self._total)
                self._total = None
            return dx

        return counted


def _nodes(last: Node) -> Iterator[Node]:
    """A node and all that it was made of, each once."""
    seen, waiting = {last.number}, [last]
    while waiting:
        node = waiting.pop()
        yield node
        for parent in node.parents or ():
            if parent.number not in seen:
                seen.add(parent.number)
                waiting.append(parent)
