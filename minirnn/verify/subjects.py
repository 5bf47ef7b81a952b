"""What can be verified: every operation, and every stage, each with inputs to draw."""

from __future__ import annotations

from collections.abc import Callable

from minirnn.autograd import OPERATIONS
from minirnn.verify.keypoint_stages import KEYPOINT_STAGES
from minirnn.verify.operations import CASES
from minirnn.verify.stages import STAGES
from minirnn.verify.subject import Subject
from minirnn.verify.training_stages import TRAINING_STAGES


def subjects() -> dict[str, Subject]:
    """All of them by name, operations first. An operation without inputs to draw is there, too."""
    found = [
        Subject(
            stage=_family(operation),
            name=name,
            function=lambda name=name: OPERATIONS[name],  # type: ignore[misc]
            cases=CASES.get(name, ()),
            differentiable=None,
        )
        for name, operation in sorted(OPERATIONS.items(), key=lambda item: _family(item[1]))
    ]
    stages = (*STAGES, *KEYPOINT_STAGES, *TRAINING_STAGES)
    return {subject.name: subject for subject in (*found, *stages)}


def _family(operation: Callable) -> str:
    """The module's name, such as "convolution"; all operations on regions are one family, "roi"."""
    module = operation.__module__.split(".")[-1]
    return "roi" if module.startswith("roi_") or ".roi" in operation.__module__ else module
