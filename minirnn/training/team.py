"""A batch shared out among processes: the same step, sooner, where calls and not numbers take the time.

A small network on small maps is thousands of calls into NumPy that take microseconds each. Threads do
not help there: Python's lock lets one of them make a call at a time, and handing it over costs as much
as the call. Processes have a lock each. So each takes some of the images, with the same weights.

Each computes the losses of its images, weighted as `minirnn.training.part` says, and their gradients, which
the first adds up, always in the same order. That is the gradient that one process would find, but for
rounding. The images draw from streams of their own, so that nothing drawn depends on the number of
processes either. Only where images differ in size can more change: they are padded to the largest of their
share, and group normalisation sees the padding.

Weights and gradients lie in memory that all processes see. The first alone changes the weights.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from minirnn.backend import Array
from minirnn.data.workers import WorkerPool
from minirnn.errors import InputError, WorkerLost
from minirnn.kernels import limited_to, thread_count
from minirnn.kernels.cpu.memory import keep_freed, keeps_freed
from minirnn.progress import tell
from minirnn.structures import Target
from minirnn.training.part import Part, together, trained
from minirnn.training.shared_arrays import SharedArrays
from minirnn.training.shares import Counts, added

RENEWED = 20  # times that a run replaces processes that were lost, before it gives up


class Team:
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

    Attributes:
        counts: of the last batch, see `minirnn.training.shares.counts_of`; where they were asked for.

    Raises:
        InputError: the model is on a GPU.
    """

    def __init__(self, model: Any, processes: int, *, timeout: float | None = None) -> None:
        if model.device != "cpu":
            raise InputError(
                f"processes is {processes}, but the model is on {model.device}; there it should be 1"
            )
        self._timeout = timeout
        self._model = model
        self._processes = processes
        self._tensors = trained(model)
        self._threads = max(thread_count() // processes, 1)
        self._own = Part(model)
        self._factors: list[dict[str, float]] = []
        self.counts: Counts = {}
        self._renewals = 0
        self._begin()

    def _begin(self) -> None:
        """Make the memory, and start the other processes."""
        model, processes = self._model, self._processes
        self._memory = SharedArrays([tensor.data for tensor in self._tensors], processes)
        self._pools: list[WorkerPool] = []
        # Also when nobody calls `close`: processes should not wait for a team that is gone.
        self._end = weakref.finalize(self, _end, self._pools, self._memory)
        self._weights = self._memory.arrays(0)
        self._gradients = [self._memory.arrays(number) for number in range(1, processes)]
        trained = {name for name, tensor in model.named_parameters() if tensor.requires_grad}
        fixed = {name: a for name, a in model.state_dict().items() if name not in trained}
        build = getattr(model, "builder", type(model))
        plan = (build, model.config, fixed, self._memory, self._threads, keeps_freed())
        for number in range(1, processes):
            self._pools.append(WorkerPool(_Member(number, *plan), count=1))

    def losses(
        self,
        images: Sequence[np.ndarray],
        targets: Sequence[Target],
        rngs: Sequence[np.random.Generator],
        counted: bool = False,
    ) -> dict[str, float]:
        """The losses of a batch. What `backward` needs is kept.

        Args:
            images: at least one for each process, as for `RCNN.losses`.
            targets: ground truth of each image.
            rngs: of each image.
            counted: leave in `counts` what the stages of all processes say of themselves.

        Raises:
            InputError: too few images, or as for `RCNN.losses`.
            WorkerError: a process died, takes too long, or met an error that is not the input's fault.
        """
        count = len(self._pools) + 1
        if len(images) < count:
            raise InputError(f"{len(images)} images cannot be shared out among {count} processes")
        self._share_weights()
        own, *others = (
            tuple([of_all[i] for i in share] for of_all in (images, targets, rngs))
            for share in _shares([len(target.labels) for target in targets], count)
        )
        pending = self._ask("losses", [(counted, *share) for share in others])
        with limited_to(self._threads):
            answers = [self._own.losses(counted, *own)]
        answers += self._answers(pending)
        found = [losses for losses, _ in answers]
        self.counts = added(counts for _, counts in answers)
        self._memory.remove()  # by now everyone has it in view, and nothing can be left behind

        means, self._factors = together(found)
        return means

    def streams(self, rng: np.random.Generator, images: int) -> list[np.random.Generator]:
        """A generator for each image of a batch, see `losses`."""
        return rng.spawn(images)

    def backward(self) -> None:
        """Add the gradients of the last `losses`, together, to those of the model's parameters.

        Raises:
            WorkerError: a process died, takes too long, or met an error.
        """
        own, *others = self._factors
        pending = self._ask("backward", [(factors,) for factors in others])
        with limited_to(self._threads):
            self._own.backward(own)
        for reached, gradients in zip(self._answers(pending), self._gradients, strict=True):
            for index in reached:
                tensor, gradient = self._tensors[index], gradients[index]
                both = gradient.copy(order="K") if tensor.grad is None else tensor.grad + gradient
                tensor.grad = both

    def close(self) -> None:
        """End the other processes, and move the weights back to memory of this one."""
        self._end()
        for tensor, shared in zip(self._tensors, self._weights, strict=True):
            if tensor.data is shared:
                tensor.data = shared.copy(order="K")

    def renew(self, error: WorkerLost) -> None:
        """Replace the other processes, of which one was lost; what they have computed is gone.

        Raises:
            WorkerLost: the same error: it has happened too often.
        """
        self._renewals += 1
        if self._renewals > RENEWED:
            raise error
        self.close()
        self._begin()
        tell(f"{error}. New processes take this step again; nothing is lost.")

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """The ids of the other processes."""
        return [pid for pool in self._pools for pid in pool.pids]

    def _ask(self, what: str, arguments: Sequence[tuple]) -> list[Future]:
        return [
            pool.submit((what, argument))
            for pool, argument in zip(self._pools, arguments, strict=True)
        ]

    def _answers(self, pending: Sequence[Future]) -> list[Any]:
        return [
            pool.result(future, timeout=self._timeout, what="a share of a batch")
            for pool, future in zip(self._pools, pending, strict=True)
        ]

    def _share_weights(self) -> None:
        """Have all processes see the model's weights, also those that were loaded in between."""
        for tensor, shared in zip(self._tensors, self._weights, strict=True):
            if tensor.data is not shared:
                shared[...] = tensor.data
                tensor.data = shared


class _Member:
    """Another process's side: a model of its own, whose trained weights lie in the shared memory.

    Args:
        number: of the process; the first is 0.
        build: makes the model of a configuration and a generator.
        config: of the model.
        fixed: buffers and weights that are not trained, by name.
        memory: for weights and gradients.
        threads: that it may use.
        keep: whether it keeps freed memory, see `minirnn.kernels.cpu.memory`.
    """

    def __init__(
        self,
        number: int,
        build: Callable[..., Any],
        config: Any,
        fixed: Mapping[str, Array],
        memory: SharedArrays,
        threads: int,
        keep: bool,
    ) -> None:
        self._number = number
        self._keep = keep
        self._plan = (build, config, fixed)
        self._memory = memory
        self._threads = threads
        self._model: Any = None

    def __call__(self, request: tuple[str, tuple]) -> Any:
        """Answer `Team._ask`."""
        if self._model is None:
            self._begin()
        what, arguments = request
        # The first process looks at every loss and gradient; here warnings would only be repeated.
        with np.errstate(all="ignore"), limited_to(self._threads):
            if what == "losses":
                return self._share.losses(*arguments)
            self._model.zero_grad()
            self._share.backward(*arguments)
        reached = []
        for index, (tensor, gradient) in enumerate(
            zip(self._tensors, self._gradients, strict=True)
        ):
            if tensor.grad is not None:
                gradient[...] = tensor.grad
                reached.append(index)
        self._model.zero_grad()
        return reached

    def _begin(self) -> None:
        build, config, fixed = self._plan
        if self._keep:
            keep_freed()
        os.environ["MINIRNN_THREADS"] = str(self._threads)
        model = build(config, np.random.default_rng(0)).astype(self._memory.dtype)
        model.load_state_dict(fixed, strict=False)
        for name, tensor in model.named_parameters():
            tensor.requires_grad = name not in fixed
        self._tensors = trained(model)
        for tensor, shared in zip(self._tensors, self._memory.arrays(0), strict=True):
            tensor.data = shared
        self._gradients = self._memory.arrays(self._number)
        self._share, self._model = Part(model), model


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


def _end(pools: Sequence[WorkerPool], memory: SharedArrays) -> None:
    for pool in pools:
        pool.close()
    memory.remove()
