"""Gradients on their way to other ranks while the backward pass is still at work.

Small messages cost as much as their latency, and one large one could only leave at the end. So parameters
are packed into flat buckets of some megabytes, in reverse order, which is about the order in which their
gradients are complete. As soon as all of a bucket's are, its sum over all ranks begins. All ranks begin
their buckets in the same order, as MPI wants it: one that is complete waits for those before it.

A parameter that no loss of a rank depends on (a mask head, where nothing was found) counts as -0 there:
of the two zeros that which changes no bit of what it is added to. Each bucket carries a number for each
of its parameters that says how many ranks have a gradient; where that is none, the parameter has no
gradient afterwards either, as in one process.

Source: Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", 2020, section
3.2.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minirnn.autograd import Tensor
from minirnn.backend import Array, to_host, xp_of
from minirnn.distributed import Communicator
from minirnn.errors import InputError

SIZE = 8 * 2**20  # bytes of a bucket


class Buckets:
    """Adds up the gradients of all ranks.

        buckets.begin()
        when_final(loss, buckets.put)
        loss.backward()
        whole = buckets.finish()  # the sums have been added to the tensors' gradients

    Args:
        tensors: the same in all ranks, in the same order.
        ranks: who takes part.
        size: bytes of a bucket; a larger parameter has one of its own.

    Attributes:
        nbytes: what each rank hands in at a step, in bytes.
        seconds: that `finish` has waited, since the beginning.

    Raises:
        InputError: the tensors are of several kinds.
    """

    def __init__(self, tensors: Sequence[Tensor], ranks: Communicator, size: int = SIZE) -> None:
        kinds = {tensor.dtype for tensor in tensors}
        if len(kinds) != 1:
            raise InputError(f"the parameters are of several kinds: {sorted(map(str, kinds))}")
        xp = xp_of(*(tensor.data for tensor in tensors)) if ranks.on_device else np
        self._ranks = ranks
        self._buckets: list[_Bucket] = []
        self._homes: dict[int, tuple[_Bucket, int]] = {}
        for group in _groups(tensors, size):
            bucket = _Bucket(group, ranks, xp)
            self._buckets.append(bucket)
            for place, tensor in enumerate(group):
                self._homes[id(tensor)] = bucket, place
        self._begun: list[Callable[[], None]] = []
        self.nbytes = sum(bucket.flat.nbytes for bucket in self._buckets)
        self.seconds = 0.0

    def begin(self) -> None:
        """Empty the buckets for another step."""
        self._begun = []
        for bucket in self._buckets:
            bucket.empty()

    def put(self, tensor: Tensor, gradient: Array) -> None:
        """Take a gradient that is complete, and send off what can be."""
        bucket, place = self._homes[id(tensor)]
        bucket.put(place, gradient if self._ranks.on_device else to_host(gradient))
        while len(self._begun) < len(self._buckets) and self._buckets[len(self._begun)].full:
            self._send()
        self._ranks.progress()

    def finish(self, whole: bool = True) -> bool:
        """Send off the rest, wait for the sums, and add them to what the tensors had at `begin`.

        Args:
            whole: False where this rank has failed in the middle of it, and others should not use the sums.

        Returns:
            Whether all ranks were whole.
        """
        while len(self._begun) < len(self._buckets):
            self._buckets[len(self._begun)].close(whole)
            self._send()
        before = time.perf_counter()
        for wait in self._begun:
            wait()
        self.seconds += time.perf_counter() - before
        if float(self._buckets[-1].flat[-1]) < self._ranks.size:
            return False
        for bucket in self._buckets:
            bucket.hand_out()
        return True

    def _send(self) -> None:
        self._begun.append(self._ranks.begin_all_reduce(self._buckets[len(self._begun)].flat))


class _Bucket:
    """Some parameters' gradients in a flat array, then how many ranks have each, and how many are whole."""

    def __init__(self, tensors: Sequence[Tensor], ranks: Communicator, xp: Any) -> None:
        self._tensors = tensors
        sizes = [tensor.data.size for tensor in tensors]
        self.flat = ranks.buffer(sum(sizes) + len(tensors) + 1, tensors[0].dtype, xp)
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        # Each lies as its parameter does (axes by falling stride), so that the optimiser walks straight.
        self._views = []
        for tensor, start, size in zip(tensors, starts, sizes, strict=True):
            axes = np.argsort([-stride for stride in tensor.data.strides], kind="stable")
            shape = tuple(tensor.shape[k] for k in axes)
            view = self.flat[start : start + size].reshape(shape)
            self._views.append(view.transpose(tuple(np.argsort(axes).tolist())))
        self.empty()

    @property
    def full(self) -> bool:
        """Whether all gradients are there; then it is closed."""
        full = all(self._there)
        if full:
            self.close(True)
        return full

    def empty(self) -> None:
        """Nothing is there. What the parameters have already may lie in here, so it is moved out."""
        self._there = [False] * len(self._tensors)
        self._before = [None if t.grad is None else t.grad.copy() for t in self._tensors]

    def put(self, place: int, gradient: Array) -> None:
        """Take the gradient of a parameter."""
        self._views[place][...] = gradient
        self._there[place] = True

    def close(self, whole: bool) -> None:
        """What is not there counts as -0."""
        for view, there in zip(self._views, self._there, strict=True):
            if not there:
                view[...] = -0.0
        marks = np.array([*self._there, whole], self.flat.dtype)
        self.flat[-len(marks) :] = xp_of(self.flat).asarray(marks)

    def hand_out(self) -> None:
        """Add the sums to the parameters' gradients, but for those that no rank has a gradient of."""
        marks = to_host(self.flat[-len(self._tensors) - 1 : -1])
        of_each = zip(self._tensors, self._before, self._views, marks, strict=True)
        for tensor, before, view, reached in of_each:
            tensor.grad = before
            if reached:
                total = xp_of(tensor.data).asarray(view)
                tensor.grad = total if before is None else before + total
        self._before = [None] * len(self._tensors)


def _groups(tensors: Sequence[Tensor], size: int) -> list[list[Tensor]]:
    """The last parameters first, as many together as fit into `size` bytes."""
    groups: list[list[Tensor]] = []
    room = -math.inf
    for tensor in reversed(tensors):
        nbytes = tensor.data.nbytes
        if nbytes > room:
            groups.append([])
            room = size
        groups[-1].append(tensor)
        room -= nbytes
    return groups
