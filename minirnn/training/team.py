"""A batch shared out among processes: the same step, sooner, where calls and not numbers take the time.

A small network on small maps is thousands of calls into NumPy that take microseconds each. Threads do
not help there: Python's lock lets one of them make a call at a time, and handing it over costs as much
as the call. Processes have a lock each. So each takes some of the images, with the same weights.

They are ranks like those of MPI, and compute as `minirnn.training.ranks` says. But one process is the
first: it alone loads images, gives each of the others its share, changes the weights, and starts new
processes for those that were lost. The others do what it says.

The images draw from streams of their own, so that nothing drawn depends on the number of processes. Only
where images differ in size can more change than rounding: they are padded to the largest of their share,
and group normalisation sees the padding.

Weights lie in memory that all processes see. The first alone changes them.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from minirnn.backend import Array
from minirnn.distributed.communicator import Communicator
from minirnn.distributed.processes import Processes
from minirnn.distributed.shared_arrays import SharedArrays
from minirnn.errors import InputError, WorkerLost
from minirnn.kernels import limited_to, thread_count
from minirnn.kernels.cpu.memory import keep_freed, keeps_freed
from minirnn.progress import tell
from minirnn.structures import Target
from minirnn.training.part import trained
from minirnn.training.passes import Passes
from minirnn.training.ranks import Ranks

RENEWED = 20  # times that a run replaces processes that were lost, before it gives up


class Team(Passes):
    """This process and others, which share out batches.

        with Team(model, processes=2) as team:
            losses = team.losses(images, targets, rngs)
            team.backward()  # leaves the gradients in the model's parameters

    Args:
        model: a `minirnn.models.RCNN` on the host. Its parameters move to memory that all
            processes see, until `close`.
        processes: how many in all, at least 2.
        timeout: the longest to wait for the others once the own share is done, in seconds; None for
            as long as it takes.

    Raises:
        InputError: the model is on a GPU.
        WorkerError: a process died before it had begun.
    """

    def __init__(self, model: Any, processes: int, *, timeout: float | None = None) -> None:
        super().__init__()
        if model.device != "cpu":
            raise InputError(
                f"processes is {processes}, but the model is on {model.device}; there it should be 1"
            )
        self._model, self._processes, self._timeout = model, processes, timeout
        self._tensors = trained(model)
        self._threads = max(thread_count() // processes, 1)
        self._renewals = 0
        self._begin()

    def _begin(self) -> None:
        """Make the memory, and start the other processes."""
        memory = SharedArrays([tensor.data for tensor in self._tensors], 1)
        self._weights = memory.arrays(0)
        try:
            self._share_weights()
            plan = _Plan.of(self._model, memory, self._threads)
            self.ranks = Processes(
                functools.partial(_take_part, plan), self._processes, timeout=self._timeout
            )
            with self._working():
                self._own = Ranks(self._model, self.ranks)
        finally:
            memory.remove()  # by now everyone has it in view, and nothing can be left behind

    def losses(
        self,
        images: Sequence[np.ndarray],
        targets: Sequence[Target],
        rngs: Sequence[np.random.Generator],
        counted: bool = False,
    ) -> dict[str, float]:
        """See `Passes`."""
        if len(images) < self._processes:
            raise InputError(
                f"{len(images)} images cannot be shared out among {self._processes} processes"
            )
        if self.ranks.over:  # after an error
            self._begin()
        self._share_weights()
        shares = _shares([len(target.labels) for target in targets], self._processes)
        parts = [
            (*([of_all[i] for i in share] for of_all in (images, targets, rngs)), counted)
            for share in shares
        ]
        with self._working():
            _, own = self.ranks.scatter([("losses", part) for part in parts])
            losses = self._own.losses(*own)
        self.counts = self._own.counts
        return losses

    def backward(self) -> None:
        """See `Passes`."""
        with self._working():
            self.ranks.scatter([("backward", ())] * self._processes)
            self._own.backward()

    def renew(self, error: WorkerLost) -> None:
        """See `Passes`."""
        self._renewals += 1
        if self._renewals > RENEWED:
            raise error
        self.close()
        self._begin()
        tell(f"{error}. New processes take this step again; nothing is lost.")

    def close(self) -> None:
        """End the other processes, and move the weights back to memory of this one."""
        self.ranks.end()
        for tensor, shared in zip(self._tensors, self._weights, strict=True):
            if tensor.data is shared:
                tensor.data = shared.copy(order="K")

    @contextmanager
    def _working(self) -> Iterator[None]:
        """After an error in here no process waits for this one any more; `losses` would start new ones."""
        try:
            with limited_to(self._threads):
                yield
        except BaseException:
            self.close()
            raise

    def _share_weights(self) -> None:
        """Have all processes see the model's weights, also those that were loaded in between."""
        for tensor, shared in zip(self._tensors, self._weights, strict=True):
            if tensor.data is not shared:
                shared[...] = tensor.data
                tensor.data = shared


class _Plan(NamedTuple):
    """A model for another process, whose trained weights lie in the shared memory.

    Attributes:
        build: makes the model of a configuration and a generator.
        config: of the model.
        fixed: buffers and weights that are not trained, by name.
        weights: those that are.
        threads: that the process may use.
        keep: whether it keeps freed memory, see `minirnn.kernels.cpu.memory`.
    """

    build: Callable[..., Any]
    config: Any
    fixed: Mapping[str, Array]
    weights: SharedArrays
    threads: int
    keep: bool

    @classmethod
    def of(cls, model: Any, weights: SharedArrays, threads: int) -> _Plan:
        """That of the first process's model."""
        trained = {name for name, tensor in model.named_parameters() if tensor.requires_grad}
        fixed = {name: a for name, a in model.state_dict().items() if name not in trained}
        build = getattr(model, "builder", type(model))
        return cls(build, model.config, fixed, weights, threads, keeps_freed())

    def model(self) -> Any:
        """The same model."""
        model = self.build(self.config, np.random.default_rng(0)).astype(self.weights.dtype)
        model.load_state_dict(self.fixed, strict=False)
        for name, tensor in model.named_parameters():
            tensor.requires_grad = name not in self.fixed
        for tensor, shared in zip(trained(model), self.weights.arrays(0), strict=True):
            tensor.data = shared
        return model


def _take_part(plan: _Plan, ranks: Communicator) -> None:
    """What the other processes do: all that the first says, until it ends them."""
    if plan.keep:
        keep_freed()
    os.environ["MINIRNN_THREADS"] = str(plan.threads)
    model = plan.model()
    # The first process looks at every loss and gradient; here warnings would only be repeated.
    with np.errstate(all="ignore"), limited_to(plan.threads):
        own = Ranks(model, ranks)
        while True:
            what, arguments = ranks.scatter(None)
            getattr(own, what)(*arguments)
            model.zero_grad()


def _shares(objects: Sequence[int], count: int) -> list[list[int]]:
    """Share out images, number i with objects[i] objects: for each process the numbers of its own.

    All get as many images, or one more, and about as many objects, since every region that lies on an
    object costs a mask: from the most objects to the least, dealt to and fro.
    """
    shares: list[list[int]] = [[] for _ in range(count)]
    order = sorted(range(len(objects)), key=lambda i: -objects[i])
    for place, image in enumerate(order):
        turn, seat = divmod(place, count)
        shares[seat if turn % 2 == 0 else count - 1 - seat].append(image)
    return [sorted(share) for share in shares]
