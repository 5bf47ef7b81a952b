"""Where the time goes: each stage of a network, without the stages that it calls in its turn.

At each border between two stages a mark is set, and the time from one mark to the next belongs to the stage
that was at work, so that the stages add up to the whole. On a GPU the marks are events in its queue: where
the GPU waits for the host to hand it work, the waiting belongs to the stage that was being handed over.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from minirnn.autograd import Tensor
from minirnn.bench.clock import Clock
from minirnn.models import RCNN
from minirnn.training.optimiser import SGD

#: What belongs to no stage: putting things together, and the way to the host.
REST = "the rest"


class Profile:
    """Adds up the time of stages.

    Args:
        clock: tells it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._marks: list[tuple[str, Any]] = []  # who is at work from here on, and the mark
        self._working = [""]  # nobody

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Inside, it is this stage's time; afterwards again that of the stage that called."""
        self._working.append(name)
        self._marks.append((name, self._clock.mark()))
        try:
            yield
        finally:
            self._working.pop()
            self._marks.append((self._working[-1], self._clock.mark()))

    def during(self, name: str, function: Callable) -> Callable:
        """The function, as a stage."""

        def watched(*inputs: Any, **settings: Any) -> Any:
            with self.stage(name):
                return function(*inputs, **settings)

        return watched

    def seconds(self) -> dict[str, float]:
        """Of each stage, in the order in which they first came; waits until all of it is done."""
        found: dict[str, float] = {}
        for (stage, start), (_, end) in zip(self._marks, self._marks[1:], strict=False):
            if stage:
                found[stage] = found.get(stage, 0.0) + self._clock.seconds(start, end)
        return found


def stages_of(model: RCNN) -> Iterator[tuple[str, Any, str]]:
    """Stages of a detector and of a training step: a name, who has the function, and under which name."""
    yield "transform", type(model.transform), "batch"
    yield "backbone", model.backbone, "forward"
    yield "pyramid", getattr(model.backbone, "fpn", None), "forward"
    yield "RPN", model.rpn, "forward"
    yield "proposals", model.rpn, "propose"
    yield "RPN losses", model.rpn, "losses"
    yield "sampling", model, "sampler"
    for head in model.roi_heads:
        yield f"{head.finds}: pooling", head, "pooler"
        yield f"{head.finds}: network", head, "forward"
        yield f"{head.finds}: reading", head, "predict"
        yield f"{head.finds}: losses", head, "losses"
        yield f"{head.finds}: pasting", head, "finish"
    yield "backward", Tensor, "backward"
    yield "update", SGD, "step"


@contextmanager
def watched(model: RCNN, profile: Profile) -> Iterator[None]:
    """Inside, the stages of the model are told to the profile."""
    with ExitStack() as stack:
        for name, owner, function in stages_of(model):
            if hasattr(owner, function):
                during = profile.during(name, getattr(owner, function))
                stack.enter_context(mock.patch.object(owner, function, during))
        yield


def stages_ms(
    model: RCNN, run: Callable[[], Any], clock: Clock, repeat: int = 5
) -> dict[str, float]:
    """Milliseconds of each stage, the median of some runs.

    Args:
        model: whose stages they are.
        run: calls it once.
        clock: of the device that it is on.
        repeat: runs, after one that does not count.
    """
    runs: list[dict[str, float]] = []
    run()
    for _ in range(repeat):
        profile = Profile(clock)
        with watched(model, profile), profile.stage(REST):
            run()
        runs.append(profile.seconds())
    return {
        name: 1e3 * statistics.median(each.get(name, 0.0) for each in runs)
        for name in (*(name for name, *_ in stages_of(model)), REST)
        if any(name in each for each in runs)
    }
